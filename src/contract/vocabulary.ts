/** The closed lists that everything else is checked against. A new kind is added here first; the compiler names the rest. */

export const ROUTE_TYPES = ['official', 'ordinary'] as const
export type RouteType = (typeof ROUTE_TYPES)[number]

/** The two built-in balances. Further ones come from configuration, so a bucket id is a string elsewhere. */
export const BUILT_IN_BUCKETS = {
  credit: { currency: 'USD', name: 'Credit' },
  rmb: { currency: 'CNY', name: 'RMB wallet' },
} as const satisfies Record<string, { currency: string; name: string }>

/** How a key chooses among a model's routes when the request names none. */
export const POLICIES = [
  'ordinary_then_official',
  'official_then_ordinary',
  'official_only',
  'ordinary_only',
  'cheapest',
] as const
export type Policy = (typeof POLICIES)[number]

/** What a budget is about. A route is its name, its type, or one model's: `model:route`. */
export const BUDGET_SCOPES = ['organization', 'project', 'key', 'route', 'run'] as const
export type BudgetScope = (typeof BUDGET_SCOPES)[number]

/** Counted in the organization's time zone, weeks from Monday. */
export const BUDGET_PERIODS = ['day', 'week', 'month', 'total'] as const
export type BudgetPeriod = (typeof BUDGET_PERIODS)[number]

/** What a rate limit is about. A route is its name, its type, or one model's: `model:route`. */
export const RATE_SCOPES = ['organization', 'project', 'key', 'route'] as const
export type RateScope = (typeof RATE_SCOPES)[number]

/** What a rate limit counts: in any 60 seconds, or at one time. */
export const RATE_MEASURES = ['requests_per_minute', 'tokens_per_minute', 'concurrency'] as const
export type RateMeasure = (typeof RATE_MEASURES)[number]

export const KEY_STATES = ['active', 'paused', 'revoked', 'expired'] as const
export type KeyState = (typeof KEY_STATES)[number]

/** A paused project serves none of its keys. */
export const PROJECT_STATES = ['active', 'paused'] as const
export type ProjectState = (typeof PROJECT_STATES)[number]

/** Who changes something: an operator, one of a customer's people, its software, or the installation itself. */
export const AUDIT_ACTORS = ['operator', 'person', 'key', 'system'] as const
export type AuditActor = (typeof AUDIT_ACTORS)[number]

export const RECEIPT_STATUSES = [
  'completed',
  'failed',
  'refused',
  'cancelled',
  'pending',
  'recovered',
  'replayed',
] as const
export type ReceiptStatus = (typeof RECEIPT_STATUSES)[number]

/** Of a price version: in force, to come, or neither. */
export const PRICE_STATES = ['current', 'scheduled', 'past'] as const

/** What usage is summed by. Days and months are those of the organization's time zone. */
export const USAGE_DIMENSIONS = ['day', 'month', 'project', 'key', 'model', 'route', 'run', 'status'] as const
export type UsageDimension = (typeof USAGE_DIMENSIONS)[number]

/** Rows of the settlement matrix (docs/ledger.md). One function decides which applies; the receipt names it. */
export const SETTLEMENTS = [
  'completed_reported',
  'completed_estimated',
  'completed_bounded',
  'empty_completion',
  'failed_before_output',
  'failed_after_output',
  'client_left_before_output',
  'client_left',
  'cut_at_limit',
  'refused',
  'recovered',
  'replayed',
] as const
export type Settlement = (typeof SETTLEMENTS)[number]

/** What a price is quoted for. Token meters are per 1,000,000; `request` and `web_search` are calls. */
export const METERS = [
  'input',
  'cache_read',
  'cache_write_5m',
  'cache_write_1h',
  'output',
  'input_audio',
  'output_audio',
  'input_image',
  'request',
  'web_search',
] as const
export type Meter = (typeof METERS)[number]

export const CHANNEL_PROTOCOLS = ['openai', 'openai-responses', 'anthropic', 'gemini'] as const
export type ChannelProtocol = (typeof CHANNEL_PROTOCOLS)[number]

/** Clouds that models are reached through, with paths, credentials and framing of their own around the same formats. */
export const PLATFORM_KINDS = ['bedrock', 'vertex'] as const
export type PlatformKind = (typeof PLATFORM_KINDS)[number]

export const ENDPOINTS = [
  'openai.chat_completions',
  'openai.responses',
  'openai.responses_compact',
  'openai.embeddings',
  'anthropic.messages',
  'gemini.generate_content',
  'gemini.embed_content',
] as const
export type Endpoint = (typeof ENDPOINTS)[number]

export const TRANSFER_KINDS = [
  'charge',
  'release',
  'expire',
  'refused',
  'grant',
  'topup',
  'adjust',
  'refund',
] as const
export type TransferKind = (typeof TRANSFER_KINDS)[number]

/** What the feed tells. Each has a schema in `events.ts`; `webhook.test` is sent on request and subscribed to by nobody. */
export const EVENT_TYPES = [
  'receipt.settled',
  'budget.threshold',
  'budget.reached',
  'balance.low',
  'run.paused',
  'grant.added',
  'topup.completed',
  'price.changed',
  'key.exposed',
  'key.revoked',
  'alert.raised',
  'alert.resolved',
  'webhook.disabled',
  'webhook.test',
] as const
export type EventType = (typeof EVENT_TYPES)[number]

export const LANGUAGES = ['en', 'zh'] as const
export type Language = (typeof LANGUAGES)[number]

/** `disabled`: by us, after it had failed for days. `ended`: for good. */
export const WEBHOOK_STATES = ['active', 'paused', 'disabled', 'ended'] as const
export type WebhookState = (typeof WEBHOOK_STATES)[number]

export const DELIVERY_STATES = ['pending', 'delivered', 'failed'] as const
export type DeliveryState = (typeof DELIVERY_STATES)[number]

/** What an alert rule looks at. Each kind has its parameters in `alerts.ts` and its check in `src/alerts`. */
export const RULE_KINDS = [
  'spend',
  'balance',
  'velocity',
  'failure_rate',
  'fallback_rate',
  'latency',
] as const
export type RuleKind = (typeof RULE_KINDS)[number]

/** What a rule counts together, or each of them by itself. */
export const ALERT_SCOPES = ['organization', 'project', 'key', 'model', 'route', 'run'] as const
export type AlertScope = (typeof ALERT_SCOPES)[number]

export const RULE_STATES = ['active', 'paused', 'ended'] as const
export type RuleState = (typeof RULE_STATES)[number]
