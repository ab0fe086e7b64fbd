import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  all,
  BROKEN_RECORDING,
  events,
  fixture,
  RECORDED_STREAMS,
  recording,
  STREAMS,
} from '../../../test/fixtures/openai-responses/samples.ts'
import type { StreamReader } from '../protocol.ts'
import { createStreamReader } from './stream-reader.ts'

const quiet = { wantsUsage: true, annotate: () => null }

interface Read {
  readonly forward: Buffer
  readonly events: Buffer
  readonly reader: StreamReader
}

function read(chunks: readonly Buffer[], options = quiet as Parameters<typeof createStreamReader>[0]): Read {
  const reader = createStreamReader(options)
  const forward: Buffer[] = []
  const seen: Buffer[] = []
  for (const chunk of [...chunks, null]) {
    const result = chunk === null ? reader.flush() : reader.feed(chunk)
    assert.ok(result.ok)
    if (result.forward !== null) forward.push(result.forward)
    if (result.events !== null) seen.push(result.events)
  }
  return { forward: Buffer.concat(forward), events: Buffer.concat(seen), reader }
}

const SAMPLES = all(STREAMS, RECORDED_STREAMS)

test('a stream passes byte for byte, comments and unknown events too', () => {
  for (const [name, bytes] of SAMPLES) {
    const { forward, reader } = read([bytes])
    assert.deepEqual(forward, bytes, name)
    assert.equal(reader.state.usageSeen, true, name)
    assert.equal(reader.state.finishSeen, true, name)
    assert.equal(reader.state.doneSeen, true, name)
    assert.equal(reader.state.error, null, name)
    assert.ok(reader.state.delivered.tokens > 0, name)
  }
  const strange = Buffer.from(': hi\n\nevent: response.moon\ndata: {"type":"response.moon","x":[1]}\n\n')
  assert.deepEqual(read([strange]).forward, strange)
})

test('events that are no JSON pass as they are, and what is left of the stream is counted', (t) => {
  const bytes = recording(BROKEN_RECORDING)
  if (bytes === null) {
    t.skip('the recordings are not beside the checkout')
    return
  }
  const { forward, reader } = read([bytes])
  assert.deepEqual(forward, bytes)
  assert.equal(reader.state.usageSeen, false)
  assert.ok(reader.state.delivered.events > 0)
})

test('wherever a stream is split, the same is forwarded, told and counted', () => {
  for (const name of ['stream-text.sse', 'stream-reasoning-crlf.sse', 'stream-parallel-tools.sse']) {
    const bytes = fixture(name)
    const whole = read([bytes])
    for (let at = 1; at < bytes.length; at++) {
      const split = read([bytes.subarray(0, at), bytes.subarray(at)])
      assert.deepEqual(split.forward, whole.forward, `${name} at ${at}`)
      assert.deepEqual(split.events, whole.events, `${name} at ${at}`)
      assert.deepEqual(split.reader.state.usage, whole.reader.state.usage, `${name} at ${at}`)
      const { tokens: a, ...counts } = split.reader.state.delivered
      const { tokens: b, ...wanted } = whole.reader.state.delivered
      assert.deepEqual(counts, wanted, `${name} at ${at}`)
      assert.ok(Math.abs(a - b) < 1e-9)
    }
  }
})

test('a stream that drips byte by byte, in any line ends, is the same stream', () => {
  const text = fixture('stream-text.sse').toString('utf8')
  for (const end of ['\n', '\r\n', '\r']) {
    const bytes = Buffer.from(text.replaceAll('\n', end))
    const drip = read(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)))
    assert.deepEqual(events(drip.forward), events(bytes), JSON.stringify(end))
    assert.equal(drip.reader.state.usageSeen, true)
  }
})

test('an end without a blank line is told, half an event is not', () => {
  const bytes = fixture('stream-text.sse')
  const bare = read([bytes.subarray(0, bytes.length - 2)])
  assert.equal(bare.reader.state.doneSeen, true)
  assert.deepEqual(events(bare.forward), events(bytes))
  const broken = read([bytes.subarray(0, bytes.length - 40)])
  assert.equal(broken.reader.state.doneSeen, false)
  assert.equal(broken.reader.state.usageSeen, false)
  assert.ok(broken.forward.toString('utf8').endsWith('\n\n'))
})

test('only the event with the last usage is written anew, with the note in it', () => {
  const bytes = fixture('stream-text.sse')
  const asked: unknown[] = []
  const { forward } = read([bytes], {
    wantsUsage: true,
    annotate: (usage) => {
      asked.push(usage)
      return { charge: '0.1' }
    },
  })
  assert.equal(asked.length, 1)
  const before = events(bytes)
  const after = events(forward)
  assert.deepEqual(after.slice(0, -1), before.slice(0, -1))
  const last = JSON.parse(after.at(-1)?.data ?? '')
  assert.equal(after.at(-1)?.name, 'response.completed')
  assert.deepEqual(last.response.usage.tf, { charge: '0.1' })
  delete last.response.usage.tf
  assert.deepEqual(last, JSON.parse(before.at(-1)?.data ?? ''))
})

test('model and class of service are those of the last response, not what was asked for', () => {
  const { reader } = read([fixture('stream-text.sse')])
  assert.equal(reader.state.servedModel, 'gpt-5-mini-2025-08-07')
  assert.equal(reader.state.serviceTier, 'flex')
})

test('errors in mid-stream are kept from the caller, and so is all that follows; usage counts', () => {
  const bytes = fixture('stream-failed.sse')
  for (const chunks of [[bytes], Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))]) {
    const { forward, events: told, reader } = read(chunks)
    const text = forward.toString('utf8')
    assert.match(text, /The ro"/)
    assert.doesNotMatch(text, /rope\.example|event: error|response\.failed/)
    assert.match(told.toString('utf8'), /event: error/)
    assert.match(reader.state.error ?? '', /rope/)
    assert.equal(reader.state.finishSeen, false)
  }
  const failed = Buffer.from(
    'data: {"type":"response.failed","response":{"status":"failed","error":{"message":"gone"},"usage":{"input_tokens":4,"output_tokens":1,"total_tokens":5}}}\n\n',
  )
  const { forward, reader } = read([failed])
  assert.equal(forward.length, 0)
  assert.equal(reader.state.error, 'gone')
  assert.equal(reader.state.usageSeen, true)
  const nested = Buffer.from('event: error\ndata: {"error":{"message":"no","code":"x"}}\n\n')
  assert.equal(read([nested]).reader.state.error, 'no')
})

test('a text that looks like an event, an error or usage is only text', () => {
  const delta = JSON.stringify('"response":{"usage":{"input_tokens":9}},"error":1,"item":{"delta":"x"}')
  const bytes = Buffer.from(
    `data: {"type":"response.output_text.delta","output_index":0,"delta":${delta}}\n\n`,
  )
  const { forward, reader } = read([bytes])
  assert.deepEqual(forward, bytes)
  assert.equal(reader.state.usageSeen, false)
  assert.equal(reader.state.error, null)
  assert.equal(reader.state.delivered.events, 1)
})

test('items that come whole are counted as delivered, deltas are not counted twice', () => {
  const whole = read([fixture('stream-whole-items.sse')]).reader.state.delivered
  // The text, and the name of a call without arguments.
  assert.equal(whole.events, 2)
  const deltas = read([fixture('stream-text.sse')]).reader.state.delivered
  assert.equal(deltas.events, 4)
  const last = Buffer.from(
    'data: {"type":"response.completed","response":{"status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"all at once"}]}],"usage":null}}\n\n',
  )
  const { reader } = read([last])
  assert.equal(reader.state.delivered.events, 1)
  assert.equal(reader.state.usageSeen, false)
})

test('a last event of megabytes is joined once, and one without end is refused', () => {
  const image = 'A'.repeat(3 * 1024 * 1024)
  const bytes = Buffer.from(
    `data: {"type":"response.completed","response":{"output":[{"type":"image_generation_call","result":"${image}"}],"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2}}}\n\n`,
  )
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length; at += 16_384) chunks.push(bytes.subarray(at, at + 16_384))
  const { forward, reader } = read(chunks)
  assert.equal(forward.equals(bytes), true)
  assert.equal(reader.state.usageSeen, true)
  const endless = createStreamReader(quiet)
  const piece = Buffer.alloc(8 * 1024 * 1024, 0x41)
  let refused = false
  for (let at = 0; at < 20 && !refused; at++) refused = !endless.feed(piece).ok
  assert.equal(refused, true)
})
