import type { Json, JsonObject } from '../kernel/index.ts'
import {
  type EncoderContext,
  eventData,
  eventName,
  type FeedResult,
  type NeutralEvent,
  type Protocol,
  type RequestFacts,
  type StreamReader,
  splitEvents,
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
  /** What to send when it is cut at its limit. @param first what was sent first */
  cut(first: Buffer | null): Buffer
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

function passing(options: DeliveryOptions): Delivery {
  const { caller, facts, frame, annotate } = options
  const reader = caller.createStreamReader({ wantsUsage: facts.wantsUsage, annotate, frame })
  return {
    reader,
    contentType: contentType(frame),
    forward: (fed) => fed.forward,
    end: () => null,
    cut: (first) => caller.lengthEnding(first, frame),
    fail: (error) => Buffer.from(caller.streamError(error, frame)),
  }
}

function translating(options: DeliveryOptions): Delivery {
  const { caller, upstream, context, frame, annotate } = options
  const reader = upstream.createStreamReader({ wantsUsage: true, annotate: () => null })
  const decoder = upstream.createStreamDecoder()
  const encoder = caller.createStreamEncoder({
    ...context,
    frame,
    annotate: () => (reader.state.usage === undefined ? null : annotate(reader.state.usage)),
  })
  const bytes = (text: string): Buffer | null => (text === '' ? null : Buffer.from(text))
  return {
    reader,
    contentType: contentType(frame),
    forward({ events }) {
      if (events === null) return null
      let text = ''
      for (const event of splitEvents(events)) {
        const data = eventData(event)
        if (data === null) continue
        // The attempt decides what becomes of an error; it is not the encoder's to send.
        for (const neutral of decoder.feed({ name: eventName(event), data }))
          if (neutral.kind !== 'error') text += encoder.push(neutral)
      }
      return bytes(text)
    },
    end: () => bytes(encoder.end()),
    cut() {
      const finish: NeutralEvent = { kind: 'finish', choice: 0, finish: 'length', finishRaw: 'length' }
      return Buffer.from(encoder.push(finish) + encoder.end())
    },
    fail: (error) => Buffer.from(caller.streamError(error, frame)),
  }
}

export function createDelivery(options: DeliveryOptions): Delivery {
  return options.caller.name === options.upstream.name ? passing(options) : translating(options)
}

/** The upstream's whole answer in the caller's format, or null when it cannot be read. */
export function translateAnswer(
  caller: Protocol,
  upstream: Protocol,
  body: JsonObject,
  context: EncoderContext,
): { readonly body: JsonObject; readonly dropped: readonly string[] } | null {
  const decoded = upstream.decodeAnswer(body)
  if (!decoded.ok) return null
  return { body: caller.encodeAnswer(decoded.value, context), dropped: decoded.value.dropped }
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
