import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { HAS_SAMPLES, recordingsOf, streamBytes } from '../../../test/protocols/recordings.ts'
import type { Format } from '../../../test/protocols/registry.ts'
import { hear } from '../../../test/protocols/speak.ts'
import { type Json, type JsonObject, totalInput, totalOutput, type UsageCounts } from '../../kernel/index.ts'
import type { UsageFlag } from '../usage.ts'
import { anthropicMessages } from './index.ts'
import { mergeUsage, readUsage, tierOf } from './usage.ts'

const FORMAT = anthropicMessages as Format

interface Row {
  readonly counts: UsageCounts
  readonly model: string
  readonly geography?: string
  readonly tier?: string
  readonly reasoning?: number
  readonly searches?: number
  readonly others?: Readonly<Record<string, UsageCounts>>
  readonly exact?: false
  readonly flags?: readonly UsageFlag[]
}

/** Worked out by hand from each recording's own figures. */
const RECORDED: Readonly<Record<string, Row>> = {
  'anthropic-text.chunks.txt': {
    counts: { input: 12, output: 30 },
    model: 'claude-sonnet-4-5-20250929',
    tier: 'standard',
  },
  'anthropic-refusal.chunks.txt': {
    counts: { input: 18, output: 5 },
    model: 'claude-fable-5',
    tier: 'standard',
  },
  'anthropic-duplicate-message-start.chunks.txt': {
    counts: { input: 17, output: 227 },
    model: 'claude-3-haiku-20240307',
  },
  'anthropic-tool-no-args.chunks.txt': {
    counts: { input: 565, output: 48 },
    model: 'claude-sonnet-4-5-20250929',
    tier: 'standard',
  },
  'anthropic-thinking-stream.sse': {
    counts: { input: 43, output: 282 },
    model: 'claude-sonnet-4-20250514',
    tier: 'standard',
  },
  'anthropic-cache-write.json': {
    counts: { input: 3, cache_read: 1111, output: 406 },
    model: 'claude-sonnet-4-5-20250929',
    tier: 'standard',
  },
  'anthropic-opus5-reasoning.json': {
    counts: { input: 51, output: 1699 },
    model: 'claude-opus-5',
    tier: 'standard',
    reasoning: 139,
  },
  'anthropic-web-search.json': {
    counts: { input: 27_118, output: 600 },
    model: 'claude-sonnet-4-20250514',
    tier: 'standard',
    searches: 2,
  },
  // 60,385 + 682 and 592 + 1,320: the compaction is not in the top-level figures.
  'anthropic-compaction.json': {
    counts: { input: 61_067, output: 1912 },
    model: 'claude-opus-4-6',
    tier: 'standard',
  },
  'anthropic-advisor.json': {
    counts: { input: 2414, output: 3200 },
    model: 'claude-sonnet-4-6',
    tier: 'standard',
    others: { 'claude-opus-4-7': { input: 2728, output: 874 } },
    flags: ['other_models_used'],
  },
  'anthropic-fallback.json': {
    counts: { input: 408 },
    model: 'claude-fable-5',
    others: { 'claude-opus-4-8': { input: 412, output: 264 } },
    flags: ['other_models_used'],
  },
}

/** The same shapes in our own words, and those of which there is no recording. */
const FIXTURES: Readonly<Record<string, Row>> = {
  'text.chunks.txt': {
    counts: { input: 19, output: 14 },
    model: 'claude-sonnet-4-5-20250929',
    tier: 'standard',
  },
  'thinking-stream.sse': {
    counts: { input: 51, output: 33 },
    model: 'claude-sonnet-4-20250514',
    tier: 'standard',
  },
  'crlf-comments.sse': { counts: { input: 7, output: 5 }, model: 'claude-sonnet-4-6' },
  'tool-no-args.chunks.txt': {
    counts: { input: 431, output: 37 },
    model: 'claude-sonnet-4-5-20250929',
    tier: 'standard',
  },
  'parallel-tools.chunks.txt': {
    counts: { input: 88, cache_read: 1024, output: 96 },
    model: 'claude-opus-4-6',
    tier: 'standard',
    reasoning: 21,
  },
  'length-cut.chunks.txt': { counts: { input: 15, output: 4 }, model: 'claude-haiku-4-5-20251001' },
  'refusal.chunks.txt': { counts: { input: 23, output: 4 }, model: 'claude-fable-5', tier: 'standard' },
  'refusal-empty.json': { counts: { input: 18, output: 2 }, model: 'claude-fable-5-1', tier: 'standard' },
  'duplicate-message-start.chunks.txt': {
    counts: { input: 29, output: 6 },
    model: 'claude-3-haiku-20240307',
  },
  'spliced-message-start.chunks.txt': { counts: { input: 41, output: 9 }, model: 'claude-sonnet-4-6' },
  'delta-raises-input.chunks.txt': {
    counts: { input: 66, output: 12 },
    model: 'claude-opus-4-6',
    tier: 'standard',
  },
  // 1,100 written of which the start accounts for 300, all of an hour.
  'cache-split-lost.chunks.txt': {
    counts: { input: 1530, cache_read: 1300, cache_write_5m: 800, cache_write_1h: 300, output: 52 },
    model: 'claude-opus-4-8',
    tier: 'standard',
    searches: 1,
    exact: false,
    flags: ['cache_write_split_lost'],
  },
  // What had come before the error: the figures of the start.
  'stream-error.sse': { counts: { input: 9, output: 1 }, model: 'claude-opus-4-8' },
  'cache-write.json': {
    counts: { input: 4, cache_read: 600, cache_write_5m: 500, cache_write_1h: 2000, output: 9 },
    model: 'claude-sonnet-4-5-20250929',
    tier: 'standard',
  },
  'reasoning.json': {
    counts: { input: 33, output: 61 },
    model: 'claude-opus-5',
    tier: 'standard',
    reasoning: 52,
  },
  'compaction.json': { counts: { input: 51_320, output: 284 }, model: 'claude-opus-4-6', tier: 'standard' },
  'advisor.json': {
    counts: { input: 905, output: 212 },
    model: 'claude-sonnet-4-6',
    tier: 'standard',
    others: { 'claude-opus-4-7': { input: 1100, cache_read: 50, cache_write_5m: 20, output: 340 } },
    flags: ['other_models_used'],
  },
  'fallback.json': {
    counts: { input: 201 },
    model: 'claude-fable-5',
    others: { 'claude-opus-4-8': { input: 205, output: 88 } },
    flags: ['other_models_used'],
  },
  'web-search.json': {
    counts: { input: 9120, output: 143 },
    model: 'claude-sonnet-4-20250514',
    tier: 'standard',
    searches: 3,
  },
  'fast-repriced.json': {
    counts: { input: 30, output: 5 },
    model: 'claude-opus-4-8',
    tier: 'fast',
    geography: 'us',
    flags: ['provider_repriced'],
  },
  'tool-use.json': { counts: { input: 210, output: 44 }, model: 'claude-haiku-4-5-20251001' },
}

function meter(file: string, recorded: boolean) {
  const { answers, streams } = recordingsOf(FORMAT)
  const recording = [...answers, ...streams].find((one) => one.file === file && one.recorded === recorded)
  assert.ok(recording, `${file} is there`)
  if (recording.kind === 'stream') return hear(FORMAT, streamBytes(recording)).state
  const read = anthropicMessages.readAnswer(recording.text)
  assert.ok(read.ok)
  return read.answer
}

function check(file: string, row: Row, recorded: boolean): void {
  const { usage, servedModel, serviceTier } = meter(file, recorded)
  assert.deepEqual(readUsage(usage), {
    kind: 'reported',
    usage: {
      counts: row.counts,
      reasoning: row.reasoning ?? null,
      calls: row.searches === undefined ? {} : { web_search: row.searches },
      others: Object.entries(row.others ?? {}).map(([model, counts]) => ({ model, counts })),
      ...(row.geography === undefined ? {} : { geography: row.geography }),
      exact: row.exact ?? true,
      flags: row.flags ?? [],
    },
  })
  assert.equal(servedModel, row.model)
  assert.equal(serviceTier, row.tier ?? null)
}

function describeTable(title: string, table: Readonly<Record<string, Row>>, recorded: boolean): void {
  describe(title, () => {
    for (const [file, row] of Object.entries(table)) test(file, () => check(file, row, recorded))
    test('no file is left out', () => {
      const { answers, streams } = recordingsOf(FORMAT)
      const files = [...answers, ...streams].filter((one) => one.recorded === recorded).map((one) => one.file)
      assert.deepEqual(new Set(files), new Set(Object.keys(table)))
    })
  })
}

describeTable('our own Messages answers are metered to the token', FIXTURES, false)
if (HAS_SAMPLES) describeTable('recorded Messages answers are metered to the token', RECORDED, true)

const WHOLE = { input_tokens: 10, output_tokens: 5 }

function reported(usage: JsonObject) {
  const read = readUsage(usage)
  assert.ok(read.kind === 'reported')
  return read.usage
}

test('what is not there is missing, what is no count is invalid, neither is 0', () => {
  for (const usage of [undefined, null, {}, { input_tokens: 3 }, { output_tokens: 3 }])
    assert.equal(readUsage(usage).kind, 'missing')
  const bad: Json[] = ['12', 7, [], true]
  for (const usage of bad) assert.equal(readUsage(usage).kind, 'invalid')
  const numbers: Json[] = [-1, 1.5, '12', Number.POSITIVE_INFINITY, 2 ** 53, true, [], {}]
  const members = ['input_tokens', 'output_tokens', 'cache_read_input_tokens', 'cache_creation_input_tokens']
  for (const value of numbers) {
    for (const member of members) assert.equal(readUsage({ ...WHOLE, [member]: value }).kind, 'invalid')
    for (const member of ['ephemeral_5m_input_tokens', 'ephemeral_1h_input_tokens'])
      assert.equal(readUsage({ ...WHOLE, cache_creation: { [member]: value } }).kind, 'invalid')
    assert.equal(readUsage({ ...WHOLE, server_tool_use: { web_search_requests: value } }).kind, 'invalid')
    assert.equal(readUsage({ ...WHOLE, output_tokens_details: { thinking_tokens: value } }).kind, 'invalid')
    assert.equal(readUsage({ ...WHOLE, iterations: [{ ...WHOLE, input_tokens: value }] }).kind, 'invalid')
  }
  assert.equal(readUsage({ ...WHOLE, iterations: ['x'] }).kind, 'invalid')
})

test('nulls of the published types are no faults', () => {
  const usage = {
    ...WHOLE,
    cache_creation: null,
    cache_creation_input_tokens: null,
    cache_read_input_tokens: null,
    iterations: null,
    output_tokens_details: null,
    server_tool_use: null,
    fallback_credit: null,
    speed: null,
  }
  assert.deepEqual(reported(usage), {
    counts: { input: 10, output: 5 },
    reasoning: null,
    calls: {},
    others: [],
    exact: true,
    flags: [],
  })
})

test('a split without a total counts; a split above the total is cut to it, the dearer write first', () => {
  const split = { ephemeral_5m_input_tokens: 40, ephemeral_1h_input_tokens: 60 }
  const alone = reported({ ...WHOLE, cache_creation: split })
  assert.deepEqual(alone.counts, { input: 10, output: 5, cache_write_5m: 40, cache_write_1h: 60 })
  assert.equal(alone.exact, true)
  const cut = reported({ ...WHOLE, cache_creation: split, cache_creation_input_tokens: 70 })
  assert.deepEqual(cut.counts, { input: 10, output: 5, cache_write_5m: 40, cache_write_1h: 30 })
  assert.deepEqual([cut.exact, cut.flags], [false, ['cache_write_split_lost']])
})

test('splits of iterations are used where the top level has lost its own', () => {
  const write = { cache_creation_input_tokens: 30, cache_creation: { ephemeral_1h_input_tokens: 30 } }
  const usage = reported({
    input_tokens: 20,
    output_tokens: 10,
    cache_creation_input_tokens: 60,
    iterations: [
      { type: 'message', ...WHOLE, ...write },
      { type: 'message', ...WHOLE, ...write },
    ],
  })
  assert.deepEqual(usage.counts, { input: 20, output: 10, cache_write_1h: 60 })
  assert.equal(usage.exact, true)
})

test('entries of one model are one line, and a compaction of the model is its own', () => {
  const usage = reported({
    input_tokens: 20,
    output_tokens: 10,
    iterations: [
      { type: 'compaction', input_tokens: 900, output_tokens: 90 },
      { type: 'message', model: 'claude-a', ...WHOLE },
      { type: 'advisor_message', model: 'claude-b', ...WHOLE },
      { type: 'advisor_message', model: 'claude-b', ...WHOLE },
      { type: 'advisor_message', model: 'claude-a', ...WHOLE },
      { type: 'message', model: 'claude-a', ...WHOLE },
    ],
  })
  assert.deepEqual(usage.counts, { input: 930, output: 105 })
  assert.deepEqual(usage.others, [{ model: 'claude-b', counts: { input: 20, output: 10 } }])
  assert.deepEqual(usage.flags, ['other_models_used'])
})

test('a second fallback that declined is billed as its own model', () => {
  const usage = reported({
    ...WHOLE,
    iterations: [
      { type: 'message', model: 'claude-a', input_tokens: 9, output_tokens: 0 },
      { type: 'message', model: 'claude-b', input_tokens: 8, output_tokens: 0 },
      { type: 'fallback_message', model: 'claude-c', ...WHOLE },
    ],
  })
  assert.deepEqual(usage.counts, { input: 9 })
  assert.deepEqual(
    usage.others.map((one) => one.model),
    ['claude-b', 'claude-c'],
  )
})

test('iterations without the answer itself leave it to the top level; iterations that disagree are flagged', () => {
  const only = reported({
    ...WHOLE,
    iterations: [{ type: 'compaction', input_tokens: 100, output_tokens: 10 }],
  })
  assert.deepEqual(only.counts, { input: 110, output: 15 })
  assert.deepEqual(only.flags, [])
  const less = reported({ ...WHOLE, iterations: [{ type: 'message', input_tokens: 3, output_tokens: 5 }] })
  assert.deepEqual(less.flags, ['usage_total_mismatch'])
})

test('fast mode selects a rate before the tier does', () => {
  assert.equal(tierOf({ service_tier: 'standard', speed: 'standard' }), 'standard')
  assert.equal(tierOf({ service_tier: 'standard', speed: 'fast' }), 'fast')
  assert.equal(tierOf({}), null)
})

test('figures of a stream replace one another and are never added', () => {
  const start = { input_tokens: 43, cache_read_input_tokens: 5, output_tokens: 1, service_tier: 'standard' }
  const end = { input_tokens: 61, cache_read_input_tokens: null, output_tokens: 30 }
  assert.deepEqual(mergeUsage(start, end, false), { ...start, input_tokens: 61, output_tokens: 30 })
  assert.deepEqual(mergeUsage({ output_tokens: 30 }, start, true), { ...start, output_tokens: 30 })
})

const count = fc.nat({ max: 1_000_000 })
const entry = fc.record({
  input_tokens: count,
  output_tokens: count,
  cache_read_input_tokens: count,
  cache_creation_input_tokens: count,
  cache_creation: fc.record({ ephemeral_5m_input_tokens: count, ephemeral_1h_input_tokens: count }),
})

test('the classes add up to what was reported, whatever the split says', () => {
  fc.assert(
    fc.property(entry, (usage) => {
      const { counts } = reported(usage)
      const input = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens
      assert.equal(totalInput(counts), input)
      assert.equal(totalOutput(counts), usage.output_tokens)
    }),
  )
})

test('all iterations are billed once, whatever their types and models', () => {
  const type = fc.constantFrom('message', 'compaction', 'advisor_message', 'fallback_message', 'future')
  const model = fc.constantFrom(null, 'claude-a', 'claude-b')
  const iterations = fc.array(fc.tuple(type, model, entry), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(iterations, (list) => {
      const all = [['message', null, list[0]?.[2] ?? {}] as const, ...list]
      const usage = reported({
        ...WHOLE,
        iterations: all.map(([kind, name, figures]) => ({ type: kind, model: name, ...figures })),
      })
      const billed = [usage.counts, ...usage.others.map((one) => one.counts)]
      const sum = (pick: (counts: UsageCounts) => number) => billed.reduce((n, counts) => n + pick(counts), 0)
      const reportedOutput = all.reduce(
        (n, [, , figures]) => n + ('output_tokens' in figures ? figures.output_tokens : 0),
        0,
      )
      assert.equal(sum(totalOutput), reportedOutput)
    }),
  )
})
