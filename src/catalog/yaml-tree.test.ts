import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { faultText } from './fault.ts'
import { parseForgeYaml } from './forge-yaml.ts'

const byText = (a: string, b: string): number => (a < b ? -1 : 1)

function faultsOf(text: string, env: Record<string, string> = {}): string[] {
  const read = parseForgeYaml(text, env)
  return read.ok ? [] : read.faults.map(faultText)
}

const CHANNEL = '{protocol: openai, base_url: "http://h"}'
const NOT_EXACT = 'this number cannot be read exactly; put it in quotes as a plain decimal, such as "0.25"'
const NOT_TOKENS = 'must be a whole number, at least 1 and at most 1000000000000'
const PRICE = 'models.m.routes.r.price'

const TEXTS: readonly (readonly [name: string, text: string, ...faults: string[]])[] = [
  [
    'an open bracket',
    'models: [',
    'line 1, column 10: the indentation does not fit, or a bracket, brace or quote above is not closed',
  ],
  ['a tab as indentation', 'models:\n\tm: 1', 'line 2, column 1: tabs cannot be used for indentation'],
  [
    'a missing quote',
    'channels:\n  a: {api_key: "sk-very-secret}',
    'line 2, column 32: a closing bracket, brace, quote, comma or colon is missing',
    'line 2, column 32: the indentation does not fit, or a bracket, brace or quote above is not closed',
  ],
  ['a tag', 'models: !js/function x', 'line 1, column 9: a tag (!name) is not known here'],
  ['two documents', 'models: {}\n---\nmodels: {}', 'the file holds more than one document (---)'],
  ['a list', '- models', 'the file must be a map of settings'],
  ['a word', 'models', 'the file must be a map of settings'],
  [
    'a name written twice',
    'channels: {}\nmodels: {}\nchannels: {}',
    'channels: is written twice (line 3, column 1)',
  ],
  [
    'a name written twice in JSON',
    '{"buckets": {"a": {"currency": "USD", "currency": "EUR"}}}',
    'buckets.a.currency: is written twice (line 1, column 39)',
  ],
  ['a prototype', `channels: {__proto__: ${CHANNEL}}`, 'channels.__proto__: this name cannot be used'],
  ['a map as a name', '? {a: b}\n: c', 'a name must be plain text (line 1, column 3)'],
  ['an alias without anchor', 'channels: *a', 'channels: there is no anchor &a above this alias'],
  [
    'an alias to itself',
    'channels: &a {b: *a}',
    'channels.b: the alias *a contains itself',
    'channels.b: is missing',
  ],
  [
    'a merge key',
    `channels: {a: &a ${CHANNEL}, b: {<<: *a, protocol: openai}}`,
    'channels.b.base_url: is missing',
    'channels.b["<<"]: there is no setting "<<" here',
  ],
  ['brackets without end', `models: ${'['.repeat(100_000)}`, 'lists or maps are nested too deeply (line 1)'],
  ['lists without end', '- '.repeat(100_000), 'lists or maps are nested too deeply (line 1)'],
  [
    'numbers that are not written plainly',
    `models: {m: {context: 0x10, max_output: 1e1, routes: {r: {type: official, bucket: credit, channels: [{channel: c}],
      price: {input: .inf, output: 0x10, cache_read: .5, cache_write_5m: 1_0}}}}}\nchannels: {c: ${CHANNEL}}`,
    `models.m.context: ${NOT_TOKENS}`,
    `models.m.max_output: ${NOT_TOKENS}`,
    `${PRICE}.cache_read: ${NOT_EXACT}`,
    `${PRICE}.cache_write_5m: is not a plain decimal, such as "0.25"`,
    `${PRICE}.input: ${NOT_EXACT}`,
    `${PRICE}.output: ${NOT_EXACT}`,
  ],
]

for (const [name, text, ...faults] of TEXTS) {
  test(`refused, with the place: ${name}`, () => {
    assert.deepEqual(faultsOf(text).toSorted(byText), faults.toSorted(byText))
  })
}

test('no fault of syntax quotes the file, which holds secrets', () => {
  const file = `channels:\n  a: {protocol: openai, base_url: 'http://h', api_key: sk-very-secret, x: [1, "2"]}\n`
  for (let cut = 1; cut < file.length; cut += 1) {
    assert.ok(!faultsOf(file.slice(0, cut)).join().includes('very'), file.slice(0, cut))
    assert.ok(!faultsOf(file.slice(cut)).join().includes('very'), file.slice(cut))
    assert.ok(
      !faultsOf(`${file.slice(0, cut)}\n\t@${file.slice(cut)}`)
        .join()
        .includes('very'),
    )
  }
})

test('aliases that multiply are refused without being multiplied', () => {
  const lines = ['a: &a [x, x, x, x, x, x, x, x, x, x]']
  for (const [i, name] of [...'bcdefghijkl'].entries())
    lines.push(`${name}: &${name} [${Array(10).fill(`*${'abcdefghijk'[i]}`).join(', ')}]`)
  assert.ok(
    faultsOf(lines.join('\n')).some((fault) => fault.includes('aliases stand for more than 100000 values')),
  )
})

test('a file above the cap is refused unread, and so are more models than the catalog holds', () => {
  assert.deepEqual(faultsOf(`# ${'x'.repeat(10 * 1024 * 1024)}`), ['the file is larger than 10 MB'])
  const models = Array.from({ length: 10_000 }, (_, i) => `  m${i}: *m`).join('\n')
  const faults = faultsOf(`models:\n  m: &m {}\n${models}`)
  assert.ok(faults.includes('models: there are 10001 models, at most 10000 are allowed'))
})

test('text that is no configuration at all never throws', () => {
  const own = readFileSync(import.meta.filename, 'utf8')
  for (let at = 0; at < own.length; at += 199) parseForgeYaml(own.slice(at, at + 1000), {})
})
