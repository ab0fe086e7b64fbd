import { z } from 'zod'
import { EVENT_TYPES, type EventType, RECEIPT_STATUSES, RULE_KINDS } from './vocabulary.ts'

/** What each event says: `data` of the body that webhooks carry and of `GET /api/v1/events`. */

const amount = z.string().describe('decimal string')
const time = z.string().describe('RFC 3339, UTC')
const key = z.string().describe('key_…')

const budget = z.object({
  budget: z.string().describe('bud_…'),
  scope: z.string(),
  scope_id: z.string().describe('org_…, prj_…, key_…, run_…, or a route'),
  bucket: z.string(),
  currency: z.string(),
  period: z.string(),
  hard: z.boolean().describe('true: requests are refused from now on'),
  threshold: z.number().describe('per cent of the amount'),
  amount,
  used: amount,
  window_start: time,
})

const funding = z.object({
  transfer: z.string(),
  bucket: z.string(),
  currency: z.string(),
  amount,
  reason: z.string().nullable(),
})

const keyChange = z.object({
  key,
  by: z.object({
    kind: z.string(),
    id: z.string().nullable().describe('key_… of an API key, usr_… of a person'),
  }),
  details: z.unknown().describe('what the log of changes says of it; never a secret'),
})

const alertFacts = z.object({
  alert: z.string().describe('alt_…'),
  rule: z.string().describe('alr_…'),
  kind: z.enum(RULE_KINDS),
  scope: z.string(),
  subject: z.string().describe('prj_…, key_…, run_…, a model, a route, or a bucket'),
  figures: z.record(z.string(), z.union([z.string(), z.number()])),
  text: z.object({ en: z.string(), zh: z.string() }).describe('what happened, and what to do'),
  raised_at: time,
  resolved_at: time.nullable(),
})
export type AlertFacts = z.infer<typeof alertFacts>

export const EVENT_DATA = {
  'receipt.settled': z.object({
    receipt: z.string().describe('req_…; GET /api/v1/receipts/{id} is the whole of it'),
    status: z.enum(RECEIPT_STATUSES),
    project: z.string(),
    key,
    run: z.string().nullable(),
    endpoint: z.string(),
    model: z.string().nullable(),
    route: z.string().nullable(),
    bucket: z.string().nullable(),
    currency: z.string().nullable(),
    charge: amount,
    latency_ms: z.number(),
    fallback: z.boolean(),
    error: z.string().nullable().describe('its code'),
    sandbox: z.boolean(),
  }),
  'budget.threshold': budget,
  'budget.reached': budget,
  'balance.low': z.object({
    bucket: z.string(),
    currency: z.string(),
    available: amount,
    below: amount.describe('the amount of the rule'),
    alert: z.string().describe('alt_…'),
  }),
  'run.paused': z.object({ run: z.string(), name: z.string(), reason: z.string() }),
  'grant.added': funding,
  'topup.completed': funding,
  'price.changed': z.object({
    model: z.string(),
    route: z.string(),
    bucket: z.string(),
    currency: z.string(),
    price_version: z.string().describe('pv_…'),
    previous: z.string().describe('pv_…'),
    effective_from: time,
  }),
  'key.exposed': keyChange,
  'key.revoked': keyChange,
  'alert.raised': alertFacts,
  'alert.resolved': alertFacts,
  'webhook.disabled': z.object({
    webhook: z.string().describe('whk_…'),
    url: z.string().describe('without path and query, which may be secret'),
    reason: z.string(),
    failing_since: time.nullable(),
  }),
  'webhook.test': z.object({ webhook: z.string(), text: z.string() }),
} as const satisfies Record<EventType, z.ZodType>

export type EventData<T extends EventType> = z.infer<(typeof EVENT_DATA)[T]>

/** The body of a delivery. `type`, `timestamp` and `data` are where Standard Webhooks wants them. */
export const eventSchema = z.object({
  id: z.string().describe('evt_…, the same in every delivery and at every attempt'),
  type: z.enum(EVENT_TYPES),
  timestamp: time.describe('when it happened'),
  organization: z.string(),
  project: z.string().nullable().describe('prj_…; null for what concerns the organization'),
  data: z.unknown().describe('as docs/webhooks.md says for the type'),
})
export type EventView = z.infer<typeof eventSchema>
