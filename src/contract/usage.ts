import { z } from 'zod'
import { listOf } from './management.ts'
import { RECEIPT_STATUSES, USAGE_DIMENSIONS, type UsageDimension } from './vocabulary.ts'

/** Sums over receipts. Every row is of one bucket: buckets are never added together. */

const amount = z.string().describe('decimal string')

const figures = {
  bucket: z.string().nullable().describe('null: refused before a balance was chosen'),
  currency: z.string().nullable(),
  requests: z.number().describe('receipts, whatever became of them'),
  failed: z.number(),
  refused: z.number(),
  cancelled: z.number(),
  tokens: z
    .object({
      input: z.number().describe('not from a cache: text, audio and images'),
      cache_read: z.number(),
      cache_write: z.number().describe('of either lifetime'),
      output: z.number(),
    })
    .nullable()
    .describe('of the receipts that give them; null where none does'),
  metered: z.number().describe('receipts that give tokens'),
  charged: amount,
}

export const usageFigures = z.object(figures)
export type UsageFigures = z.infer<typeof usageFigures>

export const usageRow = z.object({
  day: z.string().optional().describe('2026-03-08'),
  month: z.string().optional().describe('2026-03'),
  project: z.string().optional().describe('prj_…'),
  project_name: z.string().nullable().optional(),
  key: z.string().optional().describe('key_…'),
  key_name: z.string().nullable().optional().describe('its label'),
  model: z.string().nullable().optional().describe('null: a model that the catalog does not have'),
  route: z.string().nullable().optional(),
  run: z.string().nullable().optional().describe('run_…'),
  run_name: z.string().nullable().optional(),
  status: z.string().optional(),
  ...figures,
})
export type UsageRow = z.infer<typeof usageRow>

export const usageSchema = listOf(usageRow).extend({
  organization: z.string(),
  time_zone: z.string().describe('days and months are counted in it'),
  since: z.string().nullable().describe('RFC 3339, UTC; null: from the first receipt'),
  until: z.string().nullable().describe('RFC 3339, UTC, not included; null: up to now'),
  group_by: z.array(z.enum(USAGE_DIMENSIONS)),
  totals: z.array(usageFigures).describe('of all rows of all pages, one a bucket'),
})
export type UsageView = z.infer<typeof usageSchema>

const dimension = `(?:${USAGE_DIMENSIONS.join('|')})`
const filter = {
  group_by: z
    .string()
    .regex(
      new RegExp(`^${dimension}(?:,${dimension})?$`),
      `is one or two of ${USAGE_DIMENSIONS.join(', ')}, with a comma between`,
    )
    .transform((text) => text.split(',') as UsageDimension[])
    .prefault('day')
    .describe(`one or two of ${USAGE_DIMENSIONS.join(', ')}, with a comma between; default day`),
  organization: z.string().optional().describe('org_…'),
  project: z.string().optional().describe('prj_…'),
  key: z.string().optional().describe('key_…'),
  run: z.string().optional().describe('run_…'),
  model: z.string().max(256).optional(),
  route: z.string().max(256).optional(),
  bucket: z.string().max(64).optional(),
  status: z.enum(RECEIPT_STATUSES).optional(),
  since: z.iso.datetime({ offset: true }).optional(),
  until: z.iso.datetime({ offset: true }).optional().describe('not included'),
}
export const usageQuery = z.strictObject({
  limit: z
    .string()
    .regex(/^\d{1,4}$/, 'a whole number')
    .transform((text) => Number.parseInt(text, 10))
    .pipe(z.number().min(1).max(1000))
    .prefault('100')
    .describe('1 … 1000, default 100'),
  cursor: z.string().max(2048).optional().describe('next_cursor of the page before'),
  ...filter,
})
export const usageExportQuery = z.strictObject({
  ...filter,
  format: z.enum(['jsonl', 'csv']).prefault('jsonl'),
})
