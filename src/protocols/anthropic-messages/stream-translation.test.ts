import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { eventsOf, gather, hasError } from '../../../test/protocols/essence.ts'
import { recordingsOf, streamBytes } from '../../../test/protocols/recordings.ts'
import type { Format } from '../../../test/protocols/registry.ts'
import { CONTEXT, hear, say } from '../../../test/protocols/speak.ts'
import { isObject, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { NeutralAnswer, NeutralEvent, NeutralPart } from '../neutral.ts'
import { eventData, eventName, splitEvents } from '../sse.ts'
import { lengthEnding, PING } from './ending.ts'
import { anthropicMessages } from './index.ts'

const FORMAT = anthropicMessages as Format
const RECORDINGS = recordingsOf(FORMAT)

function heard(file: string): readonly NeutralEvent[] {
  const recording = RECORDINGS.streams.find((one) => one.file === file && !one.recorded)
  assert.ok(recording)
  return hear(FORMAT, streamBytes(recording)).events
}

function wire(bytes: Buffer): JsonObject[] {
  return splitEvents(bytes).map((event) => {
    const parsed = parseJson(eventData(event) ?? '')
    assert.ok(parsed.ok && isObject(parsed.value))
    assert.equal(eventName(event), parsed.value['type'], 'each event has its own name')
    return parsed.value
  })
}

/** What a re-encoding cannot know: which figures were worked out, and why the provider repriced. */
const known = (answer: NeutralAnswer): NeutralAnswer => ({
  ...answer,
  usage: answer.usage === null ? null : { ...answer.usage, exact: true, flags: [] },
})

/** A stream of events knows no border between two texts. */
const joined = (answer: NeutralAnswer): NeutralAnswer => ({
  ...answer,
  choices: answer.choices.map((choice) => {
    const parts: NeutralPart[] = []
    for (const part of choice.parts) {
      const last = parts.at(-1)
      if (part.kind !== 'text' || last?.kind !== 'text') {
        parts.push(part)
        continue
      }
      const citations = [...(last.citations ?? []), ...(part.citations ?? [])]
      const cited = citations.length > 0 ? { citations } : {}
      parts[parts.length - 1] = { kind: 'text', text: last.text + part.text, ...cited }
    }
    return { ...choice, parts }
  }),
})

describe('a stream of this format comes back as it was', () => {
  for (const recording of RECORDINGS.streams) {
    const { events } = hear(FORMAT, streamBytes(recording))
    if (hasError(events)) continue
    test(recording.label, () => {
      const again = hear(FORMAT, say(FORMAT, events)).events
      assert.deepEqual(known(gather(again)), known(gather(events)))
    })
  }
})

describe('a whole answer of this format comes back as it was, whole and as a stream', () => {
  for (const { label, text } of RECORDINGS.answers)
    test(label, () => {
      const read = anthropicMessages.readAnswer(text)
      assert.ok(read.ok)
      const first = anthropicMessages.decodeAnswer(read.answer.body)
      assert.ok(first.ok)
      const { dropped, ...answer } = known(first.value)
      const again = anthropicMessages.decodeAnswer(anthropicMessages.encodeAnswer(first.value, CONTEXT))
      assert.ok(again.ok)
      assert.deepEqual({ ...known(again.value), dropped: [] }, { ...answer, dropped: [] })
      const streamed = gather(hear(FORMAT, say(FORMAT, eventsOf(first.value))).events)
      assert.deepEqual(known(streamed), joined({ ...answer, dropped: [] }))
      assert.ok(dropped.every((path) => path !== ''))
    })
})

test('thinking, redacted thinking and parallel calls become events in their order', () => {
  assert.deepEqual(heard('parallel-tools.chunks.txt').slice(0, -2), [
    { kind: 'start', id: 'msg_01HarbourTwo00000000003', model: 'claude-opus-4-6', createdSeconds: null },
    { kind: 'reasoning', choice: 0, text: 'Two things' },
    { kind: 'reasoning', choice: 0, text: ' to ask.' },
    { kind: 'reasoning_seal', choice: 0, signature: 'RmlrdGl2ZVNpZ24=', origin: 'anthropic' },
    { kind: 'reasoning_seal', choice: 0, redacted: 'VmVyYm9yZ2Vu', origin: 'anthropic' },
    { kind: 'tool_begin', choice: 0, index: 0, id: 'toolu_01TwoA', name: 'tide_table' },
    { kind: 'tool_arguments', choice: 0, index: 0, fragment: '{"harbour": "Fa' },
    { kind: 'tool_arguments', choice: 0, index: 0, fragment: 'ro", "days": 2}' },
    { kind: 'tool_begin', choice: 0, index: 1, id: 'toolu_01TwoB', name: 'next_ferry' },
    { kind: 'tool_arguments', choice: 0, index: 1, fragment: '{"from":"Olhão"}' },
  ])
})

test('a call without arguments has an empty object, streamed or not', () => {
  const calls = heard('tool-no-args.chunks.txt').filter((event) => event.kind === 'tool_arguments')
  assert.deepEqual(calls, [{ kind: 'tool_arguments', choice: 0, index: 0, fragment: '{}' }])
})

test('a server that gives the whole input at the start of a block loses nothing', () => {
  const start = {
    type: 'content_block_start',
    index: 0,
    content_block: { type: 'tool_use', id: 'x', name: 'n', input: { a: 1 } },
  }
  const decoder = anthropicMessages.createStreamDecoder()
  const feed = (body: JsonObject) => decoder.feed({ name: null, data: JSON.stringify(body) })
  feed(start)
  // The end of the block is missing too: the end of the message stands for it.
  assert.deepEqual(feed({ type: 'message_delta', delta: { stop_reason: 'tool_use' } }), [
    { kind: 'tool_arguments', choice: 0, index: 0, fragment: '{"a":1}' },
    { kind: 'finish', choice: 0, finish: 'tool_calls', finishRaw: 'tool_use' },
  ])
})

test('a refusal brings its explanation, a second message_start nothing, an error its words', () => {
  assert.deepEqual(heard('refusal.chunks.txt')[1], {
    kind: 'refusal',
    choice: 0,
    text: "The harbour's locks are not to be picked.",
  })
  assert.equal(
    heard('duplicate-message-start.chunks.txt').filter((event) => event.kind === 'start').length,
    1,
  )
  assert.deepEqual(heard('stream-error.sse').at(-1), {
    kind: 'error',
    message: 'Overloaded at host-17',
    code: 'overloaded_error',
  })
})

test('what is no event gives none', () => {
  const decoder = anthropicMessages.createStreamDecoder()
  for (const data of [
    '[DONE]',
    'x',
    '7',
    '{}',
    '{"type":"ping"}',
    '{"type":"content_block_delta"}',
    '{"type":"content_block_stop"}',
  ])
    assert.deepEqual(decoder.feed({ name: null, data }), [])
})

test('every reason to stop goes both ways, and an unknown one is a stop with its own word', () => {
  const words = [
    'end_turn',
    'max_tokens',
    'stop_sequence',
    'tool_use',
    'pause_turn',
    'refusal',
    'model_context_window_exceeded',
    'compaction',
  ]
  for (const word of words) {
    const body = { content: [], stop_reason: word, usage: { input_tokens: 1, output_tokens: 1 } }
    const answer = anthropicMessages.decodeAnswer(body)
    assert.ok(answer.ok)
    assert.equal(anthropicMessages.encodeAnswer(answer.value, CONTEXT)['stop_reason'], word)
  }
  const odd = anthropicMessages.decodeAnswer({ content: [], stop_reason: 'moonrise' })
  assert.ok(odd.ok)
  assert.deepEqual([odd.value.choices[0]?.finish, odd.value.choices[0]?.finishRaw], ['stop', 'moonrise'])
})

const at = (part: Partial<NeutralEvent> & { kind: NeutralEvent['kind'] }): NeutralEvent =>
  ({ choice: 0, ...part }) as NeutralEvent

describe('a stream of another format in this one', () => {
  const said: readonly NeutralEvent[] = [
    { kind: 'start', id: 'chatcmpl-1', model: 'gpt-x', createdSeconds: 1 },
    at({ kind: 'reasoning', text: 'Hm.' }),
    at({ kind: 'reasoning_seal', encrypted: 'e', origin: 'openai' }),
    at({ kind: 'text', text: 'A' }),
    at({ kind: 'text', text: 'B' }),
    at({ kind: 'citation', citation: { url: 'https://a.example', title: null, quote: null } }),
    at({ kind: 'tool_begin', index: 0, id: 'call:1', name: 'tide' }),
    at({ kind: 'tool_arguments', index: 0, fragment: '{}' }),
    at({ kind: 'finish', finish: 'stop', finishRaw: 'stop' }),
    {
      kind: 'usage',
      serviceTier: 'default',
      usage: {
        counts: {
          input: 5,
          cache_read: 3,
          cache_write_5m: 2,
          cache_write_1h: 1,
          input_image: 4,
          output: 6,
          output_audio: 1,
        },
        reasoning: 2,
        calls: { web_search: 1 },
        others: [],
        exact: true,
        flags: [],
      },
    },
  ]
  const events = wire(say(FORMAT, said, { ...CONTEXT, annotate: () => ({ charge: '1' }) }))

  test('blocks open and close in turn, and never overlap', () => {
    assert.deepEqual(
      events.map(
        (event) => event['type'] + (typeof event['index'] === 'number' ? String(event['index']) : ''),
      ),
      [
        'message_start',
        'content_block_start0',
        'content_block_delta0',
        'content_block_stop0',
        'content_block_start1',
        'content_block_delta1',
        'content_block_delta1',
        'content_block_delta1',
        'content_block_stop1',
        'content_block_start2',
        'content_block_delta2',
        'content_block_stop2',
        'message_delta',
        'message_stop',
      ],
    )
  })
  test('a foreign seal is not passed off as a signature, an id fits, a forced call is tool_use', () => {
    assert.ok(!JSON.stringify(events).includes('signature_delta'))
    const call = events.find((event) => event['index'] === 2)?.['content_block']
    assert.ok(isObject(call))
    assert.match(String(call['id']), /^[a-zA-Z0-9_-]+$/)
    const last = events.at(-2)?.['delta']
    assert.deepEqual(last, { stop_reason: 'tool_use', stop_details: null, stop_sequence: null })
  })
  test('message_delta carries all figures, and the note', () => {
    assert.deepEqual(events.at(-2)?.['usage'], {
      input_tokens: 9,
      cache_creation_input_tokens: 3,
      cache_read_input_tokens: 3,
      cache_creation: { ephemeral_5m_input_tokens: 2, ephemeral_1h_input_tokens: 1 },
      output_tokens: 7,
      output_tokens_details: { thinking_tokens: 2 },
      server_tool_use: { web_search_requests: 1, web_fetch_requests: 0 },
      service_tier: 'standard',
      tf: { charge: '1' },
    })
  })
  test('calls without ids are told apart', () => {
    const begin = (index: number) => at({ kind: 'tool_begin', index, id: '', name: 'n' })
    const ids = wire(say(FORMAT, [begin(0), begin(1)]))
      .map((event) => event['content_block'])
      .filter(isObject)
      .map((block) => block['id'])
    assert.deepEqual(ids, ['toolu_req_conformance_0', 'toolu_req_conformance_1'])
  })
  test('a refusal in words is a refusal, even when nothing else came', () => {
    const refused = wire(
      say(FORMAT, [
        at({ kind: 'refusal', text: 'No.' }),
        at({ kind: 'finish', finish: 'stop', finishRaw: 'stop' }),
      ]),
    )
    assert.deepEqual(
      refused.map((event) => event['type']),
      ['message_start', 'message_delta', 'message_stop'],
    )
    assert.deepEqual(refused[1]?.['delta'], {
      stop_reason: 'refusal',
      stop_details: { type: 'refusal', category: null, explanation: 'No.' },
      stop_sequence: null,
    })
  })
  test('after an error, which is told in words of ours, nothing more is sent', () => {
    const encoder = anthropicMessages.createStreamEncoder(CONTEXT)
    encoder.push(at({ kind: 'text', text: 'A' }))
    const told = encoder.push({ kind: 'error', message: 'key sk-secret', code: null })
    assert.match(told, /^event: error\n/)
    assert.ok(!told.includes('sk-secret'))
    assert.equal(encoder.push(at({ kind: 'text', text: 'B' })) + encoder.end(), '')
  })
  test('other choices than the first are not mixed into it', () => {
    assert.equal(
      anthropicMessages.createStreamEncoder(CONTEXT).push({ kind: 'text', choice: 1, text: 'B' }),
      '',
    )
  })
  test('thinking that is not shown keeps its signature', () => {
    const seal = at({ kind: 'reasoning_seal', signature: 's', origin: 'anthropic' })
    const types = wire(say(FORMAT, [seal])).map((event) => event['type'])
    assert.deepEqual(types.slice(1, 4), ['content_block_start', 'content_block_delta', 'content_block_stop'])
  })
})

test('a stream that is cut says max_tokens, ends, and gives clients the figures they demand', () => {
  const first =
    splitEvents(say(FORMAT, [{ kind: 'start', id: 'a', model: 'm', createdSeconds: 1 }]))[0] ?? null
  const ending = wire(lengthEnding(first))
  assert.deepEqual(ending, [
    {
      type: 'message_delta',
      delta: { stop_reason: 'max_tokens', stop_sequence: null },
      usage: { output_tokens: 0 },
    },
    { type: 'message_stop' },
  ])
  assert.equal(wire(lengthEnding(null))[0]?.['type'], 'message_start')
  assert.deepEqual(wire(lengthEnding(Buffer.from('data: x\n\n'))), ending)
})

test('a keep-alive is a ping that gives no event', () => {
  const { events, forwarded } = hear(FORMAT, Buffer.from(PING))
  assert.deepEqual([events, forwarded.toString()], [[], PING])
})
