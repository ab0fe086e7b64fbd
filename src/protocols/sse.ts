import type { SseEvent } from './protocol.ts'

/**
 * Cuts a byte stream of server-sent events at event boundaries, wherever the network split it: LF, CRLF and CR line
 * ends, in any mixture. Events stay bytes; nothing is decoded here.
 */

/** A line longer than this is no event of any provider; without a bound a hostile upstream fills the memory. */
export const EVENT_BYTES_MAX = 1024 * 1024

const LF = 0x0a
const CR = 0x0d

/**
 * Offset just behind the last complete event in the bytes (behind its blank line), or 0.
 * A CR at the very end may be half of a CRLF and is not taken for a line end yet.
 */
export function lastEventEnd(bytes: Buffer): number {
  for (let at = bytes.length - 1; at >= 0; at--) {
    const byte = bytes[at]
    if (byte === LF) {
      const before = bytes[at - 1]
      if (before === LF || (before === CR && (bytes[at - 2] === LF || bytes[at - 2] === CR))) return at + 1
    } else if (byte === CR && at < bytes.length - 1 && bytes[at - 1] === CR) return at + 1
  }
  return 0
}

/** Splits complete events; each slice includes its blank line. */
export function splitEvents(bytes: Buffer): Buffer[] {
  const events: Buffer[] = []
  let start = 0
  let lineStart = 0
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte !== LF && byte !== CR) continue
    const blank = at === lineStart
    if (byte === CR && bytes[at + 1] === LF) at++
    lineStart = at + 1
    if (!blank) continue
    if (events.length > 0 && at + 1 - start <= 2) {
      // A further blank line belongs to the event before it.
      const last = events.pop()
      if (last !== undefined) events.push(bytes.subarray(last.byteOffset - bytes.byteOffset, lineStart))
    } else events.push(bytes.subarray(start, lineStart))
    start = lineStart
  }
  if (start < bytes.length) events.push(bytes.subarray(start))
  return events
}

/** The data of one event: its `data:` lines joined with LF, as the standard says; null when it has none. */
export function eventData(event: Buffer): string | null {
  const lines = event.toString('utf8').split(/\r\n|\n|\r/)
  let data: string | null = null
  for (const line of lines) {
    if (!line.startsWith('data:')) continue
    const value = line.charCodeAt(5) === 0x20 ? line.slice(6) : line.slice(5)
    data = data === null ? value : `${data}\n${value}`
  }
  return data
}

/**
 * Name and data of each of the events, those without data left out: what `eventName` and `eventData` read of what
 * `splitEvents` cuts, in one pass.
 */
export function readEvents(bytes: Buffer): SseEvent[] {
  const raw = bytes.toString('utf8')
  const text = raw.includes('\r') ? raw.replace(/\r\n?/g, '\n') : raw
  const events: SseEvent[] = []
  let name: string | null = null
  let data: string | null = null
  for (let start = 0; start < text.length; ) {
    const found = text.indexOf('\n', start)
    const end = found === -1 ? text.length : found
    if (end === start) {
      if (data !== null) events.push({ name, data })
      name = data = null
    } else if (text.startsWith('data:', start)) {
      const value = text.slice(text.charCodeAt(start + 5) === 0x20 ? start + 6 : start + 5, end)
      data = data === null ? value : `${data}\n${value}`
    } else if (name === null && text.startsWith('event:', start)) name = text.slice(start + 6, end).trim()
    start = end + 1
  }
  if (data !== null) events.push({ name, data })
  return events
}

const EVENT = Buffer.from('event:')
const ERROR_NAMES = ['event: error', 'event:error'].map((text) => Buffer.from(text))

/** Whether any event may be named an error: what its data are (an upstream's own words, even no JSON) is not asked. */
export function mayNameError(bytes: Buffer): boolean {
  return bytes.includes(EVENT) && ERROR_NAMES.some((name) => bytes.includes(name))
}

export function isNamedError(event: Buffer): boolean {
  return mayNameError(event) && eventName(event) === 'error'
}

/** The `event:` name of one event; null when it has none. */
export function eventName(event: Buffer): string | null {
  if (!event.includes('event:')) return null
  for (const line of event.toString('utf8').split(/\r\n|\n|\r/)) {
    if (line.startsWith('event:')) return line.slice(6).trim()
  }
  return null
}
