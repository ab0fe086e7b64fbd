import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventStreamCodec } from '@smithy/core/event-streams'
import { fromUtf8, toUtf8 } from '@smithy/core/serde'
import { chunkFrame, exceptionFrame, frame } from '../../../test/platforms/frames.ts'
import { EventStreamUnframer } from './event-stream.ts'

const unframer = (): EventStreamUnframer => new EventStreamUnframer(new EventStreamCodec(toUtf8, fromUtf8))

const EVENTS = [
  { type: 'message_start', message: { usage: { input_tokens: 3 } } },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'žluť\n“x”' } },
  { type: 'message_stop' },
]
const STREAM = Buffer.concat(EVENTS.map(chunkFrame))
const PLAIN = EVENTS.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')

const all = (chunks: readonly Buffer[]): string | null => {
  const reader = unframer()
  const read = chunks.map((chunk) => reader.feed(chunk))
  return read.includes(null) ? null : Buffer.concat(read as Buffer[]).toString('utf8')
}

test('frames that are cut at any byte give the same events, and none before it is whole', () => {
  for (let at = 0; at <= STREAM.length; at++)
    assert.equal(all([STREAM.subarray(0, at), STREAM.subarray(at)]), PLAIN, `cut at ${at}`)
  assert.equal(all([...STREAM].map((byte) => Buffer.from([byte]))), PLAIN)
  const first = chunkFrame(EVENTS[0])
  const reader = unframer()
  assert.equal(reader.feed(first.subarray(0, first.length - 1))?.length, 0)
  assert.ok((reader.feed(first.subarray(first.length - 1))?.length ?? 0) > 0)
})

test('a byte that is wrong anywhere never becomes an event', () => {
  const bytes = chunkFrame(EVENTS[1])
  for (let at = 0; at < bytes.length; at++) {
    const wrong = Buffer.from(bytes)
    wrong[at] = (wrong[at] ?? 0) ^ 1
    const text = all([wrong])
    // A longer length waits for bytes that never come; everything else is refused at once.
    assert.ok(text === null || text === '', `byte ${at}`)
  }
})

test('bytes that are no frames are refused, and whatever follows them', () => {
  const reader = unframer()
  assert.equal(reader.feed(Buffer.from('<html>not today</html>')), null)
  assert.equal(reader.feed(STREAM), null)
})

test('exceptions and errors become the error event of the format', () => {
  const told = (bytes: Buffer): unknown => {
    const text = all([bytes]) ?? ''
    assert.match(text, /^event: error\ndata: [^\n]*\n\n$/)
    return JSON.parse(text.slice(text.indexOf('{')))
  }
  assert.deepEqual(told(exceptionFrame('throttlingException', 'slow down')), {
    type: 'error',
    error: { type: 'throttlingException', message: 'slow down' },
  })
  const error = frame({ ':message-type': 'error', ':error-code': 'Internal', ':error-message': 'a\nb' }, '')
  assert.deepEqual(told(error), { type: 'error', error: { type: 'Internal', message: 'a\nb' } })
})

test('figures that Bedrock adds are left out, line breaks cannot end an event, and unknown frames say nothing', () => {
  const stop = { type: 'message_stop', 'amazon-bedrock-invocationMetrics': { inputTokenCount: 3 } }
  assert.equal(all([chunkFrame(stop)]), 'event: message_stop\ndata: {"type":"message_stop"}\n\n')
  assert.equal(all([chunkFrame('{"type":"ping",\n\n"a":1}')]), 'event: ping\ndata: {"type":"ping","a":1}\n\n')
  const quoted = { type: 'content_block_delta', text: 'says "amazon-bedrock-x"' }
  assert.equal(all([chunkFrame(quoted)]), `event: content_block_delta\ndata: ${JSON.stringify(quoted)}\n\n`)
  assert.equal(all([frame({ ':message-type': 'event', ':event-type': 'initial-response' }, '{}')]), '')
  assert.equal(all([frame({ ':message-type': 'news' }, '{}')]), '')
  assert.equal(all([chunkFrame('{"p":1}')]), '')
  assert.equal(all([chunkFrame('no json')]), null)
})
