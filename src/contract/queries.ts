import { z } from 'zod'
import {
  AUDIT_ACTORS,
  BUDGET_SCOPES,
  DELIVERY_STATES,
  EVENT_TYPES,
  KEY_STATES,
  PRICE_STATES,
  PROJECT_STATES,
  RECEIPT_STATUSES,
  ROUTE_TYPES,
} from './vocabulary.ts'

/** What lists under /api/v1 may be asked by. An unknown parameter is a mistake worth telling. */

const organizationId = z.string().describe('org_…')
const projectId = z.string().describe('prj_…')
const keyId = z.string().describe('key_…')

const limit = z
  .string()
  .regex(/^\d{1,3}$/, 'a whole number')
  .transform((text) => Number.parseInt(text, 10))
  .pipe(z.number().min(1).max(200))
  .prefault('20')
  .describe('1 … 200, default 20')
const cursor = z.string().max(256).optional().describe('next_cursor of the page before')
const page = { limit, cursor }
const namePrefix = z.string().min(1).max(128).optional().describe('how it begins, exactly')

/** Query parameters of the lists. */
export const pageQuery = z.strictObject(page)
export const organizationsQuery = z.strictObject({ ...page, name_prefix: namePrefix })
export const projectsQuery = z.strictObject({
  ...page,
  organization: organizationId.optional(),
  state: z.enum(PROJECT_STATES).optional(),
  name_prefix: namePrefix,
})
export const organizationPageQuery = z.strictObject({ ...page, organization: organizationId.optional() })
export const budgetsQuery = z.strictObject({
  ...page,
  organization: organizationId.optional(),
  scope: z.enum(BUDGET_SCOPES).optional(),
  scope_id: z.string().max(256).optional(),
  ended: z.enum(['true', 'false']).optional().describe('true: also those that have ended'),
})
export const keysQuery = z.strictObject({
  ...page,
  organization: organizationId.optional(),
  project: projectId.optional(),
  state: z.enum(KEY_STATES).optional(),
  prefix: z
    .string()
    .regex(/^sk-tf-[0-9A-Za-z]{4}$/, 'the first ten characters of a secret, like sk-tf-ab12')
    .optional(),
  label_prefix: namePrefix,
})
const auditFilter = {
  organization: organizationId.optional(),
  actor: z.enum(AUDIT_ACTORS).optional(),
  key: keyId.optional().describe('changes made with this API key'),
  person: z.string().optional().describe('usr_…: changes made by this person'),
  action: z.string().max(64).optional(),
  object: z
    .string()
    .max(64)
    .optional()
    .describe('org_…, prj_…, key_…, usr_…, inv_…, bud_…, rl_…, whk_…, alr_… or the UUID of a grant'),
  since: z.iso.datetime({ offset: true }).optional(),
  until: z.iso.datetime({ offset: true }).optional(),
}
export const auditQuery = z.strictObject({ ...page, ...auditFilter })
export const auditExportQuery = z.strictObject({
  ...auditFilter,
  format: z.enum(['jsonl', 'csv']).prefault('jsonl'),
})
export const routesQuery = z.strictObject({
  ...page,
  model: z.string().max(256).optional(),
  type: z.enum(ROUTE_TYPES).optional(),
  bucket: z.string().max(64).optional(),
})
export const pricesQuery = z.strictObject({
  ...page,
  model: z.string().max(256).optional(),
  route: z.string().max(256).optional(),
  state: z.enum(PRICE_STATES).optional(),
})
export const balancesQuery = z.strictObject({ organization: organizationId.optional() })
export const entriesQuery = z.strictObject({
  ...page,
  organization: organizationId.optional(),
  bucket: z.string().describe('e.g. credit or rmb'),
})
const yesNo = z.enum(['true', 'false'])
const receiptsFilter = {
  organization: organizationId.optional(),
  project: projectId.optional(),
  key: keyId.optional(),
  run: z.string().optional().describe('run_…'),
  status: z.enum(RECEIPT_STATUSES).optional(),
  bucket: z.string().optional(),
  model: z.string().optional(),
  route: z.string().max(256).optional(),
  channel: z.string().max(256).optional().describe('one that was tried, by its private name; for operators'),
  fallback: yesNo.optional().describe('true: answered by another channel than the first'),
  crossed_balance: yesNo.optional(),
  min_charge: z
    .string()
    .max(40)
    .optional()
    .describe('decimal string; needs a bucket, since amounts of two are not compared'),
  since: z.iso.datetime({ offset: true }).optional(),
  until: z.iso.datetime({ offset: true }).optional(),
}
export const receiptsQuery = z.strictObject({ ...page, ...receiptsFilter })
export const receiptsExportQuery = z.strictObject({
  ...receiptsFilter,
  format: z.enum(['jsonl', 'csv']).prefault('jsonl'),
})
export type ReceiptsQuery = z.input<typeof receiptsQuery>

const span = {
  since: z.iso.datetime({ offset: true }).optional(),
  until: z.iso.datetime({ offset: true }).optional(),
}
export const runsQuery = z.strictObject({
  ...page,
  ...span,
  organization: organizationId.optional(),
  project: projectId.optional(),
  name_prefix: namePrefix,
})
export const eventsQuery = z.strictObject({
  ...page,
  ...span,
  organization: organizationId.optional(),
  project: projectId.optional(),
  type: z.enum(EVENT_TYPES).optional(),
})
/** Of lists of what can be ended. */
export const endableQuery = z.strictObject({
  ...page,
  organization: organizationId.optional(),
  ended: z.enum(['true', 'false']).optional().describe('true: also those that were ended'),
})
export const deliveriesQuery = z.strictObject({
  ...page,
  ...span,
  state: z.enum(DELIVERY_STATES).optional(),
  type: z.enum(EVENT_TYPES).optional(),
})
export const alertsQuery = z.strictObject({
  ...page,
  ...span,
  organization: organizationId.optional(),
  rule: z.string().optional().describe('alr_…'),
  open: z.enum(['true', 'false']).optional().describe('true: only those that still hold'),
  acknowledged: z.enum(['true', 'false']).optional(),
})
