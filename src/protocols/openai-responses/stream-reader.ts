import { isArray, isObject, type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { FeedResult, StreamReader, StreamReaderOptions, StreamState } from '../protocol.ts'
import { eventData, eventName, isNamedError, lastEventEnd, splitEvents } from '../sse.ts'
import { countAdded, countDeltas, countDone, type ItemCount } from './deltas.ts'
import { errorOf } from './errors.ts'
import { hasMedia, outputTexts } from './output-text.ts'
import { rawUsage } from './usage.ts'

/**
 * Reads a stream as it passes: complete events go on as the bytes they are. Only the few that carry a response, an item
 * or an error are looked into; the many deltas are counted in the bytes.
 */

/** The last event repeats the whole answer, images in base64 among it, and what the request said. */
const RESPONSE_BYTES_MAX = 64 * 1024 * 1024

const SPECIAL = [
  '"response":',
  '"item":',
  '"error"',
  '"partial_image_b64":',
  'event: error',
  'event:error',
].map((text) => Buffer.from(text))
const DONE_TYPES = new Set(['response.completed', 'response.incomplete'])
const FAILED_TYPES = new Set(['response.failed', 'response.cancelled', 'error'])
const NO_BYTES = Buffer.alloc(0)
const LF = 0x0a
const CR = 0x0d

const NOTHING: FeedResult = { ok: true, forward: null, events: null, output: false }

const words = (value: Json | undefined): string | null =>
  typeof value === 'string' && value !== '' ? value : null

/**
 * The last event of a stream that ended without its blank line, with one; null when it broke off within the event: half
 * a line would swallow the error event that follows it.
 */
function wholeEvent(rest: Buffer): Buffer | null {
  const data = eventData(rest)
  if (data === null || (data !== '[DONE]' && !parseJson(data).ok)) return null
  const last = rest.at(-1)
  return Buffer.concat([rest, Buffer.from(last === LF || last === CR ? '\n' : '\n\n')])
}

/** Bytes that are no whole event yet. Kept in pieces: joined at each chunk, a long event would cost its square. */
class Carry {
  private pieces: Buffer[] = []
  private length = 0
  private tail: Buffer = NO_BYTES

  get tooLong(): boolean {
    return this.length > RESPONSE_BYTES_MAX
  }

  /** @returns the bytes up to the end of the last whole event; null when no event ends here */
  add(chunk: Buffer): Buffer | null {
    if (chunk.length === 0) return null
    if (this.pieces.length === 0) return this.split(chunk)
    // A blank line may have begun in the chunk before: the longest is CR LF CR LF.
    const ends = lastEventEnd(chunk) > 0 || lastEventEnd(Buffer.concat([this.tail, chunk.subarray(0, 3)])) > 0
    if (!ends) {
      this.keep(chunk)
      return null
    }
    const bytes = Buffer.concat([...this.pieces, chunk])
    this.pieces = []
    this.length = 0
    this.tail = NO_BYTES
    return this.split(bytes)
  }

  take(): Buffer | null {
    const { pieces } = this
    this.pieces = []
    this.length = 0
    this.tail = NO_BYTES
    return pieces.length === 0 ? null : Buffer.concat(pieces)
  }

  private split(bytes: Buffer): Buffer | null {
    const end = lastEventEnd(bytes)
    if (end === bytes.length) return bytes
    this.keep(bytes.subarray(end))
    return end === 0 ? null : bytes.subarray(0, end)
  }

  private keep(chunk: Buffer): void {
    if (chunk.length === 0) return
    this.pieces.push(chunk)
    this.length += chunk.length
    const joined = Buffer.concat([this.tail, chunk.subarray(-4)])
    this.tail = joined.subarray(-4)
  }
}

class ResponsesStreamReader implements StreamReader {
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
  private readonly carry = new Carry()
  private readonly items: ItemCount = { told: false, named: new Set() }
  private takenBytes = 0

  constructor(options: StreamReaderOptions) {
    this.annotate = options.annotate
  }

  feed(chunk: Buffer): FeedResult {
    const block = this.carry.add(chunk)
    if (this.carry.tooLong) return { ok: false, reason: 'event_too_large' }
    return block === null ? NOTHING : this.take(block)
  }

  flush(): FeedResult {
    const rest = this.carry.take()
    const event = rest === null ? null : wholeEvent(rest)
    return event === null ? NOTHING : this.take(event)
  }

  private take(block: Buffer): FeedResult {
    const { state } = this
    this.takenBytes += block.length
    const before = state.delivered.events
    let forward: Buffer | null = block
    if (SPECIAL.some((key) => block.includes(key))) forward = this.takeEach(block)
    else if (state.error !== null) forward = null
    else if (countDeltas(block, state.delivered)) this.items.told = true
    return { ok: true, forward, events: block, output: state.delivered.events > before }
  }

  private takeEach(block: Buffer): Buffer | null {
    const kept = splitEvents(block)
      .map((event) => this.lookInto(event))
      .filter((event) => event !== null)
    return kept.length < 2 ? (kept[0] ?? null) : Buffer.concat(kept)
  }

  /** @returns what the caller gets of one event; after an error nothing, so that the error event of ours is the last */
  private lookInto(event: Buffer): Buffer | null {
    const { state } = this
    if (state.error !== null) return null
    if (!SPECIAL.some((key) => event.includes(key))) {
      if (countDeltas(event, state.delivered)) this.items.told = true
      return event
    }
    const data = eventData(event)
    const parsed = data === null ? null : parseJson(data)
    if (parsed === null || !parsed.ok || !isObject(parsed.value)) {
      if (!isNamedError(event)) return event
      this.fail({})
      return null
    }
    const body = parsed.value
    const type = words(body['type']) ?? eventName(event) ?? ''
    const { response, error } = body
    if (FAILED_TYPES.has(type) || (words(body['type']) === null && error !== undefined && error !== null)) {
      this.fail(body)
      return null
    }
    if (isObject(response)) return this.lifecycle(event, type, body, response)
    this.count(event, type, body)
    return event
  }

  private count(event: Buffer, type: string, body: JsonObject): void {
    const { delivered } = this.state
    if (type === 'response.output_item.added') countAdded(body, this.items, delivered)
    else if (type === 'response.output_item.done') countDone(body, this.items, delivered)
    else if (hasMedia(body)) delivered.events++
    else if (countDeltas(event, delivered)) this.items.told = true
  }

  /** The upstream's own words may name its keys and hosts: kept for the operator. */
  private fail(body: JsonObject): void {
    const { state } = this
    const { response } = body
    const failed = isObject(response) ? response : {}
    const { message } = errorOf(isObject(response) ? response['error'] : body)
    state.error = message === '' ? 'the stream said that it failed' : message
    this.noteUsage(failed)
  }

  private noteUsage(response: JsonObject): Json | undefined {
    const { state } = this
    state.servedModel = words(response['model']) ?? state.servedModel
    // What the request asked for stands in the first events, what served it in the last.
    state.serviceTier = words(response['service_tier']) ?? state.serviceTier
    const usage = rawUsage(response)
    if (usage === undefined) return undefined
    state.usage = usage
    state.usageSeen = true
    state.usageAtBytes = this.takenBytes
    state.usageAtEvents = state.delivered.events
    return usage
  }

  private lifecycle(event: Buffer, type: string, body: JsonObject, response: JsonObject): Buffer {
    const { state } = this
    const usage = this.noteUsage(response)
    if (!DONE_TYPES.has(type)) return event
    state.finishSeen = true
    state.doneSeen = true
    if (state.delivered.events === 0) this.countWhole(response)
    if (usage !== undefined) state.usageAtEvents = state.delivered.events
    const { usage: wire } = response
    if (usage === undefined || !isObject(wire)) return event
    const note = this.annotate(usage)
    if (note === null) return event
    const annotated = { ...body, response: { ...response, usage: { ...wire, tf: note } } }
    const name = eventName(event)
    return Buffer.from(`${name === null ? '' : `event: ${name}\n`}data: ${JSON.stringify(annotated)}\n\n`)
  }

  /** Some servers tell nothing until the end. */
  private countWhole(response: JsonObject): void {
    const { output } = response
    if (!isArray(output)) return
    const told: ItemCount = { told: false, named: new Set() }
    for (const item of output)
      if (isObject(item) && (hasMedia(item) || outputTexts(item).length > 0))
        countDone({ item }, told, this.state.delivered)
  }
}

export function createStreamReader(options: StreamReaderOptions): StreamReader {
  return new ResponsesStreamReader(options)
}
