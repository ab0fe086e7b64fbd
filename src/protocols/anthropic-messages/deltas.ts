import { estimateJsonStringTokens } from '../estimate.ts'
import type { DeltaCount } from '../protocol.ts'

/**
 * Counts what events deliver without parsing them: finds `"delta":{…}` and `"content_block":{…}` in the bytes and measures
 * their own members that the model wrote. Quotes inside JSON strings are escaped, so text cannot fake the patterns; what
 * server tools bring in lies deeper and is not counted.
 */

const DELTA = Buffer.from('"delta":')
const BLOCK = Buffer.from('"content_block":')
const OPEN = 0x7b
const CLOSE = 0x7d
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a

/** `data` is thinking that cannot be read: it was delivered, but its length says nothing of its tokens. */
const WRITTEN = new Set(['text', 'thinking', 'partial_json', 'name', 'content'])
const OPAQUE = new Set(['data', 'signature'])

function stringEnd(bytes: Buffer, start: number): number {
  for (let at = start + 1; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === BACKSLASH) at++
    else if (byte === QUOTE) return at
  }
  return bytes.length
}

function isColonNext(bytes: Buffer, end: number): number {
  let next = end + 1
  while (bytes[next] === 0x20) next++
  return bytes[next] === COLON ? next : -1
}

/** Offset behind the object or list that opens at `start`. */
function valueEnd(bytes: Buffer, start: number): number {
  let depth = 0
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === QUOTE) at = stringEnd(bytes, at)
    else if (byte === OPEN || byte === OPEN_LIST) depth++
    else if ((byte === CLOSE || byte === CLOSE_LIST) && --depth === 0) return at + 1
  }
  return bytes.length
}

function add(bytes: Buffer, start: number, end: number, readable: boolean, count: DeltaCount): void {
  count.bytes += end - start
  if (readable) count.tokens += estimateJsonStringTokens(bytes, start, end)
}

/** Measures the object that opens at `start`; @returns the offset behind it */
function countObject(bytes: Buffer, start: number, count: DeltaCount): number {
  let key = ''
  let output = false
  let at = start + 1
  for (; at < bytes.length && bytes[at] !== CLOSE; at++) {
    const byte = bytes[at]
    if (byte === QUOTE) {
      const end = stringEnd(bytes, at)
      const colon = isColonNext(bytes, end)
      if (colon !== -1) {
        key = bytes.toString('latin1', at + 1, end)
        at = colon
        continue
      }
      if (end > at + 1 && (WRITTEN.has(key) || OPAQUE.has(key))) {
        output = true
        add(bytes, at + 1, end, WRITTEN.has(key), count)
      }
      at = end
    } else if (byte === OPEN || byte === OPEN_LIST) {
      const end = valueEnd(bytes, at)
      // Some servers give a call's whole input where the block starts.
      if (key === 'input' && end - at > 2) add(bytes, at, end, true, count)
      at = end - 1
    }
  }
  if (output) count.events++
  return at + 1
}

/** Adds what the complete events in `bytes` deliver. @returns true when there was any output */
export function countDeltas(bytes: Buffer, count: DeltaCount): boolean {
  const before = count.events
  for (const pattern of [DELTA, BLOCK])
    for (let at = bytes.indexOf(pattern); at !== -1; at = bytes.indexOf(pattern, at)) {
      at += pattern.length
      while (bytes[at] === 0x20) at++
      if (bytes[at] === OPEN) at = countObject(bytes, at, count)
    }
  return count.events > before
}
