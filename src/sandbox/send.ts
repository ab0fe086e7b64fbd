import type { ServerResponse } from 'node:http'

import type { OpenRecord } from './recorder.ts'
import type { Switches } from './switches.ts'

/** Events per write when nothing slows the stream: a write per event costs more than making the event does. */
const BATCH_EVENTS = 16
const DRIP_MS = 10

export interface Sending {
  readonly res: ServerResponse
  readonly record: OpenRecord
  readonly switches: Switches
}

/** Resolves after `ms`, or at once when the connection is gone, so that no timer outlives its request. */
export function waitUnlessGone(res: ServerResponse, ms: number): Promise<void> {
  if (ms === 0 || res.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer)
      res.off('close', done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    res.on('close', done)
  })
}

/** Closes the socket so that the caller sees a broken connection rather than an end. */
export function breakConnection({ res, record }: Sending): void {
  record.brokenByUs = true
  res.destroy()
}

/** Sends a body that is known as a whole, whatever its type. Headers besides these are set already. */
export async function sendWhole(sending: Sending, status: number, type: string, body: string): Promise<void> {
  const { res, record, switches } = sending
  record.status = status
  const bytes = Buffer.from(body)
  res.statusCode = status
  res.setHeader('content-type', type)
  res.setHeader('content-length', bytes.length)
  if (switches.none) {
    res.end(bytes)
    return
  }
  if (status === 200) await waitUnlessGone(res, switches.counts['first-token'] ?? 0)
  if (res.destroyed) return
  if (switches.counts.cut !== undefined) {
    await written(res, bytes.subarray(0, bytes.length >> 1))
    breakConnection(sending)
    return
  }
  await sendPieces(sending, bytes)
  res.end()
}

/** Sends a stream; `events` is not asked for more once the caller has left. */
export async function sendStream(
  sending: Sending,
  events: Iterable<string>,
  contentType = 'text/event-stream; charset=utf-8',
): Promise<void> {
  const { res, record, switches } = sending
  record.status = 200
  res.statusCode = 200
  res.setHeader('content-type', contentType)
  res.setHeader('cache-control', 'no-cache')
  // Said outright, else a stream that fits one write would go out with a content-length, as no provider's does.
  res.setHeader('transfer-encoding', 'chunked')
  if (isPlain(switches)) await sendBatches(sending, events)
  else await sendWithFaults(sending, events)
}

const TRANSPORT_FLAGS = ['crlf', 'comments', 'burst', 'drip', 'no-final-blank'] as const
const TRANSPORT_COUNTS = ['first-token', 'delay', 'cut', 'split'] as const

function isPlain({ none, flags, counts }: Switches): boolean {
  return (
    none ||
    (!TRANSPORT_FLAGS.some((name) => flags.has(name)) &&
      !TRANSPORT_COUNTS.some((name) => counts[name] !== undefined))
  )
}

async function sendBatches({ res, record }: Sending, events: Iterable<string>): Promise<void> {
  let batch = ''
  let size = 0
  for (const event of events) {
    batch += event
    if (++size < BATCH_EVENTS) continue
    const fits = res.write(batch)
    record.eventsSent += size
    batch = ''
    size = 0
    if (!fits) await drained(res)
    // Without a turn of the loop a caller's leaving would not be seen before the last event.
    else await new Promise(setImmediate)
    if (res.destroyed) return
  }
  record.eventsSent += size
  res.end(batch)
}

async function sendWithFaults(sending: Sending, events: Iterable<string>): Promise<void> {
  const { res, record, switches } = sending
  const { flags, counts } = switches
  res.flushHeaders()
  await waitUnlessGone(res, counts['first-token'] ?? 0)
  let held: string | null = null
  let burst = ''
  for (const frame of framed(events, switches)) {
    // One event is held back, since only the last one may lack its blank line.
    if (held !== null) {
      if (flags.has('burst')) burst += held
      else await sendPieces(sending, Buffer.from(held))
      record.eventsSent += 1
      await waitUnlessGone(res, counts.delay ?? 0)
    }
    if (res.destroyed) return
    if (counts.cut !== undefined && record.eventsSent >= counts.cut) {
      await written(res, Buffer.from(burst))
      breakConnection(sending)
      return
    }
    held = frame
  }
  if (res.destroyed) return
  const last = flags.has('no-final-blank') ? (held ?? '').replace(/\r?\n\r?\n$/, '') : (held ?? '')
  await sendPieces(sending, Buffer.from(burst + last))
  record.eventsSent += held === null ? 0 : 1
  if (counts.cut === undefined) res.end()
  else breakConnection(sending)
}

function* framed(events: Iterable<string>, { flags }: Switches): Generator<string> {
  for (const event of events) {
    // Some formats end their lines in CR LF by themselves.
    const end = event.endsWith('\r\n') ? '\r\n' : '\n'
    const frame = flags.has('comments') ? `: keepalive${end}${end}${event}` : event
    yield flags.has('crlf') ? frame.replaceAll(/\r?\n/g, '\r\n') : frame
  }
}

async function sendPieces({ res, switches }: Sending, bytes: Buffer): Promise<void> {
  const drip = switches.flags.has('drip')
  const pieceBytes = drip ? 1 : (switches.counts.split ?? bytes.length)
  for (let at = 0; at < bytes.length && !res.destroyed; at += pieceBytes) {
    await written(res, bytes.subarray(at, at + pieceBytes))
    if (drip) await waitUnlessGone(res, DRIP_MS)
    // Pieces written in one turn would travel in one packet and hide what `split` is to show.
    else if (pieceBytes < bytes.length) await new Promise(setImmediate)
  }
}

/** Resolves when the bytes are with the kernel, or the connection is gone. */
function written(res: ServerResponse, bytes: Buffer): Promise<void> {
  if (res.destroyed || bytes.length === 0) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      res.off('close', done)
      resolve()
    }
    res.on('close', done)
    res.write(bytes, done)
  })
}

function drained(res: ServerResponse): Promise<void> {
  if (res.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      res.off('drain', done)
      res.off('close', done)
      resolve()
    }
    res.on('drain', done)
    res.on('close', done)
  })
}
