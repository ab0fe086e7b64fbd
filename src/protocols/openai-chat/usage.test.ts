import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { FIXTURES, isChat, RECORDINGS, type Sample, samples } from '../../../test/chat-samples.ts'
import { type Json, totalInput, totalOutput } from '../../kernel/index.ts'
import { readChatAnswer } from './answer.ts'
import { createChatStreamReader } from './stream.ts'
import { readChatUsage } from './usage.ts'

function rawUsage(sample: Sample): Json | undefined {
  if (sample.kind === 'whole') {
    const read = readChatAnswer(sample.bytes.toString('utf8'))
    return read.ok ? read.answer.usage : undefined
  }
  const reader = createChatStreamReader({ wantsUsage: true, annotate: () => null })
  reader.feed(sample.bytes)
  reader.flush()
  return reader.state.usage
}

type Expected = readonly [counts: Readonly<Record<string, number>>, reasoning: number | null]

const OF_FIXTURES: Readonly<Record<string, Expected>> = {
  'text.json': [{ input: 21, output: 24 }, 0],
  'stream-usage.sse': [{ input: 17, output: 9 }, 0],
  'stream-tool-call.sse': [{ input: 61, output: 13 }, 0],
  'cache-write.json': [{ input: 7, cache_write_5m: 2_304, output: 3 }, 0],
  'cache-read.json': [{ input: 7, cache_read: 2_304, output: 3 }, 0],
  'deepseek-reasoning.json': [{ input: 27, cache_read: 384, output: 37 }, 22],
  'deepseek-stream.chunks.txt': [{ input: 42, cache_read: 256, output: 29 }, 11],
  'kimi-stream.chunks.txt': [{ input: 14, output: 11 }, 6],
  'kimi-usage-in-choice.chunks.txt': [{ input: 14, output: 3 }, null],
  'qwen-text.json': [{ input: 19, output: 10 }, null],
  'qwen-stream.chunks.txt': [{ input: 19, output: 7 }, null],
  'glm-text.json': [{ input: 16, output: 18 }, 15],
  'openrouter-stream-error.sse': [{ input: 31, output: 8 }, 6],
}

const OF_RECORDINGS: Readonly<Record<string, Expected>> = {
  'openai-chat-cache-1.json': [{ input: 8, cache_write_5m: 4_012, output: 4 }, 0],
  'openai-chat-cache-2.json': [{ input: 8, cache_read: 4_012, output: 4 }, 0],
  'openai-chat-stream.sse': [{ input: 53, output: 15 }, 0],
  'deepseek-tool-call.chunks.txt': [{ input: 19, cache_read: 320, output: 83 }, 39],
  'kimi-stream.chunks.txt': [{ input: 9, output: 12 }, 7],
  'openrouter-stream-error.sse': [{ input: 43, output: 10 }, 10],
}

function assertTable(all: readonly Sample[], table: Readonly<Record<string, Expected>>): void {
  for (const [name, [counts, reasoning]] of Object.entries(table)) {
    const sample = all.find((candidate) => candidate.name === name)
    assert.ok(sample !== undefined, name)
    const result = readChatUsage(rawUsage(sample))
    assert.ok(result.kind === 'reported', name)
    assert.deepEqual(result.usage.counts, counts, name)
    assert.equal(result.usage.reasoning, reasoning, name)
  }
}

test('every fixture gives disjoint counts that add up to what was reported', () => {
  assertTable(samples(FIXTURES), OF_FIXTURES)
})

test('every recording gives disjoint counts that add up to what was reported', (t) => {
  if (!existsSync(RECORDINGS)) {
    t.diagnostic('no recordings here')
    return
  }
  assertTable(samples(RECORDINGS, isChat), OF_RECORDINGS)
  for (const sample of samples(RECORDINGS, isChat)) {
    const raw = rawUsage(sample) as { prompt_tokens: number; completion_tokens: number } | undefined
    if (raw === undefined) continue
    const result = readChatUsage(raw)
    assert.ok(result.kind === 'reported')
    assert.equal(totalInput(result.usage.counts), raw.prompt_tokens, sample.name)
    assert.equal(totalOutput(result.usage.counts), raw.completion_tokens, sample.name)
  }
})

test('reasoning that a provider counts beside the completion is added once, and marked', () => {
  const result = readChatUsage({
    prompt_tokens: 12,
    completion_tokens: 1,
    total_tokens: 303,
    completion_tokens_details: { reasoning_tokens: 290 },
  })
  assert.ok(result.kind === 'reported')
  assert.deepEqual(result.usage.counts, { input: 12, output: 291 })
  assert.equal(result.usage.reasoning, 290)
  assert.deepEqual(result.usage.flags, ['reasoning_outside_output'])
  assert.equal(result.usage.exact, false)
})

test('whatever is reported, the classes are non-negative and add up, or it is no usage', () => {
  const count = fc.oneof(
    fc.nat(5_000),
    fc.constantFrom(0, -1, 3.5, 2 ** 53, Number.POSITIVE_INFINITY, null, '12', true),
  )
  const details = fc.option(
    fc.dictionary(
      fc.constantFrom('cached_tokens', 'cache_write_tokens', 'audio_tokens', 'reasoning_tokens'),
      count,
    ),
    { nil: undefined },
  )
  const usage = fc.record(
    {
      prompt_tokens: count,
      completion_tokens: count,
      total_tokens: count,
      prompt_cache_hit_tokens: count,
      prompt_tokens_details: details,
      completion_tokens_details: details,
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(usage, (drawn) => {
      const raw = JSON.parse(JSON.stringify(drawn)) as {
        prompt_tokens: number
        completion_tokens?: number | null
      }
      const result = readChatUsage(raw)
      if (result.kind !== 'reported') return
      const { counts, reasoning } = result.usage
      assert.ok(Object.values(counts).every((value) => Number.isSafeInteger(value) && value > 0))
      assert.equal(totalInput(counts), raw.prompt_tokens)
      assert.ok(totalOutput(counts) >= Number(raw.completion_tokens ?? 0))
      assert.ok((reasoning ?? 0) <= totalOutput(counts))
    }),
    { numRuns: 3_000 },
  )
})

test('missing is told from invalid, and a zero is neither', () => {
  assert.equal(readChatUsage(undefined).kind, 'missing')
  assert.equal(readChatUsage(null).kind, 'missing')
  for (const raw of [
    [],
    'x',
    7,
    true,
    {},
    { prompt_tokens: -1 },
    { prompt_tokens: 1, completion_tokens: 'x' },
  ])
    assert.equal(readChatUsage(raw).kind, 'invalid')
  assert.equal(readChatUsage({ prompt_tokens: 0, completion_tokens: 0 }).kind, 'reported')
})

test('our own count of recorded answers is within the error it is said to have', (t) => {
  const off: number[] = []
  if (!existsSync(RECORDINGS)) {
    t.diagnostic('no recordings here')
    return
  }
  for (const sample of samples(RECORDINGS, isChat)) {
    const raw = rawUsage(sample) as { completion_tokens?: number } | undefined
    // Only what can be seen can be counted, and a few tokens say nothing.
    if (raw?.completion_tokens === undefined || raw.completion_tokens < 8 || sample.name.includes('error'))
      continue
    let estimated = 0
    if (sample.kind === 'whole') {
      const read = readChatAnswer(sample.bytes.toString('utf8'))
      estimated = read.ok ? read.answer.tokensEstimated : 0
    } else {
      const reader = createChatStreamReader({ wantsUsage: true, annotate: () => null })
      reader.feed(sample.bytes)
      estimated = Math.ceil(reader.state.delivered.tokens)
    }
    const ratio = estimated / raw.completion_tokens
    off.push(ratio)
    assert.ok(
      ratio > 0.4 && ratio < 2.2,
      `${sample.name}: ${estimated} counted, ${raw.completion_tokens} reported`,
    )
  }
  assert.ok(off.length >= 5)
  const mean = off.reduce((sum, ratio) => sum + ratio, 0) / off.length
  assert.ok(mean > 0.7 && mean < 1.4, `${mean}`)
})
