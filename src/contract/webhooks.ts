import { z } from 'zod'
import { DELIVERY_STATES, EVENT_TYPES, LANGUAGES, WEBHOOK_STATES } from './vocabulary.ts'

/** Endpoints that are told of events, and what was sent to them. */

const time = z.string().describe('RFC 3339, UTC')
const SUBSCRIBABLE = EVENT_TYPES.filter((type) => type !== 'webhook.test')
export const mailAddresses = z
  .array(
    z
      .string()
      .max(320)
      .regex(/^[^\s<>@",;:\\()[\]]+@[^\s<>@",;:\\()[\]]+$/, 'must be mail addresses'),
  )
  .max(20)

export const webhookSchema = z.object({
  id: z.string().describe('whk_…'),
  organization: z.string(),
  project: z.string().nullable().describe('null: everything of the organization'),
  url: z.string(),
  description: z.string(),
  types: z.array(z.enum(EVENT_TYPES)),
  emails: z.array(z.string()).describe('told when it is disabled'),
  language: z.enum(LANGUAGES),
  state: z.enum(WEBHOOK_STATES),
  failing_since: time.nullable().describe('the first failure since the last success'),
  secrets: z
    .array(z.object({ id: z.string().describe('sec_…'), created_at: time, ends_at: time.nullable() }))
    .describe('those that sign, oldest first'),
  created_at: time,
})
export type WebhookView = z.infer<typeof webhookSchema>

export const createdWebhookSchema = webhookSchema.extend({
  secret: z.string().describe('whsec_…, shown this once'),
})

const settings = {
  url: z.string().min(1).max(2048).describe('https://…'),
  types: z.array(z.enum(SUBSCRIBABLE)).min(1),
  project: z.string().nullable().describe('prj_…; null: everything of the organization'),
  description: z.string().max(256),
  emails: mailAddresses,
  language: z.enum(LANGUAGES),
}
export const newWebhookSchema = z.strictObject({
  organization: z.string().describe('org_…'),
  url: settings.url,
  types: settings.types,
  project: settings.project.optional(),
  description: settings.description.optional(),
  emails: settings.emails.optional(),
  language: settings.language.optional(),
})
export type NewWebhook = z.infer<typeof newWebhookSchema>

export const webhookChangeSchema = z.strictObject({
  url: settings.url.optional(),
  types: settings.types.optional(),
  project: settings.project.optional(),
  description: settings.description.optional(),
  emails: settings.emails.optional(),
  language: settings.language.optional(),
  state: z.enum(['active', 'paused']).optional().describe('active also brings back one that was disabled'),
})
export type WebhookChange = z.infer<typeof webhookChangeSchema>

const DAY_SECONDS = 86_400
export const webhookRotationSchema = z.strictObject({
  overlap_seconds: z
    .number()
    .int()
    .min(0)
    .max(31 * DAY_SECONDS)
    .prefault(DAY_SECONDS)
    .describe('how long the secret before signs beside the new one; a day when left out'),
})

export const webhookReplaySchema = z.strictObject({
  since: z.iso
    .datetime({ offset: true })
    .describe('of those made since then, all that failed are sent again'),
})

export const deliverySchema = z.object({
  id: z.string().describe('dlv_…'),
  webhook: z.string().nullable(),
  email: z.string().nullable(),
  event: z.string().describe('evt_…, the webhook-id'),
  type: z.enum(EVENT_TYPES),
  state: z.enum(DELIVERY_STATES),
  attempts: z.number(),
  status: z.number().nullable().describe('of the last attempt'),
  error: z.string().nullable(),
  next_attempt_at: time.nullable(),
  created_at: time,
  done_at: time.nullable(),
})
export type DeliveryView = z.infer<typeof deliverySchema>

export const deliveryPageSchema = deliverySchema.extend({
  log: z.array(
    z.object({
      n: z.number(),
      at: time,
      status: z.number().nullable().describe('null: no answer'),
      latency_ms: z.number(),
      error: z.string().nullable(),
      next_attempt_at: time.nullable(),
    }),
  ),
})
export type DeliveryPage = z.infer<typeof deliveryPageSchema>

export const replayedSchema = z.object({ replayed: z.number() })
