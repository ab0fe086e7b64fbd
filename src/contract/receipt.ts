import { z } from 'zod'
import {
  BUDGET_PERIODS,
  BUDGET_SCOPES,
  POLICIES,
  RATE_MEASURES,
  RATE_SCOPES,
  RECEIPT_STATUSES,
  ROUTE_TYPES,
  SETTLEMENTS,
} from './vocabulary.ts'

/** The document about one request (docs/receipts.md). Amounts are decimal strings, times RFC 3339 in UTC. */

const amount = z.string().describe('decimal string')
const time = z.string().describe('RFC 3339, UTC')
const named = z.object({ id: z.string(), name: z.string() })

export const receiptUsage = z.object({
  input: z.number().nullable(),
  cache_read: z.number().nullable(),
  cache_write_5m: z.number().nullable(),
  cache_write_1h: z.number().nullable(),
  output: z.number().nullable(),
  reasoning: z.number().nullable().describe('inside output, never added to it'),
  input_audio: z.number().optional(),
  output_audio: z.number().optional(),
  input_image: z.number().optional(),
  web_search: z.number().optional(),
  source: z.enum(['reported', 'derived', 'estimated', 'unknown']),
  raw: z.unknown().optional().describe('the usage as the provider wrote it'),
  note: z.string().optional(),
})
export type ReceiptUsage = z.infer<typeof receiptUsage>

export const receiptLine = z.object({
  meter: z.string(),
  quantity: z.number(),
  unit_price: amount,
  per: z.number(),
  amount,
})
export type ReceiptLine = z.infer<typeof receiptLine>

export const candidateOutcomes = ['tried', 'not_needed', 'not_allowed', 'unavailable'] as const

export const receiptAttempt = z.object({
  n: z.number(),
  route: z.string(),
  channel: z.string(),
  role: z.string(),
  upstream_model: z.string(),
  served_model: z.string().nullable(),
  result: z.enum(['ok', 'error', 'timeout', 'cancelled']),
  status: z.number().nullable(),
  code: z.string().nullable(),
  started_at: time,
  latency_ms: z.number(),
  time_to_first_token_ms: z.number().nullable(),
  /** The upstream's own id of the call; for operators only. */
  upstream_request_id: z.string().nullable().optional(),
  usage: receiptUsage.nullable(),
  billed: z.boolean(),
  billed_reason: z.string(),
  next: z.enum(['backup', 'other_route', 'answer', 'none']),
})
export type ReceiptAttempt = z.infer<typeof receiptAttempt>

/** The budget that stopped or shortened a request, as it was at that moment. */
export const receiptBudgetLimit = z.object({
  scope: z.enum(BUDGET_SCOPES),
  scope_id: z.string().describe('org_…, prj_…, key_…, run_…, or a route'),
  budget: z
    .string()
    .nullable()
    .describe('bud_…; null for the largest charge that a key allows for one request'),
  bucket: z.string(),
  currency: z.string(),
  period: z.enum([...BUDGET_PERIODS, 'request']),
  amount,
  used: amount.describe('charged in the running window'),
  held: amount.describe('set aside for running requests'),
  needed: amount.describe('the least that the request needed'),
  resets_at: time.nullable().describe('null: never'),
})
export type ReceiptBudgetLimit = z.infer<typeof receiptBudgetLimit>

/** The rate limit that refused a request, as it was at that moment. */
export const receiptRateLimit = z.object({
  scope: z.enum(RATE_SCOPES),
  scope_id: z.string().describe('org_…, prj_…, key_…, or a route'),
  rate_limit: z.string().describe('rl_…'),
  measure: z.enum(RATE_MEASURES),
  amount: z.string().describe('the limit: a whole number of requests or tokens'),
  used: z.string().describe('of it, with what running requests have reserved'),
  needed: z.string().describe('what the request would have added'),
  resets_at: time.describe('when there is room for this request'),
})
export type ReceiptRateLimit = z.infer<typeof receiptRateLimit>

export const receiptLimit = z.union([receiptBudgetLimit, receiptRateLimit])
export type ReceiptLimit = ReceiptBudgetLimit | ReceiptRateLimit

export const receiptSchema = z.object({
  id: z.string(),
  object: z.literal('receipt'),
  version: z.literal(1),
  status: z.enum(RECEIPT_STATUSES),
  sandbox: z
    .boolean()
    .describe('true when the answer came from the built-in sandbox upstream, not from a model'),
  created_at: time,
  finished_at: time.nullable(),
  latency_ms: z.number().nullable(),
  time_to_first_token_ms: z.number().nullable(),
  explanation: z.object({ en: z.string(), zh: z.string() }),
  organization: named,
  project: named,
  api_key: z.object({ id: z.string(), label: z.string(), prefix: z.string() }),
  run: z.object({ id: z.string(), name: z.string(), step: z.string().nullable() }).nullable(),
  endpoint: z.string(),
  streamed: z.boolean(),
  idempotency_key: z.string().nullable(),
  replay_of: z
    .string()
    .nullable()
    .describe('req_…: the request whose answer this one was given again; what it cost is on that receipt'),
  requested_model: z.string().nullable(),
  catalog_model: z.string().nullable(),
  served_model: z.string().nullable(),
  decision: z
    .object({
      policy: z.enum(POLICIES),
      rule: z.string(),
      route: z.string().nullable(),
      route_type: z.enum(ROUTE_TYPES).nullable(),
      bucket: z.string().nullable(),
      reason: z.string(),
      candidates: z.array(
        z.object({
          route: z.string(),
          channel: z.string().nullable(),
          role: z.string().nullable(),
          outcome: z.enum(candidateOutcomes),
          reason: z.string(),
        }),
      ),
    })
    .nullable(),
  attempts: z.array(receiptAttempt),
  retries: z.number(),
  fallback: z.boolean(),
  crossed_balance: z.boolean(),
  max_output_tokens: z.number().nullable().describe('the output limit sent upstream'),
  max_output_tokens_lowered: z.boolean(),
  dropped: z
    .array(z.string())
    .describe('members of the request that the wire format of the channel could not carry'),
  usage: receiptUsage.nullable(),
  charge: z
    .object({
      bucket: z.string(),
      currency: z.string(),
      total: amount,
      settlement: z.enum(SETTLEMENTS),
      price_version: z.string(),
      lines: z.array(receiptLine),
      reference: z.object({ currency: z.string(), total: amount }).nullable(),
    })
    .nullable(),
  no_charge_reason: z.string().nullable(),
  settlement: z.enum(SETTLEMENTS).nullable(),
  hold: z
    .object({
      bucket: z.string(),
      currency: z.string(),
      amount,
      state: z.enum(['open', 'captured', 'released', 'expired']),
    })
    .nullable(),
  balance: z.object({ bucket: z.string(), currency: z.string(), before: amount, after: amount }).nullable(),
  ledger: z.array(z.object({ entry: z.string(), account: z.string(), amount, currency: z.string() })),
  flags: z
    .array(z.string())
    .describe('what an operator should look at, e.g. usage_impossible, model_mismatch'),
  limit: receiptLimit.nullable().describe('the limit that stopped or shortened the request'),
  error: z.object({ code: z.string(), message: z.string(), status: z.number() }).nullable(),
  next_step: z.string().nullable(),
})
export type Receipt = z.infer<typeof receiptSchema>
