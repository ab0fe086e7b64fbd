import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  fixture,
  fixtures,
  isError,
  isStream,
  object,
  samples,
  streamText,
  type WireFile,
} from '../../../test/fixtures/gemini-generate/read.ts'
import { isObject, type Json, totalInput, totalOutput, type UsageCounts } from '../../kernel/index.ts'
import type { UsageFlag } from '../usage.ts'
import { writeUsage } from './encode-usage.ts'
import { createStreamReader } from './stream-reader.ts'
import { findUsage, readUsage } from './usage.ts'

interface Row {
  readonly counts: UsageCounts
  readonly reasoning: number | null
  readonly searches?: number
  readonly flags?: readonly UsageFlag[]
}

/** What each file must be billed as, in this order worked out by hand from the file. */
const FIXTURES: Readonly<Record<string, Row>> = {
  'blocked-prompt.json': { counts: { input: 17 }, reasoning: null },
  'cached-media.json': {
    counts: { cache_read: 3000, input: 584, input_audio: 900, input_image: 516, output: 20 },
    reasoning: null,
  },
  'cached-untold.json': {
    counts: { cache_read: 300, input: 600, output: 2 },
    reasoning: null,
    flags: ['cached_modalities_unknown'],
  },
  'code-execution.json': { counts: { input: 64, output: 30 }, reasoning: null },
  'grounded.chunks.txt': { counts: { input: 117, output: 52 }, reasoning: 40, searches: 2 },
  'grounded.json': { counts: { input: 117, output: 52 }, reasoning: 40, searches: 2 },
  'image.json': { counts: { input: 9, output: 1296 }, reasoning: null },
  'max-tokens-empty.json': { counts: { input: 21, output: 8 }, reasoning: 8 },
  'model-armor.json': { counts: { input: 19, output: 33 }, reasoning: 27 },
  'parallel-calls.json': { counts: { input: 40, output: 25 }, reasoning: null },
  'relay-thoughts-inside.json': {
    counts: { input: 10, output: 50 },
    reasoning: 45,
    flags: ['reasoning_inside_output'],
  },
  'safety.json': { counts: { input: 13 }, reasoning: null },
  'speech.json': { counts: { input: 8, output_audio: 75 }, reasoning: null },
  'stream-error.sse': { counts: { input: 9, output: 2 }, reasoning: null },
  'stream.sse': { counts: { input: 16, output: 53 }, reasoning: 30 },
  'text.json': { counts: { input: 12, output: 51 }, reasoning: 42 },
  'thinking.chunks.txt': { counts: { input: 11, output: 102 }, reasoning: 96 },
  'tool-call.chunks.txt': { counts: { input: 31, output: 254 }, reasoning: 220 },
  'two-candidates-logprobs.json': { counts: { input: 6, output: 2 }, reasoning: null },
  'vertex.chunks.txt': { counts: { input: 4, output: 3 }, reasoning: null },
}

const SAMPLES: Readonly<Record<string, Row>> = {
  'gemini-max-tokens-empty.json': { counts: { input: 15, output: 2 }, reasoning: 2 },
  'gemini-reasoning3.chunks.txt': { counts: { input: 9, output: 325 }, reasoning: 302 },
  'gemini-safety-settings.json': { counts: { input: 14 }, reasoning: null },
  'gemini-stream-crlf.sse': { counts: { input: 18, output: 115 }, reasoning: 35 },
  'gemini-tool-call3.chunks.txt': { counts: { input: 29, output: 819 }, reasoning: 804 },
}

function rawUsage(file: WireFile): Json | undefined {
  if (!isStream(file)) return findUsage(object(file.text))
  const reader = createStreamReader({ wantsUsage: true, annotate: () => null })
  reader.feed(Buffer.from(streamText(file)))
  reader.flush()
  return reader.state.usage
}

function check(file: WireFile, row: Row): void {
  const raw = rawUsage(file)
  const read = readUsage(raw)
  assert.ok(read.kind === 'reported', file.name)
  const { counts, reasoning, calls, flags, exact } = read.usage
  assert.deepEqual(counts, row.counts, file.name)
  assert.equal(reasoning, row.reasoning, file.name)
  assert.equal(calls.web_search ?? 0, row.searches ?? 0, file.name)
  assert.deepEqual(flags, row.flags ?? [], file.name)
  assert.equal(exact, (row.flags ?? []).length === 0, file.name)
  const total = isObject(raw) ? raw['totalTokenCount'] : undefined
  assert.equal(
    totalInput(counts) + totalOutput(counts),
    total,
    `${file.name}: the classes add up to the report`,
  )
}

test('every fixture is billed to the token, and its classes add up to what was reported', () => {
  const billed = fixtures.filter((file) => !isError(file) || file.name in FIXTURES)
  assert.deepEqual(
    billed.map(({ name }) => name),
    Object.keys(FIXTURES),
  )
  for (const file of billed) {
    const row = FIXTURES[file.name]
    assert.ok(row !== undefined)
    check(file, row)
  }
})

test('every recorded answer is billed to the token', (t) => {
  if (samples.length === 0) return t.skip('the recorded answers are not beside this checkout')
  const billed = samples.filter((file) => !isError(file))
  assert.deepEqual(
    billed.map(({ name }) => name),
    Object.keys(SAMPLES),
  )
  for (const file of billed) {
    const row = SAMPLES[file.name]
    assert.ok(row !== undefined)
    check(file, row)
  }
})

test('no usage, and usage without a count, are missing', () => {
  for (const raw of [undefined, null, {}, { trafficType: 'ON_DEMAND' }, { promptTokenCount: null }])
    assert.equal(readUsage(raw).kind, 'missing')
})

test('what is no count is invalid, never zero', () => {
  const good = {
    promptTokenCount: 10,
    candidatesTokenCount: 5,
    thoughtsTokenCount: 2,
    cachedContentTokenCount: 3,
    toolUsePromptTokenCount: 4,
    totalTokenCount: 21,
  }
  assert.equal(readUsage(good).kind, 'reported')
  for (const name of Object.keys(good))
    for (const bad of [-1, 1.5, '12', Number.POSITIVE_INFINITY, 2 ** 53, true, {}])
      assert.equal(readUsage({ ...good, [name]: bad }).kind, 'invalid', `${name}: ${String(bad)}`)
  for (const details of [{}, 'x', [1], [{ modality: 'AUDIO', tokenCount: -1 }]])
    assert.equal(readUsage({ ...good, promptTokensDetails: details }).kind, 'invalid')
  assert.equal(
    readUsage({ candidatesTokenCount: 5 }).kind,
    'invalid',
    'output without input is half a report',
  )
  for (const raw of ['10', 10, [], true]) assert.equal(readUsage(raw).kind, 'invalid')
})

test('a total that does not add up is told', () => {
  const read = readUsage({ promptTokenCount: 10, candidatesTokenCount: 5, totalTokenCount: 99 })
  assert.ok(read.kind === 'reported')
  assert.deepEqual(read.usage.flags, ['usage_total_mismatch'])
  assert.deepEqual(read.usage.counts, { input: 10, output: 5 })
})

test('more cached than prompt is told, and nothing turns negative', () => {
  const read = readUsage({ promptTokenCount: 10, cachedContentTokenCount: 30, totalTokenCount: 10 })
  assert.ok(read.kind === 'reported')
  assert.deepEqual(read.usage, {
    counts: { cache_read: 10 },
    reasoning: null,
    calls: {},
    others: [],
    exact: false,
    flags: ['cached_exceeds_input'],
  })
})

test('details under the older name count as well', () => {
  const read = readUsage({
    promptTokenCount: 10,
    promptTokenDetails: [{ modality: 'AUDIO', tokenCount: 4 }],
    totalTokenCount: 10,
  })
  assert.ok(read.kind === 'reported')
  assert.deepEqual(read.usage.counts, { input: 6, input_audio: 4 })
})

const count = fc.nat(1_000_000)
const kinds = fc.record({ TEXT: count, AUDIO: count, IMAGE: count, VIDEO: count })
const details = (record: Readonly<Record<string, number>>): Json =>
  Object.entries(record).map(([modality, tokenCount]) => ({ modality, tokenCount }))

test('whatever is reported, the classes add up to prompt, tools, candidates and thoughts', () => {
  fc.assert(
    fc.property(
      fc.record({ prompt: count, cached: count, tool: count, candidates: count, thoughts: count }),
      fc.tuple(kinds, kinds, kinds, kinds),
      fc.boolean(),
      (numbers, [prompt, cached, tool, candidates], told) => {
        const read = readUsage({
          promptTokenCount: numbers.prompt,
          cachedContentTokenCount: numbers.cached,
          toolUsePromptTokenCount: numbers.tool,
          candidatesTokenCount: numbers.candidates,
          thoughtsTokenCount: numbers.thoughts,
          promptTokensDetails: details(prompt),
          ...(told ? { cacheTokensDetails: details(cached) } : {}),
          toolUsePromptTokensDetails: details(tool),
          candidatesTokensDetails: details(candidates),
        })
        assert.ok(read.kind === 'reported')
        assert.equal(totalInput(read.usage.counts), numbers.prompt + numbers.tool)
        assert.equal(totalOutput(read.usage.counts), numbers.candidates + numbers.thoughts)
        assert.ok(
          Object.values(read.usage.counts).every((tokens) => Number.isSafeInteger(tokens) && tokens > 0),
        )
      },
    ),
  )
})

test('usage that is written is read back the same', () => {
  fc.assert(
    fc.property(
      fc.record({
        input: count,
        cache_read: count,
        cache_write_5m: count,
        cache_write_1h: count,
        input_audio: count,
        input_image: count,
        output: count,
        output_audio: count,
      }),
      fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
      fc.nat(9),
      (all, share, searches) => {
        const counts = Object.fromEntries(Object.entries(all).filter(([, tokens]) => tokens > 0))
        const usage = {
          counts,
          reasoning: share === null ? null : Math.floor(all.output * share),
          calls: searches > 0 ? { web_search: searches } : {},
          others: [],
          exact: true,
          flags: [],
        }
        const read = readUsage(writeUsage(usage, 'flex', { charge: '1' }))
        assert.ok(read.kind === 'reported')
        assert.deepEqual(read.usage, usage)
      },
    ),
  )
})

test('a fixture reads the same whether it is found in an answer or its stream', () => {
  const whole = readUsage(findUsage(object(fixture('grounded.json'))))
  const streamed = readUsage(rawUsage({ name: 'grounded.chunks.txt', text: fixture('grounded.chunks.txt') }))
  assert.deepEqual(whole, streamed)
})
