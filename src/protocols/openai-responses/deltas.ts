import { isObject, type JsonObject } from '../../kernel/index.ts'
import { estimateJsonStringTokens, estimateTextTokens } from '../estimate.ts'
import type { DeltaCount } from '../protocol.ts'
import { hasMedia, outputTexts } from './output-text.ts'

/**
 * Counts what a stream delivers. Deltas are measured in the bytes, without parsing: inside JSON strings quotes are
 * escaped, so that the pattern cannot be faked by text. Items are parsed anyhow, and are counted whole only when no delta
 * told them.
 */

const DELTA = Buffer.from('"delta":')
const QUOTE = 0x22
const BACKSLASH = 0x5c

function stringEnd(bytes: Buffer, start: number): number {
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at]
    if (byte === BACKSLASH) at++
    else if (byte === QUOTE) return at
  }
  return bytes.length
}

/** Adds what the deltas in `bytes` deliver. @returns true when there were any */
export function countDeltas(bytes: Buffer, count: DeltaCount): boolean {
  const before = count.events
  for (let at = bytes.indexOf(DELTA); at !== -1; at = bytes.indexOf(DELTA, at)) {
    at += DELTA.length
    while (bytes[at] === 0x20) at++
    if (bytes[at] !== QUOTE) continue
    const start = at + 1
    const end = stringEnd(bytes, start)
    if (end > start) {
      count.events++
      count.bytes += end - start
      count.tokens += estimateJsonStringTokens(bytes, start, end)
    }
    at = end
  }
  return count.events > before
}

function addTexts(texts: readonly string[], media: boolean, count: DeltaCount): void {
  if (texts.length === 0 && !media) return
  count.events++
  for (const text of texts) {
    count.bytes += Buffer.byteLength(text)
    count.tokens += estimateTextTokens(text)
  }
}

/** What was told of the items so far. */
export interface ItemCount {
  /** Deltas since the last item began. */
  told: boolean
  /** Names of called tools are counted when the call begins. */
  readonly named: Set<number>
}

export function countAdded(event: JsonObject, items: ItemCount, count: DeltaCount): void {
  const { item, output_index: index } = event
  items.told = false
  if (!isObject(item) || typeof item['name'] !== 'string' || typeof index !== 'number') return
  items.named.add(index)
  addTexts([item['name']], false, count)
}

export function countDone(event: JsonObject, items: ItemCount, count: DeltaCount): void {
  const { item, output_index: index } = event
  if (items.told || !isObject(item)) return
  const known = typeof index === 'number' && items.named.has(index)
  const { name: _, ...nameless } = item
  addTexts(outputTexts(known ? nameless : item), hasMedia(item), count)
}
