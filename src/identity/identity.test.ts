import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { networkOf, SERVED } from './guards.ts'
import { isSameOrigin, originsOf } from './index.ts'
import { createTurns } from './passwords.ts'

test('where people reach it: the configured address alone, else every name of the machine for itself', () => {
  const listening = { host: '127.0.0.1', port: 8700 }
  assert.deepEqual(originsOf('https://forge.example', listening), ['https://forge.example'])
  assert.deepEqual(originsOf(null, listening), [
    'http://127.0.0.1:8700',
    'http://localhost:8700',
    'http://[::1]:8700',
  ])
  assert.equal(originsOf(null, { host: '0.0.0.0', port: 1 })[0], 'http://127.0.0.1:1')
  assert.equal(originsOf(null, { host: '::1', port: 1 })[0], 'http://[::1]:1')
  assert.equal(originsOf(null, { host: '192.0.2.7', port: 1 })[0], 'http://192.0.2.7:1')
})

test('same origin is what the browser says and what we are called, both where it says both', () => {
  const own = ['https://forge.example']
  const judge = (headers: Record<string, string>) => isSameOrigin({ headers }, own)
  assert.equal(judge({}), false)
  assert.equal(judge({ origin: 'https://forge.example' }), true)
  assert.equal(judge({ 'sec-fetch-site': 'same-origin' }), true)
  assert.equal(judge({ 'sec-fetch-site': 'same-origin', origin: 'https://forge.example' }), true)
  for (const origin of [
    'null',
    'http://forge.example',
    'https://forge.example:8443',
    'https://a.forge.example',
  ])
    assert.equal(judge({ 'sec-fetch-site': 'same-origin', origin }), false, origin)
  for (const site of ['same-site', 'cross-site', 'none', ''])
    assert.equal(judge({ 'sec-fetch-site': site, origin: 'https://forge.example' }), false, site)
})

test('one subscriber is counted once: an IPv6 network of 64 bits, however it is written', () => {
  assert.equal(networkOf('192.0.2.7'), '192.0.2.7')
  assert.equal(networkOf(null), 'unknown')
  const spellings = ['2001:db8:0:1::1', '2001:db8:0:1:ffff:1:2:3', '2001:db8:0:1::']
  assert.deepEqual([...new Set(spellings.map(networkOf))], ['2001:db8:0:1'])
  assert.equal(networkOf('2001:db8::1'), networkOf('2001:db8:0:0:5::'))
  assert.notEqual(networkOf('2001:db8:0:1::1'), networkOf('2001:db8:0:2::1'))
  assert.equal(networkOf('::1'), '0:0:0:0')
})

test('every path that takes a password or a code counts its attempts', () => {
  const asker = { address: '192.0.2.7', email: 'a@example.com', session: 's', isKnownPlace: false }
  for (const [path, { guard }] of Object.entries(SERVED))
    if (/sign-in|sign-up|password|two-factor|claim|verif|callback/.test(path))
      assert.ok(guard(asker).length > 0, path)
})

test('two at a time, in turn; what would wait too long is refused, and a failure gives the turn on', async () => {
  const turn = createTurns(2, 3)
  let running = 0
  let most = 0
  const work = async (fails: boolean): Promise<void> => {
    running++
    most = Math.max(most, running)
    await sleep(5)
    running--
    if (fails) throw new Error('failed')
  }
  const all = await Promise.allSettled(
    [true, false, true, false, false, false].map((fails) => turn(() => work(fails))),
  )
  assert.equal(most, 2)
  const reasons = all.map((one) => (one.status === 'rejected' ? String(one.reason.message) : 'done'))
  assert.deepEqual(reasons.slice(0, 5), ['failed', 'done', 'failed', 'done', 'done'])
  assert.match(reasons[5] ?? '', /Too many/)
  await turn(() => work(false))
})
