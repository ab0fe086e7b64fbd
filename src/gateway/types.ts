import type { IncomingMessage, ServerResponse } from 'node:http'
import type { BudgetAt } from '../budgets/index.ts'
import type { CatalogModel, CatalogSnapshot, PriceVersion, Route, RouteChannel } from '../catalog/index.ts'
import type { Fault, ReceiptLimit, Settlement } from '../contract/index.ts'
import type { Json, JsonObject, Nano, Usage, Uuid } from '../kernel/index.ts'
import type { ObjectSpans, OtherModelUsage, RequestFacts, UsageResult } from '../protocols/index.ts'
import type {
  CandidateReason,
  ChargeFacts,
  DecisionReason,
  NoChargeReason,
  ReceiptFlag,
} from '../receipts/index.ts'
import type { ApiKeyRecord } from '../tenancy/index.ts'
import type { Pin } from './pins.ts'
import type { EndpointCall } from './wire.ts'

/**
 * The values that pass from stage to stage. Each is read-only and holds the one before it; no stage writes into an
 * earlier stage's value.
 */

/** One HTTP exchange with a caller. */
export interface Exchange {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  readonly requestId: Uuid
  /** The same as callers and receipts show it. */
  readonly publicId: string
  readonly startedAtMs: number
  readonly startedMonotonicMs: number
  /** Which endpoint was called, and thereby which wire format the caller speaks. */
  readonly call: EndpointCall
}

/** A body that was read and is a request of the endpoint's format; who sent it is known. */
export interface Inbound {
  readonly exchange: Exchange
  readonly key: ApiKeyRecord
  readonly bytes: Buffer
  readonly spans: ObjectSpans
  readonly body: JsonObject
  readonly facts: RequestFacts
  readonly idempotencyKey: string | null
}

export interface RunRef {
  readonly id: Uuid
  readonly name: string
  readonly step: string | null
}

export interface Admitted {
  readonly inbound: Inbound
  readonly snapshot: CatalogSnapshot
  readonly model: CatalogModel
  /** The route asked for by header or suffix: a name or a type. */
  readonly askedRoute: string | null
  readonly askedBy: 'header' | 'suffix' | null
  readonly mayCross: boolean
  readonly run: RunRef | null
  /** The channel that keeps the response which this request continues. */
  readonly pin: Pin | null
}

/** One way to serve and pay the request, in order of preference. */
export interface RoutePlan {
  readonly route: Route
  readonly price: PriceVersion
  /** In the order to try. */
  readonly channels: readonly PlannedChannel[]
  readonly reason: DecisionReason
}

export interface PlannedChannel {
  readonly target: RouteChannel
  readonly role: string
}

/** A channel whose format cannot express the request. */
export interface SkippedChannel {
  readonly plan: RoutePlan
  readonly channel: PlannedChannel
}

export interface RejectedRoute {
  readonly route: Route
  readonly reason: CandidateReason
}

export interface Planned {
  readonly admitted: Admitted
  readonly routes: readonly RoutePlan[]
  readonly rejected: readonly RejectedRoute[]
  readonly attemptsMax: number
}

/** Money is set aside for one route; nothing was sent yet. */
export interface Held {
  readonly planned: Planned
  readonly plan: RoutePlan
  readonly holdId: Uuid
  readonly accountId: bigint
  readonly heldNano: Nano
  readonly inputTokensMax: number
  /** Output tokens a choice may have, as held. */
  readonly outputTokensMax: number
  /** No honest upstream can report more output tokens for one choice: the limit it was told, or the model's own. */
  readonly outputTokensBound: number
  /** What the upstream is told, or null to leave the caller's own limit in place. */
  readonly sentLimit: number | null
  readonly lowered: boolean
  /** The budgets that the hold falls under. */
  readonly budgets: readonly BudgetAt[]
  /** The budget, or the key's own largest charge, that lowered it. */
  readonly limit: ReceiptLimit | null
}

export interface AttemptRecord {
  readonly plan: RoutePlan
  readonly channel: PlannedChannel
  readonly startedAtMs: number
  readonly latencyMs: number
  readonly firstTokenMs: number | null
  readonly upstreamId: string | null
  readonly outcome: AttemptOutcome
}

/** How one upstream call ended. Everything but `served`, `left` and `broke` leaves the caller untouched. */
export type AttemptOutcome =
  | { readonly kind: 'served'; readonly reading: Reading }
  /** Refused or failed with nothing passed on: the next channel may be tried unless `final`. */
  | {
      readonly kind: 'failed'
      readonly status: number | null
      readonly code: string
      /** The caller's request is at fault: no other channel would take it. Message fit for the caller. */
      readonly final: { readonly status: number; readonly message: string } | null
      readonly timeout: boolean
      readonly overloaded: boolean
      readonly retryAfterMs: number | null
    }
  /** The upstream broke off after output had reached the caller. */
  | { readonly kind: 'broke'; readonly reading: Reading; readonly code: string; readonly timeout: boolean }
  /** The caller went away; `accepted` when the upstream had answered by then. */
  | { readonly kind: 'left'; readonly reading: Reading | null; readonly accepted: boolean }
  /** Cut here because the stream went past what is held. */
  | { readonly kind: 'cut'; readonly reading: Reading }

/** What was read of an upstream's answer, whole or in part. */
export interface Reading {
  readonly status: number
  readonly usage: UsageResult
  /** False when output came after the usage: it covers a part only, whatever the model says at the end. */
  readonly usageWhole: boolean
  /** As the provider wrote it, for the receipt. */
  readonly rawUsage: Json | null
  readonly servedModel: string | null
  readonly serviceTier: string | null
  readonly hasOutput: boolean
  /** The provider does not bill this answer, whatever it reports. */
  readonly unbilled: boolean
  /** Bytes of the upstream's answer: no visible token is less than one of them. */
  readonly bytesRead: number
  /** Output tokens by our own count of what was delivered. */
  readonly tokensEstimated: number
}

export type Ending =
  | {
      readonly kind: 'attempt'
      readonly outcome: AttemptOutcome
      /** Tokens of the model that was asked last for each token of our own count; 1 where it is absent. */
      readonly tokenFactor?: number
    }
  | { readonly kind: 'refused'; readonly fault: Fault }
  /** The answer of an earlier request was given again. */
  | { readonly kind: 'replayed' }

export interface Metered {
  readonly usage: Usage | null
  /** What ran on other models than the one asked for, each to be priced as its own. */
  readonly others: readonly OtherModelUsage[]
  readonly settlement: Settlement
  readonly flags: readonly ReceiptFlag[]
  readonly noCharge: NoChargeReason | null
}

export interface Priced extends Metered {
  readonly totalNano: Nano
  readonly charge: ChargeFacts | null
}

export type StageResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: Fault }
