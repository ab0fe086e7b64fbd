import { z } from 'zod'
import { ALERT_SCOPES, LANGUAGES, RULE_KINDS, RULE_STATES, type RuleKind } from './vocabulary.ts'
import { mailAddresses } from './webhooks.ts'

/** Rules of alerts: what each kind may be told, and the alerts that come of them. */

const time = z.string().describe('RFC 3339, UTC')
const amount = z
  .string()
  .regex(/^\d{1,9}(\.\d{1,9})?$/, 'a decimal amount, not below zero')
  .describe('decimal string, in the currency of the bucket')
const bucket = z.string().min(1).max(64)
const scopes = {
  scope: z.enum(ALERT_SCOPES).prefault('organization'),
  scope_id: z
    .string()
    .min(1)
    .max(256)
    .optional()
    .describe('prj_…, key_…, run_…, a model, or a route; left out: each of them by itself'),
}
const window = z
  .union([z.literal(5), z.literal(15), z.literal(60)])
  .prefault(15)
  .describe('minutes, the running one included')
const minimum = z.number().int().min(1).max(1_000_000).prefault(20).describe('below so many it says nothing')
const share = {
  percent: z.number().int().min(1).max(100),
  window_minutes: window,
  min_requests: minimum,
  ...scopes,
}

export const RULE_PARAMETERS = {
  spend: z.strictObject({
    bucket,
    amount,
    window_minutes: z
      .union([z.literal(5), z.literal(15), z.literal(60), z.literal(1440)])
      .prefault(60)
      .describe('1440 counts whole hours'),
    ...scopes,
  }),
  balance: z.strictObject({ bucket, below: amount }),
  velocity: z.strictObject({
    bucket,
    minimum: amount.prefault('0').describe('below so much in an hour it says nothing'),
    percent_of_usual: z.number().int().min(110).max(100_000).prefault(300),
    ...scopes,
    scope: z.enum(['organization', 'project', 'key', 'model', 'route']).prefault('organization'),
  }),
  failure_rate: z.strictObject(share),
  fallback_rate: z.strictObject(share),
  latency: z.strictObject({
    p95_ms: z.number().int().min(1).max(3_600_000),
    window_minutes: window,
    min_requests: minimum,
    ...scopes,
    scope: z.enum(['organization', 'project', 'key', 'model', 'route']).prefault('organization'),
  }),
} as const satisfies Record<RuleKind, z.ZodType>

export type RuleParameters<K extends RuleKind> = z.output<(typeof RULE_PARAMETERS)[K]>

const settings = {
  description: z.string().max(256).optional(),
  emails: mailAddresses.optional().describe('told of every alert of it, and of its end'),
  language: z.enum(LANGUAGES).optional().describe('of the mails'),
  cooldown_minutes: z
    .number()
    .int()
    .min(0)
    .max(10_080)
    .optional()
    .describe('after an alert; 15 when left out'),
}

function newRuleOf<K extends RuleKind>(kind: K) {
  return z.strictObject({
    organization: z.string().describe('org_…'),
    kind: z.literal(kind),
    parameters: RULE_PARAMETERS[kind],
    ...settings,
  })
}
export const newAlertRuleSchema = z.discriminatedUnion('kind', [
  newRuleOf('spend'),
  newRuleOf('balance'),
  newRuleOf('velocity'),
  newRuleOf('failure_rate'),
  newRuleOf('fallback_rate'),
  newRuleOf('latency'),
])
export type NewAlertRule = z.input<typeof newAlertRuleSchema>

export const alertRuleChangeSchema = z.strictObject({
  parameters: z
    .record(z.string(), z.unknown())
    .optional()
    .describe('all of them, as for a new rule of the kind'),
  state: z.enum(['active', 'paused']).optional(),
  ...settings,
})
export type AlertRuleChange = z.infer<typeof alertRuleChangeSchema>

export const alertRuleSchema = z.object({
  id: z.string().describe('alr_…'),
  organization: z.string(),
  kind: z.enum(RULE_KINDS),
  parameters: z.record(z.string(), z.unknown()),
  description: z.string(),
  emails: z.array(z.string()),
  language: z.enum(LANGUAGES),
  cooldown_minutes: z.number(),
  state: z.enum(RULE_STATES),
  created_at: time,
})
export type AlertRuleView = z.infer<typeof alertRuleSchema>

export const alertSchema = z.object({
  id: z.string().describe('alt_…'),
  organization: z.string(),
  rule: z.string().describe('alr_…'),
  kind: z.enum(RULE_KINDS),
  scope: z.string(),
  subject: z.string(),
  figures: z.record(z.string(), z.union([z.string(), z.number()])),
  text: z.object({ en: z.string(), zh: z.string() }),
  state: z.enum(['raised', 'resolved']),
  raised_at: time,
  resolved_at: time.nullable(),
  acknowledged_at: time.nullable(),
  acknowledged_by: z.string().nullable(),
})
export type AlertView = z.infer<typeof alertSchema>
