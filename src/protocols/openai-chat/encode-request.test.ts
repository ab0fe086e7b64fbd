import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralPart, NeutralRequest } from '../neutral.ts'
import { openaiChatProtocol as chat } from './index.ts'

const EMPTY: NeutralRequest = {
  system: [],
  messages: [{ role: 'user', parts: [{ kind: 'text', text: 'Ahoy' }] }],
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

interface Told {
  readonly body: JsonObject
  readonly dropped: readonly string[]
}

function encode(request: Partial<NeutralRequest>, upstreamModel = 'gpt-5-mini', stream = false): Told {
  const call = { upstreamModel, stream, maxOutputTokens: null, modelMaxOutputTokens: 4096 }
  const result = chat.encodeRequest({ ...EMPTY, ...request }, call)
  assert.ok(result.ok, result.ok ? '' : `${result.param} ${result.problem}`)
  return result
}

function refusal(request: Partial<NeutralRequest>): string {
  const call = { upstreamModel: 'm', stream: false, maxOutputTokens: null, modelMaxOutputTokens: 4096 }
  const result = chat.encodeRequest({ ...EMPTY, ...request }, call)
  assert.equal(result.ok, false)
  return result.ok ? '' : result.param
}

const CALL: NeutralPart = { kind: 'tool_call', id: 'a', name: 'x', arguments: '' }
const THOUGHT: NeutralPart = { kind: 'reasoning', text: 'Hm.', signature: 's', origin: 'anthropic-messages' }
const PIXEL: NeutralPart = { kind: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'AA' } }
const result = (id: string, ...parts: NeutralPart[]): NeutralPart => ({
  kind: 'tool_result',
  id,
  name: null,
  parts,
  isError: false,
})
const TOOL = { name: 'x', description: 'd', parameters: { type: 'object' }, strict: null }

describe('requests into the wire', () => {
  test('a stream asks for usage; what was not asked for is not there', () => {
    assert.deepEqual(encode({}, 'm', true).body, {
      model: 'm',
      messages: [{ role: 'user', content: 'Ahoy' }],
      stream: true,
      stream_options: { include_usage: true },
    })
  })

  test('the limit goes by the name that the model takes', () => {
    assert.equal(encode({ maxOutputTokens: 5 }, 'gpt-5-mini').body['max_completion_tokens'], 5)
    assert.equal(encode({ maxOutputTokens: 5 }, 'openai/o4-mini').body['max_completion_tokens'], 5)
    assert.equal(encode({ maxOutputTokens: 5 }, 'deepseek-chat').body['max_tokens'], 5)
  })

  test('text of one speaker is one string, which every server takes', () => {
    const { body, dropped } = encode({
      system: [
        { kind: 'text', text: 'One.', cache: '5m' },
        { kind: 'text', text: 'Two.' },
      ],
      messages: [
        {
          role: 'user',
          parts: [
            { kind: 'text', text: 'Three.' },
            { kind: 'text', text: 'Four.', cache: '1h' },
          ],
        },
      ],
    })
    assert.deepEqual(body['messages'], [
      { role: 'system', content: 'One.\n\nTwo.' },
      { role: 'user', content: 'Three.\n\nFour.' },
    ])
    assert.deepEqual(new Set(dropped), new Set(['messages[].cache_control', 'system[].cache_control']))
  })

  test('a name of the user that is longer than OpenAI takes is left out and told', () => {
    assert.equal(encode({ user: 'u'.repeat(64) }).body['user'], 'u'.repeat(64))
    const { body, dropped } = encode({ user: 'u'.repeat(65) })
    assert.deepEqual([body['user'], dropped], [undefined, ['user']])
  })

  test('calls of one turn stay in one message, with their results behind it and pictures after them', () => {
    const { body } = encode({
      tools: [TOOL],
      messages: [
        { role: 'assistant', parts: [{ kind: 'text', text: 'I look.' }] },
        { role: 'assistant', parts: [CALL, { ...CALL, id: 'b' }] },
        {
          role: 'user',
          parts: [
            { kind: 'text', text: 'Well?' },
            result('a', { kind: 'text', text: 'chart' }, PIXEL),
            result('b', PIXEL),
          ],
        },
      ],
    })
    const call = (id: string): JsonObject => ({
      id,
      type: 'function',
      function: { name: 'x', arguments: '{}' },
    })
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } }
    assert.deepEqual(body['messages'], [
      { role: 'assistant', content: 'I look.', tool_calls: [call('a'), call('b')] },
      { role: 'tool', tool_call_id: 'a', content: 'chart' },
      { role: 'tool', tool_call_id: 'b', content: '' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'From the result of a:' },
          image,
          { type: 'text', text: 'From the result of b:' },
          image,
          { type: 'text', text: 'Well?' },
        ],
      },
    ])
  })

  test('thinking goes back only to the models that demand it, and its absence is told', () => {
    const messages: NeutralRequest['messages'] = [
      { role: 'assistant', parts: [THOUGHT, CALL] },
      { role: 'user', parts: [result('a')] },
    ]
    const assistant = (model: string): JsonObject =>
      (encode({ tools: [TOOL], messages }, model).body['messages'] as readonly JsonObject[])[0] ?? {}
    for (const model of ['deepseek-v4-pro', 'deepseek-reasoner', 'kimi-k2-thinking', 'kimi-k3'])
      assert.equal(assistant(model)['reasoning_content'], 'Hm.', model)
    for (const model of ['gpt-5', 'qwen3-max', 'deepseek-chat', 'glm-4.7'])
      assert.equal('reasoning_content' in assistant(model), false, model)
    assert.deepEqual(encode({ messages }, 'gpt-5').dropped, ['messages[].reasoning'])
    assert.deepEqual(encode({ messages }, 'kimi-k3').dropped, ['messages[].reasoning.signature'])
  })

  test('each family of models is told to think in its own way; an unknown one is told nothing', () => {
    const high = { effort: 'high', budgetTokens: null, visible: null } as const
    const none = { effort: 'none', budgetTokens: null, visible: null } as const
    const budget = { effort: null, budgetTokens: 1024, visible: null } as const
    const told = (reasoning: NeutralRequest['reasoning'], model: string): JsonObject => {
      const { model: _model, messages: _messages, ...rest } = encode({ reasoning }, model).body
      return rest
    }
    assert.deepEqual(told(high, 'gpt-5'), { reasoning_effort: 'high' })
    assert.deepEqual(told(budget, 'o4-mini'), { reasoning_effort: 'low' })
    assert.deepEqual(told(none, 'deepseek-v4'), { thinking: { type: 'disabled' } })
    assert.deepEqual(told(high, 'deepseek-v4'), { thinking: { type: 'enabled' }, reasoning_effort: 'high' })
    assert.deepEqual(told(high, 'glm-4.7'), { thinking: { type: 'enabled' } })
    assert.deepEqual(told(budget, 'qwen3-max'), { enable_thinking: true, thinking_budget: 1024 })
    assert.deepEqual(told(high, 'gpt-4o'), {})
    assert.deepEqual(encode({ reasoning: high }, 'gpt-4o').dropped, ['reasoning'])
  })

  test('what has no place is listed, what would change the answer is refused', () => {
    const { dropped } = encode({
      topK: 4,
      serviceTier: 'overnight',
      tools: [{ ...TOOL, cache: '5m' }],
      messages: [
        { role: 'user', parts: [{ ...result('a'), kind: 'tool_result', isError: true } as NeutralPart] },
      ],
      dropped: ['store'],
    })
    assert.deepEqual(
      new Set(dropped),
      new Set(['messages[].tool_result.is_error', 'service_tier', 'store', 'tools[].cache_control', 'top_k']),
    )
    const asks = (part: NeutralPart): Partial<NeutralRequest> => ({
      messages: [{ role: 'user', parts: [part] }],
    })
    assert.equal(refusal({ toolChoice: { kind: 'required' } }), 'tool_choice')
    assert.equal(
      refusal(asks({ kind: 'file', source: { kind: 'file_id', id: 'f' }, name: null })),
      'messages[0]',
    )
    assert.equal(
      refusal(
        asks({
          kind: 'file',
          source: { kind: 'url', url: 'https://a.example/b.pdf', mediaType: null },
          name: null,
        }),
      ),
      'messages[0]',
    )
    assert.equal(refusal(asks({ kind: 'audio', format: 'flac', base64: 'AA' })), 'messages[0]')
  })

  test('other formats name the classes of service in other words', () => {
    assert.equal(encode({ serviceTier: 'standard_only' }).body['service_tier'], 'default')
    assert.equal(encode({ serviceTier: 'FLEX' }).body['service_tier'], 'flex')
  })
})
