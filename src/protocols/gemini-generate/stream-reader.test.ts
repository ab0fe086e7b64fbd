import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  fixture,
  fixtures,
  isStream,
  json,
  object,
  samples,
  streamText,
} from '../../../test/fixtures/gemini-generate/read.ts'
import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { eventData, splitEvents } from '../sse.ts'
import { EVENT_BYTES_MAX } from './event-cutter.ts'
import { createStreamReader } from './stream-reader.ts'

interface Outcome {
  readonly forward: string
  readonly events: string
  readonly state: ReturnType<typeof createStreamReader>['state']
}

type Options = Partial<Parameters<typeof createStreamReader>[0]>

function run(pieces: readonly Buffer[], options: Options = {}): Outcome {
  const reader = createStreamReader({ wantsUsage: true, annotate: () => null, ...options })
  const forward: Buffer[] = []
  const events: Buffer[] = []
  const results = [...pieces.map((piece) => reader.feed(piece)), reader.flush()]
  for (const result of results) {
    assert.ok(result.ok)
    if (result.forward !== null) forward.push(result.forward)
    if (result.events !== null) events.push(result.events)
  }
  const { state } = reader
  return { forward: Buffer.concat(forward).toString(), events: Buffer.concat(events).toString(), state }
}

const whole = (text: string, options: Options = {}): Outcome => run([Buffer.from(text)], options)

function splitAt(text: string, at: number): Buffer[] {
  const bytes = Buffer.from(text)
  return [bytes.subarray(0, at), bytes.subarray(at)]
}

/** Usage's place in the bytes depends on how the network cut the stream; everything else may not. */
function withoutPlace(outcome: Outcome): unknown {
  const { usageAtBytes, ...state } = outcome.state
  return { ...outcome, state }
}

function dataOf(events: string): Json[] {
  return splitEvents(Buffer.from(events)).flatMap((event) => {
    const data = eventData(event)
    return data === null ? [] : [json(data)]
  })
}

const streams = [...fixtures, ...samples].filter(isStream)
const note = (): JsonObject => ({ charge: '0.01' })

test('a stream of Google goes through byte for byte', () => {
  assert.ok(streams.length >= 6)
  for (const file of streams.filter(({ name }) => !name.includes('error'))) {
    const text = streamText(file)
    const { forward, events, state } = whole(text)
    assert.equal(forward, text, file.name)
    assert.equal(events, text, file.name)
    assert.equal(state.finishSeen, true, file.name)
    assert.equal(state.error, null, file.name)
    assert.ok(state.usageSeen)
    assert.equal(state.usageAtBytes, Buffer.byteLength(text))
  }
})

test('a stream split at any byte forwards and counts the same, in both framings', () => {
  for (const file of streams)
    for (const options of [{}, { annotate: note }, { annotate: note, frame: 'array' as const }]) {
      const text = streamText(file)
      const expected = withoutPlace(whole(text, options))
      const bytes = Buffer.byteLength(text)
      const step = bytes > 4_000 ? 97 : 1
      for (let at = 1; at < bytes; at += step)
        assert.deepEqual(withoutPlace(run(splitAt(text, at), options)), expected, `${file.name} at ${at}`)
    }
})

test('a stream in pieces of any size forwards and counts the same, whatever its line ends', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('\n', '\r\n', '\r'),
      fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 40 }),
      fc.constantFrom(undefined, 'sse' as const, 'array' as const),
      (lineEnd, sizes, frame) => {
        const text = streamText({ name: 'x.sse', text: fixture('stream.sse') }).replaceAll('\r\n', lineEnd)
        const options: Options = { annotate: note, ...(frame === undefined ? {} : { frame }) }
        const bytes = Buffer.from(text)
        const pieces: Buffer[] = []
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1
          pieces.push(bytes.subarray(at, at + size))
          at += size
        }
        const expected = whole(text, options)
        const outcome = run(pieces, options)
        assert.deepEqual(outcome.state.usage, expected.state.usage)
        assert.equal(outcome.state.delivered.bytes, expected.state.delivered.bytes)
        if (frame === 'array') assert.deepEqual(json(outcome.forward), json(expected.forward))
        else assert.deepEqual(dataOf(outcome.forward), dataOf(expected.forward))
      },
    ),
  )
})

test('comments, events without data and a foreign end mark never reach a Gemini client', () => {
  const inner = '{"candidates":[{"content":{"parts":[{"text":"a"}]},"index":0}]}'
  const text = `: keepalive\n\nevent: ping\n\n: one\ndata: ${inner}\n\ndata: [DONE]\n\n: last\n\n`
  const { forward, state } = whole(text)
  assert.equal(forward, `data: ${inner}\r\n\r\n`)
  assert.equal(state.doneSeen, true)
  assert.equal(state.delivered.events, 1)
})

test('data without the space, over several lines or with further blank lines becomes one line', () => {
  const expected = [{ candidates: [] }, { a: 1 }]
  const odd = 'data:{"candidates":[]}\n\n\n\ndata: {"a":\ndata: 1}\n\n'
  const { forward } = whole(odd)
  assert.deepEqual(dataOf(forward), expected)
  for (const line of forward.split('\r\n\r\n').filter((event) => event !== ''))
    assert.match(line, /^data: [^\r\n]*$/)
  assert.deepEqual(json(`${whole(odd, { frame: 'array' }).forward}]`), expected)
})

test('unknown events and members go through untouched', () => {
  const text = 'data: {"brandNew":{"x":1.50},"n":12345678901234567890}\r\n\r\n'
  assert.equal(whole(text).forward, text)
})

test('a stream that ends without its blank line is complete, and half an event is left out', () => {
  const text = streamText({ name: 'x.sse', text: fixture('stream.sse') })
  assert.equal(whole(text.trimEnd()).forward, text)
  const cut = text.slice(0, text.indexOf('boats'))
  const { forward, state } = whole(cut)
  assert.equal(state.finishSeen, false)
  assert.equal(dataOf(forward).length, 2)
  assert.ok(forward.endsWith('\r\n\r\n'))
})

test('the charge stands in the usage where the model stops, and no other byte changes', () => {
  const text = streamText({ name: 'x.sse', text: fixture('stream.sse') })
  const asked: Json[] = []
  const { forward } = whole(text, {
    annotate: (usage) => {
      asked.push(usage)
      return { charge: '0.25' }
    },
  })
  const events = forward.split('\r\n\r\n')
  const before = text.split('\r\n\r\n')
  assert.deepEqual(events.slice(0, 2), before.slice(0, 2))
  assert.equal(asked.length, 1)
  const [head, tail] = (before[2] ?? '').split('"serviceTier": "standard"}')
  assert.ok(events[2]?.startsWith(head?.slice(0, head.indexOf('"usageMetadata": {')) ?? '?'))
  assert.ok(events[2]?.endsWith(tail ?? '?'))
  const last = object((events[2] ?? '').slice(6))
  const usage = last['usageMetadata']
  assert.ok(isObject(usage))
  assert.deepEqual(usage['tf'], { charge: '0.25' })
  assert.equal(usage['totalTokenCount'], 69)
  assert.ok(!text.includes('\n\n') && !forward.includes('\n\n'), 'still CR LF CR LF')
})

test('usage that follows the end is annotated too, since the last one counts', () => {
  const late = '{"usageMetadata":{"promptTokenCount":1,"totalTokenCount":1}}'
  const text = streamText({ name: 'x.sse', text: fixture('stream.sse') })
  const { forward, state } = whole(`${text}data: ${late}\r\n\r\n`, { annotate: note })
  const last = dataOf(forward).at(-1)
  assert.deepEqual(last, {
    usageMetadata: { promptTokenCount: 1, totalTokenCount: 1, tf: { charge: '0.01' } },
  })
  assert.deepEqual(state.usage, { promptTokenCount: 1, totalTokenCount: 1 })
})

test('without alt=sse the caller gets one JSON array of the same objects', () => {
  for (const file of streams.filter(({ name }) => !name.includes('error'))) {
    const text = streamText(file)
    const array = json(whole(text, { frame: 'array' }).forward)
    assert.deepEqual(array, dataOf(text), file.name)
  }
})

test('an array opens at once, and stays open for the error when the stream breaks off', () => {
  const text = streamText({ name: 'x.sse', text: fixture('stream.sse') })
  const [first] = text.split('\r\n\r\n')
  const { forward } = whole(`${first}\r\n\r\n`, { frame: 'array' })
  assert.equal(forward, `[${first?.slice(6)}`)
  const failed = whole(fixture('stream-error.sse'), { frame: 'array' }).forward
  assert.ok(isArray(json(`${failed}]`)))
})

test('an error event is kept from the caller, and nothing follows it', () => {
  const late = 'data: {"candidates":[{"content":{"parts":[{"text":"late"}]}}]}\r\n\r\n'
  const { forward, state, events } = whole(fixture('stream-error.sse') + late)
  assert.equal(state.error, 'The model has too much to do just now.')
  assert.equal(dataOf(forward).length, 1)
  assert.ok(!forward.includes('error') && !forward.includes('late'))
  assert.ok(events.includes('late'), 'a translation sees them all')
  const bare = whole('data: [{"error":{"code":500,"message":"in a list"}}]\r\n\r\n')
  assert.equal(bare.state.error, 'in a list')
})

test('the tier of the answer is read from the Gemini API and from Vertex', () => {
  const state = (name: string) => whole(streamText({ name, text: fixture(name) })).state
  assert.equal(state('stream.sse').serviceTier, 'standard')
  assert.equal(state('vertex.chunks.txt').serviceTier, 'priority')
  assert.equal(state('vertex.chunks.txt').servedModel, 'gemini-3.1-flash-lite-preview')
})

test('a blocked prompt is a stream that says why it ended', () => {
  const { state } = whole(`data: ${JSON.stringify(object(fixture('blocked-prompt.json')))}\r\n\r\n`)
  assert.equal(state.finishSeen, true)
  assert.equal(state.delivered.events, 0)
  assert.ok(state.usageSeen)
})

test('a generated image of several megabytes is one event, in linear time', () => {
  const data = 'A'.repeat(6 * 1024 * 1024)
  const part = { inlineData: { mimeType: 'image/png', data } }
  const event = `data: ${JSON.stringify({ candidates: [{ content: { parts: [part] }, finishReason: 'STOP' }] })}\r\n\r\n`
  const bytes = Buffer.from(event)
  const pieces: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 4096) pieces.push(bytes.subarray(at, at + 4096))
  const began = process.hrtime.bigint()
  const { forward, state } = run(pieces)
  const tookMs = Number((process.hrtime.bigint() - began) / 1_000_000n)
  assert.equal(forward, event)
  assert.equal(state.delivered.tokens, 1290, 'by what an image is billed, not by its bytes')
  assert.ok(tookMs < 5_000, `${tookMs} ms`)
})

test('an endless event is refused', () => {
  const reader = createStreamReader({ wantsUsage: true, annotate: () => null })
  const piece = Buffer.alloc(4 * 1024 * 1024, 'x')
  let refused = false
  for (let fed = 0; fed <= EVENT_BYTES_MAX && !refused; fed += piece.length) refused = !reader.feed(piece).ok
  assert.ok(refused)
})

test('searches are gathered over the stream, each distinct query once', () => {
  const { state } = whole(streamText({ name: 'g.chunks.txt', text: fixture('grounded.chunks.txt') }))
  assert.ok(isObject(state.usage))
  assert.equal(state.usage['webSearchQueryCount'], 2)
})
