import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fixture, json } from '../../../test/fixtures/openai-responses/samples.ts'
import type { JsonObject } from '../../kernel/index.ts'
import { openaiResponses as protocol } from './index.ts'
import { wrapSeal } from './seal.ts'

function read(body: JsonObject) {
  return protocol.readRequest({ body, byteLength: Buffer.byteLength(JSON.stringify(body)), path: null })
}

function facts(body: JsonObject) {
  const result = read(body)
  assert.ok(result.ok, JSON.stringify(result))
  return result.request
}

const ask = (more: JsonObject): JsonObject => ({ model: 'm', input: 'Hello.', ...more })

test('what routing and metering need is read', () => {
  const request = facts(ask({ stream: true, max_output_tokens: 64, service_tier: 'flex' }))
  assert.equal(request.model, 'm')
  assert.equal(request.stream, true)
  assert.equal(request.wantsUsage, true)
  assert.equal(request.maxOutputTokens, 64)
  assert.equal(request.choices, 1)
  assert.equal(request.serviceTier, 'flex')
  assert.equal(request.background, false)
  assert.equal(facts(ask({ background: true })).background, true)
  assert.equal(facts({ model: 'm', previous_response_id: 'resp_1' }).stream, false)
})

test('what decides money or memory is refused when it is absurd', () => {
  const bad: ReadonlyArray<readonly [string, JsonObject]> = [
    ['model', { model: '', input: 'x' }],
    ['model', { input: 'x' }],
    ['input', { model: 'm' }],
    ['input', { model: 'm', input: '' }],
    ['input', { model: 'm', input: [] }],
    ['input', { model: 'm', input: {} }],
    ['max_output_tokens', ask({ max_output_tokens: 0 })],
    ['max_output_tokens', ask({ max_output_tokens: 1.5 })],
    ['max_output_tokens', ask({ max_output_tokens: '12' })],
    ['max_output_tokens', ask({ max_output_tokens: Number.POSITIVE_INFINITY })],
    ['max_tool_calls', ask({ max_tool_calls: -1 })],
    ['top_logprobs', ask({ top_logprobs: 21 })],
    ['stream', ask({ stream: 'yes' })],
    ['background', ask({ background: 1 })],
    ['tools', ask({ tools: {} })],
    ['instructions', ask({ instructions: [] })],
    ['reasoning', ask({ reasoning: 'low' })],
  ]
  for (const [param, body] of bad) {
    const result = read(body)
    assert.ok(!result.ok, JSON.stringify(body))
    assert.equal(result.param, param)
  }
})

test('a bound of the input: bytes of text, images by their dearest, what is elsewhere by the most there is', () => {
  const bytes = (body: JsonObject): number => Buffer.byteLength(JSON.stringify(body))
  const text = ask({ input: [{ role: 'user', content: 'x'.repeat(1000) }] })
  assert.equal(facts(text).inputTokensMax, bytes(text) + 32)
  const url = `data:image/png;base64,${'A'.repeat(400_000)}`
  const image = ask({ input: [{ role: 'user', content: [{ type: 'input_image', image_url: url }] }] })
  assert.equal(facts(image).inputTokensMax, bytes(image) - url.length + 37_000 + 32)
  const shown = ask({
    input: [
      { type: 'function_call_output', call_id: 'c', output: [{ type: 'input_image', image_url: url }] },
    ],
  })
  assert.ok(facts(shown).inputTokensMax < 40_000)
  const remote: readonly JsonObject[] = [
    { input: [{ role: 'user', content: [{ type: 'input_file', file_url: 'https://x.example/a.pdf' }] }] },
    { input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'file_1' }] }] },
    { input: [{ type: 'item_reference', id: 'msg_1' }] },
    { input: [{ id: 'msg_1' }] },
    { previous_response_id: 'resp_1' },
    { conversation: { id: 'conv_1' } },
    { prompt: { id: 'pmpt_1' } },
    { tools: [{ type: 'file_search' }] },
    { tools: [{ type: 'web_search' }] },
  ]
  for (const more of remote) assert.ok(facts(ask(more)).inputTokensMax >= 2_000_000, JSON.stringify(more))
  for (const name of ['request-codex.json', 'request-codex-lite.json']) {
    const body = json(fixture(name))
    assert.ok(facts(body).inputTokensMax < bytes(body) + 500, name)
  }
})

test('searches are bounded by the caller’s own limit, and are none where none can be made', () => {
  const tools = [{ type: 'web_search' }]
  assert.equal(facts(ask({ tools })).webSearchCallsMax, 10)
  assert.equal(facts(ask({ tools, max_tool_calls: 3 })).webSearchCallsMax, 3)
  assert.equal(facts(ask({ tools, tool_choice: 'none' })).webSearchCallsMax, 0)
  assert.equal(facts(ask({})).webSearchCallsMax, 0)
})

test('on a route of the same format only model, limit and foreign thinking are touched', () => {
  const call = { upstreamModel: 'm', stream: false, maxOutputTokens: null }
  const plain = facts(ask({ max_output_tokens: 9 }))
  assert.deepEqual(protocol.passEdits(plain, call), [])
  assert.deepEqual(protocol.passEdits(plain, { ...call, maxOutputTokens: 9 }), [])
  assert.deepEqual(protocol.passEdits(plain, { ...call, upstreamModel: 'gpt', maxOutputTokens: 5 }), [
    { name: 'model', json: '"gpt"' },
    { name: 'max_output_tokens', json: '5' },
  ])
  const user = { role: 'user', content: 'x' }
  const own = { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'gAAAA' }
  const foreign = [
    { type: 'reasoning', id: 'rs_tf_x_0', summary: [] },
    { type: 'reasoning', summary: [], encrypted_content: wrapSeal({ origin: 'anthropic', signature: 's' }) },
  ]
  assert.equal(facts(ask({ input: [user, own] })).inputForOpenAi, null)
  assert.deepEqual(protocol.passEdits(facts(ask({ input: [user, own, ...foreign] })), call), [
    { name: 'input', json: JSON.stringify([user, own]) },
  ])
})

test('our own count of the input is near the words and leaves bytes out', () => {
  const words = protocol.estimateInput(json(fixture('request-rich.json')))
  assert.ok(words > 1_600 && words < 2_600, String(words))
  const big = ask({ input: [{ type: 'reasoning', summary: [], encrypted_content: 'A'.repeat(90_000) }] })
  assert.ok(protocol.estimateInput(big) < 50)
})

test('the upstream is called below its base URL with a bearer key', () => {
  assert.equal(protocol.callPath({ upstreamModel: 'm', stream: true }), '/responses')
  assert.deepEqual(protocol.callHeaders('k'), { authorization: 'Bearer k' })
  assert.deepEqual(protocol.forwardedHeaders, ['openai-beta'])
})
