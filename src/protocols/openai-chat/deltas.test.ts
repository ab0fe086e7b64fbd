import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FIXTURES, isChat, RECORDINGS, samples } from '../../../test/chat-samples.ts'
import { estimateTextTokens } from '../estimate.ts'
import { eventData, splitEvents } from '../sse.ts'
import { countDeltas } from './deltas.ts'

interface Chunk {
  readonly choices?: ReadonlyArray<{ readonly delta?: Readonly<Record<string, unknown>> | null }>
}

/** The same count by way of JSON.parse: texts of the members that carry output, and events that have any. */
function oracle(bytes: Buffer): { readonly events: number; readonly texts: readonly string[] } {
  let events = 0
  const texts: string[] = []
  for (const event of splitEvents(bytes)) {
    const data = eventData(event)
    if (data === null || !data.startsWith('{')) continue
    for (const { delta } of (JSON.parse(data) as Chunk).choices ?? []) {
      const found = textsOf(delta)
      texts.push(...found)
      if (found.length > 0) events++
    }
  }
  return { events, texts }
}

const OUTPUT = ['content', 'reasoning_content', 'reasoning', 'refusal', 'arguments', 'input', 'text', 'name']

function textsOf(value: unknown, key = ''): string[] {
  if (typeof value === 'string') return value !== '' && OUTPUT.includes(key) ? [value] : []
  if (Array.isArray(value)) return value.flatMap((member) => textsOf(member, key))
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).flatMap(([name, member]) => textsOf(member, name))
  return []
}

test('counting in the bytes finds what parsing finds, on every fixture and recording', () => {
  for (const { name, kind, bytes } of [...samples(FIXTURES), ...samples(RECORDINGS, isChat)]) {
    if (kind !== 'stream') continue
    const count = { events: 0, bytes: 0, tokens: 0 }
    const output = countDeltas(bytes, count)
    const expected = oracle(bytes)
    assert.equal(count.events, expected.events, name)
    assert.equal(output, expected.events > 0)
    assert.equal(
      count.bytes,
      expected.texts.reduce((sum, text) => sum + Buffer.byteLength(JSON.stringify(text)) - 2, 0),
      name,
    )
    const tokens = expected.texts.reduce((sum, text) => sum + fraction(text), 0)
    assert.ok(
      Math.abs(count.tokens - tokens) < 0.001 + tokens * 0.02,
      `${name}: ${count.tokens} instead of ${tokens}`,
    )
  }
})

/** The estimate before it is rounded up. */
function fraction(text: string): number {
  return text.length / 4.2 + (Buffer.byteLength(text) - text.length) * 0.256
}

test('no text inside a delta passes for structure', () => {
  const hostile = fc.string({
    unit: fc.constantFrom(
      '"',
      '\\',
      '{',
      '}',
      '"delta":',
      '"content":"',
      ':',
      ',',
      'é',
      '中',
      '😀',
      '\n',
      'x',
    ),
  })
  fc.assert(
    fc.property(fc.array(hostile, { maxLength: 6 }), (contents) => {
      const chunk = contents.map(
        (content) =>
          `data: ${JSON.stringify({ choices: [{ index: 0, delta: { role: 'assistant', content }, logprobs: null }] })}\n\n`,
      )
      const count = { events: 0, bytes: 0, tokens: 0 }
      countDeltas(Buffer.from(chunk.join('')), count)
      const expected = oracle(Buffer.from(chunk.join('')))
      assert.equal(count.events, expected.events)
      assert.equal(
        count.bytes,
        expected.texts.reduce((sum, text) => sum + Buffer.byteLength(JSON.stringify(text)) - 2, 0),
      )
    }),
    { numRuns: 1_000 },
  )
})

test('the estimate of a text is linear in it, and nothing only for nothing', () => {
  assert.equal(estimateTextTokens(''), 0)
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', minLength: 1 }),
      (text) => estimateTextTokens(text) >= 1 && estimateTextTokens(text) <= text.length + 1,
    ),
  )
  const startedMs = performance.now()
  estimateTextTokens('a'.repeat(5_000_000))
  assert.ok(performance.now() - startedMs < 1_000)
})
