import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  ANSWERS,
  all,
  json,
  RECORDED_ANSWERS,
  RECORDED_STREAMS,
  STREAMS,
} from '../../../test/fixtures/openai-responses/samples.ts'
import { isObject, type Json, type JsonObject, totalInput, totalOutput } from '../../kernel/index.ts'
import { readAnswer } from './answer.ts'
import { createStreamReader } from './stream-reader.ts'
import { readUsage, writeToolUsage, writeUsage } from './usage.ts'

type Expected = readonly [
  counts: Readonly<Record<string, number>>,
  reasoning: number | null,
  more?: { readonly searches?: number; readonly flags?: readonly string[]; readonly exact?: boolean },
]

const TABLE: Readonly<Record<string, Expected>> = {
  'text.json': [{ input: 23, output: 9 }, 0],
  'cache-write.json': [{ input: 38, cache_write_5m: 1024, cache_write_1h: 2048, output: 4 }, 0],
  'cache-read.json': [{ input: 38, cache_read: 3072, output: 5 }, 0],
  'reasoning-encrypted.json': [{ input: 140, output: 95 }, 64],
  'image-generation.json': [{ input: 880, output: 310 }, 256, { flags: ['image_generation_beside'] }],
  'web-search.json': [{ input: 3186, cache_read: 1024, output: 88 }, 40, { searches: 2 }],
  'web-search-counted.json': [
    { input: 610, output: 12 },
    0,
    { searches: 1, flags: ['web_searches_counted'], exact: false },
  ],
  'image-model-beside.json': [{ input: 120, output: 30 }, 0, { flags: ['image_generation_beside'] }],
  'refusal.json': [{ input: 31, output: 12 }, 0],
  'incomplete.json': [{ input: 19, output: 16 }, 0],
  'custom-tool.json': [{ input: 512, output: 33 }, 0],
  'local-shell.json': [{ input: 210, output: 18 }, 0],
  'logprobs.json': [{ input: 12, output: 2 }, 0],
  'stream-text.sse': [{ input: 27, output: 11 }, 0],
  'stream-reasoning-crlf.sse': [{ input: 23, cache_read: 2048, output: 130 }, 96],
  'stream-parallel-tools.sse': [{ input: 88, output: 41 }, 0],
  'parallel-tools.chunks.txt': [{ input: 88, output: 41 }, 0],
  'stream-custom-tool.sse': [{ input: 640, output: 27 }, 0],
  'stream-refusal.sse': [{ input: 30, output: 8 }, 0],
  'stream-incomplete.sse': [{ input: 14, output: 16 }, 0],
  'stream-whole-items.sse': [{ input: 20, output: 6 }, 0],
  'openai-responses-cache-e2e.json': [{ input: 8, cache_write_5m: 4012, output: 5 }, 0],
  'openai-responses-image-gen.json': [
    { input: 3151, output: 1970 },
    1920,
    { flags: ['image_generation_beside'] },
  ],
  'openai-responses-reasoning-encrypted.json': [{ input: 865, output: 163 }, 128],
}

function rawOf(name: string, bytes: Buffer): Json | undefined {
  if (name.endsWith('.json')) {
    const read = readAnswer(bytes.toString('utf8'))
    assert.ok(read.ok, name)
    return read.answer.usage
  }
  const reader = createStreamReader({ wantsUsage: true, annotate: () => null })
  reader.feed(bytes)
  reader.flush()
  return reader.state.usage
}

const SAMPLES = all([...ANSWERS, ...STREAMS], [...RECORDED_ANSWERS, ...RECORDED_STREAMS])

test('every sample gives its exact counts', () => {
  for (const [name, bytes] of SAMPLES) {
    const expected = TABLE[name]
    if (expected === undefined) continue
    const [counts, reasoning, { searches, flags = [], exact = true } = {}] = expected
    const result = readUsage(rawOf(name, bytes))
    assert.ok(result.kind === 'reported', name)
    assert.deepEqual(result.usage.counts, counts, name)
    assert.equal(result.usage.reasoning, reasoning, name)
    assert.deepEqual(result.usage.calls, searches === undefined ? {} : { web_search: searches }, name)
    assert.deepEqual(result.usage.flags, flags, name)
    assert.equal(result.usage.exact, exact, name)
  }
})

test('the classes of every sample add up to what was reported', () => {
  for (const [name, bytes] of SAMPLES) {
    const raw = rawOf(name, bytes)
    assert.ok(isObject(raw), name)
    const result = readUsage(raw)
    assert.ok(result.kind === 'reported', name)
    assert.equal(totalInput(result.usage.counts), raw['input_tokens'], name)
    assert.equal(totalOutput(result.usage.counts), raw['output_tokens'], name)
    assert.equal(
      totalInput(result.usage.counts) + totalOutput(result.usage.counts),
      raw['total_tokens'],
      name,
    )
  }
})

const BASE: JsonObject = { input_tokens: 10, output_tokens: 4, total_tokens: 14 }

test('absent usage is missing, and what is no count is invalid', () => {
  assert.equal(readUsage(undefined).kind, 'missing')
  assert.equal(readUsage(null).kind, 'missing')
  assert.equal(readUsage(BASE).kind, 'reported')
  for (const bad of [-1, 1.5, '4', Number.POSITIVE_INFINITY, 2 ** 53, true, {}, [] as readonly Json[]]) {
    assert.equal(readUsage({ ...BASE, output_tokens: bad }).kind, 'invalid', String(bad))
    assert.equal(readUsage({ ...BASE, total_tokens: bad }).kind, 'invalid', String(bad))
    assert.equal(readUsage({ ...BASE, input_tokens_details: { cached_tokens: bad } }).kind, 'invalid')
    assert.equal(readUsage({ ...BASE, output_tokens_details: { reasoning_tokens: bad } }).kind, 'invalid')
    assert.equal(readUsage({ ...BASE, tool_usage: { web_search: { num_requests: bad } } }).kind, 'invalid')
  }
  for (const bad of [7, 'none', [] as readonly Json[]]) assert.equal(readUsage(bad).kind, 'invalid')
  assert.equal(readUsage({ input_tokens: 10 }).kind, 'invalid')
})

test('reasoning that the total has beside the output is added, and flagged', () => {
  const result = readUsage({
    input_tokens: 10,
    output_tokens: 4,
    output_tokens_details: { reasoning_tokens: 6 },
    total_tokens: 20,
  })
  assert.ok(result.kind === 'reported')
  assert.deepEqual(result.usage.counts, { input: 10, output: 10 })
  assert.equal(result.usage.exact, false)
  assert.deepEqual(result.usage.flags, ['reasoning_outside_output'])
})

test('a total that fits nothing is flagged', () => {
  const result = readUsage({ ...BASE, total_tokens: 99 })
  assert.ok(result.kind === 'reported')
  assert.deepEqual(result.usage.flags, ['usage_total_mismatch'])
})

test('more cached than input is cut, and flagged', () => {
  const result = readUsage({ ...BASE, input_tokens_details: { cached_tokens: 8, cache_write_tokens: 5 } })
  assert.ok(result.kind === 'reported')
  assert.deepEqual(result.usage.counts, { cache_read: 8, cache_write_5m: 2, output: 4 })
  assert.equal(result.usage.exact, false)
  assert.deepEqual(result.usage.flags, ['cached_exceeds_input'])
})

test('the split of cache writes counts where their sum is missing', () => {
  const details = { cache_write_tokens_details: { ttl_30m_tokens: 3, ttl_12h_tokens: 4 } }
  const result = readUsage({ ...BASE, input_tokens_details: details })
  assert.ok(result.kind === 'reported')
  assert.deepEqual(result.usage.counts, { input: 3, cache_write_5m: 3, cache_write_1h: 4, output: 4 })
})

test('whatever counts are written, the same are read', () => {
  const count = fc.nat({ max: 1_000_000 })
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
      fc.nat({ max: 9 }),
      (all8, searches) => {
        const counts = Object.fromEntries(Object.entries(all8).filter(([, value]) => value > 0))
        const usage = {
          counts,
          reasoning: 0,
          calls: searches === 0 ? {} : { web_search: searches },
          others: [],
          exact: true,
          flags: [],
        }
        const tools = writeToolUsage(usage)
        const raw = {
          ...writeUsage(usage, { charge: '1' }),
          ...(tools === null ? {} : { tool_usage: tools }),
        }
        assert.deepEqual(readUsage(raw), { kind: 'reported', usage })
      },
    ),
  )
})

test('searches are read from a whole body as from its raw usage', () => {
  const read = readAnswer(JSON.stringify(json(SAMPLES.get('web-search.json') ?? Buffer.alloc(0))))
  assert.ok(read.ok)
  assert.ok(isObject(read.answer.usage))
  assert.deepEqual(read.answer.usage['tool_usage'], {
    image_gen: { input_tokens: 0, output_tokens: 0, total_tokens: 0 },
    web_search: { num_requests: 2 },
  })
})
