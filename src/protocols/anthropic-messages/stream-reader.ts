import { isObject, type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { FeedResult, StreamReader, StreamReaderOptions, StreamState } from '../protocol.ts'
import { EVENT_BYTES_MAX, eventData, isNamedError, lastEventEnd, mayNameError, splitEvents } from '../sse.ts'
import { countedModel, isUnbilled } from './answer.ts'
import { countDeltas } from './deltas.ts'
import { errorOf } from './errors.ts'
import { mergeUsage, tierOf } from './usage.ts'

/**
 * Reads a Messages stream as it passes: events go on as the bytes they are; only those that carry usage, an error or the
 * end are looked into. A second `message_start` (bad relays repeat or splice it) passes too and adds nothing.
 */

/** In the type of each event that matters here; quotes inside strings are escaped. */
const MESSAGE = Buffer.from('"message_')
const ERROR = Buffer.from('"error"')

const NOTHING: FeedResult = { ok: true, forward: null, events: null, output: false }

function lineEndOf(event: Buffer): string {
  return event.includes('\r\n') ? '\r\n' : '\n'
}

/**
 * The last event of a stream that ended without its blank line, with one; null when it broke off within the event: half
 * a line would swallow the error event that follows it.
 */
function wholeEvent(rest: Buffer): Buffer | null {
  const data = eventData(rest)
  if (data === null || !parseJson(data).ok) return null
  const last = rest.at(-1)
  return Buffer.concat([rest, Buffer.from(last === 0x0a || last === 0x0d ? '\n' : '\n\n')])
}

function parsedEvent(event: Buffer): JsonObject | null {
  const data = eventData(event)
  const parsed = data === null ? null : parseJson(data)
  return parsed?.ok && isObject(parsed.value) ? parsed.value : null
}

class Reader implements StreamReader {
  readonly state: StreamState = {
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
  private readonly annotate: StreamReaderOptions['annotate']
  private carry: Buffer | null = null
  private takenBytes = 0
  private started = false
  private model: Json | undefined
  private usage: JsonObject | null = null

  constructor(options: StreamReaderOptions) {
    this.annotate = options.annotate
  }

  private takeUsage(usage: Json | undefined, late: boolean, endAt: number): void {
    if (!isObject(usage)) return
    this.usage = mergeUsage(this.usage, usage, late)
    const { state } = this
    state.usage = this.usage
    state.serviceTier = tierOf(this.usage)
    state.servedModel = countedModel(this.model, this.usage)
    if (late) return
    state.usageSeen = true
    state.usageAtBytes = endAt
    state.usageAtEvents = state.delivered.events
  }

  private start(body: JsonObject, endAt: number): void {
    const message = isObject(body['message']) ? body['message'] : {}
    if (!this.started) this.model = message['model']
    this.takeUsage(message['usage'], this.usage !== null, endAt)
    this.state.servedModel = countedModel(this.model, this.usage ?? undefined)
    this.started = true
  }

  private delta(body: JsonObject, event: Buffer, endAt: number): Buffer {
    const delta = isObject(body['delta']) ? body['delta'] : {}
    const last = typeof delta['stop_reason'] === 'string'
    if (last) {
      this.state.finishSeen = true
      this.state.unbilled = isUnbilled(delta['stop_reason'], this.state.delivered.events > 0)
    }
    const { usage } = body
    if (!isObject(usage)) return event
    this.takeUsage(usage, false, endAt)
    const note = last ? this.annotate(this.usage ?? usage) : null
    if (note === null) return event
    const text = JSON.stringify({ ...body, usage: { ...usage, tf: note } })
    const end = lineEndOf(event)
    return Buffer.from(`event: message_delta${end}data: ${text}${end}${end}`)
  }

  /** What the caller gets of an event; null for nothing. */
  private look(event: Buffer, endAt: number): Buffer | null {
    const body = parsedEvent(event)
    // The upstream's own words may name its keys and hosts, and what follows an error would hide the one of ours.
    if (this.state.error !== null) return null
    const named = isNamedError(event)
    if (body === null && !named) return event
    const error = body?.['error']
    if (
      body === null ||
      named ||
      body['type'] === 'error' ||
      (isObject(error) && body['type'] === undefined)
    ) {
      const { message } = errorOf(error)
      this.state.error = message === '' ? 'an error event' : message
      return null
    }
    switch (body['type']) {
      case 'message_start':
        this.start(body, endAt)
        return event
      case 'message_delta':
        return this.delta(body, event, endAt)
      case 'message_stop':
        this.state.doneSeen = true
        return event
      default:
        return event
    }
  }

  private lookAll(block: Buffer, startAt: number): FeedResult {
    const kept: Buffer[] = []
    let output = false
    for (const event of splitEvents(block)) {
      const endAt = startAt + event.byteOffset - block.byteOffset + event.length
      const forward = this.look(event, endAt)
      if (this.state.error === null && countDeltas(event, this.state.delivered)) output = true
      if (forward !== null) kept.push(forward)
    }
    const joined = kept.length <= 1 ? (kept[0] ?? null) : Buffer.concat(kept)
    return { ok: true, forward: joined, events: block, output }
  }

  private take(block: Buffer): FeedResult {
    const startAt = this.takenBytes
    this.takenBytes += block.length
    if (this.state.error !== null || block.includes(MESSAGE) || block.includes(ERROR) || mayNameError(block))
      return this.lookAll(block, startAt)
    return { ok: true, forward: block, events: block, output: countDeltas(block, this.state.delivered) }
  }

  feed(chunk: Buffer): FeedResult {
    const bytes = this.carry === null ? chunk : Buffer.concat([this.carry, chunk])
    const end = lastEventEnd(bytes)
    this.carry = end === bytes.length ? null : bytes.subarray(end)
    if (this.carry !== null && this.carry.length > EVENT_BYTES_MAX)
      return { ok: false, reason: 'event_too_large' }
    return end === 0 ? NOTHING : this.take(bytes.subarray(0, end))
  }

  flush(): FeedResult {
    const rest = this.carry === null ? null : wholeEvent(this.carry)
    this.carry = null
    return rest === null ? NOTHING : this.take(rest)
  }
}

export function createStreamReader(options: StreamReaderOptions): StreamReader {
  return new Reader(options)
}
