import type { UsageDimension } from '../contract/index.ts'
import { conditions, type Database, instant } from '../db/index.ts'
import type { Nano, Uuid } from '../kernel/index.ts'

/** Sums over receipts. All comes from one index (receipt_for_usage): no document is read, however many there are. */

export interface UsageScope {
  readonly orgId: Uuid
  readonly projectId: Uuid | null
  readonly apiKeyId: Uuid | null
  readonly runId: Uuid | null
  readonly model: string | null
  readonly route: string | null
  readonly bucket: string | null
  readonly status: string | null
  readonly sinceMs: number | null
  readonly untilMs: number | null
}

/** What a row is the sum of: a value for each dimension that was asked for, and a bucket. */
export interface UsagePlace {
  readonly values: ReadonlyArray<string | null>
  readonly bucket: string | null
}

export interface UsageQuestion extends UsageScope {
  readonly by: readonly UsageDimension[]
  /** Where it is summed by day or month: those of the whole time, oldest first. */
  readonly periods: ReadonlyArray<{ readonly label: string; readonly startMs: number }>
  readonly limit: number
  /** The last row of the page before. */
  readonly after: UsagePlace | null
}

export interface UsageSums {
  readonly bucket: string | null
  readonly currency: string | null
  readonly requests: bigint
  readonly failed: bigint
  readonly refused: bigint
  readonly cancelled: bigint
  readonly metered: bigint
  /** Input, read from a cache, written to one, output. */
  readonly tokens: readonly [bigint, bigint, bigint, bigint] | null
  readonly chargedNano: Nano
}

export interface UsageLine extends UsageSums {
  readonly values: ReadonlyArray<string | null>
  /** What people call the value of that place; null where it has no name of its own. */
  readonly names: ReadonlyArray<string | null>
}

export interface UsagePage {
  /** Ordered by their values, then by bucket; one more than the limit where there is a further page. */
  readonly lines: readonly UsageLine[]
  readonly totals: readonly UsageSums[]
}

interface SumRow {
  readonly part: 'row' | 'total'
  readonly s1: string
  readonly s2: string
  readonly s3: string
  readonly requests: bigint
  readonly failed: bigint
  readonly refused: bigint
  readonly cancelled: bigint
  readonly metered: bigint
  readonly input: bigint | null
  readonly cache_read: bigint | null
  readonly cache_write: bigint | null
  readonly output: bigint | null
  readonly charged: bigint
}

/** Stands for nothing in comparisons, where null has no place: what has no value comes last. */
const NOTHING = '\u{10ffff}'
const COLUMNS: Readonly<Record<Exclude<UsageDimension, 'day' | 'month'>, string>> = {
  project: 'project_id',
  key: 'api_key_id',
  model: 'model',
  route: 'route',
  run: 'run_id',
  status: 'status',
}
const FIGURES = ['requests', 'failed', 'refused', 'cancelled', 'metered'] as const
const TOKENS = ['input', 'cache_read', 'cache_write', 'output'] as const
const SUMMED = [...FIGURES, ...TOKENS, 'charged'].map((name) => `sum(${name})::bigint as ${name}`).join(', ')

type Parameter = (value: unknown) => string

/** What a dimension is grouped by, and how a value of it is shown. */
function grouping(
  dimension: UsageDimension | undefined,
  periods: UsageQuestion['periods'],
  next: Parameter,
): readonly [group: string, shown: (value: string) => string] {
  if (dimension === undefined) return ["''", (value) => value]
  if (dimension !== 'day' && dimension !== 'month') return [COLUMNS[dimension], (value) => `${value}::text`]
  const starts = next(periods.map(({ startMs }) => new Date(startMs)))
  const labels = next(periods.map(({ label }) => label))
  return [`width_bucket(created_at, ${starts}::timestamptz[])`, (value) => `(${labels}::text[])[${value}]`]
}

function behind(after: UsagePlace | null, next: Parameter): string {
  if (after === null) return ''
  const place = [...[...after.values, '', ''].slice(0, 2), after.bucket]
  return `where (s1, s2, s3) > (${place.map((value) => `${next(value ?? NOTHING)}::text`).join(', ')})`
}

/** One statement, and so of one moment: the totals are those of the rows. */
function sqlOf({ by, periods, limit, after }: UsageQuestion, where: string, next: Parameter): string {
  const [first, showFirst] = grouping(by[0], periods, next)
  const [second, showSecond] = grouping(by[1], periods, next)
  const ordered = (sql: string): string => `coalesce(${sql}, '${NOTHING}') collate "C"`
  return `with g as materialized (
      select ${first} as k1, ${second} as k2, bucket as k3, count(*) as requests,
        count(*) filter (where status = 'failed') as failed, count(*) filter (where status = 'refused') as refused,
        count(*) filter (where status = 'cancelled') as cancelled, count(tokens) as metered, sum(tokens[1]) as input,
        sum(tokens[2]) as cache_read, sum(tokens[3]) as cache_write, sum(tokens[4]) as output, sum(charge) as charged
      from ledger.receipt ${where} group by 1, 2, 3),
    named as materialized (
      select ${ordered(showFirst('k1'))} as s1, ${ordered(showSecond('k2'))} as s2, ${ordered('k3')} as s3, g.* from g)
    select * from (
      (select 'row' as part, s1, s2, s3, ${SUMMED} from named ${behind(after, next)}
        group by s1, s2, s3 order by s1, s2, s3 limit ${next(limit + 1)})
      union all
      (select 'total', '', '', s3, ${SUMMED} from named group by s3)) u
    order by part, s1 collate "C", s2 collate "C", s3 collate "C"`
}

const shownValue = (text: string): string | null => (text === NOTHING ? null : text)

function sumsOf(row: SumRow, currencies: ReadonlyMap<string, string>): UsageSums {
  const { requests, failed, refused, cancelled, metered, charged } = row
  const [input, cacheRead, cacheWrite, output] = [row.input, row.cache_read, row.cache_write, row.output]
  const bucket = shownValue(row.s3)
  return {
    bucket,
    currency: bucket === null ? null : (currencies.get(bucket) ?? null),
    requests,
    failed,
    refused,
    cancelled,
    metered,
    tokens: metered === 0n ? null : [input ?? 0n, cacheRead ?? 0n, cacheWrite ?? 0n, output ?? 0n],
    chargedNano: charged,
  }
}

const NAMES_SQL: Readonly<Partial<Record<UsageDimension, string>>> = {
  project: 'select id::text, name from tenancy.project where org_id = $1 and id = any($2::uuid[])',
  key: 'select id::text, label as name from tenancy.api_key where org_id = $1 and id = any($2::uuid[])',
  run: 'select id::text, name from tenancy.run where org_id = $1 and id = any($2::uuid[])',
}

async function namesOf(
  database: Database,
  orgId: Uuid,
  dimension: UsageDimension | undefined,
  values: ReadonlyArray<string | null>,
): Promise<ReadonlyMap<string | null, string>> {
  const sql = dimension === undefined ? undefined : NAMES_SQL[dimension]
  if (sql === undefined) return new Map()
  const wanted = [...new Set(values)].filter((value) => value !== null)
  const rows = await database.query<{ id: Uuid; name: string }>(sql, [orgId, wanted])
  return new Map(rows.map(({ id, name }) => [id, name]))
}

function scopeConditions(scope: UsageScope) {
  return conditions([
    ['org_id =', scope.orgId],
    ['project_id =', scope.projectId],
    ['api_key_id =', scope.apiKeyId],
    ['run_id =', scope.runId],
    ['model =', scope.model],
    ['route =', scope.route],
    ['bucket =', scope.bucket],
    ['status =', scope.status],
    ['created_at >=', instant(scope.sinceMs)],
    ['created_at <', instant(scope.untilMs)],
  ])
}

export async function readUsage(database: Database, question: UsageQuestion): Promise<UsagePage> {
  const { where, values: given } = scopeConditions(question)
  const values = [...given]
  const sql = sqlOf(question, where, (value) => `$${values.push(value)}`)
  const rows = await database.query<SumRow>(sql, values)
  const accounts = await database.query<{ bucket: string; currency: string }>(
    `select bucket, currency from ledger.account where org_id = $1 and kind = 'customer'`,
    [question.orgId],
  )
  const currencies = new Map(accounts.map(({ bucket, currency }) => [bucket, currency]))
  const shown = rows.filter(({ part }) => part === 'row')
  const valuesOf = ({ s1, s2 }: SumRow) => [s1, s2].slice(0, question.by.length).map(shownValue)
  const names = await Promise.all(
    question.by.map((dimension, i) =>
      namesOf(
        database,
        question.orgId,
        dimension,
        shown.map((row) => valuesOf(row)[i] ?? null),
      ),
    ),
  )
  return {
    lines: shown.map((row) => ({
      ...sumsOf(row, currencies),
      values: valuesOf(row),
      names: valuesOf(row).map((value, i) => names[i]?.get(value) ?? null),
    })),
    totals: rows.filter(({ part }) => part === 'total').map((row) => sumsOf(row, currencies)),
  }
}

/** When the first receipt of an organization began, and the last one; null where there is none. */
export async function usageSpan(
  database: Database,
  orgId: Uuid,
): Promise<{ readonly firstMs: number; readonly lastMs: number } | null> {
  const { first, last } = await database.one<{ first: Date | null; last: Date | null }>(
    'select min(created_at) as first, max(created_at) as last from ledger.receipt where org_id = $1',
    [orgId],
  )
  return first === null || last === null ? null : { firstMs: first.getTime(), lastMs: last.getTime() }
}
