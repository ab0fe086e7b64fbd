import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { totalInput, totalOutput, type UsageCounts } from '../../src/kernel/index.ts'
import { openaiChatProtocol as chat } from '../../src/protocols/openai-chat/index.ts'
import type { UsageFlag } from '../../src/protocols/usage.ts'
import { HAS_SAMPLES, recordingsOf, streamBytes } from './recordings.ts'
import type { Format } from './registry.ts'
import { hear } from './speak.ts'

/** Recorded file → exact meters, for everything that speaks chat completions. Counts are worked out by hand. */

const FORMAT = chat as Format

interface Row {
  readonly counts: UsageCounts
  readonly reasoning: number | null
  readonly servedModel: string
  readonly serviceTier?: string
  readonly webSearches?: number
  readonly exact?: false
  readonly flags?: readonly UsageFlag[]
}

/** null: nothing was reported. */
const RECORDED: Readonly<Record<string, Row | null>> = {
  'openai-chat-text.json': {
    counts: { input: 16, output: 363 },
    reasoning: 0,
    servedModel: 'gpt-4.1-nano-2025-04-14',
    serviceTier: 'default',
  },
  'openai-chat-stream.sse': {
    counts: { input: 53, output: 15 },
    reasoning: 0,
    servedModel: 'gpt-4o-mini-2024-07-18',
    serviceTier: 'default',
  },
  'openai-chat-cache-1.json': {
    counts: { input: 8, cache_write_5m: 4012, output: 4 },
    reasoning: 0,
    servedModel: 'gpt-5.6-sol',
    serviceTier: 'default',
  },
  'openai-chat-cache-2.json': {
    counts: { input: 8, cache_read: 4012, output: 4 },
    reasoning: 0,
    servedModel: 'gpt-5.6-sol',
    serviceTier: 'default',
  },
  'deepseek-reasoning.json': {
    counts: { input: 18, output: 345 },
    reasoning: 315,
    servedModel: 'deepseek-reasoner',
  },
  'deepseek-tool-call.chunks.txt': {
    counts: { input: 19, cache_read: 320, output: 83 },
    reasoning: 39,
    servedModel: 'deepseek-reasoner',
  },
  'qwen-text.json': { counts: { input: 18, output: 1064 }, reasoning: null, servedModel: 'qwen3-max' },
  'kimi-stream.chunks.txt': { counts: { input: 9, output: 12 }, reasoning: 7, servedModel: 'kimi-k3' },
  'glm-zai.json': { counts: { input: 13, output: 369 }, reasoning: 366, servedModel: 'glm-4.7' },
  // The provider reports 11 tokens of thinking inside 10 of output: never more than the whole.
  'openrouter-stream-error.sse': {
    counts: { input: 43, output: 10 },
    reasoning: 10,
    servedModel: 'minimax/minimax-m2:free',
  },
  'compat-tool-index-from-1.sse': null,
}

/** The same shapes in our own words, and those of which there is no recording. */
const FIXTURES: Readonly<Record<string, Row | null>> = {
  'text.json': {
    counts: { input: 21, output: 24 },
    reasoning: 0,
    servedModel: 'gpt-4.1-mini-2025-04-14',
    serviceTier: 'default',
  },
  'stream-usage.sse': {
    counts: { input: 17, output: 9 },
    reasoning: 0,
    servedModel: 'gpt-4.1-mini-2025-04-14',
    serviceTier: 'default',
  },
  'stream-tool-call.sse': {
    counts: { input: 61, output: 13 },
    reasoning: 0,
    servedModel: 'gpt-4.1-mini-2025-04-14',
    serviceTier: 'default',
  },
  'cache-write.json': {
    counts: { input: 7, cache_write_5m: 2304, output: 3 },
    reasoning: 0,
    servedModel: 'gpt-5.6-sol',
    serviceTier: 'default',
  },
  'cache-read.json': {
    counts: { input: 7, cache_read: 2304, output: 3 },
    reasoning: 0,
    servedModel: 'gpt-5.6-sol',
    serviceTier: 'default',
  },
  'deepseek-reasoning.json': {
    counts: { input: 27, cache_read: 384, output: 37 },
    reasoning: 22,
    servedModel: 'deepseek-reasoner',
  },
  'deepseek-stream.chunks.txt': {
    counts: { input: 42, cache_read: 256, output: 29 },
    reasoning: 11,
    servedModel: 'deepseek-reasoner',
  },
  'kimi-stream.chunks.txt': { counts: { input: 14, output: 11 }, reasoning: 6, servedModel: 'kimi-k3' },
  'kimi-usage-in-choice.chunks.txt': {
    counts: { input: 14, output: 3 },
    reasoning: null,
    servedModel: 'kimi-k3',
  },
  'qwen-text.json': { counts: { input: 19, output: 10 }, reasoning: null, servedModel: 'qwen3-max' },
  'qwen-stream.chunks.txt': { counts: { input: 19, output: 7 }, reasoning: null, servedModel: 'qwen3-max' },
  'qwen-parallel-tools.chunks.txt': {
    counts: { input: 84, cache_read: 128, output: 48 },
    reasoning: null,
    servedModel: 'qwen3-coder-plus',
  },
  'glm-text.json': { counts: { input: 16, output: 18 }, reasoning: 15, servedModel: 'glm-4.7' },
  'mistral-thinking.chunks.txt': {
    counts: { input: 12, cache_read: 32, output: 19 },
    reasoning: null,
    servedModel: 'magistral-medium-2509',
  },
  'groq-stream.chunks.txt': {
    counts: { input: 83, output: 21 },
    reasoning: 12,
    servedModel: 'openai/gpt-oss-120b',
    serviceTier: 'on_demand',
  },
  // 26 + 2 + 117 = 145: the thinking lies beside the output.
  'xai-stream.chunks.txt': {
    counts: { input: 15, cache_read: 11, output: 119 },
    reasoning: 117,
    servedModel: 'grok-5-fast',
    exact: false,
    flags: ['reasoning_outside_output'],
  },
  'azure-stream.chunks.txt': {
    counts: { input: 31, output: 6 },
    reasoning: 0,
    servedModel: 'gpt-5-mini-2025-08-07',
  },
  'two-choices-logprobs.chunks.txt': {
    counts: { input: 18, output: 6 },
    reasoning: null,
    servedModel: 'gpt-4.1-mini-2025-04-14',
    serviceTier: 'flex',
  },
  'openrouter-stream-error.sse': {
    counts: { input: 31, output: 8 },
    reasoning: 6,
    servedModel: 'quayside/pilot-2:free',
  },
  'openrouter-search.json': {
    counts: { input: 2140, output: 14 },
    reasoning: 5,
    servedModel: 'quayside/pilot-2',
    webSearches: 2,
  },
  'audio.json': {
    counts: { input: 15, input_audio: 97, input_image: 8, output: 12, output_audio: 46 },
    reasoning: 0,
    servedModel: 'gpt-audio-2',
    serviceTier: 'default',
  },
  'predictions.json': {
    counts: { input: 90, output: 30 },
    reasoning: 0,
    servedModel: 'gpt-4.1-2025-04-14',
    serviceTier: 'priority',
  },
  'refusal.json': {
    counts: { input: 33, output: 12 },
    reasoning: 0,
    servedModel: 'gpt-4.1-2025-04-14',
    serviceTier: 'default',
  },
  'function-call.json': { counts: { input: 64, output: 16 }, reasoning: null, servedModel: 'gpt-4-0613' },
  'tool-index-from-1.sse': null,
}

function readFile(format: Format, file: string, recorded: boolean) {
  const { answers, streams } = recordingsOf(format)
  const recording = [...answers, ...streams].find((one) => one.file === file && one.recorded === recorded)
  assert.ok(recording, `${file} is there`)
  if (recording.kind === 'stream') {
    const { state } = hear(format, streamBytes(recording))
    return { usage: state.usage, servedModel: state.servedModel, serviceTier: state.serviceTier }
  }
  const read = format.readAnswer(recording.text)
  assert.ok(read.ok)
  return read.answer
}

function check(file: string, row: Row | null, recorded: boolean): void {
  const { usage, servedModel, serviceTier } = readFile(FORMAT, file, recorded)
  const read = chat.readUsage(usage)
  if (row === null) {
    assert.equal(read.kind, 'missing')
    return
  }
  assert.equal(read.kind, 'reported')
  if (read.kind !== 'reported') return
  assert.deepEqual(read.usage, {
    counts: row.counts,
    reasoning: row.reasoning,
    calls: row.webSearches === undefined ? {} : { web_search: row.webSearches },
    others: [],
    exact: row.exact ?? true,
    flags: row.flags ?? [],
  })
  assert.equal(servedModel, row.servedModel)
  assert.equal(serviceTier, row.serviceTier ?? null)
  const reported = usage as Readonly<Record<string, number>>
  assert.equal(totalInput(read.usage.counts) + totalOutput(read.usage.counts), reported['total_tokens'])
}

function describeTable(title: string, table: Readonly<Record<string, Row | null>>, recorded: boolean): void {
  describe(title, () => {
    for (const [file, row] of Object.entries(table)) test(file, () => check(file, row, recorded))
    test('no file is left out', () => {
      const { answers, streams } = recordingsOf(FORMAT)
      const files = [...answers, ...streams]
        .filter((one) => one.recorded === recorded)
        .map(({ file }) => file)
      assert.deepEqual(new Set(files), new Set(Object.keys(table)))
    })
  })
}

describeTable('our own chat answers are metered to the token', FIXTURES, false)
if (HAS_SAMPLES) describeTable('recorded chat answers are metered to the token', RECORDED, true)
