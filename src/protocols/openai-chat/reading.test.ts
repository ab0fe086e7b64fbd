import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { openaiChatProtocol as chat } from './index.ts'

const TEXT =
  'data: {"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}\n\n'
const USAGE = 'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\n'
const DONE = 'data: [DONE]\n\n'

const open = (wantsUsage: boolean) =>
  chat.createStreamReader({ wantsUsage, annotate: () => ({ charge: '1' }) })

describe('a stream on its way', () => {
  test('a translation sees every event as it came, whatever the caller sees', () => {
    for (const wantsUsage of [true, false]) {
      const fed = open(wantsUsage).feed(Buffer.from(TEXT + USAGE + DONE))
      assert.ok(fed.ok)
      assert.equal(fed.events?.toString(), TEXT + USAGE + DONE)
      assert.notEqual(fed.forward?.toString(), TEXT + USAGE + DONE)
    }
  })

  test('nothing of an upstream’s error, and nothing after it, is passed on', () => {
    const reader = open(true)
    reader.feed(Buffer.from(TEXT))
    const failed = reader.feed(Buffer.from('data: {"error":{"message":"key sk-1"}}\n\n'))
    const after = reader.feed(Buffer.from(DONE))
    assert.ok(failed.ok && after.ok)
    assert.equal(failed.forward, null)
    assert.equal(after.forward, null)
    assert.ok(failed.events?.includes('sk-1'))
    assert.equal(reader.state.error, 'key sk-1')
  })

  test('what came without its last blank line is an event when it is flushed', () => {
    const reader = open(true)
    const fed = reader.feed(Buffer.from('data: [DONE]'))
    const rest = reader.flush()
    assert.ok(fed.ok && rest.ok)
    assert.deepEqual([fed.events, rest.events?.toString()], [null, DONE])
  })

  test('the model’s name may be empty at first, or written with spaces', () => {
    const reader = open(true)
    reader.feed(Buffer.from('data: {"model":"","choices":[]}\n\n'))
    assert.equal(reader.state.servedModel, null)
    reader.feed(Buffer.from('data: {"model": "m", "service_tier": "flex", "choices": []}\n\n'))
    assert.deepEqual([reader.state.servedModel, reader.state.serviceTier], ['m', 'flex'])
  })
})

describe('usage of chat completions', () => {
  const read = (usage: Parameters<typeof chat.readUsage>[0]) => chat.readUsage(usage)

  test('writes of half an hour and of twelve are apart', () => {
    const result = read({
      prompt_tokens: 10,
      completion_tokens: 1,
      prompt_tokens_details: { cache_write_tokens: 8, cache_write_tokens_details: { ttl_12h_tokens: 5 } },
    })
    assert.ok(result.kind === 'reported')
    assert.deepEqual(result.usage.counts, { input: 2, cache_write_5m: 3, cache_write_1h: 5, output: 1 })
  })

  test('pictures that were read from the cache are not counted twice', () => {
    const result = read({
      prompt_tokens: 10,
      completion_tokens: 1,
      prompt_tokens_details: { cached_tokens: 8, image_tokens: 6 },
    })
    assert.ok(result.kind === 'reported')
    assert.deepEqual(result.usage.counts, { cache_read: 8, input_image: 2, output: 1 })
    assert.deepEqual([result.usage.exact, result.usage.flags], [false, ['media_overlaps_cache']])
  })

  test('what is no count makes all of it invalid', () => {
    for (const bad of [-1, 1.5, '3', 1e300, Number.NaN])
      for (const usage of [
        { prompt_tokens: bad, completion_tokens: 1 },
        { prompt_tokens: 1, completion_tokens: bad },
        { prompt_tokens: 9, completion_tokens: 1, prompt_tokens_details: { image_tokens: bad } },
        { prompt_tokens: 9, completion_tokens: 1, server_tool_use: { web_search_requests: bad } },
      ])
        assert.equal(read(usage).kind, 'invalid')
    assert.equal(read(null).kind, 'missing')
    assert.equal(read(undefined).kind, 'missing')
    assert.equal(read([]).kind, 'invalid')
  })
})
