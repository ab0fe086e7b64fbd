import type { Receipt } from '../contract/index.ts'
import type { Database } from '../db/index.ts'
import { formatNano, isObject, type Nano, parseJson, type Uuid } from '../kernel/index.ts'
import type { ReceiptDocument } from './document.ts'
import { type PostedEntry, renderReceipt, type View } from './render.ts'

/** Who is asking: an operator (no limits), or the project of an API key. */
export interface ReceiptScope {
  readonly projectId: Uuid | null
  readonly view: View
}

export interface ReceiptFilter extends ReceiptScope {
  readonly orgId: Uuid | null
  readonly apiKeyId: Uuid | null
  readonly runId: Uuid | null
  readonly status: string | null
  readonly bucket: string | null
  readonly model: string | null
  readonly since: Date | null
  readonly until: Date | null
  /** Receipts older than this request id, for the next page. */
  readonly before: Uuid | null
  readonly limit: number
}

export interface RunTotal {
  readonly bucket: string
  readonly currency: string
  readonly chargedNano: Nano
  readonly heldNano: Nano
  readonly requests: number
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

/** The ids a request's holds and transfers can have: its own, and those that differ in the last digit. */
const FAMILY_SQL = `select (left($2::text, 35) || to_hex(n))::uuid from generate_series(0, 15) n`

async function readEntries(database: Database, orgId: Uuid, id: Uuid): Promise<readonly PostedEntry[]> {
  const rows = await database.query<{
    transfer_id: Uuid
    line: number
    bucket: string
    kind: string
    currency: string
    amount: bigint
    balance_after: bigint | null
  }>(
    `select e.transfer_id, e.line, a.bucket, a.kind, e.currency, e.amount, e.balance_after
     from ledger.entry e join ledger.account a on a.org_id = e.org_id and a.id = e.account_id
     where e.org_id = $1 and e.transfer_id in (${FAMILY_SQL}) order by e.transfer_id, e.line`,
    [orgId, id],
  )
  return rows.map((row) => ({
    transferId: row.transfer_id,
    line: row.line,
    bucket: row.bucket,
    accountKind: row.kind,
    currency: row.currency,
    amountNano: row.amount,
    balanceAfterNano: row.balance_after,
  }))
}

/** A request that runs has no receipt yet, but its hold says what is known: the receipt is `pending`. */
async function readPending(database: Database, scope: ReceiptScope, id: Uuid): Promise<Receipt | null> {
  const row = await database.maybeOne<{
    org_id: Uuid
    intent: string
    amount: bigint
    bucket: string
    currency: string
  }>(
    `select h.org_id, h.intent, h.amount, a.bucket, a.currency
     from ledger.hold h join ledger.account a on a.org_id = h.org_id and a.id = h.account_id
     where h.id in (select (left($1::text, 35) || to_hex(n))::uuid from generate_series(0, 15) n)
       and ($2::uuid is null or h.intent::json ->> 'projectId' = $2::text) limit 1`,
    [id, scope.projectId],
  )
  if (row === null) return null
  const intent = parseJson(row.intent)
  if (!intent.ok || !isObject(intent.value) || !isObject(intent.value['doc'])) return null
  const doc = intent.value['doc'] as unknown as ReceiptDocument
  const hold = {
    bucket: row.bucket,
    currency: row.currency,
    amount: formatNano(row.amount),
    state: 'open' as const,
  }
  return renderReceipt(id, { ...doc, status: 'pending', hold }, [], scope.view)
}

/** @returns null when there is none, or it is not for the one who asks */
export async function readReceipt(
  database: Database,
  scope: ReceiptScope,
  id: Uuid,
): Promise<Receipt | null> {
  const row = await database.maybeOne<StoredReceipt>(
    'select org_id, id, document from ledger.receipt where id = $1 and ($2::uuid is null or project_id = $2)',
    [id, scope.projectId],
  )
  if (row === null) return readPending(database, scope, id)
  return renderReceipt(row.id, readDocument(row), await readEntries(database, row.org_id, row.id), scope.view)
}

/** Newest first. @returns one row more than `limit` never; `nextBefore` is null on the last page */
export async function listReceipts(
  database: Database,
  filter: ReceiptFilter,
): Promise<{ readonly receipts: readonly Receipt[]; readonly nextBefore: Uuid | null }> {
  const rows = await database.query<StoredReceipt>(
    `select org_id, id, document from ledger.receipt
     where ($1::uuid is null or project_id = $1) and ($2::uuid is null or org_id = $2)
       and ($3::uuid is null or api_key_id = $3) and ($4::uuid is null or run_id = $4)
       and ($5::text is null or status = $5) and ($6::text is null or bucket = $6) and ($7::text is null or model = $7)
       and ($8::timestamptz is null or created_at >= $8) and ($9::timestamptz is null or created_at < $9)
       and ($10::uuid is null or id < $10)
     order by id desc limit $11`,
    [
      filter.projectId,
      filter.orgId,
      filter.apiKeyId,
      filter.runId,
      filter.status,
      filter.bucket,
      filter.model,
      filter.since,
      filter.until,
      filter.before,
      filter.limit + 1,
    ],
  )
  const page = rows.slice(0, filter.limit)
  const receipts: Receipt[] = []
  for (const row of page)
    receipts.push(
      renderReceipt(row.id, readDocument(row), await readEntries(database, row.org_id, row.id), filter.view),
    )
  return { receipts, nextBefore: rows.length > filter.limit ? (page.at(-1)?.id ?? null) : null }
}

export async function readRunTotals(database: Database, runId: Uuid): Promise<readonly RunTotal[]> {
  const rows = await database.query<{ bucket: string; currency: string; charged: bigint; requests: number }>(
    `select r.bucket, min(a.currency) as currency, sum(r.charge)::bigint as charged, count(*)::int as requests
     from ledger.receipt r join ledger.account a on a.org_id = r.org_id and a.bucket = r.bucket and a.kind = 'customer'
     where r.run_id = $1 and r.bucket is not null group by r.bucket order by r.bucket`,
    [runId],
  )
  const held = await database.query<{ bucket: string; currency: string; held: bigint }>(
    `select a.bucket, a.currency, sum(h.amount)::bigint as held from ledger.hold h
     join ledger.account a on a.org_id = h.org_id and a.id = h.account_id
     where h.intent::json ->> 'runId' = $1::text group by a.bucket, a.currency`,
    [runId],
  )
  const totals = new Map<string, RunTotal>()
  for (const row of rows)
    totals.set(row.bucket, {
      bucket: row.bucket,
      currency: row.currency,
      chargedNano: row.charged,
      heldNano: 0n,
      requests: row.requests,
    })
  for (const row of held) {
    const known = totals.get(row.bucket)
    totals.set(row.bucket, {
      bucket: row.bucket,
      currency: row.currency,
      chargedNano: known?.chargedNano ?? 0n,
      heldNano: row.held,
      requests: known?.requests ?? 0,
    })
  }
  return [...totals.values()]
}
