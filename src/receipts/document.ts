import type {
  ErrorCode,
  Policy,
  ReceiptLimit,
  ReceiptStatus,
  RouteType,
  Settlement,
} from '../contract/index.ts'
import type { Json, UsageCounts, UsageSource } from '../kernel/index.ts'

/**
 * The receipt as it is stored: facts and codes, written once in the commit that moves the money, and only rendered
 * afterwards (explanations, balances and ledger entries are read from it and from the entries it caused, never
 * recomputed). Amounts are decimal strings; times are milliseconds since 1970.
 */
export interface ReceiptDocument {
  readonly v: 1
  readonly status: ReceiptStatus
  readonly at: number
  readonly ended: number
  readonly latency: number
  readonly ttft?: number | undefined
  readonly org: Named
  readonly project: Named
  readonly key: { readonly id: string; readonly label: string; readonly prefix: string }
  readonly run?:
    | { readonly id: string; readonly name: string; readonly step?: string | undefined }
    | undefined
  readonly endpoint: string
  readonly streamed: boolean
  readonly idempotency?: string | undefined
  /** The request whose stored answer was given again. */
  readonly replayOf?: string | undefined
  readonly requested?: string | undefined
  readonly model?: string | undefined
  readonly served?: string | undefined
  readonly sandbox?: true | undefined
  readonly decision?: DecisionFacts | undefined
  readonly attempts: readonly AttemptFacts[]
  readonly crossed?: true | undefined
  readonly maxOutput?: number | undefined
  readonly lowered?: true | undefined
  /** Members of the request that another wire format could not carry. */
  readonly dropped?: readonly string[] | undefined
  readonly usage?: UsageFacts | undefined
  readonly charge?: ChargeFacts | undefined
  readonly noCharge?: NoChargeReason | undefined
  readonly settlement: Settlement
  readonly hold?: HoldFacts | undefined
  readonly flags?: readonly ReceiptFlag[] | undefined
  /** As it is shown: facts of that moment. */
  readonly limit?: ReceiptLimit | undefined
  readonly error?: ErrorFacts | undefined
}

export interface Named {
  readonly id: string
  readonly name: string
}

/** Why this route and this balance: made in `plan`, never recomposed. */
export interface DecisionFacts {
  readonly policy: Policy
  readonly rule: 'bucket.by_route'
  readonly route?: string | undefined
  readonly type?: RouteType | undefined
  readonly bucket?: string | undefined
  readonly bucketName?: string | undefined
  readonly currency?: string | undefined
  readonly reason: DecisionReason
  readonly candidates: readonly CandidateFacts[]
}

export const DECISION_REASONS = [
  'asked_by_header',
  'asked_by_suffix',
  'policy',
  'only_route',
  'crossed_after_failure',
  'crossed_for_balance',
  'crossed_for_budget',
  'crossed_for_rate_limit',
  'next_route_after_failure',
  'none',
] as const
export type DecisionReason = (typeof DECISION_REASONS)[number]

export interface CandidateFacts {
  readonly route: string
  readonly channel?: string | undefined
  readonly public?: string | undefined
  readonly role?: string | undefined
  readonly outcome: 'tried' | 'not_needed' | 'not_allowed' | 'unavailable'
  readonly reason: CandidateReason
}

export const CANDIDATE_REASONS = [
  'served',
  'failed',
  'first_served',
  'attempts_used_up',
  'caller_left',
  'output_had_begun',
  'crossing_not_allowed',
  'route_not_asked_for',
  'policy_excludes',
  'key_excludes',
  'bucket_excluded',
  'balance_insufficient',
  'budget_exceeded',
  'rate_limited',
  'request_refused',
  'cannot_translate',
] as const
export type CandidateReason = (typeof CANDIDATE_REASONS)[number]

export interface AttemptFacts {
  readonly route: string
  readonly channel: string
  readonly public: string
  readonly role: string
  readonly upstream: string
  readonly served?: string | undefined
  readonly result: 'ok' | 'error' | 'timeout' | 'cancelled'
  readonly status?: number | undefined
  readonly code?: string | undefined
  readonly at: number
  readonly latency: number
  readonly ttft?: number | undefined
  /** The upstream's own id of the call. */
  readonly upstreamId?: string | undefined
  readonly billed: boolean
  readonly why: BilledReason
  readonly next: 'backup' | 'other_route' | 'answer' | 'none'
}

export const BILLED_REASONS = [
  'answer_delivered',
  'part_delivered',
  'nothing_delivered',
  'empty_answer',
  'reported_nothing',
] as const
export type BilledReason = (typeof BILLED_REASONS)[number]

export interface UsageFacts {
  readonly counts: UsageCounts
  readonly reasoning?: number | undefined
  readonly webSearches?: number | undefined
  readonly source: UsageSource
  /** As the provider wrote it. */
  readonly raw?: Json | undefined
}

export interface ChargeFacts {
  readonly bucket: string
  readonly currency: string
  readonly total: string
  readonly version: string
  /** Price versions of other models that took part in the answer; their lines name them. */
  readonly others?: ReadonlyArray<{ readonly model: string; readonly version: string | null }> | undefined
  readonly lines: ReadonlyArray<
    readonly [meter: string, quantity: number, unitPrice: string, per: number, amount: string]
  >
  readonly reference?: { readonly currency: string; readonly total: string } | undefined
}

export interface HoldFacts {
  readonly bucket: string
  readonly currency: string
  readonly amount: string
  readonly state: 'open' | 'captured' | 'released' | 'expired'
}

export interface ErrorFacts {
  readonly code: ErrorCode
  readonly message: string
  readonly status: number
}

export const NO_CHARGE_REASONS = [
  'refused',
  'nothing_delivered',
  'empty_completion',
  'client_left_before_output',
  'reported_nothing',
  'price_is_zero',
  'nothing_provable',
  'replayed',
] as const
export type NoChargeReason = (typeof NO_CHARGE_REASONS)[number]

export const RECEIPT_FLAGS = [
  'usage_impossible',
  'usage_invalid',
  'usage_missing',
  'usage_zero_with_output',
  'output_not_reported',
  'usage_total_mismatch',
  'cached_exceeds_input',
  'reasoning_outside_output',
  'reasoning_inside_output',
  'cache_write_split_lost',
  'provider_repriced',
  'other_models_used',
  'cached_modalities_unknown',
  'media_overlaps_cache',
  'image_generation_beside',
  'web_searches_counted',
  'written_off',
  'model_mismatch',
  'cut_at_limit',
] as const
export type ReceiptFlag = (typeof RECEIPT_FLAGS)[number]
