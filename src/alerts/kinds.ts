import type { AlertScope, RuleKind, RuleParameters } from '../contract/index.ts'
import type { Queryable } from '../db/index.ts'
import { formatNano, isoTime, parseNano, type Uuid } from '../kernel/index.ts'
import type { Figures, Finding, Rule } from './records.ts'
import { HOUR_MS, MINUTE_MS, upperMs } from './usage.ts'
import { hoursToCompare, usualOf } from './usual.ts'

/**
 * The kinds of rules. Each declares how it looks: at sums of its window, by an index, and never at receipts.
 * A finding for every subject that had traffic; one that had none in the window is calm by not being found.
 */

export interface Look<K extends RuleKind> {
  readonly orgId: Uuid
  readonly parameters: RuleParameters<K>
  readonly createdAtMs: number
  readonly nowMs: number
}

export type Check<K extends RuleKind> = (tx: Queryable, look: Look<K>) => Promise<readonly Finding[]>

/** An alert ends when it is this far inside its limit, so that one on the edge does not come and go. */
const CALM_PERCENT = 90n
/** More subjects than that in one look are one cause, not many. */
const SUBJECTS_MAX = 50

const COLUMNS: Readonly<Record<AlertScope, string>> = {
  organization: 'org_id::text',
  project: 'project_id::text',
  key: 'key_id::text',
  model: 'model',
  route: 'route',
  run: 'run_id::text',
}

const NONE = '00000000-0000-0000-0000-000000000000'

interface Scoped {
  readonly scope: AlertScope
  readonly scope_id?: string | undefined
}

/** Groups by the scope: one subject when it is named, else each. `$2` is the subject or null. */
function grouped(table: string, sums: string, { scope }: Scoped, more: string): string {
  const column = COLUMNS[scope]
  return `select ${column} as subject, ${sums} from alerts.${table}
    where org_id = $1 and ($2::text is null or ${column} = $2) and ${column} not in ('', '${NONE}') ${more} group by 1`
}

/** @returns the beginning of a window of whole steps, the running one included */
function windowStart(
  nowMs: number,
  minutes: number,
): { readonly step: 'minute' | 'hour'; readonly fromMs: number } {
  const hours = minutes > 60
  const stepMs = hours ? HOUR_MS : MINUTE_MS
  return {
    step: hours ? 'hour' : 'minute',
    fromMs: Math.floor(nowMs / stepMs) * stepMs - minutes * MINUTE_MS + stepMs,
  }
}

function levelOf(value: bigint, limit: bigint): Finding['level'] {
  if (value > limit) return 'over'
  return value * 100n <= limit * CALM_PERCENT ? 'calm' : 'between'
}

function nanoOf(amount: string): bigint {
  return parseNano(amount) ?? 0n
}

function strongest<T extends { readonly weight: bigint }>(rows: readonly T[]): readonly T[] {
  return rows
    .toSorted((a, b) => (a.weight > b.weight ? -1 : a.weight < b.weight ? 1 : 0))
    .slice(0, SUBJECTS_MAX)
}

const CURRENCY_SQL = `select currency from ledger.account where org_id = $1 and bucket = $2 and kind = 'customer'`

async function currencyOf(tx: Queryable, orgId: Uuid, bucket: string): Promise<string> {
  return (await tx.maybeOne<{ currency: string }>(CURRENCY_SQL, [orgId, bucket]))?.currency ?? ''
}

const spend: Check<'spend'> = async (tx, { orgId, parameters, nowMs }) => {
  const { step, fromMs } = windowStart(nowMs, parameters.window_minutes)
  const limit = nanoOf(parameters.amount)
  const rows = await tx.query<{ subject: string; weight: bigint; requests: bigint }>(
    grouped(
      'usage',
      'sum(charge)::bigint as weight, sum(requests)::bigint as requests',
      parameters,
      'and bucket = $3 and step = $4 and at >= $5',
    ),
    [orgId, parameters.scope_id ?? null, parameters.bucket, step, isoTime(fromMs)],
  )
  const currency = rows.length === 0 ? '' : await currencyOf(tx, orgId, parameters.bucket)
  return strongest(rows).map(({ subject, weight, requests }) => ({
    subject,
    level: levelOf(weight, limit),
    figures: {
      bucket: parameters.bucket,
      currency,
      spent: formatNano(weight),
      limit: formatNano(limit),
      window_minutes: parameters.window_minutes,
      requests: Number.parseInt(String(requests), 10),
    },
  }))
}

const BALANCE_SQL = `select currency, posted - held as available from ledger.account
  where org_id = $1 and bucket = $2 and kind = 'customer'`

const balance: Check<'balance'> = async (tx, { orgId, parameters }) => {
  const { bucket } = parameters
  const row = await tx.maybeOne<{ currency: string; available: bigint }>(BALANCE_SQL, [orgId, bucket])
  if (row === null) return []
  const below = nanoOf(parameters.below)
  const { available } = row
  const calm = available * CALM_PERCENT >= below * 100n
  return [
    {
      subject: bucket,
      level: available < below ? 'over' : calm ? 'calm' : 'between',
      figures: { bucket, currency: row.currency, available: formatNano(available), limit: formatNano(below) },
    },
  ]
}

const velocity: Check<'velocity'> = async (tx, { orgId, parameters, createdAtMs, nowMs }) => {
  const { bucket } = parameters
  const hours = hoursToCompare(Math.ceil(createdAtMs / HOUR_MS) * HOUR_MS, nowMs)
  if (
    usualOf(
      hours.map(() => 0n),
      100,
      0n,
    ) === null
  )
    return []
  const { fromMs } = windowStart(nowMs, 60)
  const values = [orgId, parameters.scope_id ?? null, bucket]
  const running = await tx.query<{ subject: string; weight: bigint }>(
    grouped(
      'usage',
      'sum(charge)::bigint as weight',
      parameters,
      `and bucket = $3 and step = 'minute' and at >= $4`,
    ),
    [...values, isoTime(fromMs)],
  )
  const past = await tx.query<{ subject: string; charge: bigint; at: Date }>(
    `${grouped('usage', 'at, sum(charge)::bigint as charge', parameters, `and bucket = $3 and step = 'hour' and at = any($4)`)}, 2`,
    [...values, hours.map(isoTime)],
  )
  const known = Map.groupBy(past, ({ subject }) => subject)
  const currency = running.length === 0 ? '' : await currencyOf(tx, orgId, bucket)
  return strongest(running).flatMap(({ subject, weight }): Finding[] => {
    const charges = (known.get(subject) ?? []).map(({ charge }) => charge)
    const quiet = Array.from({ length: hours.length - charges.length }, () => 0n)
    const usual = usualOf([...charges, ...quiet], parameters.percent_of_usual, nanoOf(parameters.minimum))
    if (usual === null) return []
    const figures: Figures = {
      bucket,
      currency,
      spent: formatNano(weight),
      usual: formatNano(usual.median),
      deviation: formatNano(usual.deviation),
      limit: formatNano(usual.limit),
      hours: usual.hours,
    }
    return [{ subject, level: levelOf(weight, usual.limit), figures }]
  })
}

function shareOf(column: 'failed' | 'fallbacks'): Check<'failure_rate' | 'fallback_rate'> {
  return async (tx, { orgId, parameters, nowMs }) => {
    const { fromMs } = windowStart(nowMs, parameters.window_minutes)
    const rows = await tx.query<{ subject: string; weight: bigint; requests: bigint }>(
      grouped(
        'usage',
        `sum(${column})::bigint as weight, sum(requests)::bigint as requests`,
        parameters,
        `and step = 'minute' and at >= $3`,
      ),
      [orgId, parameters.scope_id ?? null, isoTime(fromMs)],
    )
    const enough = rows.filter(({ requests }) => requests >= BigInt(parameters.min_requests))
    return strongest(enough).map(({ subject, weight, requests }) => {
      const limit = BigInt(parameters.percent) * requests
      // A hundred per cent cannot be passed, so a share is over when it reaches its limit.
      const level = weight * 100n >= limit ? 'over' : levelOf(weight * 100n, limit)
      return {
        subject,
        level,
        figures: {
          percent: Number.parseInt(String((weight * 100n) / requests), 10),
          limit: parameters.percent,
          [column]: Number.parseInt(String(weight), 10),
          requests: Number.parseInt(String(requests), 10),
          window_minutes: parameters.window_minutes,
        },
      }
    })
  }
}

/** @param bins by rising latency */
function p95Of(bins: ReadonlyArray<{ readonly bin: number; readonly requests: bigint }>): number {
  const all = bins.reduce((sum, { requests }) => sum + requests, 0n)
  let seen = 0n
  for (const { bin, requests } of bins) {
    seen += requests
    if (seen * 100n >= all * 95n) return upperMs(bin)
  }
  return 0
}

const latency: Check<'latency'> = async (tx, { orgId, parameters, nowMs }) => {
  const { fromMs } = windowStart(nowMs, parameters.window_minutes)
  const rows = await tx.query<{ subject: string; bin: number; requests: bigint }>(
    `${grouped('latency', 'bin, sum(requests)::bigint as requests', parameters, 'and at >= $3')}, 2 order by 2`,
    [orgId, parameters.scope_id ?? null, isoTime(fromMs)],
  )
  const found = [...Map.groupBy(rows, ({ subject }) => subject)].flatMap(([subject, bins]) => {
    const requests = bins.reduce((sum, bin) => sum + bin.requests, 0n)
    return requests < BigInt(parameters.min_requests) ? [] : [{ subject, requests, p95: p95Of(bins) }]
  })
  const limit = BigInt(parameters.p95_ms)
  return strongest(found.map((each) => ({ ...each, weight: BigInt(each.p95) }))).map((each) => ({
    subject: each.subject,
    level: levelOf(each.weight, limit),
    figures: {
      p95_ms: each.p95,
      limit: parameters.p95_ms,
      requests: Number.parseInt(String(each.requests), 10),
      window_minutes: parameters.window_minutes,
    },
  }))
}

const CHECKS = {
  spend,
  balance,
  velocity,
  failure_rate: shareOf('failed'),
  fallback_rate: shareOf('fallbacks'),
  latency,
} as const satisfies { readonly [K in RuleKind]: Check<K> }

export function check(tx: Queryable, rule: Rule, nowMs: number): Promise<readonly Finding[]> {
  // A rule's parameters are those of its kind, which the table and the union say in two ways.
  const look = CHECKS[rule.kind] as Check<RuleKind>
  return look(tx, {
    orgId: rule.orgId,
    parameters: rule.parameters,
    createdAtMs: rule.createdAtMs,
    nowMs,
  } as Look<RuleKind>)
}
