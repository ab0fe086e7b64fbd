import { z } from 'zod'
import { pageQuery } from './queries.ts'
import { AUDIT_ACTORS, RATE_SCOPES } from './vocabulary.ts'

/** Rate limits over the management API. */

const organizationId = z.string().describe('org_…')
const time = z.string().describe('RFC 3339, UTC')

const rate = (most: number) => z.int().min(0).max(most)
const RATES = {
  requests_per_minute: rate(1e9).nullable().describe('in any 60 seconds; null: no limit'),
  tokens_per_minute: rate(1e12).nullable().describe('input and output, in any 60 seconds; null: no limit'),
  concurrency: rate(1e6).nullable().describe('requests at one time; null: no limit'),
}

export const rateLimitSchema = z.object({
  id: z.string().describe('rl_…'),
  organization: organizationId,
  scope: z.enum(RATE_SCOPES),
  scope_id: z.string().describe('org_…, prj_…, key_…; of a route its name, type, or `model:route`'),
  ...RATES,
  set_by: z.enum(AUDIT_ACTORS).describe('what an operator has set, only operators change'),
  created_at: time,
  ended_at: time.nullable(),
})
export type RateLimitView = z.infer<typeof rateLimitSchema>

export const rateLimitChangeSchema = z.strictObject({
  requests_per_minute: RATES.requests_per_minute.optional(),
  tokens_per_minute: RATES.tokens_per_minute.optional(),
  concurrency: RATES.concurrency.optional(),
})
export type RateLimitChange = z.infer<typeof rateLimitChangeSchema>

export const newRateLimitSchema = z.strictObject({
  scope: z.enum(RATE_SCOPES),
  scope_id: z.string().min(1).max(256),
  organization: organizationId.optional().describe('needed for a route only'),
  ...rateLimitChangeSchema.shape,
})
export type NewRateLimit = z.infer<typeof newRateLimitSchema>

export const rateLimitsQuery = z.strictObject({
  ...pageQuery.shape,
  organization: organizationId.optional(),
  scope: z.enum(RATE_SCOPES).optional(),
  scope_id: z.string().max(256).optional(),
  ended: z.enum(['true', 'false']).optional().describe('true: also those that have ended'),
})
