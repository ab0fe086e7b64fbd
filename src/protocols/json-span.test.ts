import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseJson } from '../kernel/index.ts'
import { type MemberEdit, objectSpans, rewriteMembers, spliceMembers } from './json-span.ts'

const LIMITS = { depthMax: 64, valuesMax: 100_000 }

function spansOf(bytes: Buffer) {
  const walked = objectSpans(bytes, LIMITS)
  assert.ok(walked.ok)
  return walked.spans
}

/** A JSON text of the value with spaces wherever the grammar allows them, and strings spelt in odd ways. */
function spelt(value: unknown, space: () => string, odd: () => boolean): string {
  const text = (content: string): string =>
    `"${[...content]
      .map((char) => {
        const plain = JSON.stringify(char).slice(1, -1)
        return odd() && char.length === 1 ? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}` : plain
      })
      .join('')}"`
  const around = (inner: string): string => `${space()}${inner}${space()}`
  if (typeof value === 'string') return text(value)
  if (Array.isArray(value))
    return `[${space()}${value.map((member) => around(spelt(member, space, odd))).join(',')}]`
  if (typeof value === 'object' && value !== null)
    return `{${space()}${Object.entries(value)
      .map(([key, member]) => `${around(text(key))}:${around(spelt(member, space, odd))}`)
      .join(',')}}`
  return JSON.stringify(value)
}

const NAMES = ['model', 'max_tokens', 'stream_options', 'n', 'a"b', 'ключ', '', '\\', 'é', '__proto__']
const object = fc.dictionary(
  fc.oneof(fc.constantFrom(...NAMES), fc.string({ unit: 'grapheme' })),
  fc.jsonValue({ maxDepth: 4 }),
  { maxKeys: 8 },
)
const edits = fc.uniqueArray(
  fc.record({ name: fc.constantFrom(...NAMES), value: fc.jsonValue({ maxDepth: 2 }) }),
  { selector: (edit) => edit.name, maxLength: 4 },
)
const odd = fc.array(fc.nat(1_000), { minLength: 1, maxLength: 40 })

/** Not JSON.parse itself: see parseJson for what it makes of escaped names. */
function parsed(text: string): unknown {
  const result = parseJson(text)
  assert.ok(result.ok)
  return result.value
}

/** As parsing makes it: every name is a member of its own, `__proto__` too. */
function withMembers(value: object, set: ReadonlyArray<{ name: string; value: unknown }>): unknown {
  const members = new Map<string, unknown>(Object.entries(value))
  for (const { name, value: member } of set) members.set(name, member)
  return parsed(
    `{${[...members].map(([name, member]) => `${JSON.stringify(name)}:${JSON.stringify(member)}`).join(',')}}`,
  )
}

test('setting members in the bytes is the same as setting them in the parsed object', () => {
  fc.assert(
    fc.property(object, edits, odd, (value, set, numbers) => {
      let at = 0
      const draw = (): number => numbers[at++ % numbers.length] ?? 0
      const space = (): string => ['', '', ' ', '\n', '\t', '\r\n  '][draw() % 6] ?? ''
      const text = `${space()}${spelt(value, space, () => draw() % 5 === 0)}${space()}`
      const bytes = Buffer.from(text)
      const changes: MemberEdit[] = set.map(({ name, value: member }) => ({
        name,
        json: JSON.stringify(member),
      }))
      const spliced = spliceMembers(bytes, spansOf(bytes), changes)
      // An empty object has no member to come after; a request always has one.
      if (Object.keys(value).length === 0 && set.length > 1) return
      assert.deepEqual(parsed(spliced.toString('utf8')), withMembers(parsed(text) as object, set))
    }),
    { numRuns: 2_000 },
  )
})

test('bytes outside of the edited members stay as they are', () => {
  fc.assert(
    fc.property(object, fc.jsonValue({ maxDepth: 1 }), odd, (value, member, numbers) => {
      let at = 0
      const space = (): string => ['', ' ', '\n'][(numbers[at++ % numbers.length] ?? 0) % 3] ?? ''
      const before = spelt({ first: 1, ...value }, space, () => false).slice(0, -1)
      const text = `${before},"edited" : [ 1, {"x":"]}"} ] ${space()}, "tail" :"\\"" }`
      const bytes = Buffer.from(text)
      const json = JSON.stringify(member)
      const spliced = spliceMembers(bytes, spansOf(bytes), [{ name: 'edited', json }]).toString('utf8')
      assert.equal(
        spliced,
        text.replace('[ 1, {"x":"]}"} ]', () => json),
      )
    }),
  )
  const bytes = Buffer.from('{"a":1}')
  assert.equal(spliceMembers(bytes, spansOf(bytes), []), bytes, 'nothing to edit is nothing to copy')
})

test('spans are those of the outermost object only', () => {
  for (const text of [
    '{"a":{"model":"x"},"model":"y"}',
    '{"s":"\\"model\\":1","model":"y"}',
    '{"l":["model",{"model":1}],"model" :\t"y"\n}',
    '{"model":"y","t":"}{][,:"}',
  ]) {
    const bytes = Buffer.from(text)
    const span = spansOf(bytes).members.get('model')
    assert.ok(span !== undefined)
    assert.equal(bytes.toString('utf8', span.start, span.end), '"y"', text)
  }
})

test('a name given twice is told, whatever its spelling', () => {
  for (const [text, repeated] of [
    ['{"n":1,"n":2}', ['n']],
    ['{"n":1,"\\u006e":2}', ['n']],
    ['{"\\u006E":1,"\\u006e":2,"n":3}', ['n', 'n']],
    ['{"a":{"n":1,"n":2},"n":3}', []],
    ['{"n":1,"N":2}', []],
    ['{"\\\\u006e":1,"n":2}', []],
  ] as const)
    assert.deepEqual(spansOf(Buffer.from(text)).repeated, repeated, text)
})

test('a name spelt with escapes is the same member: it is edited in its place', () => {
  const bytes = Buffer.from('{"m\\u006fdel":"a","x":1}')
  assert.equal(
    spliceMembers(bytes, spansOf(bytes), [{ name: 'model', json: '"b"' }]).toString(),
    '{"m\\u006fdel":"b","x":1}',
  )
})

test('nesting and numbers of values are bounded, and any bytes are walked without a throw', () => {
  const deep = (depth: number): Buffer => Buffer.from(`{"x":${'['.repeat(depth)}${']'.repeat(depth)}}`)
  assert.equal(objectSpans(deep(63), LIMITS).ok, true)
  assert.deepEqual(objectSpans(deep(64), LIMITS), { ok: false, reason: 'too_deep' })
  assert.deepEqual(objectSpans(deep(2_000_000), LIMITS), { ok: false, reason: 'too_deep' })
  assert.deepEqual(objectSpans(Buffer.from(`[${'1,'.repeat(100_001)}1]`), LIMITS), {
    ok: false,
    reason: 'too_many_values',
  })
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      (bytes) => typeof objectSpans(Buffer.from(bytes), LIMITS).ok === 'boolean',
    ),
  )
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', 'a', ' ') }),
      (text) => typeof objectSpans(Buffer.from(text), LIMITS).ok === 'boolean',
    ),
  )
})

test('a megabyte of backslashes or quotes is walked in a moment', () => {
  for (const filling of ['\\\\'.repeat(500_000), '\\"'.repeat(500_000)]) {
    const bytes = Buffer.from(`{"a":"${filling}","model":1}`)
    const startedMs = performance.now()
    assert.ok(spansOf(bytes).members.has('model'))
    assert.ok(performance.now() - startedMs < 1_000, `${performance.now() - startedMs} ms`)
  }
})

test('members that are written anew keep the bytes of their values, and those that are left out leave no comma', () => {
  const rewritten = (text: string, changes: Parameters<typeof rewriteMembers>[2]): string => {
    const bytes = Buffer.from(text)
    return rewriteMembers(bytes, spansOf(bytes), changes).toString('utf8')
  }
  const out = (name: string) => ({ name, json: null })
  assert.equal(rewritten('{"a":1, "b" : [ 1.0 ]}', [out('a')]), '{"b":[ 1.0 ]}')
  assert.equal(rewritten('{"a":1,"b":"\\u00e9"}', [out('b')]), '{"a":1}')
  assert.equal(rewritten('{"a":1,"b":2}', [out('b'), out('a')]), '{}')
  assert.equal(rewritten('{}', [{ name: 'c', json: '3' }]), '{"c":3}')
  assert.equal(rewritten('{"a":1,"a":2}', [{ name: 'b', json: 'null' }]), '{"a":2,"b":null}')
  const name = fc.constantFrom('a', 'b', 'c', 'd"', '\\')
  fc.assert(
    fc.property(
      fc.dictionary(name, fc.jsonValue()),
      fc.array(fc.record({ name, json: fc.option(fc.jsonValue().map((value) => JSON.stringify(value))) })),
      (object, changes) => {
        const wanted = new Map(Object.entries(object))
        for (const { name: member, json } of changes)
          json === null ? wanted.delete(member) : wanted.set(member, JSON.parse(json))
        assert.deepEqual(
          JSON.parse(rewritten(JSON.stringify(object, null, 1), changes)),
          JSON.parse(JSON.stringify(Object.fromEntries(wanted))),
        )
      },
    ),
  )
})
