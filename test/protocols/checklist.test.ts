import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JsonObject } from '../../src/kernel/index.ts'
import { PROTOCOLS } from '../../src/protocols/index.ts'
import { eventData, splitEvents } from '../../src/protocols/sse.ts'
import { billOf, readingOf } from '../billing/bill.ts'
import {
  chat,
  chatStream,
  gemini,
  messages,
  messagesStream,
  responses,
  responsesStream,
} from '../billing/bodies.ts'
import { PRICE } from '../billing/cost-case.ts'
import { recordingsOf, streamBytes } from './recordings.ts'
import { FORMATS, type Format } from './registry.ts'
import { REQUESTS } from './requests.ts'
import { hear, say } from './speak.ts'

/**
 * The checklist of what a gateway must get right, one test an item; these need no sockets. The others are in
 * checklist-gateway.test.ts.
 */

const CHAT = PROTOCOLS['openai-chat'] as Format
const RESPONSES = PROTOCOLS['openai-responses'] as Format
const MESSAGES = PROTOCOLS['anthropic-messages'] as Format
const GEMINI = PROTOCOLS['gemini-generate'] as Format

const geminiStream = (end = '\n\n'): string =>
  ['Alto mar é às ', '06:12 満潮 🌊']
    .map((text, part) => ({
      candidates: [
        {
          content: { role: 'model', parts: [{ text }] },
          index: 0,
          ...(part === 1 ? { finishReason: 'STOP' } : {}),
        },
      ],
      usageMetadata: {
        promptTokenCount: 9,
        candidatesTokenCount: 4 * (part + 1),
        totalTokenCount: 13 + 4 * part,
      },
      modelVersion: 'm',
    }))
    .map((body) => `data: ${JSON.stringify(body)}${end}`)
    .join('')

const STREAMS: ReadonlyArray<readonly [Format, string]> = [
  [CHAT, chatStream({ prompt_tokens: 9, completion_tokens: 8, total_tokens: 17 })('m').text],
  [RESPONSES, responsesStream({ input_tokens: 9, output_tokens: 8, total_tokens: 17 })('m').text],
  [MESSAGES, messagesStream({ input_tokens: 9, output_tokens: 1 }, { output_tokens: 8 })('m').text],
  [GEMINI, geminiStream()],
]

/** The same events as other servers would frame them. */
const FRAMINGS: ReadonlyArray<readonly [string, (stream: string) => string]> = [
  ['LF', (stream) => stream],
  ['CRLF', (stream) => stream.replaceAll('\n', '\r\n')],
  ['CR', (stream) => stream.replaceAll('\n', '\r')],
  ['comments', (stream) => `: hello\n\n${stream.replaceAll('\n\n', '\n\n: still here\n\n')}`],
  ['pings', (stream) => stream.replaceAll('\n\n', '\n\nevent: ping\ndata: {"type": "ping"}\n\n')],
  ['no last blank line', (stream) => stream.trimEnd()],
  ['lines padded with spaces', (stream) => stream.replaceAll('}\n\n', '}      \n\n')],
  ['no space after the colon', (stream) => stream.replaceAll('data: ', 'data:')],
  ['data over several lines', (stream) => stream.replaceAll('data: {"', 'data: {\ndata: "')],
]

function essence(format: Format, bytes: Buffer, cuts: readonly number[] = []): string {
  const { events, state } = hear(format, bytes, cuts)
  const text = events.map((event) => (event.kind === 'text' ? event.text : '')).join('')
  const { usage, finishSeen, servedModel, error } = state
  return JSON.stringify({ text, usage, finishSeen, servedModel, error })
}

test('§7.1 a stream means the same however it is framed, and wherever it is torn', () => {
  for (const [format, stream] of STREAMS) {
    const wanted = essence(format, Buffer.from(stream))
    assert.ok(wanted.includes('"finishSeen":true') && !wanted.includes('"text":""'), wanted)
    for (const [name, frame] of FRAMINGS) {
      const bytes = Buffer.from(frame(stream))
      for (let cut = 0; cut < bytes.length; cut++)
        assert.equal(essence(format, bytes, [cut]), wanted, `${format.name}, ${name}, torn at ${cut}`)
    }
  }
})

test('§7.2 what passes through is the bytes as they came, unknown events and fields included', () => {
  for (const [format, stream] of STREAMS) {
    // Gemini's clients know no names of events: there the name is left out.
    const name = format === GEMINI ? '' : 'event: future.event\n'
    const strange = `${name}data: {"type":"future.event","x":[1.50,"\\u00e9"]}\n\n${stream.replaceAll('"m"', '"m","zz_new" : {"kept": 1e2}')}`
    const bytes = Buffer.from(strange)
    const forwarded = hear(format, bytes, [7, 100, 101]).forwarded
    assert.equal(forwarded.toString('utf8'), strange, format.name)
  }
})

test('§7.3 streams in the manner of Gemini have no comments and no [DONE], and end in a blank line', () => {
  for (const [format, stream] of STREAMS) {
    const written = say(GEMINI, hear(format, Buffer.from(stream)).events).toString('utf8')
    const blocks = written.split(/\r?\n\r?\n/)
    assert.equal(blocks.pop(), '')
    assert.ok(blocks.length > 0 && blocks.every((block) => block.startsWith('data: {')), written)
    assert.ok(!written.includes('[DONE]'))
  }
  const fault = { status: 502, code: 'upstream_error', message: 'broke off', param: null, extra: {} }
  assert.match(GEMINI.streamError(fault), /^data: \{"error":.*\r?\n\r?\n$/s)
})

test('§7.10 usage is found wherever a provider puts it, and the last one counts', () => {
  const usage = { prompt_tokens: 9, completion_tokens: 8, total_tokens: 17 }
  const early = { prompt_tokens: 9, completion_tokens: 1, total_tokens: 10 }
  const chunk = (
    more: JsonObject,
    choice: JsonObject | null = { index: 0, delta: { content: 'tide' } },
  ): string =>
    `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'm', choices: choice === null ? [] : [choice], ...more })}\n\n`
  const end = { index: 0, delta: {}, finish_reason: 'stop' }
  const places: Readonly<Record<string, string>> = {
    'extra chunk': chunk({}) + chunk({}, end) + chunk({ usage }, null),
    'finish chunk': chunk({}) + chunk({ usage }, end),
    'inside the choice': chunk({}) + chunk({}, { ...end, usage }),
    x_groq: chunk({}) + chunk({ x_groq: { usage } }, end),
    'every chunk': chunk({ usage: early }) + chunk({ usage }, end),
    'null and then some': chunk({ usage: null }) + chunk({ usage: null }, end) + chunk({ usage }, null),
    'beside an error': chunk({ usage: null }) + chunk({ error: { code: 502, message: 'gone' }, usage }),
  }
  for (const [place, stream] of Object.entries(places)) {
    const read = CHAT.readUsage(hear(CHAT, Buffer.from(`${stream}data: [DONE]\n\n`)).state.usage)
    assert.ok(read.kind === 'reported', place)
    assert.deepEqual(read.usage.counts, { input: 9, output: 8 }, place)
  }
  for (const [format, stream] of STREAMS) {
    const read = format.readUsage(hear(format, Buffer.from(stream)).state.usage)
    assert.ok(read.kind === 'reported' && read.usage.counts.output === 8, format.name)
  }
})

// The checklist would estimate zeros too; attack A6 says that zero is a figure, and decision 0001 keeps to that.
test('§7.10 zero or no usage beside output is flagged, and no usage is counted by us', () => {
  const zero = billOf({
    reading: readingOf(CHAT, chat({ prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 })('m').text),
    price: PRICE,
  })
  assert.deepEqual(zero.flags, ['usage_zero_with_output'])
  const none = billOf({ reading: readingOf(CHAT, chat(null)('m').text), price: PRICE })
  assert.deepEqual([none.flags, none.usage?.source], [['usage_missing'], 'estimated'])
})

test('§7.11 cached tokens inside or outside the input, reasoning inside or outside the output', () => {
  const cached = { input: 100, cache_read: 50, output: 30 }
  const countsOf = (format: Format, text: string): unknown => {
    const { usage } = readingOf(format, text)
    return usage.kind === 'reported' ? usage.usage.counts : usage.kind
  }
  const details = { cached_tokens: 50 }
  const inside = chat({
    prompt_tokens: 150,
    prompt_tokens_details: details,
    completion_tokens: 30,
    total_tokens: 180,
  })
  assert.deepEqual(countsOf(CHAT, inside('m').text), cached)
  const items = { input_tokens: 150, input_tokens_details: details, output_tokens: 30, total_tokens: 180 }
  assert.deepEqual(countsOf(RESPONSES, responses(items)('m').text), cached)
  const beside = messages({ input_tokens: 100, cache_read_input_tokens: 50, output_tokens: 30 })
  assert.deepEqual(countsOf(MESSAGES, beside('m').text), cached)
  const thoughts = {
    promptTokenCount: 150,
    cachedContentTokenCount: 50,
    candidatesTokenCount: 10,
    thoughtsTokenCount: 20,
    totalTokenCount: 180,
  }
  assert.deepEqual(countsOf(GEMINI, gemini(thoughts)('m').text), cached)
  const reasoning = { completion_tokens_details: { reasoning_tokens: 20 } }
  const within = chat({ prompt_tokens: 9, completion_tokens: 30, total_tokens: 39, ...reasoning })
  assert.deepEqual(countsOf(CHAT, within('m').text), { input: 9, output: 30 })
  const outside = chat({ prompt_tokens: 9, completion_tokens: 10, total_tokens: 39, ...reasoning })
  assert.deepEqual(countsOf(CHAT, outside('m').text), { input: 9, output: 30 })
})

test('§7.13 every iteration is billed on its own model; what safety stopped after thinking is billed', () => {
  const usage = messages({
    input_tokens: 10,
    output_tokens: 5,
    iterations: [
      { type: 'compaction', model: 'a', input_tokens: 1000, output_tokens: 100 },
      { type: 'message', model: 'a', input_tokens: 10, output_tokens: 5 },
      { type: 'advisor_message', model: 'b', input_tokens: 20, output_tokens: 2 },
    ],
  })
  const bill = billOf({ reading: readingOf(MESSAGES, usage('a').text), price: PRICE })
  assert.equal(bill.usage?.counts.input, 1010)
  assert.deepEqual(bill.others, [{ model: 'b', counts: { input: 20, output: 2 } }])
  const armored = gemini(
    { promptTokenCount: 19, candidatesTokenCount: 6, thoughtsTokenCount: 27, totalTokenCount: 52 },
    { content: { role: 'model' }, finishReason: 'MODEL_ARMOR' },
  )
  const stopped = billOf({ reading: readingOf(GEMINI, armored('m').text), price: PRICE })
  // 19 × 2,000 and 33 × 8,000.
  assert.equal(stopped.totalNano, 302_000n)
})

test('§7.13 a refusal without output is free', () => {
  const refusal = messages({ input_tokens: 18, output_tokens: 5 }, { content: [], stopReason: 'refusal' })
  assert.equal(billOf({ reading: readingOf(MESSAGES, refusal('m').text), price: PRICE }).totalNano, 0n)
})

test('§7.16 a second message_start doubles nothing, and one after the last figures changes nothing', () => {
  const start = (input: number): string =>
    `event: message_start\ndata: ${JSON.stringify({ type: 'message_start', message: { id: 'x', type: 'message', role: 'assistant', model: 'm', content: [], usage: { input_tokens: input, output_tokens: 1 } } })}\n\n`
  const whole = messagesStream({ input_tokens: 41, output_tokens: 1 }, { output_tokens: 9 })('m').text
  const spliced = whole.replace('event: content_block_stop', `${start(41)}event: content_block_stop`)
  const late = whole.replace('event: message_stop', `${start(7)}event: message_stop`)
  for (const stream of [start(41) + whole, spliced, late]) {
    const { state, events } = hear(MESSAGES, Buffer.from(stream))
    const read = MESSAGES.readUsage(state.usage)
    assert.ok(read.kind === 'reported')
    assert.deepEqual(read.usage.counts, { input: 41, output: 9 })
    assert.equal(events.filter(({ kind }) => kind === 'text').length, 1)
  }
})

test('§7.25 calls of tools survive an index from 1, missing ids and arguments that never come', () => {
  const file = (format: Format, name: string) => {
    const recording = recordingsOf(format).streams.find((one) => one.file === name && !one.recorded)
    assert.ok(recording !== undefined, name)
    return hear(format, streamBytes(recording)).events
  }
  const sources = [
    file(CHAT, 'tool-index-from-1.sse'),
    file(CHAT, 'qwen-parallel-tools.chunks.txt'),
    file(MESSAGES, 'tool-no-args.chunks.txt'),
    file(GEMINI, 'tool-call.chunks.txt'),
  ]
  for (const events of sources) {
    const begun = events.flatMap((event) => (event.kind === 'tool_begin' ? [event] : []))
    assert.ok(begun.length > 0)
    assert.deepEqual(
      begun.map(({ index }) => index),
      begun.map((_, place) => place),
      'calls are counted from 0',
    )
    assert.ok(
      begun.every(({ id }) => id !== ''),
      'every call has an id',
    )
    for (const format of FORMATS) {
      const again = hear(format, say(format, events)).events
      const written = new Map<number, string>()
      for (const event of again)
        if (event.kind === 'tool_arguments')
          written.set(event.index, (written.get(event.index) ?? '') + event.fragment)
      for (const text of written.values()) assert.doesNotThrow(() => JSON.parse(text === '' ? '{}' : text))
      assert.equal(again.filter(({ kind }) => kind === 'tool_begin').length, begun.length, format.name)
    }
  }
})

test('§7.26 every reason to stop has a neutral word, and keeps its own', () => {
  const stop = (format: Format, text: string): readonly [string | undefined, string | undefined] => {
    const read = format.readAnswer(text)
    assert.ok(read.ok)
    const decoded = format.decodeAnswer(read.answer.body)
    assert.ok(decoded.ok)
    return [decoded.value.choices[0]?.finish, decoded.value.choices[0]?.finishRaw]
  }
  const neutral = new Set<string | undefined>()
  const chatWith = (reason: string): string =>
    chat(null)('m').text.replace('"finish_reason":"stop"', `"finish_reason":"${reason}"`)
  const rows: ReadonlyArray<readonly [Format, string, (reason: string) => string]> = [
    ...['stop', 'length', 'content_filter', 'tool_calls'].map((r) => [CHAT, r, chatWith] as const),
    ...[
      'end_turn',
      'max_tokens',
      'stop_sequence',
      'refusal',
      'pause_turn',
      'model_context_window_exceeded',
    ].map(
      (r) =>
        [
          MESSAGES,
          r,
          (stopReason: string) => messages({ input_tokens: 1, output_tokens: 1 }, { stopReason })('m').text,
        ] as const,
    ),
    ...['STOP', 'MAX_TOKENS', 'SAFETY', 'RECITATION', 'MODEL_ARMOR', 'MALFORMED_FUNCTION_CALL'].map(
      (r) =>
        [
          GEMINI,
          r,
          (finishReason: string) => gemini({ promptTokenCount: 1 }, { finishReason })('m').text,
        ] as const,
    ),
  ]
  for (const [format, reason, write] of rows) {
    const [finish, raw] = stop(format, write(reason))
    assert.ok(raw?.includes(reason), `${format.name} ${reason}: ${raw}`)
    assert.ok(finish !== undefined, reason)
    neutral.add(finish)
    if (/refusal|SAFETY|MODEL_ARMOR|content_filter/.test(reason)) assert.notEqual(finish, 'stop', reason)
  }
  assert.ok(neutral.size >= 4)
})

test('§7.27 a file that lies in one account is refused where it cannot be read, and never lost', () => {
  const file = REQUESTS.find(({ name }) => name === 'a file of another account')?.request
  assert.ok(file !== undefined)
  const call = { upstreamModel: 'm', stream: false, maxOutputTokens: 100, modelMaxOutputTokens: 100 }
  const results = FORMATS.map((format) => format.encodeRequest(file, call))
  for (const result of results)
    assert.ok(!result.ok || JSON.stringify(result.body).includes('file-123') || result.dropped.length > 0)
  assert.ok(
    results.some(({ ok }) => !ok),
    'some format has no such files',
  )
})

test('§7.1 an event is its data lines joined by line feeds', () => {
  const events = splitEvents(Buffer.from('data: {"a":\rdata:1}\r\r: x\n\nevent: y\r\ndata: 2\r\n\r\n'))
  assert.deepEqual(events.map(eventData), ['{"a":\n1}', null, '2'])
})
