import type { Queryable } from '../db/index.ts'
import type { Follower, SettledReceipt } from '../events/index.ts'
import { isoTime, type Uuid } from '../kernel/index.ts'

/**
 * What rules look at: sums by minute and by hour, added up once while the feed is read. A check then costs as much as there
 * are sums in its window, and never reads a receipt.
 */

export const MINUTE_MS = 60_000
export const HOUR_MS = 3_600_000
const MINUTES_KEPT_MS = 2 * HOUR_MS
const HOURS_KEPT_MS = 15 * 24 * HOUR_MS
const NONE: Uuid = '00000000-0000-0000-0000-000000000000'

/** Edges of the steps in which latencies are counted grow by 2^(1/8), about nine per cent. */
const BINS_A_DOUBLING = 8

export function binOf(latencyMs: number): number {
  return latencyMs < 1 ? 0 : Math.min(Math.ceil(Math.log2(latencyMs) * BINS_A_DOUBLING), 300)
}

/** The largest latency that is counted in it, in milliseconds. */
export function upperMs(bin: number): number {
  return Math.ceil(2 ** (bin / BINS_A_DOUBLING))
}

interface Sum {
  readonly receipt: SettledReceipt
  readonly step: 'minute' | 'hour'
  readonly atMs: number
  requests: bigint
  failed: bigint
  fallbacks: bigint
  chargeNano: bigint
}

const keyOf = (receipt: SettledReceipt): string =>
  JSON.stringify([
    receipt.orgId,
    receipt.projectId,
    receipt.keyId,
    receipt.runId,
    receipt.model,
    receipt.route,
    receipt.bucket,
  ])

/** What never reached a model says nothing about models; what is pending is not over. */
const counts = ({ status }: SettledReceipt): boolean => status !== 'refused' && status !== 'pending'

function sumsOf(receipts: readonly SettledReceipt[], nowMs: number): readonly Sum[] {
  const sums = new Map<string, Sum>()
  for (const receipt of receipts.filter(counts)) {
    for (const [step, lengthMs, keptMs] of [
      ['minute', MINUTE_MS, MINUTES_KEPT_MS],
      ['hour', HOUR_MS, HOURS_KEPT_MS],
    ] as const) {
      const atMs = Math.floor(receipt.endedMs / lengthMs) * lengthMs
      if (atMs < nowMs - keptMs) continue
      const key = `${step} ${atMs} ${keyOf(receipt)}`
      const sum = sums.get(key) ?? {
        receipt,
        step,
        atMs,
        requests: 0n,
        failed: 0n,
        fallbacks: 0n,
        chargeNano: 0n,
      }
      sum.requests += 1n
      if (receipt.status === 'failed') sum.failed += 1n
      if (receipt.fallback) sum.fallbacks += 1n
      sum.chargeNano += receipt.chargeNano
      sums.set(key, sum)
    }
  }
  return [...sums.values()]
}

const USAGE_SQL = `insert into alerts.usage as x
    (org_id, step, at, project_id, key_id, run_id, model, route, bucket, requests, failed, fallbacks, charge)
  select * from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::uuid[], $5::uuid[], $6::uuid[], $7::text[], $8::text[],
    $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[])
  on conflict (org_id, step, at, project_id, key_id, run_id, model, route, bucket) do update set
    requests = x.requests + excluded.requests, failed = x.failed + excluded.failed,
    fallbacks = x.fallbacks + excluded.fallbacks, charge = x.charge + excluded.charge`

async function addUsage(tx: Queryable, receipts: readonly SettledReceipt[], nowMs: number): Promise<void> {
  const sums = sumsOf(receipts, nowMs)
  if (sums.length === 0) return
  await tx.query(USAGE_SQL, [
    sums.map(({ receipt }) => receipt.orgId),
    sums.map(({ step }) => step),
    sums.map(({ atMs }) => isoTime(atMs)),
    sums.map(({ receipt }) => receipt.projectId),
    sums.map(({ receipt }) => receipt.keyId),
    sums.map(({ receipt }) => receipt.runId ?? NONE),
    sums.map(({ receipt }) => receipt.model ?? ''),
    sums.map(({ receipt }) => receipt.route ?? ''),
    sums.map(({ receipt }) => receipt.bucket ?? ''),
    sums.map(({ requests }) => requests),
    sums.map(({ failed }) => failed),
    sums.map(({ fallbacks }) => fallbacks),
    sums.map(({ chargeNano }) => chargeNano),
  ])
}

const LATENCY_SQL = `insert into alerts.latency as x (org_id, at, project_id, key_id, model, route, bin, requests)
  select u.org, u.at, u.project, u.key, u.model, u.route, u.bin, count(*)
    from unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::smallint[])
      u(org, at, project, key, model, route, bin) group by 1, 2, 3, 4, 5, 6, 7
  on conflict (org_id, at, project_id, key_id, model, route, bin) do update set requests = x.requests + excluded.requests`

async function addLatency(tx: Queryable, receipts: readonly SettledReceipt[], nowMs: number): Promise<void> {
  const done = receipts.filter(
    ({ status, endedMs }) => status === 'completed' && endedMs > nowMs - MINUTES_KEPT_MS,
  )
  if (done.length === 0) return
  await tx.query(LATENCY_SQL, [
    done.map(({ orgId }) => orgId),
    done.map(({ endedMs }) => isoTime(Math.floor(endedMs / MINUTE_MS) * MINUTE_MS)),
    done.map(({ projectId }) => projectId),
    done.map(({ keyId }) => keyId),
    done.map(({ model }) => model ?? ''),
    done.map(({ route }) => route ?? ''),
    done.map(({ latencyMs }) => binOf(latencyMs)),
  ])
}

// Also while it is paused: a past with holes would make the present look unusual.
const FOLLOWS_SQL = `select distinct org_id from alerts.rule where state <> 'ended'`

export function createUsageFollower(nowMs: () => number): Follower {
  return {
    async follows(tx) {
      return (await tx.query<{ org_id: Uuid }>(FOLLOWS_SQL)).map(({ org_id }) => ({
        orgId: org_id,
        types: null,
      }))
    },
    async onReceipts(tx, receipts) {
      const followed = new Set((await tx.query<{ org_id: Uuid }>(FOLLOWS_SQL)).map(({ org_id }) => org_id))
      const own = receipts.filter(({ orgId }) => followed.has(orgId))
      await addUsage(tx, own, nowMs())
      await addLatency(tx, own, nowMs())
    },
  }
}

export async function forgetOld(tx: Queryable, nowMs: number): Promise<void> {
  const minutes = isoTime(nowMs - MINUTES_KEPT_MS)
  await tx.query(`delete from alerts.usage where step = 'minute' and at < $1`, [minutes])
  await tx.query(`delete from alerts.usage where step = 'hour' and at < $1`, [isoTime(nowMs - HOURS_KEPT_MS)])
  await tx.query('delete from alerts.latency where at < $1', [minutes])
}
