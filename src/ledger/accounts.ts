import type { Database } from '../db/index.ts'
import type { Nano, Uuid } from '../kernel/index.ts'

/** Balances of one organization in one bucket. All amounts in nano of `currency`. */
export interface Balance {
  readonly orgId: Uuid
  readonly bucket: string
  readonly currency: string
  readonly accountId: bigint
  readonly postedNano: Nano
  readonly heldNano: Nano
  /** posted − held: what the next request can use; negative only after a refund of spent money. */
  readonly availableNano: Nano
  readonly openHolds: number
  /** When the first of the open holds would be given back at the latest. */
  readonly soonestReleaseAt: Date | null
}

/** @returns the id of the customer account; the account set is made when it does not exist. */
export async function openAccount(
  database: Database,
  orgId: Uuid,
  bucket: string,
  currency: string,
): Promise<bigint> {
  const row = await database.one<{ id: bigint }>('select ledger.open_accounts($1, $2, $3) as id', [
    orgId,
    bucket,
    currency,
  ])
  return row.id
}

/** Remembers account ids, which never change. */
export interface AccountBook {
  /** Null when the organization has no account in the bucket yet; then `open` makes it. */
  known(orgId: Uuid, bucket: string): bigint | null
  open(orgId: Uuid, bucket: string, currency: string): Promise<bigint>
}

export function createAccountBook(database: Database): AccountBook {
  const ids = new Map<string, bigint>()
  return {
    known: (orgId, bucket) => ids.get(`${orgId}/${bucket}`) ?? null,
    async open(orgId, bucket, currency) {
      const id = await openAccount(database, orgId, bucket, currency)
      ids.set(`${orgId}/${bucket}`, id)
      return id
    },
  }
}

export async function readBalances(database: Database, orgId: Uuid): Promise<readonly Balance[]> {
  const rows = await database.query<{
    bucket: string
    currency: string
    id: bigint
    posted: bigint
    held: bigint
    holds: number
    release_at: Date | null
  }>({
    text: `select a.bucket, a.currency, a.id, a.posted, a.held, count(h.id)::int as holds, min(h.expires_at) as release_at
      from ledger.account a left join ledger.hold h on h.org_id = a.org_id and h.account_id = a.id
      where a.org_id = $1 and a.kind = 'customer'
      group by a.org_id, a.id order by a.id`,
    values: [orgId],
  })
  return rows.map((row) => ({
    orgId,
    bucket: row.bucket,
    currency: row.currency,
    accountId: row.id,
    postedNano: row.posted,
    heldNano: row.held,
    availableNano: row.posted - row.held,
    openHolds: row.holds,
    soonestReleaseAt: row.release_at,
  }))
}

/** One line of an account's statement, newest first. */
export interface StatementLine {
  readonly transferId: Uuid
  readonly line: number
  readonly bucket: string
  readonly kind: string
  readonly currency: string
  readonly amountNano: Nano
  readonly balanceAfterNano: Nano
  readonly accountSeq: bigint
  readonly reason: string | null
  readonly at: Date
}

/**
 * The customer entries of an organization in posting order, newest first.
 * @param before only entries whose seq is below it, for the next page (per bucket; without a bucket the walk is by time)
 */
export async function readStatement(
  database: Database,
  query: {
    readonly orgId: Uuid
    readonly bucket: string
    readonly before: bigint | null
    readonly limit: number
  },
): Promise<readonly StatementLine[]> {
  const rows = await database.query<{
    transfer_id: string
    line: number
    bucket: string
    kind: string
    currency: string
    amount: bigint
    balance_after: bigint
    account_seq: bigint
    reason: string | null
    created_at: Date
  }>({
    // The walk of an account has no gaps, so a page is a range of it; with an open end a planner whose statistics are
    // old sorts the whole history to show its last page.
    text: `select e.transfer_id, e.line, a.bucket, t.kind, e.currency, e.amount, e.balance_after, e.account_seq, t.reason, t.created_at
      from (select *, least(coalesce($3::bigint - 1, seq), seq) as last_seq from ledger.account
          where org_id = $1 and bucket = $2 and kind = 'customer') a
      join ledger.entry e on e.account_id = a.id and e.account_seq between a.last_seq - $4::bigint + 1 and a.last_seq
      join ledger.transfer t on t.org_id = e.org_id and t.id = e.transfer_id
      order by e.account_seq desc`,
    values: [query.orgId, query.bucket, query.before, query.limit],
  })
  return rows.map((row) => ({
    transferId: row.transfer_id,
    line: row.line,
    bucket: row.bucket,
    kind: row.kind,
    currency: row.currency,
    amountNano: row.amount,
    balanceAfterNano: row.balance_after,
    accountSeq: row.account_seq,
    reason: row.reason,
    at: row.created_at,
  }))
}
