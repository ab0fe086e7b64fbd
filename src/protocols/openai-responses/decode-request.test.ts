import assert from 'node:assert/strict'
import { test } from 'node:test'
import { context, fixture, json } from '../../../test/fixtures/openai-responses/samples.ts'
import type { Json, JsonObject } from '../../kernel/index.ts'
import type { NeutralPart, NeutralRequest } from '../neutral.ts'
import { encodeAnswer } from './encode-answer.ts'
import { openaiResponses as protocol } from './index.ts'

function decode(body: JsonObject) {
  const byteLength = Buffer.byteLength(JSON.stringify(body))
  const read = protocol.readRequest({ body, byteLength, path: null })
  assert.ok(read.ok, JSON.stringify(read))
  return protocol.decodeRequest(body, read.request)
}

function value(body: JsonObject): NeutralRequest {
  const result = decode(body)
  assert.ok(result.ok, JSON.stringify(result))
  return result.value
}

const ask = (more: JsonObject): JsonObject => ({ model: 'm', input: 'Hello.', ...more })

const call = (part: NeutralPart | undefined) => {
  assert.equal(part?.kind, 'tool_call')
  return part
}

test('input as text is one message, instructions are system text', () => {
  const request = value(ask({ instructions: 'Be kind.' }))
  assert.deepEqual(request.system, [{ kind: 'text', text: 'Be kind.' }])
  assert.deepEqual(request.messages, [{ role: 'user', parts: [{ kind: 'text', text: 'Hello.' }] }])
  assert.deepEqual(request.dropped, [])
})

test('a request of Codex for a model that it knows: tools in an item, namespaces, free text', () => {
  const request = value(json(fixture('request-codex-lite.json')))
  assert.deepEqual(
    request.tools.map((tool) => tool.name),
    ['exec', 'wait', 'crew__hail'],
  )
  const properties = request.tools.map((tool) => tool.parameters['properties'] as JsonObject)
  const input = properties[0]?.['input'] as JsonObject
  assert.equal(input['type'], 'string')
  assert.match(String(input['description']), /lark grammar:\nstart/)
  assert.deepEqual(properties[2]?.['message'], { type: 'string' })
  assert.deepEqual(request.system, [
    { kind: 'text', text: 'You are the harbour master.' },
    { kind: 'text', text: 'Sail only by day.' },
  ])
  assert.equal(request.parallelTools, false)
  assert.deepEqual(request.reasoning, { effort: 'low', budgetTokens: null, visible: null })
  assert.deepEqual(
    new Set(request.dropped),
    new Set([
      'prompt_cache_key',
      'client_metadata',
      'text.verbosity',
      'reasoning.context',
      'tools[].format',
      'tools[].parameters.encrypted',
    ]),
  )
})

test('what the model did in one turn is one message; results are one turn, and each call has one', () => {
  const { messages } = value(json(fixture('request-codex-lite.json')))
  assert.deepEqual(
    messages.map((message) => message.role),
    ['user', 'user', 'assistant', 'user', 'user'],
  )
  const [, , turn, results, agent] = messages
  assert.deepEqual(turn?.parts, [
    { kind: 'reasoning', text: 'Look first.', encrypted: 'gAAAAABqOfOpenAi==', id: 'rs_1', origin: 'openai' },
    { kind: 'tool_call', id: 'call_1', name: 'exec', arguments: '{"input":"count(\\"boats\\")\\n"}' },
    { kind: 'tool_call', id: 'call_2', name: 'crew__hail', arguments: '{"name":"Ann","message":"count"}' },
  ])
  assert.deepEqual(results?.parts, [
    {
      kind: 'tool_result',
      id: 'call_1',
      name: 'exec',
      isError: false,
      parts: [
        { kind: 'text', text: 'Script done\n' },
        { kind: 'text', text: '7' },
        { kind: 'text', text: 'one more came in' },
      ],
    },
    {
      kind: 'tool_result',
      id: 'call_2',
      name: 'crew__hail',
      isError: false,
      parts: [{ kind: 'text', text: '"aye"' }],
    },
  ])
  assert.deepEqual(agent?.parts, [
    { kind: 'text', text: 'Message from Ann:\n' },
    { kind: 'text', text: 'eight now' },
  ])
})

test('a request of Codex for a model that it does not know: its search without web is left out', () => {
  const request = value(json(fixture('request-codex.json')))
  assert.deepEqual(
    request.tools.map((tool) => tool.name),
    ['exec_command', 'crew_v1__hail', 'local_shell'],
  )
  assert.deepEqual(request.reasoning, { effort: null, budgetTokens: null, visible: true })
  assert.deepEqual(
    new Set(request.dropped),
    new Set(['prompt_cache_key', 'client_metadata', 'tools[].web_search']),
  )
})

test('images, files, schemas, a chosen tool, late system words and numbers come over', () => {
  const request = value(json(fixture('request-rich.json')))
  assert.deepEqual(request.messages[0]?.parts, [
    { kind: 'text', text: 'What is this?' },
    {
      kind: 'image',
      source: { kind: 'data', mediaType: 'image/png', base64: 'iVBORw0KGgo=' },
      detail: 'low',
    },
    {
      kind: 'image',
      source: { kind: 'url', url: 'https://pictures.example/buoy.png', mediaType: null },
      detail: 'auto',
    },
    {
      kind: 'file',
      source: { kind: 'data', mediaType: 'application/pdf', base64: 'JVBERi0xLjQK' },
      name: 'chart.pdf',
    },
    {
      kind: 'file',
      source: { kind: 'url', url: 'https://charts.example/north.pdf', mediaType: null },
      name: null,
    },
  ])
  assert.deepEqual(
    request.messages.map((message) => message.role),
    ['user', 'assistant', 'user', 'system', 'user'],
  )
  assert.deepEqual(request.toolChoice, { kind: 'tool', name: 'look' })
  assert.equal(request.tools[0]?.strict, true)
  assert.equal(request.format.kind, 'schema')
  assert.equal(request.maxOutputTokens, 300)
  assert.equal(request.logprobs, 2)
  assert.equal(request.user, 'pilot-7')
  assert.equal(request.serviceTier, 'flex')
})

test('what lives at OpenAI is refused by name', () => {
  const refused: ReadonlyArray<readonly [string, JsonObject]> = [
    ['previous_response_id', { previous_response_id: 'resp_1' }],
    ['conversation', { conversation: 'conv_1' }],
    ['prompt', { prompt: { id: 'pmpt_1' } }],
    ['background', { background: true }],
    ['moderation', { moderation: { model: 'omni' } }],
    ['input[0].type', { input: [{ type: 'item_reference', id: 'msg_1' }] }],
    ['input[0].type', { input: [{ id: 'msg_1' }] }],
    ['input[0].type', { input: [{ type: 'compaction', encrypted_content: 'x' }] }],
    ['input[0].type', { input: [{ type: 'code_interpreter_call', id: 'ci_1' }] }],
    ['input[0].type', { input: [{ type: 'computer_call_output', call_id: 'c', output: {} }] }],
    ['input[0].content[0].type', { input: [{ role: 'user', content: [{ type: 'video' }] }] }],
    ['input[0].role', { input: [{ role: 'pilot', content: 'x' }] }],
    ['input[0].call_id', { input: [{ type: 'function_call_output', output: 'x' }] }],
    [
      'input[0].content[0].encrypted_content',
      {
        input: [
          {
            type: 'agent_message',
            content: [{ type: 'encrypted_content', encrypted_content: 'gAAAAABqabc=' }],
          },
        ],
      },
    ],
    ['text.format.type', { text: { format: { type: 'grammar' } } }],
    ['reasoning.effort', { reasoning: { effort: 'huge' } }],
    ['temperature', { temperature: 'hot' }],
    ['tool_choice', { tool_choice: 'required' }],
    ['tool_choice', { tool_choice: { type: 'function', name: 'none_such' } }],
    ['tool_choice', { tool_choice: { type: 'web_search' } }],
  ]
  for (const [param, more] of refused) {
    const result = decode(ask(more))
    assert.ok(!result.ok, param)
    assert.equal(result.param, param)
    assert.ok(result.problem.length > 10)
  }
})

test('hosted tools are refused, unless nothing can call them', () => {
  const hosted: readonly JsonObject[] = [
    { type: 'web_search' },
    { type: 'web_search_preview' },
    { type: 'file_search', vector_store_ids: ['vs_1'] },
    { type: 'code_interpreter', container: { type: 'auto' } },
    { type: 'image_generation' },
    { type: 'computer_use_preview' },
    { type: 'mcp', server_label: 'x' },
    { type: 'apply_patch' },
  ]
  const own: JsonObject = { type: 'function', name: 'ring', parameters: {} }
  for (const tool of hosted) {
    const refused = decode(ask({ tools: [own, tool] }))
    assert.ok(!refused.ok, String(tool['type']))
    assert.equal(refused.param, 'tools[1].type')
    assert.match(refused.problem, new RegExp(String(tool['type'])))
    const choices: readonly Json[] = [
      'none',
      { type: 'function', name: 'ring' },
      { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'ring' }] },
    ]
    for (const choice of choices) {
      const request = value(ask({ tools: [own, tool], tool_choice: choice }))
      assert.deepEqual(
        request.tools.map((found) => found.name),
        ['ring'],
      )
      assert.deepEqual(request.dropped, [`tools[].${String(tool['type'])}`])
    }
  }
})

test('a list of allowed tools leaves the others out', () => {
  const request = value(
    ask({
      tools: [
        { type: 'function', name: 'a', parameters: {} },
        { type: 'custom', name: 'b' },
      ],
      tool_choice: { type: 'allowed_tools', mode: 'required', tools: [{ type: 'custom', name: 'b' }] },
    }),
  )
  assert.deepEqual(
    request.tools.map((tool) => tool.name),
    ['b'],
  )
  assert.deepEqual(request.toolChoice, { kind: 'required' })
})

test('a tool that is declared again replaces the first; two that become one name are refused', () => {
  const tool = (name: string, description: string): JsonObject => ({
    type: 'function',
    name,
    description,
    parameters: {},
  })
  assert.equal(value(ask({ tools: [tool('a', 'old'), tool('a', 'new')] })).tools[0]?.description, 'new')
  const clash = decode(
    ask({
      tools: [tool('x__a', ''), { type: 'namespace', name: 'x', tools: [tool('a', '')] }],
    }),
  )
  assert.equal(clash.ok, false)
  const odd = value(ask({ tools: [tool('a.b', ''), tool('a/b', ''), tool('n'.repeat(90), '')] }))
  const names = odd.tools.map((found) => found.name)
  assert.equal(new Set(names).size, 3)
  for (const name of names) assert.match(name, /^[a-zA-Z0-9_-]{1,64}$/)
})

test('what changes no answer is dropped by name; what asks for nothing is not', () => {
  const request = value(
    ask({
      store: true,
      metadata: { a: 'b' },
      truncation: 'auto',
      include: ['reasoning.encrypted_content', 'file_search_call.results'],
      text: { verbosity: 'low' },
      max_tool_calls: 3,
      safety_identifier: 'x',
      stream_options: { include_obfuscation: false },
      something_new: 1,
      previous_response_id: null,
      background: false,
      moderation: null,
    }),
  )
  assert.deepEqual(
    new Set(request.dropped),
    new Set([
      'store',
      'metadata',
      'truncation',
      'include',
      'text.verbosity',
      'max_tool_calls',
      'safety_identifier',
      'stream_options',
      'something_new',
    ]),
  )
  const idle = value(
    ask({ store: false, truncation: 'disabled', metadata: {}, text: {}, include: [], user: null }),
  )
  assert.deepEqual(idle.dropped, [])
})

test('shells, searches of the client, later results and old failures come over', () => {
  const request = value(
    ask({
      input: [
        { role: 'user', content: 'List.' },
        {
          type: 'local_shell_call',
          id: 'lsh_1',
          call_id: 'call_1',
          status: 'completed',
          action: { type: 'exec', command: ['ls'], env: {}, user: null },
        },
        { type: 'local_shell_call_output', id: 'lsh_1', output: 'a\nb' },
        { type: 'tool_search_call', call_id: 'call_2', execution: 'client', arguments: { query: 'boats' } },
        {
          type: 'tool_search_output',
          call_id: 'call_2',
          execution: 'client',
          tools: [
            {
              type: 'namespace',
              name: 'fleet',
              tools: [{ type: 'function', name: 'count', parameters: {} }],
            },
          ],
        },
        { type: 'function_call', call_id: 'call_3', name: 'fleet', arguments: '' },
        { type: 'function_call_output', call_id: 'call_3', output: { content: 'no fleet', success: false } },
        { role: 'assistant', content: [{ type: 'output_text', text: 'Well.' }], phase: 'commentary' },
        { type: 'custom_tool_call_output', call_id: 'call_3', output: 'and later' },
        { type: 'web_search_call', id: 'ws_1', status: 'completed' },
      ],
      tools: [{ type: 'tool_search', execution: 'client', parameters: { type: 'object', properties: {} } }],
    }),
  )
  assert.deepEqual(
    request.tools.map((tool) => tool.name),
    ['tool_search', 'fleet__count'],
  )
  const [, shell, shown, search, found, third, failed, , later] = request.messages
  assert.equal(call(shell?.parts[0]).arguments, '{"command":["ls"],"env":{}}')
  assert.equal(shown?.parts[0]?.kind === 'tool_result' ? shown.parts[0].id : '', 'call_1')
  assert.equal(call(search?.parts[0]).arguments, '{"query":"boats"}')
  assert.match(JSON.stringify(found?.parts), /fleet__count/)
  assert.equal(call(third?.parts[0]).arguments, '')
  assert.equal(failed?.parts[0]?.kind === 'tool_result' && failed.parts[0].isError, true)
  assert.deepEqual(later, { role: 'user', parts: [{ kind: 'text', text: 'and later' }] })
  assert.deepEqual(new Set(request.dropped), new Set(['input[].phase', 'input[].web_search_call']))
})

test('signatures that a client brings back meet their calls again', () => {
  const answer = encodeAnswer(
    {
      id: 'x',
      model: 'm',
      createdSeconds: 1,
      choices: [
        {
          parts: [
            { kind: 'reasoning', text: 'Hm.', signature: 'sig', origin: 'anthropic' },
            { kind: 'tool_call', id: 'call_1', name: 'ring', arguments: '{}', signature: 'thought' },
          ],
          finish: 'tool_calls',
          finishRaw: '',
        },
      ],
      usage: null,
      serviceTier: null,
      dropped: [],
    },
    context({ include: ['reasoning.encrypted_content'] }),
  )
  const body = ask({ input: [{ role: 'user', content: 'x' }, ...(answer['output'] as readonly Json[])] })
  assert.deepEqual(value(body).messages[1]?.parts, [
    { kind: 'reasoning', text: 'Hm.', signature: 'sig', origin: 'anthropic' },
    { kind: 'tool_call', id: 'call_1', name: 'ring', arguments: '{}', signature: 'thought' },
  ])
})

test('breakpoints of the cache come over in their two lifetimes', () => {
  const part = (ttl: string): JsonObject => ({
    type: 'input_text',
    text: ttl,
    prompt_cache_breakpoint: { mode: 'explicit', ttl },
  })
  const request = value(ask({ input: [{ role: 'user', content: [part('30m'), part('12h')] }] }))
  assert.deepEqual(request.messages[0]?.parts, [
    { kind: 'text', text: '30m', cache: '5m' },
    { kind: 'text', text: '12h', cache: '1h' },
  ])
})
