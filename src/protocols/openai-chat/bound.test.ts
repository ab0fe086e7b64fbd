import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Json, JsonObject } from '../../kernel/index.ts'
import { openaiChatProtocol as chat } from './index.ts'

function facts(body: JsonObject) {
  const whole = { model: 'm', messages: [{ role: 'user', content: 'Ahoy' }], ...body }
  const byteLength = Buffer.byteLength(JSON.stringify(whole))
  const read = chat.readRequest({ body: whole, byteLength, path: null })
  assert.ok(read.ok)
  return { ...read.request, byteLength }
}

const content = (...parts: readonly Json[]): JsonObject => ({ messages: [{ role: 'user', content: parts }] })

describe('what a request can cost on its way in', () => {
  test('its bytes, and 16 tokens a message', () => {
    const { inputTokensMax, byteLength } = facts({})
    assert.equal(inputTokensMax, byteLength + 16)
  })

  test('a picture counts by its own bound, not by its bytes', () => {
    const url = `data:image/png;base64,${'A'.repeat(100_000)}`
    const { inputTokensMax, byteLength } = facts(content({ type: 'image_url', image_url: { url } }))
    assert.equal(inputTokensMax, byteLength + 16 - url.length + 37_000)
  })

  test('a text or a plain sound in the request counts by its bytes', () => {
    const file = {
      type: 'file',
      file: { filename: 'a.txt', file_data: `data:text/plain;base64,${'A'.repeat(9000)}` },
    }
    const sound = { type: 'input_audio', input_audio: { format: 'wav', data: 'A'.repeat(9000) } }
    const { inputTokensMax, byteLength } = facts(content(file, sound))
    assert.equal(inputTokensMax, byteLength + 16)
  })

  test('a file that lies elsewhere may be of any size', () => {
    for (const file of [{ file_id: 'file-1' }, { file_data: 'https://a.example/b.pdf' }])
      assert.ok(facts(content({ type: 'file', file })).inputTokensMax > 2_000_000)
    assert.ok(
      facts(content({ type: 'video_url', video_url: { url: 'https://v.example' } })).inputTokensMax >
        2_000_000,
    )
  })

  test('searches are bounded when any member, tool or model name asks for them', () => {
    assert.equal(facts({}).webSearchCallsMax, 0)
    assert.equal(facts({ tools: [{ type: 'function', function: { name: 'search' } }] }).webSearchCallsMax, 0)
    for (const body of [
      { web_search_options: {} },
      { search_parameters: { mode: 'auto' } },
      { enable_search: true },
      { plugins: [{ id: 'web' }] },
      { tools: [{ type: 'web_search', web_search: {} }] },
      { tools: [{ type: 'builtin_function', function: { name: '$web_search' } }] },
      { model: 'gpt-5-search-api' },
      { model: 'openai/gpt-5:online' },
    ])
      assert.equal(facts(body).webSearchCallsMax, 10, JSON.stringify(body))
  })
})

describe('our own count of the input', () => {
  test('bytes of media are not counted as text', () => {
    const sound = { type: 'input_audio', input_audio: { format: 'wav', data: 'A'.repeat(90_000) } }
    assert.ok(chat.estimateInput(content(sound)) < 100)
  })
})
