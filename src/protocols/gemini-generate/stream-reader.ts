import { isArray, isObject, type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import { objectSpans, spliceMembers } from '../json-span.ts'
import type { FeedResult, StreamReader, StreamReaderOptions, StreamState } from '../protocol.ts'
import { eventData, isNamedError, splitEvents } from '../sse.ts'
import { errorOf } from './errors.ts'
import { EventCutter } from './event-cutter.ts'
import { UNSPECIFIED } from './finish.ts'
import { Framer } from './framing.ts'
import { countOutput } from './output.ts'
import { servedTier } from './tier.ts'
import { addSearches, hasCounts, withSearches } from './usage.ts'

/**
 * Reads a stream as it passes. Every event of Google's goes on as the bytes it is. What Google never sends and its
 * clients stumble over is set right: comments and events without data are left out (gemini-cli sends its whole request
 * again after one), data over several lines is made one.
 */

const LF = 0x0a
const CR = 0x0d
const DATA = Buffer.from('data: ')
const ENDINGS = ['\n\n', '\r\n\r\n', '\r\r']

const NOTHING: FeedResult = { ok: true, forward: null, events: null, output: false }
const LIMITS = { depthMax: Number.MAX_SAFE_INTEGER, valuesMax: Number.MAX_SAFE_INTEGER }

/**
 * One line of data and a blank line is what every client reads. Further blank lines are left off, as they are where the
 * network happened to split before them.
 * @returns the event itself where it is no more than that; null when it has another form
 */
function plain(event: Buffer): Buffer | null {
  if (!event.subarray(0, DATA.length).equals(DATA)) return null
  const lf = event.indexOf(LF)
  const cr = event.indexOf(CR)
  const at = lf === -1 ? cr : cr === -1 ? lf : Math.min(lf, cr)
  if (at === -1) return null
  const breaks = event.toString('latin1', at)
  const ending = /^[\r\n]+$/.test(breaks) ? ENDINGS.find((text) => breaks.startsWith(text)) : undefined
  if (ending === undefined) return null
  return ending.length === breaks.length ? event : event.subarray(0, at + ending.length)
}

/** Data of a block that is one event in Google's own form, as nearly every block is; null for any other. */
function loneData(block: Buffer): string | null {
  const at = block.length - 4
  const lone =
    at > DATA.length &&
    block.indexOf(CR) === at &&
    block.indexOf(LF) === at + 1 &&
    block[at + 2] === CR &&
    block[at + 3] === LF &&
    block.indexOf(DATA) === 0
  return lone ? block.toString('utf8', DATA.length, at) : null
}

function firstText(...values: readonly (Json | undefined)[]): string | null {
  const found = values.find((value) => typeof value === 'string' && value !== '')
  return typeof found === 'string' ? found : null
}

/** The model said why it stopped, or why it never began. */
function saysWhy(body: JsonObject): boolean {
  const { candidates, promptFeedback } = body
  const ended =
    isArray(candidates) &&
    candidates.some((candidate) => {
      const reason = isObject(candidate) ? firstText(candidate['finishReason']) : null
      return reason !== null && reason !== UNSPECIFIED
    })
  return ended || (isObject(promptFeedback) && firstText(promptFeedback['blockReason']) !== null)
}

/** The event's text with a member put into its usage; every other byte of it stays. */
function annotated(text: string, usage: JsonObject, note: JsonObject): string {
  const bytes = Buffer.from(text)
  const spans = objectSpans(bytes, LIMITS)
  if (!spans.ok) return text
  const json = JSON.stringify({ ...usage, tf: note })
  return spliceMembers(bytes, spans.spans, [{ name: 'usageMetadata', json }]).toString('utf8')
}

class GeminiStreamReader implements StreamReader {
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
  private readonly array: boolean
  private readonly framer: Framer
  private readonly cutter = new EventCutter()
  private readonly queries = new Set<string>()
  private takenBytes = 0

  constructor(options: StreamReaderOptions) {
    this.annotate = options.annotate
    this.array = options.frame === 'array'
    this.framer = new Framer(options.frame ?? 'sse')
  }

  feed(chunk: Buffer): FeedResult {
    const block = this.cutter.push(chunk)
    if (this.cutter.tooLarge) return { ok: false, reason: 'event_too_large' }
    return block === null ? NOTHING : this.take(block)
  }

  flush(): FeedResult {
    const rest = this.cutter.rest()
    const data = rest === null ? null : eventData(rest)
    // Half an event would swallow what is sent after it.
    const whole = data !== null && (data.trim() === '[DONE]' || parseJson(data).ok)
    const last = rest !== null && whole ? this.take(Buffer.concat([rest, Buffer.from('\r\n\r\n')])) : NOTHING
    // An array that broke off stays open for the error that ends it.
    const complete = this.state.error === null && (this.state.finishSeen || this.state.doneSeen)
    const end = complete ? this.framer.end() : ''
    if (end === '' || !last.ok) return last
    return { ...last, forward: Buffer.concat([last.forward ?? Buffer.alloc(0), Buffer.from(end)]) }
  }

  private take(block: Buffer): FeedResult {
    this.takenBytes += block.length
    const before = this.state.delivered.events
    const lone = loneData(block)
    const events = lone === null ? splitEvents(block) : [block]
    const kept = events.map((event) => this.pass(event, lone ?? eventData(event), lone !== null))
    const untouched = kept.every((event, at) => event === events[at])
    const pieces = untouched ? [block] : kept.filter((event) => event !== null)
    const forward =
      pieces.length === 1 ? (pieces[0] ?? null) : pieces.length === 0 ? null : Buffer.concat(pieces)
    return { ok: true, forward, events: block, output: this.state.delivered.events > before }
  }

  /** @returns the event as the caller gets it: the very same one where it can be */
  private pass(event: Buffer, data: string | null, isPlain: boolean): Buffer | null {
    if (data === null) return null
    if (data.length < 20 && data.trim() === '[DONE]') {
      this.state.doneSeen = true
      return null
    }
    // The data of an event that is named an error are an upstream's own words, whatever their form.
    if (!isPlain && isNamedError(event)) this.state.error ??= data
    const parsed = parseJson(data)
    if (!parsed.ok) return this.state.error === null && !this.array ? event : null
    const body = parsed.value
    const failed = errorOf(body)
    if (failed !== null) this.state.error ??= failed.message
    const text = isObject(body) ? this.read(body, data) : data
    // The upstream's own words may name its keys and hosts, and what follows them would hide the error of ours.
    if (this.state.error !== null) return null
    const same = text !== data || this.array ? null : isPlain ? event : plain(event)
    return same ?? Buffer.from(this.framer.element(text))
  }

  private search(body: JsonObject): void {
    addSearches(body, this.queries)
    if (isObject(this.state.usage)) this.state.usage = withSearches(this.state.usage, this.queries)
  }

  /** @returns the event's text, with our note where it belongs */
  private read(body: JsonObject, text: string): string {
    const { state } = this
    countOutput(body, state.delivered)
    state.servedModel ??= firstText(body['modelVersion'])
    if (saysWhy(body)) state.finishSeen = true
    if (text.includes('"webSearchQueries"')) this.search(body)
    const usage = body['usageMetadata']
    if (!isObject(usage)) return text
    state.serviceTier = servedTier(usage) ?? state.serviceTier
    if (!hasCounts(usage)) return text
    state.usage = withSearches(usage, this.queries)
    state.usageSeen = true
    state.usageAtBytes = this.takenBytes
    state.usageAtEvents = state.delivered.events
    // Usage is in every event: the last one is where the model says why it stopped, or after it.
    const note = state.finishSeen ? this.annotate(state.usage) : null
    return note === null ? text : annotated(text, usage, note)
  }
}

export function createStreamReader(options: StreamReaderOptions): StreamReader {
  return new GeminiStreamReader(options)
}
