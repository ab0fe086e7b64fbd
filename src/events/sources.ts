import type { ReceiptStatus } from '../contract/index.ts'
import type { Queryable } from '../db/index.ts'
import {
  formatId,
  formatNano,
  type IdPrefix,
  isArray,
  isObject,
  isoTime,
  type Json,
  parseJson,
  type Uuid,
} from '../kernel/index.ts'
import type { NewEvent } from './publish.ts'

/** What the feed is read from: rows that others append, of transactions from a number on and below another one. */
export interface Stretch {
  readonly from: string
  readonly to: string
  /** Older rows are passed over. */
  readonly since: Date
}

/** A receipt as rules and events look at it. */
export interface SettledReceipt {
  readonly orgId: Uuid
  readonly id: Uuid
  readonly projectId: Uuid
  readonly keyId: Uuid
  readonly runId: Uuid | null
  readonly status: ReceiptStatus
  readonly model: string | null
  readonly route: string | null
  readonly bucket: string | null
  readonly chargeNano: bigint
  readonly currency: string | null
  readonly endedMs: number
  readonly latencyMs: number
  readonly fallback: boolean
  readonly endpoint: string
  readonly error: string | null
  readonly sandbox: boolean
}

interface ReceiptRow {
  readonly org_id: Uuid
  readonly id: Uuid
  readonly project_id: Uuid
  readonly api_key_id: Uuid
  readonly run_id: Uuid | null
  readonly status: ReceiptStatus
  readonly bucket: string | null
  readonly route: string | null
  readonly model: string | null
  readonly charge: bigint
  readonly created_at: Date
  readonly document: string
}

const textIn = (value: Json | undefined): string | null => (typeof value === 'string' ? value : null)
const numberIn = (value: Json | undefined, unset: number): number =>
  typeof value === 'number' ? value : unset
const member = (value: Json | undefined, name: string): Json | undefined =>
  isObject(value) ? value[name] : undefined

function receiptOf(row: ReceiptRow): SettledReceipt {
  const parsed = parseJson(row.document)
  const doc = parsed.ok && isObject(parsed.value) ? parsed.value : {}
  const attempts = isArray(doc['attempts']) ? doc['attempts'] : []
  const channels = attempts.map((attempt) => textIn(member(attempt, 'channel')))
  return {
    orgId: row.org_id,
    id: row.id,
    projectId: row.project_id,
    keyId: row.api_key_id,
    runId: row.run_id,
    status: row.status,
    model: row.model,
    route: row.route,
    bucket: row.bucket,
    chargeNano: row.charge,
    currency: textIn(member(doc['charge'], 'currency')),
    endedMs: numberIn(doc['ended'], row.created_at.getTime()),
    latencyMs: numberIn(doc['latency'], 0),
    fallback: channels.length > 0 && channels.at(-1) !== channels[0],
    endpoint: textIn(doc['endpoint']) ?? '',
    error: textIn(member(doc['error'], 'code')),
    sandbox: doc['sandbox'] === true,
  }
}

const RECEIPTS_SQL = `select org_id, id, project_id, api_key_id, run_id, status, bucket, route, model, charge, created_at, document
  from ledger.receipt where xid >= $1::xid8 and xid < $2::xid8 and org_id = any($3) and created_at >= $4 order by xid, id`

export async function readReceipts(
  tx: Queryable,
  stretch: Stretch,
  orgIds: readonly Uuid[],
): Promise<readonly SettledReceipt[]> {
  if (orgIds.length === 0) return []
  const values = [stretch.from, stretch.to, orgIds, stretch.since]
  return (await tx.query<ReceiptRow>(RECEIPTS_SQL, values)).map(receiptOf)
}

export function settledEvent(receipt: SettledReceipt): NewEvent {
  const { orgId, projectId, runId, bucket } = receipt
  return {
    type: 'receipt.settled',
    orgId,
    projectId,
    cause: receipt.id,
    atMs: receipt.endedMs,
    data: {
      receipt: formatId('req', receipt.id),
      status: receipt.status,
      project: formatId('prj', projectId),
      key: formatId('key', receipt.keyId),
      run: runId === null ? null : formatId('run', runId),
      endpoint: receipt.endpoint,
      model: receipt.model,
      route: receipt.route,
      bucket,
      currency: receipt.currency,
      charge: formatNano(receipt.chargeNano),
      latency_ms: receipt.latencyMs,
      fallback: receipt.fallback,
      error: receipt.error,
      sandbox: receipt.sandbox,
    },
  }
}

/** A kind of row that is rare, and what is told of it. */
type Source = (tx: Queryable, stretch: Stretch, orgIds: readonly Uuid[]) => Promise<readonly NewEvent[]>

const SCOPE_PREFIX: Readonly<Record<string, IdPrefix>> = {
  organization: 'org',
  project: 'prj',
  key: 'key',
  run: 'run',
}

const BUDGETS_SQL = `select e.org_id, e.id, e.budget_id, e.window_start, e.threshold, e.amount, e.used, e.created_at,
    g.scope, g.scope_id, g.period, g.hard, a.bucket, a.currency,
    case g.scope when 'project' then g.scope_id::uuid
      when 'key' then (select k.project_id from tenancy.api_key k where k.org_id = g.org_id and k.id::text = g.scope_id)
      when 'run' then (select r.project_id from tenancy.run r where r.org_id = g.org_id and r.id::text = g.scope_id) end as project_id
  from ledger.budget_event e
  join ledger.budget g on g.org_id = e.org_id and g.id = e.budget_id
  join ledger.account a on a.org_id = g.org_id and a.id = g.account_id
  where e.xid >= $1::xid8 and e.xid < $2::xid8 and e.org_id = any($3) and e.created_at >= $4 order by e.id`

const budgets: Source = async (tx, stretch, orgIds) => {
  const rows = await tx.query<{
    org_id: Uuid
    id: bigint
    budget_id: Uuid
    window_start: Date
    threshold: number
    amount: bigint
    used: bigint
    created_at: Date
    scope: string
    scope_id: string
    period: string
    hard: boolean
    bucket: string
    currency: string
    project_id: Uuid | null
  }>(BUDGETS_SQL, [stretch.from, stretch.to, orgIds, stretch.since])
  return rows.map((row) => {
    const prefix = SCOPE_PREFIX[row.scope]
    return {
      type: row.threshold === 100 ? 'budget.reached' : 'budget.threshold',
      orgId: row.org_id,
      projectId: row.project_id,
      cause: `${row.budget_id} ${row.window_start.getTime()} ${row.threshold} ${row.amount}`,
      atMs: row.created_at.getTime(),
      data: {
        budget: formatId('bud', row.budget_id),
        scope: row.scope,
        scope_id: prefix === undefined ? row.scope_id : formatId(prefix, row.scope_id),
        bucket: row.bucket,
        currency: row.currency,
        period: row.period,
        hard: row.hard,
        threshold: row.threshold,
        amount: formatNano(row.amount),
        used: formatNano(row.used),
        window_start: row.window_start.toISOString(),
      },
    }
  })
}

const FUNDING_SQL = `select t.org_id, t.id, t.kind, t.amount, t.reason, t.created_at, a.bucket, a.currency from ledger.transfer t
  join ledger.account a on a.org_id = t.org_id and a.id = t.account_id
  where t.xid >= $1::xid8 and t.xid < $2::xid8 and t.kind in ('grant', 'topup') and t.org_id = any($3) and t.created_at >= $4
  order by t.xid, t.id`

const funding: Source = async (tx, stretch, orgIds) => {
  const rows = await tx.query<{
    org_id: Uuid
    id: Uuid
    kind: 'grant' | 'topup'
    amount: bigint
    reason: string | null
    created_at: Date
    bucket: string
    currency: string
  }>(FUNDING_SQL, [stretch.from, stretch.to, orgIds, stretch.since])
  return rows.map((row) => ({
    type: row.kind === 'topup' ? 'topup.completed' : 'grant.added',
    orgId: row.org_id,
    projectId: null,
    cause: row.id,
    atMs: row.created_at.getTime(),
    data: {
      transfer: row.id,
      bucket: row.bucket,
      currency: row.currency,
      amount: formatNano(row.amount),
      reason: row.reason,
    },
  }))
}

const KEYS_SQL = `select e.org_id, e.seq, e.at, e.action, e.object_id, e.actor_kind, e.actor_id, e.after, k.project_id
  from tenancy.audit_event e left join tenancy.api_key k on k.org_id = e.org_id and k.id = e.object_id
  where e.xid >= $1::xid8 and e.xid < $2::xid8 and e.action in ('key.revoke', 'key.exposed') and e.org_id = any($3) and e.at >= $4
  order by e.seq`

const keys: Source = async (tx, stretch, orgIds) => {
  const rows = await tx.query<{
    org_id: Uuid
    seq: bigint
    at: Date
    action: 'key.revoke' | 'key.exposed'
    object_id: Uuid
    actor_kind: string
    actor_id: Uuid | null
    after: Json
    project_id: Uuid | null
  }>(KEYS_SQL, [stretch.from, stretch.to, orgIds, stretch.since])
  return rows.map((row) => ({
    type: row.action === 'key.revoke' ? 'key.revoked' : 'key.exposed',
    orgId: row.org_id,
    projectId: row.project_id,
    cause: String(row.seq),
    atMs: row.at.getTime(),
    data: {
      key: formatId('key', row.object_id),
      by: {
        kind: row.actor_kind,
        id: row.actor_id === null ? null : formatId(row.actor_kind === 'key' ? 'key' : 'usr', row.actor_id),
      },
      details: row.after,
    },
  }))
}

// A price is changed where there was one; the first of a route is none.
const PRICES_SQL = `select v.id, v.model, v.route, v.bucket, v.currency, v.effective_from, v.created_at, p.id as previous
  from catalog.price_version v
  cross join lateral (select o.id from catalog.price_version o
    where o.model = v.model and o.route = v.route and o.bucket = v.bucket and (o.xid, o.created_at, o.id) < (v.xid, v.created_at, v.id)
    order by o.xid desc, o.created_at desc, o.id desc limit 1) p
  where v.xid >= $1::xid8 and v.xid < $2::xid8 and v.created_at >= $3 order by v.xid, v.id`

/** Prices are of the installation, so every organization that listens is told. */
const prices: Source = async (tx, stretch, orgIds) => {
  const rows = await tx.query<{
    id: Uuid
    model: string
    route: string
    bucket: string
    currency: string
    effective_from: Date
    created_at: Date
    previous: Uuid
  }>(PRICES_SQL, [stretch.from, stretch.to, stretch.since])
  return rows.flatMap((row) =>
    orgIds.map(
      (orgId): NewEvent => ({
        type: 'price.changed',
        orgId,
        projectId: null,
        cause: row.id,
        atMs: row.created_at.getTime(),
        data: {
          model: row.model,
          route: row.route,
          bucket: row.bucket,
          currency: row.currency,
          price_version: formatId('pv', row.id),
          previous: formatId('pv', row.previous),
          effective_from: isoTime(row.effective_from.getTime()),
        },
      }),
    ),
  )
}

const SOURCES: readonly Source[] = [budgets, funding, keys, prices]

/** Everything but receipts. */
export async function readRare(
  tx: Queryable,
  stretch: Stretch,
  orgIds: readonly Uuid[],
): Promise<readonly NewEvent[]> {
  if (orgIds.length === 0) return []
  const events: NewEvent[] = []
  for (const source of SOURCES) events.push(...(await source(tx, stretch, orgIds)))
  return events
}
