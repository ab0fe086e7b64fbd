import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FIXTURES, isChat, RECORDINGS, type Sample, samples } from '../../../test/chat-samples.ts'
import { eventData, splitEvents } from '../sse.ts'
import { createChatStreamReader } from './stream.ts'

const STREAMS = [...samples(FIXTURES), ...samples(RECORDINGS, isChat)].filter(
  (sample) => sample.kind === 'stream',
)

const EVERY_OFFSET = new Set(['stream-usage.sse', 'kimi-usage-in-choice.chunks.txt'])

interface Outcome {
  readonly forwarded: string
  readonly usage: unknown
  readonly delivered: object
  readonly finish: boolean
  readonly done: boolean
  readonly error: string | null
  readonly served: string | null
}

function run(pieces: readonly Buffer[], wantsUsage: boolean): Outcome {
  const reader = createChatStreamReader({ wantsUsage, annotate: () => (wantsUsage ? { charge: '1' } : null) })
  const forwarded: Buffer[] = []
  const take = (result: ReturnType<typeof reader.feed>): void => {
    assert.ok(result.ok)
    if (result.forward !== null) forwarded.push(result.forward)
  }
  for (const piece of pieces) take(reader.feed(piece))
  take(reader.flush())
  const { usage, delivered, finishSeen, doneSeen, error, servedModel } = reader.state
  return {
    forwarded: Buffer.concat(forwarded).toString('utf8'),
    usage,
    delivered: { ...delivered, tokens: Math.round(delivered.tokens * 1e6) },
    finish: finishSeen,
    done: doneSeen,
    error,
    served: servedModel,
  }
}

/** The sample in every framing that a server may choose. */
function framings({ bytes }: Sample): ReadonlyMap<string, Buffer> {
  const text = bytes.toString('utf8')
  return new Map([
    ['LF', bytes],
    ['CRLF', Buffer.from(text.replaceAll('\n', '\r\n'))],
    ['CR', Buffer.from(text.replaceAll('\n', '\r'))],
    [
      'mixed',
      Buffer.from(
        text.replaceAll(
          /\n\n/g,
          (_, at: number) => ['\r\n\n', '\n\r\n', '\r\r\n', '\n\n', '\r\n\r\n'][at % 5] ?? '\n\n',
        ),
      ),
    ],
    ['comments', Buffer.from(text.replaceAll('\n\n', '\n\n: keepalive\n\n'))],
    ['no space', Buffer.from(text.replaceAll('data: ', 'data:'))],
    ['no last blank line', Buffer.from(text.trimEnd())],
    ['one newline at the end', Buffer.from(`${text.trimEnd()}\n`)],
  ])
}

test('wherever the network splits a stream, the same bytes go on and the same usage is read', () => {
  assert.ok(STREAMS.length >= 8)
  for (const sample of STREAMS)
    for (const [framing, bytes] of framings(sample))
      for (const wantsUsage of [true, false]) {
        const whole = run([bytes], wantsUsage)
        // Every offset of two streams; of the others, those at line ends here and there and a few between.
        const every = EVERY_OFFSET.has(sample.name)
        for (let at = 1; at < bytes.length; at++) {
          const near = [bytes[at - 1], bytes[at]].some((byte) => byte === 0x0a || byte === 0x0d)
          if (!every && at % (near ? 7 : 311) !== 0) continue
          assert.deepEqual(
            run([bytes.subarray(0, at), bytes.subarray(at)], wantsUsage),
            whole,
            `${sample.name} ${framing} at ${at}`,
          )
        }
        if (!every) continue
        const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
        assert.deepEqual(run(single, wantsUsage), whole, `${sample.name} ${framing}, byte by byte`)
      }
})

test('every framing of a stream says the same', () => {
  for (const sample of STREAMS) {
    const plain = run([sample.bytes], false)
    for (const [framing, bytes] of framings(sample)) {
      const { forwarded, ...other } = run([bytes], false)
      const { forwarded: _, ...same } = plain
      assert.deepEqual(other, same, `${sample.name} ${framing}`)
      assert.ok(!forwarded.includes('"usage":null'))
    }
  }
})

test('a caller that asked for usage gets every byte as it came, but for the note in the last usage', () => {
  for (const sample of STREAMS) {
    if (sample.name.includes('error')) continue
    const { forwarded } = run([sample.bytes], true)
    const sent = splitEvents(sample.bytes).map(String)
    const got = splitEvents(Buffer.from(forwarded)).map(String)
    assert.equal(got.length, sent.length, sample.name)
    for (const [i, event] of sent.entries()) {
      const received = got[i] ?? ''
      // A stream that lacks its last blank line gets one.
      if (received.trimEnd() === event.trimEnd()) continue
      const was = JSON.parse(eventData(Buffer.from(event)) ?? '') as { usage: object }
      const is = JSON.parse(eventData(Buffer.from(received)) ?? '') as { usage: object }
      assert.deepEqual(is, { ...was, usage: { ...was.usage, tf: { charge: '1' } } }, sample.name)
    }
  }
})

test('a caller that did not ask gets no usage chunk and no usage member that was injected', () => {
  const inject =
    'data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}\n\n'
  const bare =
    'data: {"id":"1","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}\n\n'
  const own =
    'data: {"id":"1","choices":[{"index":0,"delta":{"content":"\\",\\"usage\\":null and ,\\"usage\\":{"},"finish_reason":null}]}\n\n'
  const { forwarded, usage } = run([Buffer.from(`${inject}${own}${bare}data: [DONE]\n\n`)], false)
  assert.equal(forwarded, `${inject.replace(',"usage":null', '')}${own}data: [DONE]\n\n`)
  assert.deepEqual(usage, { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 })
})

test('an error event and all that follows it is held back; its usage is read', () => {
  const good = 'data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
  const bad =
    'data: {"error":{"message":"key sk-secret of host x is dead"},"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
  for (const wantsUsage of [true, false])
    for (const pieces of [[`${good}${bad}data: [DONE]\n\n`], [good, bad, 'data: [DONE]\n\n']]) {
      const { forwarded, error, usage } = run(
        pieces.map((piece) => Buffer.from(piece)),
        wantsUsage,
      )
      assert.ok(forwarded.startsWith(good) && !forwarded.includes('secret'))
      assert.match(error ?? '', /sk-secret/)
      assert.deepEqual(usage, { prompt_tokens: 3, completion_tokens: 1 })
      if (pieces.length === 1) assert.equal(forwarded, good)
    }
})

test('half an event at the end is dropped, a whole one is ended', () => {
  const event = 'data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}'
  assert.equal(run([Buffer.from(`${event}\n\n${event.slice(0, 40)}`)], true).forwarded, `${event}\n\n`)
  assert.equal(run([Buffer.from(event)], true).forwarded, `${event}\n\n`)
  assert.equal(run([Buffer.from(`${event}\n`)], true).forwarded, `${event}\n\n`)
  assert.equal(run([Buffer.from('data: [DONE]')], true).forwarded, 'data: [DONE]\n\n')
})

test('a line without end is given up at a megabyte', () => {
  const reader = createChatStreamReader({ wantsUsage: true, annotate: () => null })
  const piece = Buffer.from(`data: ${'x'.repeat(300_000)}`)
  const results = [1, 2, 3, 4].map(() => reader.feed(piece).ok)
  assert.deepEqual(results, [true, true, true, false])
})

test('no bytes whatever make the reader throw', () => {
  const unit = fc.constantFrom(
    'data: ',
    '{"choices":[',
    '"usage":',
    '{',
    '}',
    'null',
    '"delta":',
    '"content":"',
    '"',
    '\\',
    '\n',
    '\r',
    '[DONE]',
    '"error":',
    ',',
    ']',
    '\u0000',
    '😀',
  )
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit }), { maxLength: 5 }),
      fc.boolean(),
      (pieces, wantsUsage) =>
        run(
          pieces.map((piece) => Buffer.from(piece)),
          wantsUsage,
        ) !== null,
    ),
    { numRuns: 2_000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => run([Buffer.from(bytes)], false) !== null),
  )
})
