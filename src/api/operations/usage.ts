import { z } from 'zod'
import { type Period, periodsOf } from '../../budgets/index.ts'
import {
  type UsageDimension,
  type UsageFigures,
  type UsageRow,
  usageExportQuery,
  usageQuery,
  usageSchema,
} from '../../contract/index.ts'
import { formatId, formatNano, isoTime, parseJson } from '../../kernel/index.ts'
import type { UsageLine, UsagePlace, UsageQuestion, UsageSums } from '../../receipts/index.ts'
import type { ApiDeps } from '../deps.ts'
import { type Columns, exported } from '../export.ts'
import { type Caller, operation } from '../operation.ts'
import { InvalidRequest } from '../problem.ts'
import { badCursor, idOf, instantOf, organizationOf, scopeOf } from '../scope.ts'

type Asked = Omit<z.output<typeof usageExportQuery>, 'format'>

/** Nearly three years of days. */
const PERIODS_MAX = 1_000
const EXPORT_PAGE = 1_000

const whole = (value: bigint): number => Number.parseInt(String(value), 10)

function figuresOf(sums: UsageSums): UsageFigures {
  const { bucket, currency, requests, failed, refused, cancelled, metered, tokens, chargedNano } = sums
  return {
    bucket,
    currency,
    requests: whole(requests),
    failed: whole(failed),
    refused: whole(refused),
    cancelled: whole(cancelled),
    tokens:
      tokens === null
        ? null
        : {
            input: whole(tokens[0]),
            cache_read: whole(tokens[1]),
            cache_write: whole(tokens[2]),
            output: whole(tokens[3]),
          },
    metered: whole(metered),
    charged: formatNano(chargedNano),
  }
}

const PREFIX = { project: 'prj', key: 'key', run: 'run' } as const

function memberOf(dimension: UsageDimension, value: string | null, name: string | null): Partial<UsageRow> {
  if (dimension !== 'project' && dimension !== 'key' && dimension !== 'run') return { [dimension]: value }
  const id = value === null ? null : formatId(PREFIX[dimension], value)
  return { [dimension]: id, [`${dimension}_name`]: name }
}

function rowOf(by: readonly UsageDimension[], line: UsageLine): UsageRow {
  const place = by.map((dimension, i) => memberOf(dimension, line.values[i] ?? null, line.names[i] ?? null))
  return Object.assign({}, ...place, figuresOf(line)) as UsageRow
}

function cursorOf({ values, bucket }: UsagePlace): string {
  return Buffer.from(JSON.stringify([...values, bucket])).toString('base64url')
}

function placeOf(cursor: string | undefined, by: readonly UsageDimension[]): UsagePlace | null {
  if (cursor === undefined) return null
  const parsed = parseJson(Buffer.from(cursor, 'base64url').toString())
  const members = parsed.ok && Array.isArray(parsed.value) ? (parsed.value as readonly unknown[]) : []
  const texts = members.filter(
    (member): member is string | null => member === null || typeof member === 'string',
  )
  // PostgreSQL keeps no U+0000 in a text.
  if (texts.length !== by.length + 1 || texts.length !== members.length || texts.join('').includes('\0'))
    throw badCursor()
  return { values: texts.slice(0, -1), bucket: texts.at(-1) ?? null }
}

/** What is asked, made whole: whose, in which days, and of which time where none was named. */
interface Prepared {
  readonly timeZone: string
  readonly question: Omit<UsageQuestion, 'limit' | 'after'>
}

async function periodsFor(
  deps: ApiDeps,
  by: readonly UsageDimension[],
  timeZone: string,
  span: Pick<UsageQuestion, 'orgId' | 'sinceMs' | 'untilMs'>,
): Promise<readonly Period[]> {
  const period = by.find((dimension) => dimension === 'day' || dimension === 'month')
  const known = period === undefined ? null : await deps.receipts.usageSpan(span.orgId)
  if (period === undefined || known === null) return []
  const sinceMs = Math.max(span.sinceMs ?? known.firstMs, known.firstMs)
  const untilMs = Math.min(span.untilMs ?? known.lastMs + 1, known.lastMs + 1)
  const periods = periodsOf(timeZone, period, { sinceMs, untilMs }, PERIODS_MAX)
  if (periods !== null) return periods
  const message = `is too long ago: ${PERIODS_MAX} ${period}s at most are told at once`
  throw new InvalidRequest('query', [{ field: 'since', message }])
}

async function prepare(deps: ApiDeps, caller: Caller, asked: Asked): Promise<Prepared> {
  const by = asked.group_by
  if (new Set(by).size < by.length || (by.includes('day') && by.includes('month')))
    throw new InvalidRequest('query', [{ field: 'group_by', message: 'names one thing twice' }])
  const scope = await scopeOf(deps, caller, asked)
  const orgId = scope.orgId ?? (await organizationOf(deps, caller, asked.organization))
  const timeZone = (await deps.tenancy.getOrganization(orgId))?.timeZone ?? 'UTC'
  const untilMs = instantOf(asked.until)
  const span = { orgId, sinceMs: instantOf(asked.since), untilMs }
  const question = {
    ...span,
    // What comes while this is answered is not of the last day that was thought of.
    untilMs: untilMs ?? deps.clock.nowMs() + 1,
    projectId: scope.projectId,
    apiKeyId: asked.key === undefined ? null : idOf('key', asked.key),
    runId: asked.run === undefined ? null : idOf('run', asked.run),
    model: asked.model ?? null,
    route: asked.route ?? null,
    bucket: asked.bucket ?? null,
    status: asked.status ?? null,
    by,
  }
  return { timeZone, question: { ...question, periods: await periodsFor(deps, by, timeZone, question) } }
}

export const getUsage = operation({
  id: 'getUsage',
  method: 'GET',
  path: '/api/v1/usage',
  summary: 'Requests, tokens and charges of an organization, added up by one or two things, per bucket',
  callers: ['operator', 'key'],
  permission: 'receipts.read',
  params: z.strictObject({}),
  query: usageQuery,
  body: null,
  response: usageSchema,
  faults: ['not_found', 'overloaded'],
  async run({ deps, caller, query }) {
    const { limit, cursor, ...asked } = query
    const { timeZone, question } = await prepare(deps, caller, asked)
    const after = placeOf(cursor, question.by)
    const { lines, totals } = await deps.receipts.usage({ ...question, limit, after })
    const shown = lines.slice(0, limit)
    const last = shown.at(-1)
    return {
      organization: formatId('org', question.orgId),
      time_zone: timeZone,
      since: question.sinceMs === null ? null : isoTime(question.sinceMs),
      until: asked.until === undefined ? null : isoTime(Date.parse(asked.until)),
      group_by: [...question.by],
      data: shown.map((line) => rowOf(question.by, line)),
      next_cursor: lines.length > limit && last !== undefined ? cursorOf(last) : null,
      totals: totals.map(figuresOf),
    }
  },
})

async function* pagesOf(deps: ApiDeps, question: Prepared['question']): AsyncGenerator<readonly UsageRow[]> {
  let after: UsagePlace | null = null
  do {
    const { lines } = await deps.receipts.usage({ ...question, limit: EXPORT_PAGE, after })
    const shown: readonly UsageLine[] = lines.slice(0, EXPORT_PAGE)
    yield shown.map((line) => rowOf(question.by, line))
    after = lines.length > EXPORT_PAGE ? (shown.at(-1) ?? null) : null
  } while (after !== null)
}

function columnsOf(by: readonly UsageDimension[]): Columns<UsageRow> {
  const text = (value: unknown): string => (value === null || value === undefined ? '' : String(value))
  const names = by.flatMap((one) => (one in PREFIX ? [one, `${one}_name` as keyof UsageRow] : [one]))
  return [
    ...names.map((name) => [name, (row: UsageRow) => text(row[name])] as const),
    ['bucket', (row) => text(row.bucket)],
    ['currency', (row) => text(row.currency)],
    ['requests', (row) => text(row.requests)],
    ['failed', (row) => text(row.failed)],
    ['refused', (row) => text(row.refused)],
    ['cancelled', (row) => text(row.cancelled)],
    ['metered', (row) => text(row.metered)],
    ['input_tokens', (row) => text(row.tokens?.input)],
    ['cache_read_tokens', (row) => text(row.tokens?.cache_read)],
    ['cache_write_tokens', (row) => text(row.tokens?.cache_write)],
    ['output_tokens', (row) => text(row.tokens?.output)],
    ['charged', (row) => text(row.charged)],
  ]
}

export const exportUsage = operation({
  id: 'exportUsage',
  method: 'GET',
  path: '/api/v1/usage/export',
  summary: 'The same sums as JSON lines or CSV, all of them',
  callers: ['operator', 'key'],
  permission: 'receipts.read',
  params: z.strictObject({}),
  query: usageExportQuery,
  body: null,
  response: z.string(),
  contentType: 'text/plain; charset=utf-8',
  faults: ['not_found', 'overloaded'],
  async run({ deps, caller, query }) {
    const { format, ...asked } = query
    const { question } = await prepare(deps, caller, asked)
    return await exported(pagesOf(deps, question), columnsOf(question.by), format)
  },
})
