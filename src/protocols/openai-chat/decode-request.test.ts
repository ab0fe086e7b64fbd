import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralRequest } from '../neutral.ts'
import { openaiChatProtocol as chat } from './index.ts'

const ASK = [{ role: 'user', content: 'Ahoy' }]

function read(body: JsonObject) {
  const whole = { model: 'm', messages: ASK, ...body }
  const facts = chat.readRequest({ body: whole, byteLength: JSON.stringify(whole).length, path: null })
  assert.ok(facts.ok, facts.ok ? '' : `${facts.param} ${facts.problem}`)
  return chat.decodeRequest(whole, facts.request)
}

function decode(body: JsonObject): NeutralRequest {
  const result = read(body)
  assert.ok(result.ok, result.ok ? '' : `${result.param} ${result.problem}`)
  return result.value
}

function refused(body: JsonObject): string {
  const result = read(body)
  assert.equal(result.ok, false)
  return result.ok ? '' : result.param
}

describe('messages out of the wire', () => {
  test('system and developer text at the head stands apart; later it stays in its place', () => {
    const { system, messages } = decode({
      messages: [
        { role: 'developer', content: 'Be brief.' },
        { role: 'system', content: [{ type: 'text', text: 'In rhyme.' }] },
        { role: 'user', content: 'Ahoy' },
        { role: 'system', content: 'Now in prose.' },
      ],
    })
    assert.deepEqual(system, [
      { kind: 'text', text: 'Be brief.' },
      { kind: 'text', text: 'In rhyme.' },
    ])
    assert.deepEqual(
      messages.map(({ role }) => role),
      ['user', 'system'],
    )
  })

  test('images come as data or URL, with detail and breakpoint; a bare string is taken too', () => {
    const { messages } = decode({
      messages: [
        {
          role: 'user',
          content: [
            {
              type: 'image_url',
              image_url: { url: 'data:image/PNG;base64,AAAA', detail: 'low' },
              prompt_cache_breakpoint: { mode: 'explicit' },
            },
            { type: 'image_url', image_url: 'https://pictures.example/a.png' },
            { type: 'text', text: 'Which?', cache_control: { type: 'ephemeral', ttl: '1h' } },
          ],
        },
      ],
    })
    assert.deepEqual(messages[0]?.parts, [
      {
        kind: 'image',
        source: { kind: 'data', mediaType: 'image/png', base64: 'AAAA' },
        detail: 'low',
        cache: '5m',
      },
      { kind: 'image', source: { kind: 'url', url: 'https://pictures.example/a.png', mediaType: null } },
      { kind: 'text', text: 'Which?', cache: '1h' },
    ])
  })

  test('files and sound are kept; a data URL that is not base64 is refused', () => {
    const parts = decode({
      messages: [
        {
          role: 'user',
          content: [
            { type: 'file', file: { filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBE' } },
            { type: 'file', file: { file_id: 'file-9' } },
            { type: 'input_audio', input_audio: { data: 'UklG', format: 'wav' } },
          ],
        },
      ],
    }).messages[0]?.parts
    assert.deepEqual(parts, [
      {
        kind: 'file',
        source: { kind: 'data', mediaType: 'application/pdf', base64: 'JVBE' },
        name: 'a.pdf',
      },
      { kind: 'file', source: { kind: 'file_id', id: 'file-9' }, name: null },
      { kind: 'audio', format: 'wav', base64: 'UklG' },
    ])
    const image = { type: 'image_url', image_url: { url: 'data:image/svg+xml,<svg/>' } }
    assert.equal(
      refused({ messages: [{ role: 'user', content: [image] }] }),
      'messages[0].content[0].image_url.url',
    )
    const video = { type: 'video_url', video_url: { url: 'https://v.example' } }
    assert.equal(refused({ messages: [{ role: 'user', content: [video] }] }), 'messages[0].content[0].type')
  })

  test('results of parallel calls are one turn of the caller', () => {
    const { messages } = decode({
      messages: [
        ...ASK,
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            { id: 'a', type: 'function', function: { name: 'x', arguments: '{"n":1}' } },
            { id: 'b', type: 'function', function: { name: 'y', arguments: '' } },
          ],
        },
        { role: 'tool', tool_call_id: 'a', content: 'one' },
        { role: 'tool', tool_call_id: 'b', content: [{ type: 'text', text: 'two' }] },
        { role: 'user', content: 'go on' },
      ],
    })
    assert.deepEqual(messages.slice(1), [
      {
        role: 'assistant',
        parts: [
          { kind: 'tool_call', id: 'a', name: 'x', arguments: '{"n":1}' },
          { kind: 'tool_call', id: 'b', name: 'y', arguments: '' },
        ],
      },
      {
        role: 'user',
        parts: [
          {
            kind: 'tool_result',
            id: 'a',
            name: null,
            parts: [{ kind: 'text', text: 'one' }],
            isError: false,
          },
          {
            kind: 'tool_result',
            id: 'b',
            name: null,
            parts: [{ kind: 'text', text: 'two' }],
            isError: false,
          },
        ],
      },
      { role: 'user', parts: [{ kind: 'text', text: 'go on' }] },
    ])
  })

  test('the legacy functions become tools, one call at a time, and results find their call', () => {
    const { tools, toolChoice, parallelTools, messages } = decode({
      functions: [{ name: 'x', parameters: { type: 'object' } }],
      function_call: { name: 'x' },
      messages: [
        ...ASK,
        { role: 'assistant', content: null, function_call: { name: 'x', arguments: '{}' } },
        { role: 'function', name: 'x', content: 'done' },
      ],
    })
    assert.deepEqual(tools, [{ name: 'x', description: null, parameters: { type: 'object' }, strict: null }])
    assert.deepEqual(toolChoice, { kind: 'tool', name: 'x' })
    assert.equal(parallelTools, false)
    const [call] = messages[1]?.parts ?? []
    const [result] = messages[2]?.parts ?? []
    assert.ok(call?.kind === 'tool_call' && result?.kind === 'tool_result')
    assert.equal(result.id, call.id)
  })

  test('thinking of earlier turns is kept, of DeepSeek and of OpenRouter; its signatures are listed', () => {
    const request = decode({
      messages: [
        ...ASK,
        { role: 'assistant', content: 'Aye', reasoning_content: 'He greets.' },
        {
          role: 'assistant',
          content: 'Aye',
          reasoning_details: [{ type: 'reasoning.text', text: 'Again.', signature: 's' }],
        },
      ],
    })
    assert.deepEqual(
      request.messages.flatMap(({ parts }) => parts).filter(({ kind }) => kind === 'reasoning'),
      [
        { kind: 'reasoning', text: 'He greets.', origin: 'openai-chat' },
        { kind: 'reasoning', text: 'Again.', origin: 'openai-chat' },
      ],
    )
    assert.deepEqual(request.dropped, ['messages[].reasoning_details'])
  })

  test('what cannot be carried out of a message is refused by its place', () => {
    const custom = { id: 'a', type: 'custom', custom: { name: 'x', input: 'y' } }
    assert.equal(
      refused({ messages: [...ASK, { role: 'assistant', content: '', tool_calls: [custom] }] }),
      'messages[1].tool_calls[0]',
    )
    assert.equal(
      refused({ messages: [...ASK, { role: 'assistant', audio: { id: 'audio_1' } }] }),
      'messages[1].audio',
    )
    assert.equal(refused({ messages: [{ role: 'tool', content: 'x' }] }), 'messages[0].tool_call_id')
    assert.equal(refused({ messages: [{ role: 'captain', content: 'x' }] }), 'messages[0].role')
  })
})

describe('settings out of the wire', () => {
  test('members that change no meaning are listed, those that ask for nothing are not', () => {
    const { dropped } = decode({
      store: true,
      metadata: { trip: '7' },
      verbosity: 'low',
      prediction: { type: 'content', content: 'x' },
      prompt_cache_key: 'k',
      safety_identifier: 's',
      stream_options: { include_usage: true, include_obfuscation: true },
      logit_bias: {},
      moderation: null,
      parallel_tool_calls: true,
      messages: [{ role: 'user', name: 'Ana', content: 'Ahoy' }],
    })
    assert.deepEqual(
      new Set(dropped),
      new Set([
        'messages[].name',
        'metadata',
        'prediction',
        'prompt_cache_key',
        'safety_identifier',
        'store',
        'stream_options.include_obfuscation',
        'verbosity',
      ]),
    )
    assert.deepEqual(decode({ store: false }).dropped, [])
  })

  test('members that would change the answer are refused by name', () => {
    const members: JsonObject = {
      web_search_options: { search_context_size: 'low' },
      logit_bias: { '50256': -100 },
      plugins: [{ id: 'web' }],
      moderation: { model: 'omni-moderation-latest' },
      guided_json: { type: 'object' },
      modalities: ['audio'],
      tools: [{ type: 'custom', custom: { name: 'x' } }],
      response_format: { type: 'grammar' },
      stop: [1],
      seed: 1.5,
      temperature: 'hot',
      reasoning_effort: 'enormous',
    }
    for (const [name, value] of Object.entries(members))
      assert.ok(refused({ [name]: value }).startsWith(name), name)
  })

  test('sound beside text is dropped', () => {
    const { dropped } = decode({ modalities: ['text', 'audio'], audio: { voice: 'alloy', format: 'wav' } })
    assert.deepEqual(new Set(dropped), new Set(['audio', 'modalities']))
  })

  test('every way to ask for thinking is understood', () => {
    const cases: ReadonlyArray<readonly [JsonObject, NeutralRequest['reasoning']]> = [
      [{ reasoning_effort: 'low' }, { effort: 'low', budgetTokens: null, visible: null }],
      [{ thinking: { type: 'disabled' } }, { effort: 'none', budgetTokens: null, visible: null }],
      [
        { thinking: { type: 'enabled', budget_tokens: 900 } },
        { effort: null, budgetTokens: 900, visible: null },
      ],
      [{ enable_thinking: false }, { effort: 'none', budgetTokens: null, visible: null }],
      [
        { enable_thinking: true, thinking_budget: 64 },
        { effort: null, budgetTokens: 64, visible: null },
      ],
      [
        { reasoning: { effort: 'high', exclude: true } },
        { effort: 'high', budgetTokens: null, visible: false },
      ],
      [{ reasoning: { max_tokens: 2000 } }, { effort: null, budgetTokens: 2000, visible: null }],
      [{}, null],
    ]
    for (const [body, wanted] of cases) assert.deepEqual(decode(body).reasoning, wanted)
  })

  test('a choice among allowed tools keeps only those', () => {
    const tool = (name: string): JsonObject => ({ type: 'function', function: { name } })
    const { tools, toolChoice } = decode({
      tools: [tool('x'), tool('y')],
      tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'required', tools: [tool('y')] } },
    })
    assert.deepEqual(
      tools.map(({ name }) => name),
      ['y'],
    )
    assert.deepEqual(toolChoice, { kind: 'required' })
  })

  test('limits, formats, stops and probabilities are read', () => {
    const request = decode({
      max_completion_tokens: 9,
      stop: 'END',
      n: 2,
      logprobs: true,
      top_logprobs: 3,
      top_k: 5,
      user: 'u',
      service_tier: 'flex',
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'b', strict: true, schema: { type: 'object' } },
      },
    })
    assert.equal(request.maxOutputTokens, 9)
    assert.deepEqual(request.stop, ['END'])
    assert.equal(request.choices, 2)
    assert.equal(request.logprobs, 3)
    assert.equal(request.topK, 5)
    assert.equal(request.serviceTier, 'flex')
    assert.deepEqual(request.format, {
      kind: 'schema',
      name: 'b',
      schema: { type: 'object' },
      strict: true,
      description: null,
    })
    assert.equal(decode({ logprobs: true }).logprobs, 0)
    assert.equal(decode({ logprobs: false, top_logprobs: null }).logprobs, null)
  })
})
