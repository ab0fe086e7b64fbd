import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralMessage, NeutralPart, NeutralRequest } from '../neutral.ts'
import { encodeRequest } from './encode-request.ts'
import { toolId } from './tool-ids.ts'

const text = (value: string): NeutralPart => ({ kind: 'text', text: value })
const user = (...parts: NeutralPart[]): NeutralMessage => ({ role: 'user', parts })
const model = (...parts: NeutralPart[]): NeutralMessage => ({ role: 'assistant', parts })
const system = (...parts: NeutralPart[]): NeutralMessage => ({ role: 'system', parts })
const call = (id: string, args = '{}', name = 'tide'): NeutralPart => ({
  kind: 'tool_call',
  id,
  name,
  arguments: args,
})
const answer = (id: string, ...parts: NeutralPart[]): NeutralPart => ({
  kind: 'tool_result',
  id,
  name: null,
  parts,
  isError: false,
})

const PLAIN: NeutralRequest = {
  system: [],
  messages: [user(text('Ahoy'))],
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
const TOOL = { name: 'tide', description: null, parameters: { type: 'object' }, strict: null }
const CALL = {
  upstreamModel: 'claude-opus-4-5',
  stream: false,
  maxOutputTokens: null,
  modelMaxOutputTokens: 8192,
}

const encoded = (request: Partial<NeutralRequest>, upstreamModel = CALL.upstreamModel) =>
  encodeRequest({ ...PLAIN, ...request }, { ...CALL, upstreamModel })

function sent(request: Partial<NeutralRequest>, upstreamModel?: string): JsonObject {
  const result = encoded(request, upstreamModel)
  assert.ok(result.ok, result.ok ? '' : `${result.param} ${result.problem}`)
  return result.body
}

function dropped(request: Partial<NeutralRequest>, upstreamModel?: string): readonly string[] {
  const result = encoded(request, upstreamModel)
  assert.ok(result.ok)
  return result.dropped
}

function refused(request: Partial<NeutralRequest>, upstreamModel?: string): string {
  const result = encoded(request, upstreamModel)
  assert.ok(!result.ok)
  return result.param
}

test('a limit is always sent: the gateway’s, else the request’s, else the model’s', () => {
  const limit = (asked: number | null, set: number | null) => {
    const result = encodeRequest({ ...PLAIN, maxOutputTokens: asked }, { ...CALL, maxOutputTokens: set })
    return result.ok ? result.body['max_tokens'] : null
  }
  assert.deepEqual(
    [limit(null, null), limit(100, null), limit(100, 50), limit(null, 50)],
    [8192, 100, 50, 50],
  )
})

test('a plain request is a plain body', () => {
  assert.deepEqual(
    sent({ system: [text('Be brief.')], maxOutputTokens: 9, stop: ['END'], user: 'u', temperature: 0.5 }),
    {
      model: 'claude-opus-4-5',
      max_tokens: 9,
      system: 'Be brief.',
      messages: [{ role: 'user', content: 'Ahoy' }],
      temperature: 0.5,
      stop_sequences: ['END'],
      metadata: { user_id: 'u' },
    },
  )
})

describe('the conversation takes the shape that the provider demands', () => {
  const messages = (...list: NeutralMessage[]) => sent({ messages: list })['messages']

  test('turns of one role are one', () => {
    assert.deepEqual(messages(user(text('A')), user(text('B')), model(text('C')), model(call('x'))), [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'A' },
          { type: 'text', text: 'B' },
        ],
      },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'C' },
          { type: 'tool_use', id: 'x', name: 'tide', input: {} },
        ],
      },
    ])
  })
  test('leading system messages join the system prompt, later ones keep their place as marked text', () => {
    const body = sent({
      system: [text('One.')],
      messages: [system(text('Two.')), user(text('A')), system(text('Three.')), model(text('B'))],
    })
    assert.deepEqual(body['system'], [
      { type: 'text', text: 'One.' },
      { type: 'text', text: 'Two.' },
    ])
    assert.deepEqual(body['messages'], [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'A' },
          { type: 'text', text: '<system>\nThree.\n</system>' },
        ],
      },
      { role: 'assistant', content: 'B' },
    ])
  })
  test('results come first in their turn, even with a system message before them', () => {
    assert.deepEqual(
      messages(user(text('A')), model(call('x')), system(text('S')), user(text('T'), answer('x', text('R')))),
      [
        { role: 'user', content: 'A' },
        { role: 'assistant', content: [{ type: 'tool_use', id: 'x', name: 'tide', input: {} }] },
        {
          role: 'user',
          content: [
            { type: 'tool_result', tool_use_id: 'x', content: 'R' },
            { type: 'text', text: '<system>\nS\n</system>' },
            { type: 'text', text: 'T' },
          ],
        },
      ],
    )
  })
  test('a system prompt alone is the question; nothing at all is refused', () => {
    const body = sent({ system: [text('Say hello.')], messages: [] })
    assert.deepEqual(
      [body['system'], body['messages']],
      [undefined, [{ role: 'user', content: 'Say hello.' }]],
    )
    assert.equal(refused({ messages: [user(text(''))] }), 'messages')
  })
  test('empty text is left out, blank text is listed, the end of a prefill is trimmed', () => {
    assert.deepEqual(
      messages(user(text(''), text('A')), model(text('')), user(text('B')), model(text('So: '))),
      [
        {
          role: 'user',
          content: [
            { type: 'text', text: 'A' },
            { type: 'text', text: 'B' },
          ],
        },
        { role: 'assistant', content: 'So:' },
      ],
    )
    assert.deepEqual(dropped({ messages: [user(text(' \n'), text('A'))] }), ['messages[].content[]'])
  })
})

describe('parts', () => {
  const content = (...parts: NeutralPart[]) => {
    const [first] = sent({ messages: [user(...parts)] })['messages'] as readonly JsonObject[]
    return first?.['content']
  }
  const data = (mediaType: string, value: string) => ({ kind: 'data' as const, mediaType, base64: value })

  test('media go as what they are', () => {
    const base64 = Buffer.from('Log: çalm').toString('base64')
    assert.deepEqual(
      content(
        { kind: 'image', source: data('image/png', 'AAAA'), cache: '1h' },
        { kind: 'image', source: { kind: 'url', url: 'https://a.example', mediaType: null }, detail: 'auto' },
        { kind: 'file', source: data('application/pdf', 'BBBB'), name: 'n.pdf' },
        { kind: 'file', source: data('text/markdown', base64), name: null },
        { kind: 'file', source: data('image/jpeg', 'CCCC'), name: 'p.jpg' },
      ),
      [
        {
          type: 'image',
          source: { type: 'base64', media_type: 'image/png', data: 'AAAA' },
          cache_control: { type: 'ephemeral', ttl: '1h' },
        },
        { type: 'image', source: { type: 'url', url: 'https://a.example' } },
        {
          type: 'document',
          source: { type: 'base64', media_type: 'application/pdf', data: 'BBBB' },
          title: 'n.pdf',
        },
        { type: 'document', source: { type: 'text', media_type: 'text/plain', data: 'Log: çalm' } },
        { type: 'image', source: { type: 'base64', media_type: 'image/jpeg', data: 'CCCC' } },
      ],
    )
  })
  test('what the format has no place for is refused by its place', () => {
    const at = (part: NeutralPart) => refused({ messages: [user(text('A'), part)] })
    const place = 'messages[0].content[1]'
    assert.equal(at({ kind: 'audio', format: 'wav', base64: 'A' }), place)
    assert.equal(at({ kind: 'file', source: { kind: 'file_id', id: 'f' }, name: null }), place)
    assert.equal(at({ kind: 'image', source: { kind: 'file_id', id: 'f' } }), place)
    assert.equal(at({ kind: 'file', source: data('video/mp4', 'A'), name: null }), place)
    assert.equal(at(answer('x', { kind: 'audio', format: 'wav', base64: 'A' })), `${place}.content[0]`)
    assert.equal(refused({ system: [{ kind: 'image', source: data('image/png', 'A') }] }), 'system[0]')
  })
  test('ids fit and meet again; arguments are an object', () => {
    const odd = 'functions.tide:0'
    const fits = toolId(odd)
    assert.match(fits, /^[a-zA-Z0-9_-]+$/)
    const body = sent({ messages: [user(text('A')), model(call(odd, '[1]')), user(answer(odd, text('R')))] })
    assert.deepEqual((body['messages'] as readonly JsonObject[]).slice(1), [
      {
        role: 'assistant',
        content: [{ type: 'tool_use', id: fits, name: 'tide', input: { raw_arguments: '[1]' } }],
      },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: fits, content: 'R' }] },
    ])
  })
  test('results keep errors, images and cache marks; an empty one stays empty', () => {
    const image: NeutralPart = { kind: 'image', source: data('image/png', 'AAAA') }
    const result: NeutralPart = {
      kind: 'tool_result',
      id: 'x',
      name: 'n',
      parts: [text('R'), image],
      isError: true,
      cache: '5m',
    }
    assert.deepEqual(content(result, answer('y')), [
      {
        type: 'tool_result',
        tool_use_id: 'x',
        content: [
          { type: 'text', text: 'R' },
          { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
        ],
        is_error: true,
        cache_control: { type: 'ephemeral' },
      },
      { type: 'tool_result', tool_use_id: 'y' },
    ])
  })
  test('only thinking that Anthropic sealed goes back; other seals are dropped and listed', () => {
    const parts: NeutralPart[] = [
      { kind: 'reasoning', text: 'A', signature: 's', origin: 'anthropic' },
      { kind: 'reasoning', text: '', redacted: 'r', origin: 'anthropic' },
      { kind: 'reasoning', text: 'B', encrypted: 'e', origin: 'openai' },
      { kind: 'reasoning', text: 'C', origin: 'anthropic' },
      text('D'),
    ]
    const request = { messages: [user(text('Q')), model(...parts)] }
    const last = (sent(request)['messages'] as readonly JsonObject[])[1]
    assert.deepEqual(last?.['content'], [
      { type: 'thinking', thinking: 'A', signature: 's' },
      { type: 'redacted_thinking', data: 'r' },
      { type: 'text', text: 'D' },
    ])
    assert.deepEqual(dropped(request), ['messages[].content[]'])
    const signed: NeutralPart = { kind: 'tool_call', id: 'x', name: 'n', arguments: '', signature: 'g' }
    assert.deepEqual(dropped({ messages: [user(text('Q')), model(signed)] }), [
      'messages[].content[].signature',
    ])
  })
})

describe('tools', () => {
  test('choice and parallel calls', () => {
    const choice = (request: Partial<NeutralRequest>) => sent({ tools: [TOOL], ...request })['tool_choice']
    assert.equal(choice({}), undefined)
    assert.deepEqual(choice({ parallelTools: false }), { type: 'auto', disable_parallel_tool_use: true })
    assert.deepEqual(choice({ toolChoice: { kind: 'required' }, parallelTools: true }), {
      type: 'any',
      disable_parallel_tool_use: false,
    })
    assert.deepEqual(choice({ toolChoice: { kind: 'none' }, parallelTools: false }), { type: 'none' })
    assert.deepEqual(choice({ toolChoice: { kind: 'tool', name: 'tide' } }), { type: 'tool', name: 'tide' })
    assert.equal(refused({ toolChoice: { kind: 'required' } }), 'tool_choice')
    assert.equal(sent({ toolChoice: { kind: 'none' }, parallelTools: false })['tool_choice'], undefined)
  })
  test('a schema without a type is one of an object; strictness goes where it is known', () => {
    const strict = { ...TOOL, parameters: {}, strict: true }
    assert.deepEqual(sent({ tools: [strict] })['tools'], [
      { name: 'tide', input_schema: { type: 'object' }, strict: true },
    ])
    assert.deepEqual(sent({ tools: [strict] }, 'claude-opus-4-1')['tools'], [
      { name: 'tide', input_schema: { type: 'object' } },
    ])
    assert.deepEqual(dropped({ tools: [strict] }, 'claude-opus-4-1'), ['tools[].strict'])
  })
  test('a name that would have to be changed is refused: answers would not be known again', () => {
    assert.equal(refused({ tools: [TOOL, { ...TOOL, name: 'a.b' }] }), 'tools[1].name')
  })
  test('a history of calls without tools gets their names, and no call', () => {
    const body = sent({ messages: [user(text('A')), model(call('x')), user(answer('x'))] })
    assert.deepEqual(body['tools'], [{ name: 'tide', input_schema: { type: 'object' } }])
    assert.deepEqual(body['tool_choice'], { type: 'none' })
  })
})

describe('structured output', () => {
  const schema = {
    type: 'object',
    properties: {
      a: { type: 'object', properties: {} },
      b: { type: 'array', items: { anyOf: [{ type: 'object' }] } },
    },
  }
  const format = { kind: 'schema' as const, name: 'berth', schema, strict: null, description: 'd' }

  test('a schema is closed at every depth and its name is listed', () => {
    const no = { additionalProperties: false }
    assert.deepEqual(sent({ format })['output_config'], {
      format: {
        type: 'json_schema',
        schema: {
          type: 'object',
          properties: {
            a: { type: 'object', properties: {}, ...no },
            b: { type: 'array', items: { anyOf: [{ type: 'object', ...no }] } },
          },
          ...no,
        },
      },
    })
    assert.deepEqual(dropped({ format }), ['response_format.name', 'response_format.description'])
  })
  test('a model that cannot be held to it refuses', () => {
    assert.equal(refused({ format }, 'deepseek-chat'), 'response_format')
  })
  test('JSON without a schema is asked for in words, which is listed', () => {
    const body = sent({ format: { kind: 'json' }, system: [text('S')] })
    assert.equal((body['system'] as readonly JsonObject[]).length, 2)
    assert.deepEqual(dropped({ format: { kind: 'json' } }), ['response_format'])
  })
})

test('what the format lacks is refused when it changes the answer, and listed when it does not', () => {
  assert.equal(refused({ choices: 2 }), 'n')
  assert.equal(refused({ logprobs: 0 }), 'logprobs')
  assert.deepEqual(
    dropped({ seed: 7, presencePenalty: 0.1, frequencyPenalty: 0, serviceTier: 'flex', dropped: ['store'] }),
    ['store', 'seed', 'presence_penalty', 'service_tier'],
  )
  assert.deepEqual(dropped({ stop: [' ', 'END'] }), ['stop[]'])
  assert.equal(sent({ serviceTier: 'default' })['service_tier'], 'standard_only')
  assert.equal(sent({ serviceTier: 'auto' })['service_tier'], 'auto')
})

test('sampling goes as far as the model takes it', () => {
  const members = (request: Partial<NeutralRequest>, upstream?: string) => {
    const { temperature, top_p, top_k } = sent(request, upstream)
    return [temperature, top_p, top_k, dropped(request, upstream)]
  }
  const all = { temperature: 0.3, topP: 0.9, topK: 5 }
  assert.deepEqual(members(all, 'claude-3-7-sonnet-20250219'), [0.3, 0.9, 5, []])
  assert.deepEqual(members(all, 'claude-sonnet-4-5'), [0.3, undefined, 5, ['top_p']])
  assert.deepEqual(members(all, 'claude-opus-4-7'), [
    undefined,
    undefined,
    undefined,
    ['temperature', 'top_p', 'top_k'],
  ])
  assert.deepEqual(members({ temperature: 1.6 }), [1, undefined, undefined, ['temperature']])
  const thinks = { reasoning: { effort: 'high' as const, budgetTokens: null, visible: null } }
  assert.deepEqual(members({ ...all, ...thinks }), [
    undefined,
    undefined,
    undefined,
    ['temperature', 'top_p', 'top_k'],
  ])
  assert.deepEqual(members({ temperature: 1, topP: 0.95, ...thinks }, 'claude-opus-4-0'), [
    1,
    0.95,
    undefined,
    [],
  ])
})
