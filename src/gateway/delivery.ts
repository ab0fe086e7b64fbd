import type { Json, JsonObject } from '../kernel/index.ts'
import {
  type EncoderContext,
  type FeedResult,
  type NeutralEvent,
  type Protocol,
  type RequestFacts,
  readEvents,
  type StreamCut,
  type StreamReader,
  type WireError,
} from '../protocols/index.ts'
import type { Inbound } from './types.ts'

/**
 * What the caller gets of an upstream's stream: the bytes as they are where both speak one format, or the same events
 * written in the caller's format. The attempt knows neither format; it only sends what comes out here.
 */

export interface Delivery {
  /** Reads the upstream's bytes and meters them. */
  readonly reader: StreamReader
  readonly contentType: string
  /** What to send for events that were read; null for nothing. */
  forward(fed: Extract<FeedResult, { ok: true }>): Buffer | null
  /** What to send when the stream ended whole. */
  end(): Buffer | null
  /** What to send when it is cut at its limit. @param first what was sent first @param usage as it is charged */
  cut(first: Buffer | null, usage: StreamCut['usage']): Buffer
  /** What to send when the upstream broke off. */
  fail(error: WireError): Buffer
}

export interface DeliveryOptions {
  readonly caller: Protocol
  readonly upstream: Protocol
  readonly facts: RequestFacts
  readonly frame: 'sse' | 'array'
  readonly context: Omit<EncoderContext, 'annotate' | 'frame'>
  readonly annotate: (usage: Json) => JsonObject | null
}

const SSE = 'text/event-stream'

function contentType(frame: 'sse' | 'array'): string {
  return frame === 'sse' ? SSE : 'application/json'
}

/** Which choices have not ended yet. */
class OpenChoices {
  private readonly open: Set<number>

  constructor(choices: number) {
    this.open = new Set(Array.from({ length: choices }, (_, choice) => choice))
  }

  see(event: NeutralEvent): void {
    if (event.kind === 'finish') this.open.delete(event.choice)
  }

  get list(): readonly number[] {
    return [...this.open]
  }
}

function passing(options: DeliveryOptions): Delivery {
  const { caller, facts, frame, annotate } = options
  const open = new OpenChoices(facts.choices)
  // One choice that has ended is not cut any more; of several each may have.
  const decoder = facts.choices > 1 ? caller.createStreamDecoder() : null
  const reader = caller.createStreamReader({ wantsUsage: facts.wantsUsage, annotate, frame })
  return {
    reader,
    contentType: contentType(frame),
    forward(fed) {
      if (decoder !== null && fed.events !== null)
        for (const event of readEvents(fed.events))
          for (const neutral of decoder.feed(event)) open.see(neutral)
      return fed.forward
    },
    end: () => null,
    cut: (first, usage) =>
      caller.lengthEnding(first, frame, { choices: open.list, usage: facts.wantsUsage ? usage : null }),
    fail: (error) => Buffer.from(caller.streamError(error, frame)),
  }
}

function translating(options: DeliveryOptions): Delivery {
  const { caller, upstream, context, facts, frame, annotate } = options
  const open = new OpenChoices(facts.choices)
  let atCut: StreamCut['usage'] = null
  const reader = upstream.createStreamReader({ wantsUsage: true, annotate: () => null })
  const decoder = upstream.createStreamDecoder()
  const encoder = caller.createStreamEncoder({
    ...context,
    frame,
    annotate: () =>
      atCut !== null ? atCut.note : reader.state.usage === undefined ? null : annotate(reader.state.usage),
  })
  const bytes = (text: string): Buffer | null => (text === '' ? null : Buffer.from(text))
  return {
    reader,
    contentType: contentType(frame),
    forward({ events }) {
      if (events === null) return null
      let text = ''
      // The attempt decides what becomes of an error; it is not the encoder's to send.
      for (const event of readEvents(events))
        for (const neutral of decoder.feed(event)) {
          open.see(neutral)
          if (neutral.kind !== 'error') text += encoder.push(neutral)
        }
      return bytes(text)
    },
    end: () => bytes(encoder.end()),
    cut(_first, usage) {
      atCut = usage
      const told: readonly NeutralEvent[] =
        usage === null ? [] : [{ kind: 'usage', usage: usage.read, serviceTier: null }]
      const ends = open.list.map(
        (choice): NeutralEvent => ({ kind: 'finish', choice, finish: 'length', finishRaw: 'length' }),
      )
      return Buffer.from([...told, ...ends].map((event) => encoder.push(event)).join('') + encoder.end())
    },
    fail: (error) => Buffer.from(caller.streamError(error, frame)),
  }
}

export function createDelivery(options: DeliveryOptions): Delivery {
  return options.caller.name === options.upstream.name ? passing(options) : translating(options)
}

/** What an encoder of the caller's format needs to know of the request. */
export function contextOf(inbound: Inbound): Omit<EncoderContext, 'annotate' | 'frame'> {
  const { exchange, facts, body } = inbound
  return {
    requestId: exchange.publicId,
    requestedModel: facts.model,
    createdSeconds: Math.floor(exchange.startedAtMs / 1000),
    wantsUsage: facts.wantsUsage,
    requestBody: body,
  }
}
