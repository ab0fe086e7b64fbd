import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  fixture,
  fixtures,
  isError,
  isStream,
  json,
  object,
  samples,
  streamText,
} from '../../../test/fixtures/gemini-generate/read.ts'
import { isArray, isObject, type Json } from '../../kernel/index.ts'
import type { NeutralAnswer, NeutralEvent } from '../neutral.ts'
import type { EncoderContext } from '../protocol.ts'
import { eventData, splitEvents } from '../sse.ts'
import { readAnswer } from './answer.ts'
import { decodeAnswer } from './decode-answer.ts'
import { createStreamDecoder } from './decode-stream.ts'
import { encodeAnswer } from './encode-answer.ts'
import { createStreamEncoder } from './encode-stream.ts'

const CONTEXT: EncoderContext = {
  requestId: 'req_1',
  requestedModel: 'gemini-ours',
  createdSeconds: 0,
  wantsUsage: true,
  requestBody: {},
  annotate: () => ({ charge: '0.5' }),
}

function decode(text: string): NeutralAnswer {
  const result = decodeAnswer(object(text))
  assert.ok(result.ok)
  return result.value
}

const all = [...fixtures, ...samples]
const answers = all.filter((file) => !isStream(file) && !isError(file))
const streams = all.filter((file) => isStream(file) && !isError(file))

function dataOf(text: string): string[] {
  return splitEvents(Buffer.from(text)).flatMap((event) => eventData(event) ?? [])
}

function eventsOf(data: readonly string[]): NeutralEvent[] {
  const decoder = createStreamDecoder()
  return data.flatMap((text) => [...decoder.feed({ name: null, data: text })])
}

function written(events: readonly NeutralEvent[], context: EncoderContext = CONTEXT): string {
  const encoder = createStreamEncoder(context)
  return events.map((event) => encoder.push(event)).join('') + encoder.end()
}

/** What a stream said, whatever its pieces: texts joined, the last usage, each finish. */
function summary(events: readonly NeutralEvent[]): unknown {
  const joined: NeutralEvent[] = []
  for (const event of events) {
    const last = joined.at(-1)
    const joinable =
      (event.kind === 'text' || event.kind === 'reasoning') &&
      last?.kind === event.kind &&
      last.choice === event.choice &&
      !('logprobs' in event)
    if (joinable && (last.kind === 'text' || last.kind === 'reasoning'))
      joined[joined.length - 1] = { ...last, text: last.text + event.text }
    else if (event.kind !== 'usage') joined.push(event)
  }
  const usage = events.findLast((event) => event.kind === 'usage')
  const rank = (event: NeutralEvent): number =>
    event.kind === 'citation' ? 1 : event.kind === 'finish' ? 2 : 0
  return { events: joined.sort((a, b) => rank(a) - rank(b)), usage }
}

test('an answer decoded, encoded and decoded again is the same answer', () => {
  assert.ok(answers.length >= 12)
  for (const { name, text } of answers) {
    const first = decode(text)
    const encoded = encodeAnswer(first, CONTEXT)
    const second = decodeAnswer(encoded)
    assert.ok(second.ok)
    // A share that was worked out is a plain number the second time.
    const plain = { exact: true, flags: [] }
    const usage = first.usage === null ? null : { ...first.usage, ...plain }
    assert.deepEqual({ ...second.value, dropped: first.dropped }, { ...first, usage }, name)
    const written = encoded['usageMetadata']
    assert.ok(isObject(written))
    assert.deepEqual(written['tf'], { charge: '0.5' }, name)
  }
})

test('a stream decoded, encoded and decoded again says the same, in both framings', () => {
  assert.ok(streams.length >= 5)
  for (const file of streams) {
    const events = eventsOf(dataOf(streamText(file)))
    const sse = written(events)
    assert.deepEqual(summary(eventsOf(dataOf(sse))), summary(events), file.name)
    const array = json(written(events, { ...CONTEXT, frame: 'array' }))
    assert.ok(isArray(array))
    assert.deepEqual(array, dataOf(sse).map(json), file.name)
  }
})

test('what is written for clients is Google’s framing: one line of data, CR LF CR LF, no comment, no end mark', () => {
  for (const file of streams) {
    const text = written(eventsOf(dataOf(streamText(file))))
    assert.ok(text.endsWith('\r\n\r\n'))
    for (const event of text.split('\r\n\r\n').slice(0, -1)) assert.match(event, /^data: \{[^\r\n]*\}$/)
  }
})

test('the last object of a written stream has the reason, the usage and the charge, which is asked for once', () => {
  let asked = 0
  const text = written(eventsOf(dataOf(fixture('stream.sse'))), {
    ...CONTEXT,
    annotate: () => {
      asked++
      return { charge: '0.5' }
    },
  })
  const objects = dataOf(text).map(object)
  assert.equal(asked, 1)
  assert.ok(objects.slice(0, -1).every((body) => !JSON.stringify(body).includes('finishReason')))
  assert.deepEqual(objects.at(-1), {
    candidates: [{ content: { parts: [{ text: '' }], role: 'model' }, finishReason: 'STOP', index: 0 }],
    usageMetadata: {
      promptTokenCount: 16,
      candidatesTokenCount: 23,
      thoughtsTokenCount: 30,
      totalTokenCount: 69,
      promptTokensDetails: [{ modality: 'TEXT', tokenCount: 16 }],
      serviceTier: 'standard',
      tf: { charge: '0.5' },
    },
    modelVersion: 'gemini-2.5-flash',
    responseId: 'c3RyZWFtLTAwMDE',
  })
})

test('a stream and a whole answer of the same words say the same', () => {
  const events = eventsOf(dataOf(streamText({ name: 'g.txt', text: fixture('grounded.chunks.txt') })))
  const answer = decode(fixture('grounded.json'))
  const text = events.map((event) => (event.kind === 'text' ? event.text : '')).join('')
  const [choice] = answer.choices
  const [part] = choice?.parts ?? []
  assert.ok(part?.kind === 'text')
  assert.equal(part.text, text)
  assert.deepEqual(
    events.flatMap((event) => (event.kind === 'citation' ? [event.citation] : [])),
    part.citations,
  )
  const usage = events.findLast((event) => event.kind === 'usage')
  assert.deepEqual(usage?.usage, answer.usage)
})

test('thoughts and their signatures come through, on thoughts, texts and calls', () => {
  const kinds = eventsOf(dataOf(streamText({ name: 't.txt', text: fixture('thinking.chunks.txt') })))
    .filter(({ kind }) => kind !== 'usage')
    .map((event) =>
      event.kind === 'reasoning_seal' ? `seal ${event.signature} ${event.origin}` : event.kind,
    )
  assert.deepEqual(kinds, [
    'start',
    'reasoning',
    'text',
    'text',
    'seal c2lnbmF0dXJlLW9mLXRoZS1vYXJz gemini',
    'finish',
  ])
  const calls = eventsOf(dataOf(streamText({ name: 'c.txt', text: fixture('tool-call.chunks.txt') })))
  const begins = calls.filter((event) => event.kind === 'tool_begin')
  assert.deepEqual(
    begins.map(({ index, id, name, signature }) => [index, id, name, signature]),
    [
      [0, 'call_Y2FsbC0wMDAx_0', 'tide_table', 'c2lnbmF0dXJlLW9mLXRpZGVz'],
      [1, 'call_Y2FsbC0wMDAx_1', 'tide_table', undefined],
      [2, 'call_Y2FsbC0wMDAx_2', 'moon_phase', undefined],
    ],
  )
  const fragments = calls.flatMap((event) => (event.kind === 'tool_arguments' ? [event.fragment] : []))
  assert.deepEqual(fragments, ['{"harbour":"Husum","days":2}', '{"harbour":"Büsum","days":2}', '{}'])
  const finish = calls.find((event) => event.kind === 'finish')
  assert.deepEqual(finish, { kind: 'finish', choice: 0, finish: 'tool_calls', finishRaw: 'STOP' })
})

test('a blocked prompt is an empty, filtered answer whose input is billed, whole and streamed', () => {
  const text = fixture('blocked-prompt.json')
  const read = readAnswer(text)
  assert.ok(read.ok)
  assert.equal(read.answer.hasOutput, false)
  const { choices, usage } = decode(text)
  assert.deepEqual(choices, [{ parts: [], finish: 'content_filter', finishRaw: 'PROHIBITED_CONTENT' }])
  assert.deepEqual(usage?.counts, { input: 17 })
  const events = eventsOf([text])
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['start', 'finish', 'usage'],
  )
})

test('metering reads what it needs of a whole answer', () => {
  const read = (name: string) => {
    const result = readAnswer(fixture(name))
    assert.ok(result.ok, name)
    const { servedModel, serviceTier, hasOutput, tokensEstimated } = result.answer
    return [servedModel, serviceTier, hasOutput, tokensEstimated]
  }
  assert.deepEqual(read('text.json'), ['gemini-2.5-flash', 'standard', true, 10])
  assert.deepEqual(read('max-tokens-empty.json'), ['gemini-2.5-pro', 'flex', false, 0])
  assert.deepEqual(read('model-armor.json'), ['gemini-2.5-flash', 'standard', false, 0])
  assert.deepEqual(read('image.json').slice(2), [true, 1296])
  assert.equal(read('parallel-calls.json')[2], true)
})

test('what is no answer is told with the upstream’s words', () => {
  const message = (text: string): string => {
    const read = readAnswer(text)
    assert.ok(!read.ok)
    return read.message
  }
  assert.equal(message('<html>'), 'the answer is not JSON')
  assert.equal(message('[]'), 'the answer is no object')
  assert.equal(message('{}'), 'the answer has no candidates')
  assert.match(message(fixture('error-404-model.json')), /gemini-0/)
  assert.match(message(fixture('error-503-array.json')), /too much to do/)
})

test('log probabilities and two candidates come through', () => {
  const { choices } = decode(fixture('two-candidates-logprobs.json'))
  assert.deepEqual(
    choices.map(({ finish }) => finish),
    ['stop', 'length'],
  )
  assert.deepEqual(choices[0]?.logprobs, [
    {
      token: 'Ebb',
      logprob: -0.1,
      bytes: null,
      top: [
        { token: 'Ebb', logprob: -0.1, bytes: null },
        { token: 'Flow', logprob: -2.4, bytes: null },
      ],
    },
  ])
  const events = eventsOf([fixture('two-candidates-logprobs.json')])
  const texts = events.filter((event) => event.kind === 'text')
  assert.deepEqual(texts[0]?.logprobs, choices[0]?.logprobs)
  assert.deepEqual(
    texts.map(({ choice }) => choice),
    [0, 1],
  )
})

test('what Google’s own tools did stands in the text, and an image in a stream is a link with its bytes', () => {
  const { choices } = decode(fixture('code-execution.json'))
  const text = (choices[0]?.parts ?? []).map((part) => (part.kind === 'text' ? part.text : '')).join('')
  assert.equal(text, '\n```python\nprint(3 * 14)\n```\n\n```\n42\n\n```\nIt is 42.')
  const image = decode(fixture('image.json')).choices[0]?.parts.find((part) => part.kind === 'image')
  assert.ok(image !== undefined)
  const streamed = eventsOf([fixture('image.json')]).flatMap((event) =>
    event.kind === 'text' ? [event.text] : [],
  )
  assert.deepEqual(streamed, ['Here is the lighthouse.', '![image](data:image/png;base64,iVBORw0KGgo=)'])
})

test('an answer of another model becomes one of Google’s: thinking shown but not sealed, calls whole, ids kept', () => {
  const events: NeutralEvent[] = [
    { kind: 'start', id: 'msg_1', model: 'claude-x', createdSeconds: 1_700_000_000 },
    { kind: 'reasoning', choice: 0, text: 'hm' },
    { kind: 'reasoning_seal', choice: 0, signature: 'sealed', origin: 'anthropic' },
    { kind: 'tool_begin', choice: 0, index: 0, id: 'toolu_1', name: 'tide' },
    { kind: 'tool_arguments', choice: 0, index: 0, fragment: '{"h":' },
    { kind: 'tool_arguments', choice: 0, index: 0, fragment: '1}' },
    { kind: 'tool_begin', choice: 0, index: 1, id: 'toolu_2', name: 'moon' },
    { kind: 'finish', choice: 0, finish: 'tool_calls', finishRaw: 'tool_use' },
  ]
  const bodies = dataOf(written(events)).map(object)
  const parts = bodies.flatMap((body) => {
    const candidates = body['candidates']
    const first = isArray(candidates) ? candidates[0] : null
    const content = isObject(first) ? first['content'] : null
    return isObject(content) && isArray(content['parts']) ? content['parts'] : []
  })
  assert.deepEqual(parts, [
    { text: 'hm', thought: true },
    { functionCall: { id: 'toolu_1', name: 'tide', args: { h: 1 } } },
    { functionCall: { id: 'toolu_2', name: 'moon', args: {} } },
    { text: '' },
  ])
  assert.equal(bodies[0]?.['createTime'], '2023-11-14T22:13:20.000Z')
  assert.equal(bodies[0]?.['responseId'], 'msg_1')
})

test('an answer without id and model is given ours', () => {
  const [body] = dataOf(written([{ kind: 'text', choice: 0, text: 'a' }])).map(object)
  assert.equal(body?.['responseId'], 'req_1')
  assert.equal(body?.['modelVersion'], 'gemini-ours')
})

test('after an error nothing more is written, and an array is closed', () => {
  const events: NeutralEvent[] = [
    { kind: 'text', choice: 0, text: 'a' },
    { kind: 'error', message: 'broke off', code: null },
    { kind: 'text', choice: 0, text: 'b' },
  ]
  const expected = { error: { code: 502, message: 'broke off', status: 'UNAVAILABLE' } }
  assert.deepEqual(object(dataOf(written(events)).at(-1) ?? ''), expected)
  const array = json(written(events, { ...CONTEXT, frame: 'array' }))
  assert.ok(isArray(array) && array.length === 2)
  assert.deepEqual(array[1], expected)
  assert.equal(written([], { ...CONTEXT, frame: 'array' }), '[]\n')
})

test('an error in a stream is told once, and what is no JSON says nothing', () => {
  const data = dataOf(fixture('stream-error.sse'))
  assert.deepEqual(eventsOf(data).at(-1), {
    kind: 'error',
    message: 'The model has too much to do just now.',
    code: 'UNAVAILABLE',
  })
  const nothing: Json[] = []
  assert.deepEqual(eventsOf(['[DONE]', '{', '7', 'null']), nothing)
})

test('a recorded tool call keeps its long signature', (t) => {
  const sample = samples.find(({ name }) => name === 'gemini-tool-call3.chunks.txt')
  if (sample === undefined) return t.skip('the recorded answers are not beside this checkout')
  const begin = eventsOf(dataOf(streamText(sample))).find((event) => event.kind === 'tool_begin')
  assert.ok(begin !== undefined && (begin.signature?.length ?? 0) > 1_000)
  assert.ok(sample.text.includes(begin.signature ?? '?'))
})
