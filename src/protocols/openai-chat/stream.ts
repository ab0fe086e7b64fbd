import { isArray, isObject, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { FeedResult, StreamReader, StreamReaderOptions, StreamState } from '../protocol.ts'
import { EVENT_BYTES_MAX, eventData, isNamedError, lastEventEnd, mayNameError, splitEvents } from '../sse.ts'
import { countDeltas } from './deltas.ts'
import { findUsage } from './usage.ts'

/**
 * Reads a chat stream as it passes: complete events go on as the bytes they are; only events that carry usage, an error
 * or the end are looked into. What was injected for our own metering (the usage chunk, `"usage":null`) is taken out
 * again for clients that did not ask for it.
 */

const USAGE_KEY = Buffer.from('"usage":')
const USAGE_NULL = Buffer.from(',"usage":null')
const ERROR_KEY = Buffer.from('"error":')
const FINISH_KEY = Buffer.from('"finish_reason":')
const DONE = Buffer.from('[DONE]')
const DATA = Buffer.from('data:')
const MODEL_KEY = Buffer.from('"model":')
const TIER_KEY = Buffer.from('"service_tier":')
const QUOTE = 0x22

const NOTHING: FeedResult = { ok: true, forward: null, events: null, output: false }

function isFollowedBy(bytes: Buffer, at: number, wanted: number): boolean {
  let next = at
  while ((bytes[next] ?? 0) === 0x20) next++
  return bytes[next] === wanted
}

/** True when the key is there with a value that opens with `opener`. */
function hasMember(bytes: Buffer, key: Buffer, opener: number): boolean {
  for (let at = bytes.indexOf(key); at !== -1; at = bytes.indexOf(key, at + key.length))
    if (isFollowedBy(bytes, at + key.length, opener)) return true
  return false
}

function endsWithDone(bytes: Buffer): boolean {
  const at = bytes.lastIndexOf(DONE)
  if (at === -1) return false
  const line = bytes.lastIndexOf(DATA, at)
  return line !== -1 && (line === 0 || (bytes[line - 1] ?? 0) <= 0x0d) && at - line <= DATA.length + 1
}

/** The first value of the key that is a text and not empty (Azure's first event names no model). */
function stringMember(bytes: Buffer, key: Buffer): string | null {
  for (let at = bytes.indexOf(key); at !== -1; at = bytes.indexOf(key, at)) {
    at += key.length
    while (bytes[at] === 0x20) at++
    if (bytes[at] !== QUOTE) continue
    const end = bytes.indexOf(QUOTE, at + 1)
    if (end === -1 || end - at > 300) return null
    if (end > at + 1) return bytes.toString('utf8', at + 1, end)
  }
  return null
}

/** `,"usage":null` cannot lie inside a JSON string: its quotes would be escaped. */
function withoutNullUsage(bytes: Buffer): Buffer {
  let at = bytes.indexOf(USAGE_NULL)
  if (at === -1) return bytes
  const pieces: Buffer[] = []
  let from = 0
  for (; at !== -1; at = bytes.indexOf(USAGE_NULL, from)) {
    pieces.push(bytes.subarray(from, at))
    from = at + USAGE_NULL.length
  }
  pieces.push(bytes.subarray(from))
  return Buffer.concat(pieces)
}

/**
 * The last event of a stream that ended without its blank line, with one; null when it broke off within the event: half
 * a line would swallow the error event that follows it.
 */
function wholeEvent(rest: Buffer): Buffer | null {
  const data = eventData(rest)
  if (data === null || (data !== '[DONE]' && !parseJson(data).ok)) return null
  const last = rest.at(-1)
  const lineEnded = last === 0x0a || last === 0x0d
  return Buffer.concat([rest, Buffer.from(lineEnded ? '\n' : '\n\n')])
}

function freshState(): StreamState {
  return {
    usage: undefined,
    usageSeen: false,
    usageAtBytes: 0,
    usageAtEvents: 0,
    finishSeen: false,
    doneSeen: false,
    error: null,
    servedModel: null,
    serviceTier: null,
    delivered: { events: 0, bytes: 0, tokens: 0 },
  }
}

export function createChatStreamReader(options: StreamReaderOptions): StreamReader {
  const state = freshState()
  let carry: Buffer | null = null
  let takenBytes = 0

  function lookInto(event: Buffer): Buffer | null {
    const data = eventData(event)
    const parsed = data === null ? null : parseJson(data)
    const named = isNamedError(event)
    if (parsed === null || !parsed.ok || !isObject(parsed.value)) {
      if (named) state.error ??= data ?? ''
      return state.error === null ? event : null
    }
    const body = parsed.value
    const error = body['error'] ?? (named ? body : undefined)
    if (error !== undefined && error !== null && state.error === null)
      state.error =
        isObject(error) && typeof error['message'] === 'string' ? error['message'] : JSON.stringify(error)
    const usage = findUsage(body)
    if (usage !== undefined && usage !== null) {
      state.usage = usage
      state.usageSeen = true
      state.usageAtBytes = takenBytes
      state.usageAtEvents = state.delivered.events
    }
    // The upstream's own words may name its keys and hosts, and what follows them would hide the error event of ours.
    if (state.error !== null) return null
    if (usage === undefined || usage === null) return event
    const bare = isArray(body['choices']) && body['choices'].length === 0
    if (!options.wantsUsage && bare) return null
    const note = options.wantsUsage && isObject(body['usage']) ? options.annotate(usage) : null
    if (note === null) return event
    const annotated = { ...body, usage: { ...(body['usage'] as JsonObject), tf: note } }
    return Buffer.from(`data: ${JSON.stringify(annotated)}\n\n`)
  }

  function take(block: Buffer): FeedResult {
    takenBytes += block.length
    if (state.servedModel === null) state.servedModel = stringMember(block, MODEL_KEY)
    if (state.serviceTier === null) state.serviceTier = stringMember(block, TIER_KEY)
    if (!state.finishSeen) state.finishSeen = hasMember(block, FINISH_KEY, QUOTE)
    if (!state.doneSeen) state.doneSeen = endsWithDone(block)
    const special =
      hasMember(block, USAGE_KEY, 0x7b) ||
      block.includes(ERROR_KEY) ||
      mayNameError(block) ||
      state.error !== null
    if (!special) {
      const output = countDeltas(block, state.delivered)
      const forward = options.wantsUsage ? block : withoutNullUsage(block)
      return { ok: true, forward, events: block, output }
    }
    const before = state.delivered.events
    const kept = splitEvents(block)
      .map((event) => {
        countDeltas(event, state.delivered)
        return lookInto(event)
      })
      .filter((event) => event !== null)
    const joined = kept.length === 1 ? (kept[0] ?? null) : kept.length === 0 ? null : Buffer.concat(kept)
    const forward = joined === null || options.wantsUsage ? joined : withoutNullUsage(joined)
    return { ok: true, forward, events: block, output: state.delivered.events > before }
  }

  return {
    state,
    feed(chunk) {
      const bytes = carry === null ? chunk : Buffer.concat([carry, chunk])
      const end = lastEventEnd(bytes)
      if (end === bytes.length) carry = null
      else carry = bytes.subarray(end)
      if (carry !== null && carry.length > EVENT_BYTES_MAX) return { ok: false, reason: 'event_too_large' }
      return end === 0 ? NOTHING : take(end === bytes.length ? bytes : bytes.subarray(0, end))
    },
    flush() {
      const rest = carry === null ? null : wholeEvent(carry)
      carry = null
      return rest === null ? NOTHING : take(rest)
    },
  }
}
