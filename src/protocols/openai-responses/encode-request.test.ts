import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fixture, json } from '../../../test/fixtures/openai-responses/samples.ts'
import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralPart, NeutralRequest } from '../neutral.ts'
import type { EncodeCallInput } from '../protocol.ts'
import { openaiResponses as protocol } from './index.ts'

const PLAIN: NeutralRequest = {
  system: [],
  messages: [{ role: 'user', parts: [{ kind: 'text', text: 'Hello.' }] }],
  tools: [],
  toolChoice: null,
  parallelTools: null,
  maxOutputTokens: null,
  temperature: null,
  topP: null,
  topK: null,
  stop: [],
  seed: null,
  presencePenalty: null,
  frequencyPenalty: null,
  choices: 1,
  logprobs: null,
  format: { kind: 'text' },
  reasoning: null,
  user: null,
  serviceTier: null,
  dropped: [],
}

const CALL: EncodeCallInput = {
  upstreamModel: 'gpt-5.4',
  stream: true,
  maxOutputTokens: null,
  modelMaxOutputTokens: 128_000,
}

function encode(request: Partial<NeutralRequest>, call: Partial<EncodeCallInput> = {}) {
  return protocol.encodeRequest({ ...PLAIN, ...request }, { ...CALL, ...call })
}

function body(request: Partial<NeutralRequest>, call: Partial<EncodeCallInput> = {}): JsonObject {
  const result = encode(request, call)
  assert.ok(result.ok, JSON.stringify(result))
  return result.body
}

function decode(given: JsonObject): NeutralRequest {
  const read = protocol.readRequest({ body: given, byteLength: 10_000, path: null })
  assert.ok(read.ok)
  const result = protocol.decodeRequest(given, read.request)
  assert.ok(result.ok, JSON.stringify(result))
  return result.value
}

test('what is decoded, encoded and decoded again is the same request', () => {
  for (const name of ['request-rich.json', 'request-codex-lite.json', 'request-codex.json']) {
    const once = decode(json(fixture(name)))
    const twice = decode(body(once))
    const { dropped: _, tools, ...rest } = once
    const { dropped: __, tools: toolsAgain, ...restAgain } = twice
    assert.deepEqual(restAgain, rest, name)
    // What is not said to be strict is said not to be: this format alone takes it for strict.
    assert.deepEqual(
      toolsAgain,
      tools.map((tool) => ({ ...tool, strict: tool.strict ?? false })),
      name,
    )
  }
})

test('a name of the user that is longer than OpenAI takes is left out and told', () => {
  assert.equal(body({ user: 'u'.repeat(64) })['user'], 'u'.repeat(64))
  const result = encode({ user: 'u'.repeat(65) })
  assert.ok(result.ok)
  assert.deepEqual([result.body['user'], result.dropped], [undefined, ['user']])
})

test('a plain request asks for nothing to be kept', () => {
  assert.deepEqual(body({ system: [{ kind: 'text', text: 'Be kind.' }] }), {
    model: 'gpt-5.4',
    instructions: 'Be kind.',
    input: [{ type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hello.' }] }],
    include: ['reasoning.encrypted_content'],
    stream: true,
    store: false,
  })
})

test('what would change the answer is refused by name', () => {
  const part = (given: NeutralPart): Partial<NeutralRequest> => ({
    messages: [{ role: 'user', parts: [given] }],
  })
  const refused: ReadonlyArray<readonly [string, Partial<NeutralRequest>]> = [
    ['n', { choices: 2 }],
    ['stop', { stop: ['END'] }],
    ['tool_choice', { toolChoice: { kind: 'required' } }],
    ['max_output_tokens', { maxOutputTokens: 5 }],
    ['messages[0]', part({ kind: 'audio', format: 'wav', base64: 'AA==' })],
    ['messages[0]', part({ kind: 'image', source: { kind: 'file_id', id: 'file_1' } })],
    ['messages[0]', part({ kind: 'file', source: { kind: 'file_id', id: 'file_1' }, name: null })],
    [
      'messages[0]',
      {
        messages: [
          {
            role: 'assistant',
            parts: [{ kind: 'image', source: { kind: 'url', url: 'https://x.example', mediaType: null } }],
          },
        ],
      },
    ],
  ]
  for (const [param, request] of refused) {
    const result = encode(request)
    assert.ok(!result.ok, param)
    assert.equal(result.param, param)
  }
  // Only OpenAI has a least limit.
  assert.equal(body({ maxOutputTokens: 5 }, { upstreamModel: 'deepseek-v4' })['max_output_tokens'], 5)
})

test('what the format lacks and changes no answer is dropped by name', () => {
  const result = encode({
    topK: 4,
    seed: 7,
    presencePenalty: 0.5,
    frequencyPenalty: 0.5,
    reasoning: { effort: null, budgetTokens: 4096, visible: true },
    serviceTier: 'offpeak',
    messages: [
      { role: 'user', parts: [{ kind: 'text', text: 'x', cache: '5m' }] },
      {
        role: 'assistant',
        parts: [
          { kind: 'reasoning', text: 'Hm.', signature: 's', origin: 'anthropic' },
          { kind: 'tool_call', id: 'c', name: 'ring', arguments: '', signature: 'g' },
        ],
      },
      { role: 'user', parts: [{ kind: 'tool_result', id: 'c', name: 'ring', parts: [], isError: true }] },
    ],
    dropped: ['metadata.x'],
  })
  assert.ok(result.ok)
  assert.deepEqual(
    new Set(result.dropped),
    new Set([
      'metadata.x',
      'cache',
      'reasoning',
      'tool_call.signature',
      'tool_result.is_error',
      'top_k',
      'seed',
      'presence_penalty',
      'frequency_penalty',
      'reasoning.budget_tokens',
      'service_tier',
    ]),
  )
  assert.deepEqual(result.body['reasoning'], { effort: 'medium', summary: 'auto' })
  assert.deepEqual((result.body['input'] as readonly JsonObject[]).slice(1), [
    { type: 'function_call', call_id: 'c', name: 'ring', arguments: '{}' },
    { type: 'function_call_output', call_id: 'c', output: '' },
  ])
})

test('a model that does not think is told nothing of it, and sealed thinking is asked of OpenAI’s alone', () => {
  const reasoning = { effort: 'high', budgetTokens: null, visible: null } as const
  const plain = encode({ reasoning }, { upstreamModel: 'gpt-4.1' })
  assert.ok(plain.ok)
  assert.equal(plain.body['reasoning'], undefined)
  assert.equal(plain.body['include'], undefined)
  assert.deepEqual(plain.dropped, ['reasoning'])
  assert.equal(body({ reasoning }, { upstreamModel: 'deepseek-v4' })['include'], undefined)
})

test('the limit of the gateway goes before the caller’s', () => {
  assert.equal(body({ maxOutputTokens: 400 }, { maxOutputTokens: 200 })['max_output_tokens'], 200)
  assert.equal(body({ maxOutputTokens: 400 })['max_output_tokens'], 400)
})

test('system text in parts, results with images, and late system words stand as messages', () => {
  const { instructions, input } = body({
    system: [
      { kind: 'text', text: 'a' },
      { kind: 'text', text: 'b' },
    ],
    messages: [
      {
        role: 'user',
        parts: [
          {
            kind: 'tool_result',
            id: 'c',
            name: null,
            isError: false,
            parts: [
              { kind: 'text', text: 'seen' },
              { kind: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'AA==' } },
            ],
          },
          { kind: 'text', text: 'And now?' },
        ],
      },
      { role: 'system', parts: [{ kind: 'text', text: 'Hurry.' }] },
    ],
  })
  assert.equal(instructions, undefined)
  assert.deepEqual(input, [
    {
      type: 'message',
      role: 'system',
      content: [
        { type: 'input_text', text: 'a' },
        { type: 'input_text', text: 'b' },
      ],
    },
    {
      type: 'function_call_output',
      call_id: 'c',
      output: [
        { type: 'input_text', text: 'seen' },
        { type: 'input_image', image_url: 'data:image/png;base64,AA==', detail: 'auto' },
      ],
    },
    { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'And now?' }] },
    { type: 'message', role: 'system', content: [{ type: 'input_text', text: 'Hurry.' }] },
  ])
})
