import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Json, JsonObject } from '../../kernel/index.ts'
import type { NeutralPart, NeutralRequest } from '../neutral.ts'
import { decodeRequest } from './decode-request.ts'
import { readRequest } from './request.ts'

const HELLO = { model: 'claude-opus-4-8', max_tokens: 64, messages: [{ role: 'user', content: 'Ahoy' }] }

function result(members: JsonObject) {
  const body = { ...HELLO, ...members }
  const read = readRequest({ body, byteLength: 1000, path: null })
  assert.ok(read.ok, read.ok ? '' : `${read.param} ${read.problem}`)
  return decodeRequest(body, read.request)
}

function neutral(members: JsonObject): NeutralRequest {
  const decoded = result(members)
  assert.ok(decoded.ok, decoded.ok ? '' : `${decoded.param} ${decoded.problem}`)
  return decoded.value
}

function refused(members: JsonObject): string {
  const decoded = result(members)
  assert.ok(!decoded.ok)
  assert.notEqual(decoded.problem, '')
  return decoded.param
}

const parts = (...content: Json[]): readonly NeutralPart[] =>
  neutral({ messages: [{ role: 'user', content }] }).messages[0]?.parts ?? []

test('a plain request has its text and its limit, and loses nothing', () => {
  const request = neutral({
    system: 'Be brief.',
    temperature: 0.5,
    top_p: 0.9,
    top_k: 3,
    stop_sequences: ['END'],
    stream: true,
  })
  assert.deepEqual(request.system, [{ kind: 'text', text: 'Be brief.' }])
  assert.deepEqual(request.messages, [{ role: 'user', parts: [{ kind: 'text', text: 'Ahoy' }] }])
  assert.deepEqual([request.temperature, request.topP, request.topK, request.stop], [0.5, 0.9, 3, ['END']])
  assert.equal(request.maxOutputTokens, 64)
  assert.deepEqual(request.dropped, [])
})

test('Claude Code’s billing block is left out and listed; places in refusals stay the caller’s', () => {
  const billing = { type: 'text', text: 'x-anthropic-billing-header: cc_version=1; cch=77;' }
  const system = [
    billing,
    { type: 'text', text: 'You are a pilot.', cache_control: { type: 'ephemeral', ttl: '1h' } },
  ]
  const request = neutral({ system })
  assert.deepEqual(request.system, [{ kind: 'text', text: 'You are a pilot.', cache: '1h' }])
  assert.deepEqual(request.dropped, ['system[]'])
  assert.deepEqual(neutral({ system: billing.text }).system, [])
  assert.equal(refused({ system: [billing, { type: 'future' }] }), 'system[1]')
})

describe('blocks', () => {
  test('media by data, URL and file id', () => {
    const data = { type: 'base64', media_type: 'image/png', data: 'AAAA' }
    assert.deepEqual(
      parts(
        { type: 'image', source: data, cache_control: { type: 'ephemeral' } },
        { type: 'image', source: { type: 'url', url: 'https://a.example/b.png' } },
        { type: 'document', source: { ...data, media_type: 'application/pdf' }, title: 'Notice' },
        { type: 'document', source: { type: 'file', file_id: 'file_9' }, title: null },
      ),
      [
        { kind: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'AAAA' }, cache: '5m' },
        { kind: 'image', source: { kind: 'url', url: 'https://a.example/b.png', mediaType: null } },
        {
          kind: 'file',
          source: { kind: 'data', mediaType: 'application/pdf', base64: 'AAAA' },
          name: 'Notice',
        },
        { kind: 'file', source: { kind: 'file_id', id: 'file_9' }, name: null },
      ],
    )
  })
  test('documents of text and search results are text that every model reads', () => {
    assert.deepEqual(
      parts(
        {
          type: 'document',
          title: 'Log',
          context: 'Of May',
          source: { type: 'text', media_type: 'text/plain', data: 'Calm.' },
        },
        {
          type: 'document',
          source: { type: 'content', content: [{ type: 'text', text: 'Wind.' }] },
          cache_control: { type: 'ephemeral' },
        },
        {
          type: 'search_result',
          title: 'Tides',
          source: 'https://t.example',
          content: [{ type: 'text', text: 'High.' }],
        },
      ),
      [
        { kind: 'text', text: 'Log\nOf May' },
        { kind: 'text', text: 'Calm.' },
        { kind: 'text', text: 'Wind.', cache: '5m' },
        { kind: 'text', text: 'Tides\nhttps://t.example' },
        { kind: 'text', text: 'High.' },
      ],
    )
  })
  test('calls, results and thinking keep ids, errors and seals; a result gets the name of its call', () => {
    const { messages, dropped } = neutral({
      messages: [
        HELLO.messages[0] ?? {},
        {
          role: 'assistant',
          content: [
            { type: 'thinking', thinking: 'Hm.', signature: 'c2ln' },
            { type: 'redacted_thinking', data: 'cmVk' },
            { type: 'thinking', thinking: 'Of another.', signature: '' },
            {
              type: 'tool_use',
              id: 'toolu_1',
              name: 'tide',
              input: { harbour: 'Faro' },
              caller: { type: 'direct' },
            },
          ],
        },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'toolu_1', is_error: true, content: 'No such harbour.' },
          ],
        },
      ],
    })
    assert.deepEqual(messages[1]?.parts, [
      { kind: 'reasoning', text: 'Hm.', signature: 'c2ln', origin: 'anthropic' },
      { kind: 'reasoning', text: '', redacted: 'cmVk', origin: 'anthropic' },
      { kind: 'reasoning', text: 'Of another.', origin: 'anthropic' },
      { kind: 'tool_call', id: 'toolu_1', name: 'tide', arguments: '{"harbour":"Faro"}' },
    ])
    assert.deepEqual(messages[2]?.parts, [
      {
        kind: 'tool_result',
        id: 'toolu_1',
        name: 'tide',
        parts: [{ kind: 'text', text: 'No such harbour.' }],
        isError: true,
      },
    ])
    assert.deepEqual(dropped, ['messages[].content[].caller'])
  })
  test('what exists only at Anthropic is refused by its place', () => {
    const user = (block: Json) => ({ messages: [{ role: 'user', content: ['x', block].slice(1) }] })
    for (const type of [
      'server_tool_use',
      'web_search_tool_result',
      'container_upload',
      'mcp_tool_use',
      'future',
    ])
      assert.equal(refused(user({ type })), 'messages[0].content[0]')
    assert.equal(refused(user({ type: 'image', source: { type: 'ftp' } })), 'messages[0].content[0].source')
    assert.equal(refused(user({ type: 'text' })), 'messages[0].content[0].text')
    assert.equal(refused(user('text')), 'messages[0].content[0]')
    assert.equal(refused({ messages: [{ role: 'user', content: 7 }] }), 'messages[0].content')
    assert.equal(refused({ messages: [{ role: 'tool', content: 'x' }] }), 'messages[0].role')
  })
  test('a summary of compaction is text, a mark of a fallback is nothing', () => {
    const content = [
      { type: 'compaction', content: 'So far: six.' },
      { type: 'compaction', content: null },
      { type: 'fallback' },
    ]
    const request = neutral({ messages: [{ role: 'assistant', content }, ...HELLO.messages] })
    assert.deepEqual(request.messages[0]?.parts, [{ kind: 'text', text: 'So far: six.' }])
    assert.deepEqual(request.dropped, ['messages[].content[]'])
  })
  test('system messages in the conversation keep their place', () => {
    const request = neutral({
      messages: [...HELLO.messages, { role: 'system', content: 'Now in French.', clear_at: 'never' }],
    })
    assert.deepEqual(request.messages[1], {
      role: 'system',
      parts: [{ kind: 'text', text: 'Now in French.' }],
    })
    assert.deepEqual(request.dropped, ['messages[].clear_at'])
  })
})

describe('tools', () => {
  test('a function with all that others know of it; the rest is listed once', () => {
    const tool = {
      name: 'tide',
      description: 'Tides',
      input_schema: { type: 'object' },
      strict: true,
      eager_input_streaming: true,
    }
    const request = neutral({
      tools: [tool, { ...tool, cache_control: { type: 'ephemeral' }, type: 'custom' }],
    })
    const wanted = { name: 'tide', description: 'Tides', parameters: { type: 'object' }, strict: true }
    assert.deepEqual(request.tools, [wanted, { ...wanted, cache: '5m' }])
    assert.deepEqual(request.dropped, ['tools[].eager_input_streaming'])
  })
  test('Anthropic’s own tools are refused', () => {
    for (const type of ['web_search_20250305', 'bash_20250124', 'memory_20250818'])
      assert.equal(refused({ tools: [{ type, name: 'x' }] }), 'tools[0].type')
  })
  test('the choice, and one call at a time', () => {
    const choice = (tool_choice: JsonObject) => {
      const { toolChoice, parallelTools } = neutral({ tool_choice })
      return [toolChoice, parallelTools]
    }
    assert.deepEqual(choice({ type: 'auto', disable_parallel_tool_use: true }), [{ kind: 'auto' }, false])
    assert.deepEqual(choice({ type: 'any' }), [{ kind: 'required' }, null])
    assert.deepEqual(choice({ type: 'none' }), [{ kind: 'none' }, null])
    assert.deepEqual(choice({ type: 'tool', name: 't' }), [{ kind: 'tool', name: 't' }, null])
    assert.equal(refused({ tool_choice: { type: 'some' } }), 'tool_choice.type')
    assert.equal(refused({ tool_choice: { type: 'tool' } }), 'tool_choice.name')
  })
})

test('how much to think: budgets, efforts, off; and whether it is shown', () => {
  const cases: ReadonlyArray<readonly [JsonObject, NeutralRequest['reasoning'], readonly string[]]> = [
    [{}, null, []],
    [
      { thinking: { type: 'enabled', budget_tokens: 2000 } },
      { effort: null, budgetTokens: 2000, visible: true },
      [],
    ],
    [
      { thinking: { type: 'enabled', budget_tokens: 2000, display: 'omitted' } },
      { effort: null, budgetTokens: 2000, visible: false },
      [],
    ],
    [
      { thinking: { type: 'adaptive', display: 'summarized' }, output_config: { effort: 'xhigh' } },
      { effort: 'xhigh', budgetTokens: null, visible: true },
      [],
    ],
    [{ thinking: { type: 'adaptive' } }, { effort: null, budgetTokens: null, visible: null }, []],
    [{ output_config: { effort: 'low' } }, { effort: 'low', budgetTokens: null, visible: null }, []],
    [{ thinking: { type: 'disabled' } }, { effort: 'none', budgetTokens: null, visible: null }, []],
    [
      { thinking: { type: 'disabled' }, output_config: { effort: 'low' } },
      { effort: 'none', budgetTokens: null, visible: null },
      ['output_config.effort'],
    ],
    [
      { thinking: { type: 'between_tools' } },
      { effort: 'low', budgetTokens: null, visible: null },
      ['thinking.type'],
    ],
  ]
  for (const [members, reasoning, dropped] of cases) {
    const request = neutral(members)
    assert.deepEqual([request.reasoning, request.dropped], [reasoning, dropped])
  }
})

test('a schema, by its name of today and of before', () => {
  const format = { type: 'json_schema', schema: { type: 'object', properties: {} } }
  const wanted = { kind: 'schema', name: 'response', schema: format.schema, strict: true, description: null }
  assert.deepEqual(neutral({ output_config: { format } }).format, wanted)
  assert.deepEqual(neutral({ output_format: format }).format, wanted)
  assert.equal(refused({ output_config: { format: { type: 'xml' } } }), 'output_config.format')
})

test('what others lack is listed when that changes no meaning, and refused when it does', () => {
  const request = neutral({
    cache_control: { type: 'ephemeral' },
    context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
    diagnostics: {},
    speed: 'fast',
    metadata: { user_id: 'u1', tenant: 't' },
    output_config: { task_budget: { total: 9 } },
    service_tier: 'standard_only',
    mcp_servers: [],
    container: null,
    inference_geo: 'global',
  })
  assert.deepEqual(
    new Set(request.dropped),
    new Set(['cache_control', 'context_management', 'speed', 'metadata.tenant', 'output_config.task_budget']),
  )
  assert.deepEqual([request.user, request.serviceTier], ['u1', 'fast'])
  assert.equal(refused({ mcp_servers: [{ url: 'https://m.example' }] }), 'mcp_servers')
  assert.equal(refused({ container: 'c' }), 'container')
  assert.equal(refused({ thread: { type: 'create' } }), 'thread')
  assert.equal(refused({ inference_geo: 'us' }), 'inference_geo')
  assert.equal(refused({ temperature: 'hot' }), 'temperature')
  assert.equal(refused({ stop_sequences: [1] }), 'stop_sequences[0]')
})
