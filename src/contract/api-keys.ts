import { z } from 'zod'
import { KEY_STATES, POLICIES } from './vocabulary.ts'

/** API keys as they cross HTTP. A secret is in one answer, and nowhere after it. */

const amount = z.string().describe('decimal string')
const time = z.string().describe('RFC 3339, UTC')
const organizationId = z.string().describe('org_…')
const projectId = z.string().describe('prj_…')
const keyId = z.string().describe('key_…')
const names = z.array(z.string().min(1).max(256)).min(1).max(1000)

const secretSchema = z.object({
  id: z.string().describe('sec_…'),
  prefix: z.string(),
  state: z
    .enum(['active', 'ending', 'ended', 'revoked'])
    .describe('ending: good until `ends_at`, since a rotation replaced it'),
  created_at: time,
  ends_at: time.nullable(),
  last_used_at: time.nullable(),
})

export const apiKeySchema = z.object({
  id: keyId,
  organization: organizationId,
  project: projectId,
  label: z.string(),
  prefix: z.string().describe('the first characters of the newest secret'),
  policy: z.enum(POLICIES),
  allow_cross_balance: z.boolean(),
  models: z.array(z.string()).nullable().describe('null: every model'),
  routes: z.array(z.string()).nullable().describe('route names or types; null: every route'),
  buckets: z.array(z.string()).nullable().describe('balances that may pay; null: every balance'),
  max_charge: z
    .record(z.string(), amount)
    .nullable()
    .describe('the most one request may cost, by bucket, in its currency; null: no such limit'),
  allowed_networks: z.array(z.string()).nullable().describe('CIDR; null: from anywhere'),
  max_attempts: z.number().nullable(),
  state: z.enum(KEY_STATES),
  expires_at: time.nullable(),
  created_at: time,
  last_used_at: time.nullable(),
  secrets: z.array(secretSchema).describe('oldest first; requests of each count to this key'),
})
export type ApiKeyView = z.infer<typeof apiKeySchema>

export const apiKeyPageSchema = apiKeySchema.extend({
  spend: z
    .record(z.string(), z.object({ currency: z.string(), charged: amount, requests: z.number() }))
    .describe('so far, per bucket; buckets are never added together'),
  last_24_hours: z.object({
    requests: z.number(),
    failed: z.number(),
    refused: z.number(),
    cancelled: z.number(),
  }),
})
export type ApiKeyPage = z.infer<typeof apiKeyPageSchema>

const terms = {
  label: z.string().max(128).optional(),
  policy: z.enum(POLICIES).optional(),
  allow_cross_balance: z.boolean().optional(),
  models: names.nullable().optional(),
  routes: names.nullable().optional(),
  buckets: names.nullable().optional(),
  max_charge: z.record(z.string(), amount).nullable().optional().describe('e.g. {"credit": "0.50"}'),
  allowed_networks: z
    .array(z.string().min(1).max(64))
    .min(1)
    .max(100)
    .nullable()
    .optional()
    .describe('addresses or CIDR networks, IPv4 and IPv6'),
  max_attempts: z.number().int().min(1).max(20).nullable().optional(),
  expires_at: z.iso.datetime({ offset: true }).nullable().optional(),
}
export const newApiKeySchema = z.strictObject({ project: projectId, ...terms })
export type NewApiKey = z.infer<typeof newApiKeySchema>

export const createdApiKeySchema = apiKeySchema.extend({
  key: z.string().describe('the secret, shown this once'),
})
export type CreatedApiKey = z.infer<typeof createdApiKeySchema>

export const apiKeyChangeSchema = z.strictObject({
  state: z.enum(['active', 'paused', 'revoked']).optional(),
  ...terms,
})
export type ApiKeyChange = z.infer<typeof apiKeyChangeSchema>

/** A month: longer than that, two secrets are a habit and no rotation. */
const OVERLAP_MAX_SECONDS = 2_678_400
export const keyRotationSchema = z.strictObject({
  overlap_seconds: z
    .number()
    .int()
    .min(0)
    .max(OVERLAP_MAX_SECONDS)
    .describe('how long the secrets before are good besides the new one; 0 ends them now'),
})
export type KeyRotation = z.infer<typeof keyRotationSchema>
