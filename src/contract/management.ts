import { z } from 'zod'
import { AUDIT_ACTORS, BUDGET_PERIODS, BUDGET_SCOPES, PROJECT_STATES, ROUTE_TYPES } from './vocabulary.ts'

/**
 * What crosses HTTP under /api/v1. What is sent is strict (an unknown field is a mistake worth telling), what is
 * answered is open (fields are added over time). Amounts are decimal strings, times RFC 3339 in UTC.
 */

const amount = z.string().describe('decimal string')
const time = z.string().describe('RFC 3339, UTC')
const organizationId = z.string().describe('org_…')
const projectId = z.string().describe('prj_…')
const keyId = z.string().describe('key_…')
const name = z.string().min(1).max(128)

/** @param item schema of one row */
export function listOf<T extends z.ZodType>(item: T) {
  return z.object({
    data: z.array(item),
    next_cursor: z
      .string()
      .nullable()
      .describe('send it as `cursor` for the next page; null on the last one'),
  })
}

export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number(),
  detail: z.string(),
  code: z.string(),
  hint: z.string(),
  request_id: z.string(),
  errors: z.array(z.object({ field: z.string(), message: z.string() })).optional(),
})
export type Problem = z.infer<typeof problemSchema>

export const organizationSchema = z.object({
  id: organizationId,
  name: z.string(),
  time_zone: z.string().describe('IANA name; days and months are counted in it'),
  created_at: time,
})
export type OrganizationView = z.infer<typeof organizationSchema>

export const newOrganizationSchema = z.strictObject({ name, time_zone: z.string().max(64).optional() })
export const organizationChangeSchema = z.strictObject({
  name: name.optional(),
  time_zone: z.string().max(64).optional().describe('windows of budgets are counted in it from now on'),
})
export type OrganizationChange = z.infer<typeof organizationChangeSchema>
export type NewOrganization = z.infer<typeof newOrganizationSchema>

export const projectSchema = z.object({
  id: projectId,
  organization: organizationId,
  name: z.string(),
  state: z.enum(PROJECT_STATES).describe('while it is paused, none of its keys is served'),
  replay_unkeyed_retries: z.boolean().describe('see docs/idempotency.md'),
  created_at: time,
})
export type ProjectView = z.infer<typeof projectSchema>

export const newProjectSchema = z.strictObject({ organization: organizationId, name })
export type NewProject = z.infer<typeof newProjectSchema>

export const projectChangeSchema = z.strictObject({
  name: name.optional(),
  state: z.enum(PROJECT_STATES).optional(),
  replay_unkeyed_retries: z.boolean().optional(),
})
export type ProjectChange = z.infer<typeof projectChangeSchema>

export const auditEventSchema = z.object({
  id: z.string(),
  at: time,
  organization: z.string().nullable().describe('org_…; null for what concerns the installation'),
  actor: z.object({
    kind: z.enum(AUDIT_ACTORS),
    id: z.string().nullable().describe('key_… of an API key, usr_… of a person'),
  }),
  action: z.string().describe('e.g. key.create'),
  object: z.object({ kind: z.string(), id: z.string() }),
  before: z.unknown().describe('what changed, as it was; never a secret'),
  after: z.unknown().describe('what changed, as it is; never a secret'),
  request_id: z.string().nullable(),
  address: z.string().nullable(),
})
export type AuditEventView = z.infer<typeof auditEventSchema>

export const bucketBalanceSchema = z.object({
  name: z.string(),
  currency: z.string(),
  posted: amount,
  held: amount.describe('set aside for running requests'),
  available: amount.describe('posted − held'),
  open_holds: z.number(),
})
export type BucketBalance = z.infer<typeof bucketBalanceSchema>

export const balancesSchema = z.object({
  organization: organizationId,
  buckets: z
    .record(z.string(), bucketBalanceSchema)
    .describe('every configured bucket; never added together'),
})
export type Balances = z.infer<typeof balancesSchema>

export const newGrantSchema = z.strictObject({
  organization: organizationId,
  bucket: z.string(),
  amount: amount.describe('decimal string above zero, in the currency of the bucket'),
  reason: z.string().min(1).max(1000),
  id: z.uuid().optional().describe('chosen by the caller; a repeat with the same id adds once'),
  expires_at: z.iso.datetime({ offset: true }).optional(),
})
export type NewGrant = z.infer<typeof newGrantSchema>

export const grantSchema = z.object({
  id: z.string(),
  organization: organizationId,
  bucket: z.string(),
  currency: z.string(),
  amount,
  reason: z.string(),
  expires_at: time.nullable(),
  repeated: z.boolean().describe('true when this id had been added before and nothing moved now'),
  balance: bucketBalanceSchema,
})
export type GrantView = z.infer<typeof grantSchema>

export const budgetSchema = z.object({
  id: z.string().describe('bud_…'),
  organization: organizationId,
  scope: z.enum(BUDGET_SCOPES),
  scope_id: z.string().describe('org_…, prj_…, key_…, run_…; of a route its name, type, or `model:route`'),
  bucket: z.string(),
  currency: z.string(),
  period: z.enum(BUDGET_PERIODS).describe("in the organization's time zone, weeks from Monday"),
  amount,
  hard: z.boolean().describe('true: refuses; false: tells only'),
  set_by: z.enum(AUDIT_ACTORS).describe('what an operator has set, only operators change'),
  used: amount.describe('charged in the running window'),
  held: amount.describe('set aside for running requests of it'),
  window_start: time.nullable().describe('null for total'),
  resets_at: time.nullable(),
  created_at: time,
  ended_at: time.nullable(),
})
export type BudgetView = z.infer<typeof budgetSchema>

export const newBudgetSchema = z.strictObject({
  scope: z.enum(BUDGET_SCOPES),
  scope_id: z.string().min(1).max(256),
  organization: organizationId.optional().describe('needed for a route only'),
  bucket: z.string(),
  amount: amount.describe('decimal string, in the currency of the bucket; zero refuses everything'),
  period: z.enum(BUDGET_PERIODS).optional().describe('total for a run, month for others when left out'),
  hard: z.boolean().optional().describe('true when left out'),
})
export type NewBudget = z.infer<typeof newBudgetSchema>

export const budgetChangeSchema = z.strictObject({
  amount: amount.optional(),
  hard: z.boolean().optional(),
})
export type BudgetChange = z.infer<typeof budgetChangeSchema>

export const ledgerEntrySchema = z.object({
  id: z.string(),
  transfer: z.string(),
  request: z.string().nullable().describe('req_… of the receipt, where a request moved the money'),
  bucket: z.string(),
  kind: z.string(),
  currency: z.string(),
  amount,
  balance_after: amount,
  seq: z.number().describe('1 … n without a gap in each bucket'),
  reason: z.string().nullable(),
  created_at: time,
})
export type LedgerEntryView = z.infer<typeof ledgerEntrySchema>

const unitPrice = z.union([amount, z.object({ per: z.number(), price: amount })])
const rates = z.record(z.string(), unitPrice)
export const priceSchema = z.object({
  currency: z.string(),
  rates: rates.describe('per 1,000,000 tokens unless `per` says otherwise'),
  above: z.record(z.string(), rates).describe('whole-request prices above that many input tokens'),
  service_tiers: z.record(z.string(), rates),
  windows: z.array(
    z.object({
      start: z.string(),
      end: z.string(),
      days: z.array(z.number()).describe('0 is Sunday; empty: every day'),
      rates,
    }),
  ),
})
export type PriceView = z.infer<typeof priceSchema>

export const modelRouteSchema = z.object({
  route: z.string(),
  route_type: z.enum(ROUTE_TYPES),
  bucket: z.string(),
  currency: z.string(),
  price_version: z.string().nullable(),
  price_since: time.nullable(),
  price: priceSchema.nullable(),
  callable: z.boolean().describe('whether this key may call it, apart from money'),
  reason: z.string().nullable().describe('why it cannot be called; null when it can'),
  available: amount
    .nullable()
    .describe('what the bucket that pays has available; null where no organization is asked about'),
  affordable: z.boolean().nullable().describe('whether that pays for the smallest request'),
  channels: z.array(z.object({ channel: z.string(), role: z.string() })),
  sandbox: z.boolean().describe('true when no model answers there, only the built-in sandbox'),
})
export type ModelRouteView = z.infer<typeof modelRouteSchema>

export const modelSchema = z.object({
  name: z.string(),
  family: z.string().nullable(),
  context: z.number(),
  max_output: z.number(),
  capabilities: z.array(z.string()),
  reference_price: priceSchema.nullable().describe('the official list price, for comparison only'),
  retires: z.string().nullable().describe('the date on which its maker retires it'),
  callable: z.boolean(),
  reason: z.string().nullable(),
  routes: z.array(modelRouteSchema),
})
export type ModelView = z.infer<typeof modelSchema>

export const keyAccessSchema = z.object({
  key: keyId,
  usable: z.boolean().describe('false: the key itself is refused, whatever it calls'),
  reason: z.string().nullable(),
  models: z.array(modelSchema).describe('every model of the catalog, as this key may call it now'),
})
export type KeyAccess = z.infer<typeof keyAccessSchema>

const runTotals = z.record(
  z.string(),
  z.object({ currency: z.string(), charged: amount, held: amount, requests: z.number() }),
)
export const runSummarySchema = z.object({
  id: z.string().describe('run_…'),
  organization: organizationId,
  project: projectId,
  name: z.string(),
  status: z.enum(['open']),
  created_at: time,
})
export type RunSummary = z.infer<typeof runSummarySchema>

export const runSchema = runSummarySchema.extend({
  budget: z
    .record(
      z.string(),
      z.object({
        id: z.string(),
        currency: z.string(),
        amount,
        used: amount,
        held: amount,
        hard: z.boolean(),
      }),
    )
    .nullable()
    .describe('what the run may spend in total, per bucket; null: no budget of its own'),
  totals: runTotals.describe('per bucket; buckets are never added together'),
  steps: z.array(
    z.object({ name: z.string().nullable(), requests: z.number(), attempts: z.number(), totals: runTotals }),
  ),
})
export type RunView = z.infer<typeof runSchema>

export const newRunSchema = z.strictObject({
  name,
  project: projectId.optional().describe('needed with the operator token'),
  budget: z
    .record(z.string().min(1).max(64), amount)
    .optional()
    .describe('the most it may spend in total, per bucket'),
})
export type NewRun = z.infer<typeof newRunSchema>

export const auditSchema = z.object({
  ok: z.boolean(),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string() })),
})
export type AuditReport = z.infer<typeof auditSchema>

export const readinessSchema = z.object({
  ready: z.boolean(),
  checks: z.array(z.object({ name: z.string(), ok: z.boolean(), detail: z.string() })),
})
export type Readiness = z.infer<typeof readinessSchema>

export const livenessSchema = z.object({ status: z.literal('ok') })
