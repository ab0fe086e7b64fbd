import { estimateJsonStringTokens } from '../estimate.ts'
import type { DeltaCount } from '../protocol.ts'

/**
 * Counts what chat chunks deliver without parsing them: finds each `"delta":{…}` in the bytes and measures the strings
 * under the keys that carry output. Inside JSON strings quotes are escaped, so the byte patterns cannot be faked by text.
 */

const DELTA = Buffer.from('"delta":')
const OPEN = 0x7b
const CLOSE = 0x7d
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a

const OUTPUT_KEYS = new Set([
  'content',
  'reasoning_content',
  'reasoning',
  'refusal',
  'arguments',
  'input',
  'text',
  'thinking',
  'data',
])
/** A tool call counts as output even when its arguments are empty. */
const NAME_KEY = 'name'

function stringEnd(bytes: Buffer, start: number): number {
  for (let at = start + 1; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === BACKSLASH) at++
    else if (byte === QUOTE) return at
  }
  return bytes.length
}

/** Measures one delta object that opens at `start`; @returns the offset behind it */
function countDelta(bytes: Buffer, start: number, count: DeltaCount): number {
  let depth = 0
  let key = ''
  let output = false
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === QUOTE) {
      const end = stringEnd(bytes, at)
      let next = end + 1
      while (bytes[next] === 0x20) next++
      if (bytes[next] === COLON) {
        key = bytes.toString('latin1', at + 1, end)
        at = next
        continue
      }
      if (end > at + 1 && (key === NAME_KEY || OUTPUT_KEYS.has(key))) {
        output = true
        count.bytes += end - at - 1
        count.tokens += estimateJsonStringTokens(bytes, at + 1, end)
      }
      at = end
    } else if (byte === OPEN) depth++
    else if (byte === CLOSE && --depth === 0) {
      if (output) count.events++
      return at + 1
    }
  }
  if (output) count.events++
  return bytes.length
}

/** Adds what the complete events in `bytes` deliver. @returns true when there was any output */
export function countDeltas(bytes: Buffer, count: DeltaCount): boolean {
  const before = count.events
  for (let at = bytes.indexOf(DELTA); at !== -1; at = bytes.indexOf(DELTA, at)) {
    at += DELTA.length
    while (bytes[at] === 0x20) at++
    if (bytes[at] === OPEN) at = countDelta(bytes, at, count)
  }
  return count.events > before
}
