import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Recording, recordingsOf, streamBytes } from '../../../test/protocols/recordings.ts'
import type { Format } from '../../../test/protocols/registry.ts'
import { isObject, type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { StreamState } from '../protocol.ts'
import { EVENT_BYTES_MAX, eventData, splitEvents } from '../sse.ts'
import { anthropicMessages } from './index.ts'
import { createStreamReader } from './stream-reader.ts'

const STREAMS = recordingsOf(anthropicMessages as Format).streams

interface Passed {
  readonly forward: Buffer
  readonly events: Buffer
  readonly output: boolean
  readonly state: StreamState
}

function pass(chunks: readonly Buffer[], annotate: (usage: Json) => JsonObject | null = () => null): Passed {
  const reader = createStreamReader({ wantsUsage: true, annotate })
  const forward: Buffer[] = []
  const events: Buffer[] = []
  let output = false
  for (const fed of [...chunks.map((chunk) => reader.feed(chunk)), reader.flush()]) {
    assert.ok(fed.ok)
    if (fed.forward !== null) forward.push(fed.forward)
    if (fed.events !== null) events.push(fed.events)
    output ||= fed.output
  }
  return { forward: Buffer.concat(forward), events: Buffer.concat(events), output, state: reader.state }
}

const fixture = (file: string): Recording => {
  const found = STREAMS.find((one) => one.file === file && !one.recorded)
  assert.ok(found, file)
  return found
}

const whole = (file: string): Buffer => streamBytes(fixture(file))

function sse(...events: readonly Json[]): Buffer {
  return Buffer.from(
    events
      .map(
        (event) =>
          `event: ${isObject(event) ? String(event['type']) : ''}\ndata: ${JSON.stringify(event)}\n\n`,
      )
      .join(''),
  )
}

const START = {
  type: 'message_start',
  message: { model: 'claude-a', usage: { input_tokens: 8, output_tokens: 1 } },
}
const delta = (text: string) => ({
  type: 'content_block_delta',
  index: 0,
  delta: { type: 'text_delta', text },
})
const LAST = { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 7 } }
const STOP = { type: 'message_stop' }

describe('every stream, cut at every byte, is forwarded, counted and metered as the whole', () => {
  for (const recording of STREAMS) {
    const bytes = streamBytes(recording)
    test(recording.label, () => {
      const once = pass([bytes])
      const note = () => ({ charge: '0.01' })
      const noted = pass([bytes], note)
      if (once.state.error === null) assert.deepEqual(once.forward, bytes)
      const state = { ...once.state, delivered: { ...once.state.delivered, tokens: 0 } }
      for (let cut = 1; cut < bytes.length; cut++) {
        const halves = pass([bytes.subarray(0, cut), bytes.subarray(cut)])
        assert.deepEqual(halves.forward, once.forward, `cut at ${cut}`)
        assert.deepEqual(
          { ...halves.state, delivered: { ...halves.state.delivered, tokens: 0 } },
          state,
          `cut at ${cut}`,
        )
        assert.ok(Math.abs(halves.state.delivered.tokens - once.state.delivered.tokens) < 1e-6)
        if (cut % 7 === 0)
          assert.deepEqual(pass([bytes.subarray(0, cut), bytes.subarray(cut)], note).forward, noted.forward)
      }
    })
  }
})

test('line ends of all kinds, comments, and a missing last blank line change nothing', () => {
  const plain = whole('text.chunks.txt').toString()
  for (const bytes of [
    plain.replaceAll('\n', '\r\n'),
    plain.replaceAll('\n', '\r'),
    plain.replaceAll('\n\n', '\n\n: keep\n\n'),
    plain.trimEnd(),
    plain.replaceAll('data: ', 'data:'),
  ]) {
    const { state } = pass([Buffer.from(bytes)])
    assert.deepEqual([state.finishSeen, state.doneSeen, state.error], [true, true, null])
    assert.deepEqual(state.usage, pass([Buffer.from(plain)]).state.usage)
    assert.equal(state.delivered.events, 3)
  }
})

test('a multi-line event is one event', () => {
  const event = JSON.stringify(LAST).replace('"usage"', '\ndata: "usage"')
  const bytes = Buffer.concat([sse(START), Buffer.from(`event: message_delta\ndata: ${event}\n\n`)])
  assert.deepEqual(pass([bytes]).state.usage, { input_tokens: 8, output_tokens: 7 })
})

test('half an event at the end of a broken stream is not passed on', () => {
  const bytes = Buffer.concat([
    sse(START, delta('Half')),
    Buffer.from('event: content_block_delta\ndata: {"ty'),
  ])
  const { forward, state } = pass([bytes])
  assert.deepEqual(forward, sse(START, delta('Half')))
  assert.deepEqual([state.finishSeen, state.doneSeen], [false, false])
})

test('only the event with the last usage is written anew, and gets the note inside its usage', () => {
  const bytes = whole('thinking-stream.sse')
  const seen: Json[] = []
  const { forward } = pass([bytes], (usage) => {
    seen.push(usage)
    return { charge: '0.0042', currency: 'USD' }
  })
  const events = splitEvents(forward)
  const before = splitEvents(bytes)
  assert.equal(events.length, before.length)
  const changed = events.filter((event, index) => !event.equals(before[index] ?? Buffer.alloc(0)))
  assert.equal(changed.length, 1)
  const parsed = parseJson(eventData(changed[0] ?? Buffer.alloc(0)) ?? '')
  assert.ok(parsed.ok && isObject(parsed.value))
  assert.deepEqual(parsed.value['usage'], {
    input_tokens: 51,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    output_tokens: 33,
    tf: { charge: '0.0042', currency: 'USD' },
  })
  // The note is worked out from all that the stream reported, the start included.
  assert.equal(seen.length, 1)
  assert.ok(isObject(seen[0]) && seen[0]['service_tier'] === 'standard')
})

test('a note keeps the line ends of the stream', () => {
  const { forward } = pass([whole('crlf-comments.sse')], () => ({ charge: '1' }))
  assert.match(forward.toString(), /event: message_delta\r\ndata: \{.*"tf":\{"charge":"1"\}\}\}\r\n\r\n/)
})

test('unknown events and members pass untouched', () => {
  const bytes = sse(
    { ...START, novelty: [1] },
    { type: 'message_hint', text: 'x' },
    { type: 'future' },
    LAST,
    STOP,
  )
  assert.deepEqual(pass([bytes]).forward, bytes)
})

test('an error event and all after it is kept back, and its message is not for customers', () => {
  const { forward, events, state } = pass([
    Buffer.concat([whole('stream-error.sse'), sse(delta('late'), STOP)]),
  ])
  assert.ok(!forward.includes('error') && !forward.includes('late'))
  assert.ok(events.includes('host-17'), 'a translation sees it')
  assert.equal(state.error, 'Overloaded at host-17')
  assert.equal(state.doneSeen, false)
  assert.equal(state.delivered.events, 1)
  for (const error of [{ error: { message: 'Bad relay' } }, { type: 'error', error: 'x' }, { type: 'error' }])
    assert.notEqual(pass([sse(START, error)]).state.error, null)
})

test('text that looks like an event or an error is text', () => {
  const bytes = sse(
    START,
    delta('"error":{} "type":"message_stop" "usage":{"output_tokens":9}'),
    delta('"message_delta"'),
  )
  const { state, forward } = pass([bytes])
  assert.deepEqual(forward, bytes)
  assert.deepEqual([state.error, state.doneSeen, state.finishSeen], [null, false, false])
  assert.deepEqual(state.usage, START.message.usage)
})

test('a repeated or spliced message_start adds nothing', () => {
  const twice = pass([sse(START, START, delta('x'), LAST, STOP)]).state
  assert.deepEqual(twice.usage, { input_tokens: 8, output_tokens: 7 })
  const late = {
    type: 'message_start',
    message: { model: 'claude-b', usage: { input_tokens: 99, output_tokens: 1, service_tier: 'batch' } },
  }
  const { usage, servedModel, serviceTier } = pass([sse(START, delta('x'), LAST, late, STOP)]).state
  assert.deepEqual(usage, { input_tokens: 8, output_tokens: 7, service_tier: 'batch' })
  assert.deepEqual([servedModel, serviceTier], ['claude-a', 'batch'])
})

test('a stream that breaks off has the figures of its start, and says how far they reach', () => {
  const head = sse(START)
  const { state } = pass([head, sse(delta('some'), delta(' text'))])
  assert.equal(state.usageSeen, true)
  assert.equal(state.usageAtBytes, head.length)
  assert.equal(state.delivered.events, 2)
})

test('all that the model writes is counted once; what tools bring in is not', () => {
  const block = (index: number, content_block: JsonObject) => ({
    type: 'content_block_start',
    index,
    content_block,
  })
  const piece = (members: JsonObject) => ({ type: 'content_block_delta', index: 0, delta: members })
  const count = (...events: Json[]) => pass([sse(START, ...events)]).state.delivered
  assert.equal(count(block(0, { type: 'text', text: '' })).events, 0)
  assert.equal(count(block(0, { type: 'text', text: 'abc' })).bytes, 3)
  assert.equal(count(block(0, { type: 'tool_use', id: 'toolu_long', name: 'tide', input: {} })).bytes, 4)
  assert.equal(count(block(0, { type: 'tool_use', id: 'x', name: 'tide', input: { a: [1] } })).bytes, 4 + 9)
  assert.equal(count(piece({ type: 'thinking_delta', thinking: 'çé' })).bytes, 4)
  assert.equal(count(piece({ type: 'input_json_delta', partial_json: '{"a":"b}' })).events, 1)
  assert.equal(count(piece({ type: 'input_json_delta', partial_json: '' })).events, 0)
  assert.equal(count(piece({ type: 'compaction_delta', content: 'So far.' })).bytes, 7)
  const citation = { type: 'web_search_result_location', cited_text: 'long', url: 'u', title: 't' }
  assert.equal(count(piece({ type: 'citations_delta', citation })).events, 0)
  const redacted = count(block(0, { type: 'redacted_thinking', data: 'opaque' }))
  assert.deepEqual([redacted.events, redacted.tokens], [1, 0])
  const content = [{ type: 'web_search_result', title: 'long title', content: 'x', text: 'y' }]
  assert.equal(count(block(0, { type: 'web_search_tool_result', tool_use_id: 's', content })).events, 0)
  assert.equal(count(LAST).events, 0)
})

test('an event that never ends is refused before it fills the memory', () => {
  const reader = createStreamReader({ wantsUsage: true, annotate: () => null })
  const fed = reader.feed(Buffer.alloc(EVENT_BYTES_MAX + 1, 0x61))
  assert.deepEqual(fed, { ok: false, reason: 'event_too_large' })
})
