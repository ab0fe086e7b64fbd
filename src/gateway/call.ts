import type { ServerResponse } from 'node:http'
import type { Channel } from '../catalog/index.ts'
import type { Json, JsonObject, Uuid } from '../kernel/index.ts'
import type { StreamCut, WireError } from '../protocols/index.ts'
import type { Delivery } from './delivery.ts'
import type { GatewayDeps } from './deps.ts'
import type { PreparedCall } from './outbound.ts'
import type { AttemptOutcome, Reading } from './types.ts'
import type { Upstream } from './upstream.ts'

/** One upstream call: what it needs, and what comes of it. */

export interface CallOptions {
  readonly deps: Pick<GatewayDeps, 'clock' | 'deadlines' | 'draining'>
  readonly upstream: Upstream
  readonly channel: Channel
  readonly prepared: PreparedCall
  readonly streamed: boolean
  readonly orgId: Uuid
  readonly res: ServerResponse
  /** How a stream reaches the caller; made when the stream begins. */
  deliver(annotate: (usage: Json) => JsonObject | null): Delivery
  /** Writes status and headers of a stream; called once, right before its first byte. */
  beginStream(contentType: string): void
  annotate(reading: Reading): JsonObject | null
  /** Output so far: false when the stream went past what is held and must end; a promise while more is asked for. */
  mayGoOn(tokensEstimated: number, events: number): boolean | Promise<boolean>
  /** What a caller whose stream is cut is told of its usage. */
  cutUsage(reading: Reading): StreamCut['usage']
  /** A failure after the stream has begun, as the caller is told of it. */
  streamFault(timeout: boolean): WireError
  /** Gets what the caller gets, for answers that must be stored. */
  forwarded(bytes: Buffer): void
}

/** What became of a call whose caller had left before. */
export function asLeft(outcome: AttemptOutcome): AttemptOutcome {
  if (outcome.kind === 'left') return outcome
  return outcome.kind === 'failed'
    ? { kind: 'left', reading: null, accepted: false }
    : { kind: 'left', reading: outcome.reading, accepted: true }
}

/** As the upstream wrote it. */
export interface WholeAnswer {
  readonly contentType: string
  readonly bytes: Buffer
  readonly body: JsonObject
}

export interface CallResult {
  readonly outcome: AttemptOutcome
  readonly firstTokenMs: number | null
  readonly latencyMs: number
  /** The whole answer of a call that was not streamed. */
  readonly answer: WholeAnswer | null
  /** What a stream began with, as the caller got it. */
  readonly streamBegin: Buffer | null
  /** The upstream's own id of the call: what its support asks for. */
  readonly upstreamId: string | null
}

export interface UpstreamCall {
  readonly result: Promise<CallResult>
  /** Ends the call from our side: the process shuts down. */
  abort(code: string): void
  /** Output tokens delivered so far, by our own count. */
  delivered(): number
}
