import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

import {
  COUNT_SWITCHES,
  FLAG_SWITCHES,
  NO_SWITCHES,
  parseSwitches,
  type Switches,
  TEXT_SWITCHES,
  takeMarkers,
} from './switches.ts'

function parsed(...lists: string[]): Switches {
  const result = parseSwitches(lists)
  assert.ok(result.ok, result.ok ? '' : result.message)
  return result.switches
}

function refusal(list: string): string {
  const result = parseSwitches([list])
  assert.ok(!result.ok)
  return result.message
}

test('flags, counts, texts and usage paths are told apart', () => {
  const switches = parsed('crlf, delay=20,secret=sk-live 1, usage.completion_tokens=1e400,usage=null')
  assert.deepEqual([...switches.flags], ['crlf'])
  assert.deepEqual(switches.counts, { delay: 20 })
  assert.deepEqual(switches.texts, { secret: 'sk-live 1' })
  assert.deepEqual(switches.usage, [
    { path: ['completion_tokens'], json: '1e400' },
    { path: [], json: 'null' },
  ])
  assert.equal(switches.none, false)
})

test('of two settings of one switch the later list wins', () => {
  assert.equal(parsed('delay=5', 'delay=7').counts.delay, 7)
})

test('nothing set is the one value that takes the fast way', () => {
  assert.equal(parsed(), NO_SWITCHES)
  assert.equal(parsed('', ' , '), NO_SWITCHES)
})

test('an unknown switch is refused with the list of the known ones', () => {
  const message = refusal('crlf, bogus=1')
  assert.match(message, /"bogus" is unknown/)
  for (const name of [...Object.keys(FLAG_SWITCHES), ...Object.keys(COUNT_SWITCHES)]) {
    assert.ok(message.includes(name), name)
  }
})

test('a value that does not fit its switch is refused', () => {
  const unfit = ['delay', 'delay=', 'delay=-1', 'delay=1.5', 'delay=x', 'status=418', 'status=200']
  for (const list of [
    ...unfit,
    'crlf=1',
    'split=0',
    'secret',
    'model=',
    'usage',
    'usage.a=what',
    'usage..a=1',
  ]) {
    refusal(list)
  }
})

test('markers are taken out of a message and read as lists', () => {
  assert.deepEqual(takeMarkers('Hi [[sandbox: delay=2, crlf]] there [[SANDBOX:hang]]'), {
    text: 'Hi   there',
    lists: [' delay=2, crlf', 'hang'],
  })
  assert.deepEqual(takeMarkers('[[wiki]] link'), { text: '[[wiki]] link', lists: [] })
})

test('the README has a row for every switch', () => {
  const readme = readFileSync(new URL('./README.md', import.meta.url), 'utf8')
  for (const name of Object.keys({ ...FLAG_SWITCHES, ...COUNT_SWITCHES, ...TEXT_SWITCHES })) {
    assert.match(readme, new RegExp(`\`${name}(=[A-Z]+)?\``), name)
  }
})
