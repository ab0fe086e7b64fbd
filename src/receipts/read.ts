import type { Receipt } from '../contract/index.ts'
import { conditions, type Database, instant } from '../db/index.ts'
import {
  childUuid,
  formatId,
  formatNano,
  isObject,
  type Nano,
  parseJson,
  type Uuid,
} from '../kernel/index.ts'
import type { ReceiptDocument } from './document.ts'
import { type PostedEntry, renderReceipt, type View } from './render.ts'
import { readUsage, type UsagePage, type UsageQuestion, usageSpan } from './usage.ts'

/** Whose receipts: null is no limit, which only an operator has. */
export interface ReceiptScope {
  readonly orgId: Uuid | null
  readonly projectId: Uuid | null
  readonly view: View
}

export interface ReceiptFilter extends ReceiptScope {
  readonly apiKeyId: Uuid | null
  readonly runId: Uuid | null
  readonly status: string | null
  readonly bucket: string | null
  readonly model: string | null
  readonly route: string | null
  /** One that was tried, by its private name. */
  readonly channel: string | null
  readonly fallback: boolean | null
  readonly crossed: boolean | null
  readonly leastNano: Nano | null
  readonly sinceMs: number | null
  readonly untilMs: number | null
  readonly limit: number
  /** The last receipt of the page before. */
  readonly before: Uuid | null
}

export interface BucketTotal {
  readonly bucket: string
  readonly currency: string
  readonly chargedNano: Nano
  readonly heldNano: Nano
  readonly requests: number
}

export interface StepTotal {
  readonly name: string | null
  readonly requests: number
  readonly attempts: number
  readonly totals: readonly BucketTotal[]
}

export interface RunTotals {
  readonly totals: readonly BucketTotal[]
  readonly steps: readonly StepTotal[]
}

/** What a key has spent, a bucket, and how its requests of the last day ended, by status. */
export interface KeyUsage {
  readonly totals: readonly Omit<BucketTotal, 'heldNano'>[]
  readonly lastDay: Readonly<Record<string, number>>
}

export interface ReceiptReader {
  keyUsage(key: { readonly orgId: Uuid; readonly id: Uuid }, nowMs: number): Promise<KeyUsage>
  /** @returns null when there is none, or it is not for the one who asks */
  get(query: ReceiptScope & { readonly id: Uuid }): Promise<Receipt | null>
  /** Newest first; `nextCursor` is the last receipt of the page, as `req_…`, or null on the last page. */
  list(
    filter: ReceiptFilter,
  ): Promise<{ readonly data: readonly Receipt[]; readonly nextCursor: string | null }>
  runTotals(run: { readonly orgId: Uuid; readonly id: Uuid }): Promise<RunTotals>
  usage(question: UsageQuestion): Promise<UsagePage>
  /** When the first receipt of an organization began, and the last one; null where there is none. */
  usageSpan(orgId: Uuid): Promise<{ readonly firstMs: number; readonly lastMs: number } | null>
}

interface StoredReceipt {
  readonly org_id: Uuid
  readonly id: Uuid
  readonly document: string
}

function readDocument(row: StoredReceipt): ReceiptDocument {
  const parsed = parseJson(row.document)
  if (!parsed.ok || !isObject(parsed.value)) throw new Error(`receipt ${row.id} cannot be read`)
  return parsed.value as unknown as ReceiptDocument
}

/** Holds and transfers of a request have its id but for the last digit: one range of the index. */
const ENTRIES_SQL = `select r.id as request_id, e.transfer_id, e.line, a.bucket, a.kind, e.currency, e.amount, e.balance_after
  from unnest($1::uuid[], $2::uuid[], $3::uuid[]) r(org_id, id, last)
  join ledger.entry e on e.org_id = r.org_id and e.transfer_id between r.id and r.last
  join ledger.account a on a.org_id = e.org_id and a.id = e.account_id
  order by e.transfer_id, e.line`

async function readEntries(
  database: Database,
  receipts: readonly StoredReceipt[],
): Promise<ReadonlyMap<Uuid, readonly PostedEntry[]>> {
  const rows = await database.query<{
    request_id: Uuid
    transfer_id: Uuid
    line: number
    bucket: string
    kind: string
    currency: string
    amount: bigint
    balance_after: bigint | null
  }>(ENTRIES_SQL, [
    receipts.map((receipt) => receipt.org_id),
    receipts.map((receipt) => receipt.id),
    receipts.map((receipt) => childUuid(receipt.id, 15)),
  ])
  const entries = new Map<Uuid, PostedEntry[]>()
  for (const row of rows) {
    const list = entries.get(row.request_id) ?? []
    entries.set(row.request_id, list)
    list.push({
      transferId: row.transfer_id,
      line: row.line,
      bucket: row.bucket,
      accountKind: row.kind,
      currency: row.currency,
      amountNano: row.amount,
      balanceAfterNano: row.balance_after,
    })
  }
  return entries
}

/** A request that runs has no receipt yet, but its hold says what is known: the receipt is `pending`. */
async function readPending(
  database: Database,
  query: ReceiptScope & { readonly id: Uuid },
): Promise<Receipt | null> {
  const row = await database.maybeOne<{ intent: string; amount: bigint; bucket: string; currency: string }>(
    `select h.intent, h.amount, a.bucket, a.currency
     from ledger.hold h join ledger.account a on a.org_id = h.org_id and a.id = h.account_id
     where h.id in (select (left($1::text, 35) || to_hex(n))::uuid from generate_series(0, 15) n)
       and ($2::uuid is null or h.org_id = $2) order by h.id desc limit 1`,
    [query.id, query.orgId],
  )
  if (row === null) return null
  const intent = parseJson(row.intent)
  if (!intent.ok || !isObject(intent.value) || !isObject(intent.value['doc'])) return null
  if (query.projectId !== null && intent.value['projectId'] !== query.projectId) return null
  const doc = intent.value['doc'] as unknown as ReceiptDocument
  const hold = {
    bucket: row.bucket,
    currency: row.currency,
    amount: formatNano(row.amount),
    state: 'open' as const,
  }
  return renderReceipt(query.id, { ...doc, status: 'pending', hold }, [], query.view)
}

/** Receipts lie by organization: where it is not known, each is asked by its own key, which is a few steps in an index. */
const ONE_SQL = `select r.org_id, r.id, r.document from tenancy.organization o
  join ledger.receipt r on r.org_id = o.id and r.id = $1
  where ($2::uuid is null or o.id = $2) and ($3::uuid is null or r.project_id = $3)`

async function readOne(
  database: Database,
  query: ReceiptScope & { readonly id: Uuid },
): Promise<Receipt | null> {
  const row = await database.maybeOne<StoredReceipt & Record<string, unknown>>(ONE_SQL, [
    query.id,
    query.orgId,
    query.projectId,
  ])
  if (row === null) return readPending(database, query)
  const entries = await readEntries(database, [row])
  return renderReceipt(row.id, readDocument(row), entries.get(row.id) ?? [], query.view)
}

/** What stands in the document alone. A text is found faster than a document is read, and escaped quotes are not mistaken. */
const CROSSED = `(strpos(document, '"crossed":true') > 0 and document::json ->> 'crossed' = 'true')`
const FALLBACK = `(strpos(document, '"next":"backup"') + strpos(document, '"next":"other_route"') > 0
  and document::json #>> '{attempts,-1,channel}' <> document::json #>> '{attempts,0,channel}')`

function pageConditions(filter: ReceiptFilter) {
  return conditions([
    ['org_id =', filter.orgId],
    ['project_id =', filter.projectId],
    ['api_key_id =', filter.apiKeyId],
    ['run_id =', filter.runId],
    ['status =', filter.status],
    ['bucket =', filter.bucket],
    ['model =', filter.model],
    ['route =', filter.route],
    ['charge >=', filter.leastNano],
    [
      `document::jsonb -> 'attempts' @>`,
      filter.channel === null ? null : JSON.stringify([{ channel: filter.channel }]),
    ],
    [`${FALLBACK} =`, filter.fallback],
    [`${CROSSED} =`, filter.crossed],
    ['created_at >=', instant(filter.sinceMs)],
    ['created_at <', instant(filter.untilMs)],
    ['id <', filter.before],
  ])
}

async function readPage(database: Database, filter: ReceiptFilter) {
  const { where, values } = pageConditions(filter)
  const rows = await database.query<StoredReceipt & Record<string, unknown>>(
    `select org_id, id, document from ledger.receipt ${where} order by id desc limit $${values.length + 1}`,
    [...values, filter.limit + 1],
  )
  const page = rows.slice(0, filter.limit)
  const entries = await readEntries(database, page)
  const last = page.at(-1)
  return {
    data: page.map((row) => renderReceipt(row.id, readDocument(row), entries.get(row.id) ?? [], filter.view)),
    nextCursor: last === undefined || rows.length <= filter.limit ? null : formatId('req', last.id),
  }
}

interface TotalRow {
  readonly step: string | null
  /** Null for what was refused before a balance was chosen: it counts as a request of its step, and of no balance. */
  readonly bucket: string | null
  readonly currency: string | null
  readonly charged: bigint
  readonly requests: number
  readonly attempts: number
}

const RUN_SQL = `select r.document::json #>> '{run,step}' as step, r.bucket, a.currency, sum(r.charge)::bigint as charged,
    count(*)::int as requests, sum(json_array_length(r.document::json -> 'attempts'))::int as attempts
  from ledger.receipt r
  left join ledger.account a on a.org_id = r.org_id and a.bucket = r.bucket and a.kind = 'customer'
  where r.run_id = $1 and r.org_id = $2
  group by 1, 2, 3 order by min(r.id::text), r.bucket`

const RUN_HELD_SQL = `select a.bucket, a.currency, sum(h.amount)::bigint as held from ledger.hold h
  join ledger.account a on a.org_id = h.org_id and a.id = h.account_id
  where h.org_id = $2 and h.intent::json ->> 'runId' = $1::text group by a.bucket, a.currency`

function totalsOf({ bucket, currency, charged, requests }: TotalRow): readonly BucketTotal[] {
  if (bucket === null || currency === null) return []
  return [{ bucket, currency, chargedNano: charged, heldNano: 0n, requests }]
}

function addTotal(totals: Map<string, BucketTotal>, more: BucketTotal): void {
  const known = totals.get(more.bucket)
  totals.set(more.bucket, {
    ...more,
    chargedNano: more.chargedNano + (known?.chargedNano ?? 0n),
    heldNano: more.heldNano + (known?.heldNano ?? 0n),
    requests: more.requests + (known?.requests ?? 0),
  })
}

async function readRunTotals(
  database: Database,
  run: { readonly orgId: Uuid; readonly id: Uuid },
): Promise<RunTotals> {
  const rows = await database.query<TotalRow>(RUN_SQL, [run.id, run.orgId])
  const held = await database.query<{ bucket: string; currency: string; held: bigint }>(RUN_HELD_SQL, [
    run.id,
    run.orgId,
  ])
  const totals = new Map<string, BucketTotal>()
  for (const total of rows.flatMap(totalsOf)) addTotal(totals, total)
  for (const { bucket, currency, held: heldNano } of held)
    addTotal(totals, { bucket, currency, chargedNano: 0n, heldNano, requests: 0 })
  const steps = new Map<string | null, StepTotal>()
  for (const row of rows) {
    const known = steps.get(row.step)
    steps.set(row.step, {
      name: row.step,
      requests: row.requests + (known?.requests ?? 0),
      attempts: row.attempts + (known?.attempts ?? 0),
      totals: [...(known?.totals ?? []), ...totalsOf(row)],
    })
  }
  return { totals: [...totals.values()], steps: [...steps.values()] }
}

// Both are answered by the index of the key alone (receipt_by_key), without reading a document.
const KEY_SPEND_SQL = `select r.bucket, a.currency, r.charged, r.requests
  from (select bucket, sum(charge)::bigint as charged, count(*)::int as requests
        from ledger.receipt where api_key_id = $1 and bucket is not null group by bucket) r
  join ledger.account a on a.org_id = $2 and a.bucket = r.bucket and a.kind = 'customer' order by r.bucket`
const KEY_DAY_SQL = `select status, count(*)::int as requests from ledger.receipt
  where api_key_id = $1 and created_at >= $2 group by status order by status`
const DAY_MS = 86_400_000

async function readKeyUsage(
  database: Database,
  key: { readonly orgId: Uuid; readonly id: Uuid },
  nowMs: number,
): Promise<KeyUsage> {
  const spend = await database.query<{ bucket: string; currency: string; charged: bigint; requests: number }>(
    KEY_SPEND_SQL,
    [key.id, key.orgId],
  )
  const day = await database.query<{ status: string; requests: number }>(KEY_DAY_SQL, [
    key.id,
    new Date(nowMs - DAY_MS),
  ])
  return {
    totals: spend.map(({ charged, ...row }) => ({ ...row, chargedNano: charged })),
    lastDay: Object.fromEntries(day.map(({ status, requests }) => [status, requests])),
  }
}

export function createReceiptReader(database: Database): ReceiptReader {
  return {
    get: (query) => readOne(database, query),
    list: (filter) => readPage(database, filter),
    runTotals: (run) => readRunTotals(database, run),
    keyUsage: (key, nowMs) => readKeyUsage(database, key, nowMs),
    usage: (question) => readUsage(database, question),
    usageSpan: (orgId) => usageSpan(database, orgId),
  }
}
