import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { NeutralEvent } from '../neutral.ts'
import type { EncoderContext } from '../protocol.ts'
import { eventData, splitEvents } from '../sse.ts'
import { openaiChatProtocol as chat } from './index.ts'

const CONTEXT: EncoderContext = {
  requestId: 'req_1',
  requestedModel: 'pilot',
  createdSeconds: 1_790_000_000,
  wantsUsage: true,
  requestBody: {},
  annotate: () => ({ charge: '0.01' }),
}

function decode(...chunks: readonly Json[]): NeutralEvent[] {
  const decoder = chat.createStreamDecoder()
  return [...chunks, '[DONE]'].flatMap((chunk) =>
    decoder.feed({ name: null, data: typeof chunk === 'string' ? chunk : JSON.stringify(chunk) }),
  )
}

function chunk(delta: JsonObject, finish: string | null = null): JsonObject {
  return { id: 'a', created: 1, model: 'm', choices: [{ index: 0, delta, finish_reason: finish }] }
}

const calls = (...deltas: readonly JsonObject[]): JsonObject => chunk({ tool_calls: deltas })

function toolEvents(events: readonly NeutralEvent[]): readonly (readonly Json[])[] {
  return events.flatMap((event) => {
    if (event.kind === 'tool_begin') return [[event.index, event.id, event.name]]
    return event.kind === 'tool_arguments' ? [[event.index, event.fragment]] : []
  })
}

function encode(events: readonly NeutralEvent[], context: Partial<EncoderContext> = {}): Json[] {
  const encoder = chat.createStreamEncoder({ ...CONTEXT, ...context })
  const text = events.map((event) => encoder.push(event)).join('') + encoder.end()
  return splitEvents(Buffer.from(text)).map((event) => {
    const data = eventData(event) ?? ''
    const parsed = parseJson(data)
    return parsed.ok ? parsed.value : data
  })
}

/** The deltas of what was sent, with the finish reason where there is one. */
function deltas(sent: readonly Json[]): Json[] {
  return sent.flatMap((event) => {
    const [choice] = (event as { readonly choices?: readonly JsonObject[] }).choices ?? []
    if (choice === undefined) return []
    return [choice['finish_reason'] === null ? (choice['delta'] ?? null) : (choice['finish_reason'] ?? null)]
  })
}

const START: NeutralEvent = { kind: 'start', id: 'a', model: 'm', createdSeconds: 7 }
const FINISH: NeutralEvent = { kind: 'finish', choice: 0, finish: 'stop', finishRaw: 'end_turn' }
const USAGE: NeutralEvent = {
  kind: 'usage',
  usage: {
    counts: { input: 3, cache_read: 4, cache_write_1h: 2, output: 5 },
    reasoning: 1,
    calls: { web_search: 2 },
    others: [],
    exact: true,
    flags: [],
  },
  serviceTier: 'flex',
}

describe('tool calls of streams out of the wire', () => {
  test('an index may start at 1, and ids come once or as nothing later', () => {
    const events = decode(
      calls({ index: 1, id: 'x', type: 'function', function: { name: 'f', arguments: '' } }),
      calls({ index: 1, id: '', function: { arguments: '{"a"' } }),
      calls({ index: 1, function: { arguments: ':1}' } }),
      chunk({}, 'tool_calls'),
    )
    assert.deepEqual(toolEvents(events), [
      [0, 'x', 'f'],
      [0, '{"a"'],
      [0, ':1}'],
    ])
  })

  test('mixed pieces of parallel calls are put one call after the other', () => {
    const events = decode(
      calls({ index: 0, id: 'x', function: { name: 'f', arguments: '' } }),
      calls({ index: 1, id: 'y', function: { name: 'g', arguments: '{' } }),
      calls({ index: 0, function: { arguments: '{"s":"}\\""' } }, { index: 1, function: { arguments: '}' } }),
      calls({ index: 0, function: { arguments: '}' } }),
      calls({ index: 2, id: 'z', function: { name: 'h' } }),
      chunk({}, 'tool_calls'),
    )
    assert.deepEqual(toolEvents(events), [
      [0, 'x', 'f'],
      [0, '{"s":"}\\""'],
      [0, '}'],
      [1, 'y', 'g'],
      [1, '{}'],
      [2, 'z', 'h'],
    ])
  })

  test('calls one after the other are told as they come', () => {
    const decoder = chat.createStreamDecoder()
    const feed = (value: JsonObject): number =>
      decoder.feed({ name: null, data: JSON.stringify(value) }).filter(({ kind }) => kind !== 'start').length
    assert.equal(feed(calls({ index: 0, id: 'x', function: { name: 'f', arguments: '{"a":' } })), 2)
    assert.equal(feed(calls({ index: 0, function: { arguments: '1}' } })), 1)
    assert.equal(feed(calls({ index: 1, id: 'y', function: { name: 'g', arguments: '' } })), 1)
    assert.equal(feed(calls({ index: 1, function: { arguments: '{' } })), 1)
  })

  test('without an index, or with the same for all, calls are told apart by their ids', () => {
    for (const index of [undefined, 0]) {
      const place = index === undefined ? {} : { index }
      const events = decode(
        calls({ ...place, id: 'x', function: { name: 'f', arguments: '{"a":1}' } }),
        calls({ ...place, id: 'y', function: { name: 'g', arguments: '{}' } }),
        chunk({}, 'tool_calls'),
      )
      assert.deepEqual(toolEvents(events), [
        [0, 'x', 'f'],
        [0, '{"a":1}'],
        [1, 'y', 'g'],
        [1, '{}'],
      ])
    }
  })

  test('a call without an id gets one from the answer; a name may come after it; arguments may be an object', () => {
    const events = decode(
      calls({ index: 0, function: { arguments: '' } }),
      calls({ index: 0, function: { name: 'f', arguments: { a: 1 } } }),
      chunk({}, 'tool_calls'),
    )
    assert.deepEqual(toolEvents(events), [
      [0, 'call_a_0_0', 'f'],
      [0, '{"a":1}'],
    ])
  })

  test('the legacy function_call is a tool call', () => {
    const events = decode(
      chunk({ function_call: { name: 'f', arguments: '' } }),
      chunk({ function_call: { arguments: '{}' } }),
      chunk({}, 'function_call'),
    )
    assert.deepEqual(toolEvents(events), [
      [0, 'call_a_0_0', 'f'],
      [0, '{}'],
    ])
    assert.equal(events.find((event) => event.kind === 'finish')?.finish, 'tool_calls')
  })

  test('a signature that must come back with the call is kept', () => {
    const events = decode(
      calls({
        index: 0,
        id: 'x',
        function: { name: 'f', arguments: '{}' },
        extra_content: { google: { thought_signature: 'c2ln' } },
      }),
      chunk({}, 'tool_calls'),
    )
    const begun = events.find((event) => event.kind === 'tool_begin')
    assert.equal(begun?.signature, 'c2ln')
  })

  test('text that comes before a call is whole waits for it', () => {
    const events = decode(
      calls({ index: 0, id: 'x', function: { name: 'f', arguments: '{' } }),
      chunk({ content: 'meanwhile' }),
      calls({ index: 0, function: { arguments: '}' } }),
      chunk({}, 'tool_calls'),
    )
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['start', 'tool_begin', 'tool_arguments', 'tool_arguments', 'text', 'finish'],
    )
  })
})

describe('streams out of the wire', () => {
  test('thinking has many names, and is told once where two of them say the same', () => {
    for (const delta of [
      { reasoning_content: 'Hm.' },
      { reasoning: 'Hm.', reasoning_details: [{ type: 'reasoning.text', text: 'Hm.' }] },
      { reasoning_details: [{ type: 'reasoning.summary', summary: 'Hm.' }] },
      { content: [{ type: 'thinking', thinking: [{ type: 'text', text: 'Hm.' }] }] },
    ])
      assert.deepEqual(decode(chunk(delta)).slice(1), [{ kind: 'reasoning', choice: 0, text: 'Hm.' }])
  })

  test('a refusal turns stop into refusal; later finishes are not told again', () => {
    const events = decode(chunk({ refusal: 'No.' }), chunk({}, 'stop'), chunk({}, 'stop'))
    assert.deepEqual(events.slice(1), [
      { kind: 'refusal', choice: 0, text: 'No.' },
      { kind: 'finish', choice: 0, finish: 'refusal', finishRaw: 'stop' },
    ])
  })

  test('usage beside an error is told before it', () => {
    const events = decode({
      ...chunk({}),
      error: { code: 502, message: 'gone' },
      usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3 },
    })
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['start', 'usage', 'error'],
    )
    assert.deepEqual(events.at(-1), { kind: 'error', message: 'gone', code: '502' })
  })

  test('probabilities come with their text, citations behind it', () => {
    const token = { token: 'Hi', logprob: -0.5, bytes: [72, 105], top_logprobs: [] }
    const [, text, citation] = decode({
      ...chunk({}),
      choices: [
        {
          index: 0,
          delta: {
            content: 'Hi',
            annotations: [{ type: 'url_citation', url_citation: { url: 'https://a.example', title: 'A' } }],
          },
          logprobs: { content: [token], refusal: null },
          finish_reason: null,
        },
      ],
    })
    assert.deepEqual(text, {
      kind: 'text',
      choice: 0,
      text: 'Hi',
      logprobs: [{ token: 'Hi', logprob: -0.5, bytes: [72, 105], top: [] }],
    })
    assert.deepEqual(citation, {
      kind: 'citation',
      choice: 0,
      citation: { url: 'https://a.example', title: 'A', quote: null },
    })
  })
})

describe('streams into the wire', () => {
  test('role first, then text, finish, usage with our note, and the end mark', () => {
    const sent = encode([START, { kind: 'text', choice: 0, text: 'Hi' }, FINISH, USAGE])
    assert.deepEqual(deltas(sent), [{ role: 'assistant', content: '' }, { content: 'Hi' }, 'stop'])
    assert.deepEqual((sent[0] as JsonObject)['usage'], null)
    assert.deepEqual(sent.at(-2), {
      id: 'a',
      object: 'chat.completion.chunk',
      created: 7,
      model: 'm',
      choices: [],
      service_tier: 'flex',
      usage: {
        prompt_tokens: 9,
        completion_tokens: 5,
        total_tokens: 14,
        prompt_tokens_details: {
          cached_tokens: 4,
          audio_tokens: 0,
          cache_write_tokens: 2,
          cache_write_tokens_details: { ttl_30m_tokens: 0, ttl_12h_tokens: 2 },
        },
        completion_tokens_details: { audio_tokens: 0, reasoning_tokens: 1 },
        server_tool_use_details: { web_search_requests: 2 },
        tf: { charge: '0.01' },
      },
    })
    assert.equal(sent.at(-1), '[DONE]')
  })

  test('who did not ask for usage sees none of it', () => {
    const sent = encode([START, { kind: 'text', choice: 0, text: 'Hi' }, FINISH, USAGE], {
      wantsUsage: false,
    })
    assert.equal(JSON.stringify(sent).includes('usage'), false)
    assert.equal(sent.at(-1), '[DONE]')
  })

  test('the note is asked for once, at the last usage', () => {
    let asked = 0
    const annotate = (): null => {
      asked++
      return null
    }
    encode([START, USAGE, FINISH, USAGE], { annotate })
    assert.equal(asked, 1)
  })

  test('a call begins with index, id, type and name; one without arguments gets an empty object', () => {
    const sent = encode([
      START,
      { kind: 'tool_begin', choice: 0, index: 0, id: 'x', name: 'f' },
      { kind: 'tool_arguments', choice: 0, index: 0, fragment: '{"a":1}' },
      { kind: 'tool_begin', choice: 0, index: 1, id: 'y', name: 'g' },
      { kind: 'finish', choice: 0, finish: 'tool_calls', finishRaw: 'tool_use' },
    ])
    assert.deepEqual(deltas(sent).slice(1), [
      { tool_calls: [{ index: 0, id: 'x', type: 'function', function: { name: 'f', arguments: '' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '{"a":1}' } }] },
      { tool_calls: [{ index: 1, id: 'y', type: 'function', function: { name: 'g', arguments: '' } }] },
      { tool_calls: [{ index: 1, function: { arguments: '{}' } }] },
      'tool_calls',
    ])
  })

  test('who asked with the legacy functions gets function_call', () => {
    const sent = encode(
      [
        START,
        { kind: 'tool_begin', choice: 0, index: 0, id: 'x', name: 'f' },
        { kind: 'tool_arguments', choice: 0, index: 0, fragment: '{}' },
        { kind: 'finish', choice: 0, finish: 'tool_calls', finishRaw: 'tool_use' },
      ],
      { requestBody: { functions: [] } },
    )
    assert.deepEqual(deltas(sent).slice(1), [
      { function_call: { name: 'f', arguments: '' } },
      { function_call: { arguments: '{}' } },
      'function_call',
    ])
  })

  test('thinking is text only: seals are not sent', () => {
    const sent = encode([
      START,
      { kind: 'reasoning', choice: 0, text: 'Hm.' },
      { kind: 'reasoning_seal', choice: 0, signature: 'secret', origin: 'anthropic-messages' },
      { kind: 'text', choice: 0, text: 'Hi' },
      FINISH,
    ])
    assert.deepEqual(deltas(sent).slice(1), [{ reasoning_content: 'Hm.' }, { content: 'Hi' }, 'stop'])
    assert.equal(JSON.stringify(sent).includes('secret'), false)
  })

  test('each choice has its role and its finish, once', () => {
    const sent = encode([
      START,
      { kind: 'text', choice: 1, text: 'B' },
      { kind: 'text', choice: 0, text: 'A' },
      FINISH,
      FINISH,
      { ...FINISH, choice: 1 },
      { kind: 'text', choice: 0, text: 'too late' },
    ])
    assert.deepEqual(deltas(sent), [
      { role: 'assistant', content: '' },
      { role: 'assistant', content: '' },
      { content: 'B' },
      { content: 'A' },
      'stop',
      'stop',
    ])
  })

  test('after an error nothing more is sent, and the upstream’s words are not', () => {
    const encoder = chat.createStreamEncoder(CONTEXT)
    encoder.push(START)
    const told = encoder.push({ kind: 'error', message: 'key sk-live-1 is bad', code: '401' })
    assert.ok(told.includes('upstream_error'))
    assert.equal(told.includes('sk-live'), false)
    assert.equal(encoder.push(FINISH) + encoder.end(), '')
  })

  test('an answer without a name or time takes ours', () => {
    const [first] = encode([{ kind: 'text', choice: 0, text: 'Hi' }])
    assert.deepEqual(
      [first].map((sent) => {
        const { id, created, model } = sent as JsonObject
        return { id, created, model }
      }),
      [{ id: 'chatcmpl-req_1', created: 1_790_000_000, model: 'pilot' }],
    )
  })
})
