import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { canonicalJson, parseJson, storableJson } from './index.ts'

test('canonical JSON is one text for one value, whatever the order of its members', () => {
  const shuffled = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(shuffled)
    if (typeof value === 'object' && value !== null)
      return Object.fromEntries(
        Object.entries(value)
          .reverse()
          .map(([key, member]) => [key, shuffled(member)]),
      )
    return value
  }
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value)
      assert.equal(canonicalJson(shuffled(value)), text)
      assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)))
      assert.equal(canonicalJson(JSON.parse(text)), text)
    }),
  )
  assert.equal(canonicalJson({ b: 1, a: [true, null, 'x'], c: undefined }), '{"a":[true,null,"x"],"b":1}')
})

test('parsing never throws: a fault is a value', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => typeof parseJson(text).ok === 'boolean'))
  assert.deepEqual(parseJson('{"a":1}'), { ok: true, value: { a: 1 } })
  assert.equal(parseJson('{').ok, false)
})

test('names spelt with escapes are read as what they say, whatever was parsed before', () => {
  const escaped = (text: string): string =>
    text
      .split('')
      .map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join('')
  for (const name of ['n', 'model', 'max_tokens', 'é', '城市', 'a/b', '__proto__'])
    for (let cut = 1; cut <= name.length; cut++) {
      const spelt = escaped(name)
      const lure = spelt.slice(0, name.length)
      const place = `p${cut}${name.length}`
      for (let turn = 0; turn < 3; turn++) parseJson(`{"${place}":1,${JSON.stringify(lure)}:2}`)
      const parsed = parseJson(`{"${place}":1,"${spelt}":3}`)
      assert.ok(parsed.ok)
      assert.deepEqual(Object.entries(parsed.value ?? {}), [
        [place, 1],
        [name, 3],
      ])
    }
  assert.deepEqual(parseJson('{"a\\/b":"\\/\\u002f\\\\u0041\\u0022\\u005c\\u000a\\ud83d\\ude00\\ud800"}'), {
    ok: true,
    value: { 'a/b': '//\\u0041"\\\n😀\ud800' },
  })
  assert.equal(parseJson('{"a":\\u0031}').ok, false, 'an escape outside of a string is no JSON')
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const parsed = parseJson(`{"x":"${escaped(text)}"}`)
      assert.ok(parsed.ok)
      assert.deepEqual(parsed.value, { x: text })
    }),
  )
})

test('stored JSON holds nothing that the database cannot read, and is otherwise the same value', () => {
  const clean = (text: string): string => text.toWellFormed().replaceAll('\u0000', '\ufffd')
  const cleaned = (value: unknown): unknown => {
    if (typeof value === 'string') return clean(value)
    if (Array.isArray(value)) return value.map(cleaned)
    return value
  }
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.constantFrom(
            '\\u0000',
            '\u0000',
            '\\\u0000',
            '\\\\u0000',
            '\ud800',
            'a\udfffb',
            '😀',
            '\\ud800',
          ),
        ),
      ),
      (value) => {
        const text = storableJson(value)
        assert.deepEqual(JSON.parse(text), cleaned(value))
        assert.ok(text.isWellFormed())
      },
    ),
  )
})
