import { randomBytes } from 'node:crypto'
import type { Database } from '../../src/db/index.ts'
import { createIdSource, silentLog, type Uuid } from '../../src/kernel/index.ts'
import {
  createLedgerWriter,
  INVARIANTS,
  type LedgerOp,
  type LedgerWriter,
  type OpResult,
  openAccount,
  type ReceiptRecord,
  type ReserveOp,
} from '../../src/ledger/index.ts'

import { type TestDatabase, type TestDatabaseOptions, testDatabase } from '../database.ts'
import { mutate } from './mutations.ts'

/** What the tests of the ledger share: accounts, batches that are really one batch, and the invariants in one query. */

/** A database of the test's own, with the mutation that the environment names (see mutations.ts). */
export async function ledgerDatabase(
  t: Parameters<typeof testDatabase>[0],
  options: TestDatabaseOptions = {},
): Promise<TestDatabase> {
  const made = await testDatabase(t, options)
  await mutate(made.database)
  return made
}

export const ids = createIdSource(Date.now, randomBytes)

export interface Account {
  readonly orgId: Uuid
  readonly accountId: bigint
  readonly bucket: string
}

const CURRENCIES: Readonly<Record<string, string>> = { credit: 'USD', rmb: 'CNY' }

export async function account(
  database: Database,
  orgId: Uuid = ids.uuid(),
  bucket = 'credit',
): Promise<Account> {
  return { orgId, bucket, accountId: await openAccount(database, orgId, bucket, CURRENCIES[bucket] ?? 'USD') }
}

export async function funded(database: Database, amountNano: bigint, bucket = 'credit'): Promise<Account> {
  const made = await account(database, ids.uuid(), bucket)
  const result = await writer(database).submit(topup(made, amountNano))
  if (result.verdict !== 'done') throw new Error(`top-up: ${result.verdict}`)
  return made
}

/** A budget of the account, for the whole organization unless a test says otherwise. */
export async function budget(
  database: Database,
  of: Account,
  amountNano: bigint,
  options: { readonly hard?: boolean; readonly period?: string } = {},
): Promise<Uuid> {
  const id = ids.uuid()
  await database.query(`select ledger.make_budget($1, $2, $3, $4, 'run', $5, $6, $7, $8, 'test')`, [
    of.orgId,
    id,
    of.bucket,
    CURRENCIES[of.bucket] ?? 'USD',
    id,
    options.period ?? 'day',
    amountNano,
    options.hard ?? true,
  ])
  return id
}

export function writer(
  database: Database,
  options: { readonly queueMax?: number; readonly batchMax?: number; readonly processId?: Uuid } = {},
): LedgerWriter {
  return createLedgerWriter({
    database,
    processId: ids.uuid(),
    log: silentLog,
    batchMax: 100_000,
    queueMax: 100_000,
    ...options,
  })
}

/** Ops that are handed over in one turn of the event loop while the writer is idle go as one batch. */
export function batch(ledger: LedgerWriter, ops: readonly LedgerOp[]): Promise<OpResult[]> {
  return Promise.all(ops.map((op) => ledger.submit(op)))
}

export const target = (to: Account, id: Uuid) => ({ orgId: to.orgId, accountId: to.accountId, id })

export function reserve(to: Account, id: Uuid, amountNano: bigint, minimumNano = amountNano): ReserveOp {
  return { kind: 'reserve', ...target(to, id), amountNano, minimumNano, ttlMs: 60_000, intent: '{}' }
}

export function topup(to: Account, amountNano: bigint, id: Uuid = ids.uuid()): LedgerOp {
  return { kind: 'topup', ...target(to, id), amountNano, reason: 'test' }
}

export function settle(to: Account, id: Uuid, amountNano: bigint, chargeNano = amountNano): LedgerOp {
  return { kind: 'settle', ...target(to, id), amountNano, receipt: receipt(to, id, chargeNano) }
}

export function receipt(to: Account, id: Uuid, chargeNano: bigint, document = '{}'): ReceiptRecord {
  return {
    id,
    projectId: to.orgId,
    apiKeyId: to.orgId,
    runId: null,
    status: 'completed',
    bucket: to.bucket,
    route: 'official',
    model: 'm-1',
    chargeNano,
    createdAtMs: 1_700_000_000_000,
    document,
  }
}

const ALL_SQL = INVARIANTS.map(
  (invariant, i) => `select ${i} as n, (select count(*)::int from (${invariant.sql}) broken) as broken`,
).join(' union all ')

/** Names of the invariants that do not hold, in one statement. */
export async function broken(database: Database): Promise<readonly string[]> {
  const rows = await database.query<{ n: number; broken: number }>(ALL_SQL)
  return rows.filter((row) => row.broken > 0).map((row) => INVARIANTS[row.n]?.name ?? '?')
}

export async function balance(
  database: Database,
  of: Account,
): Promise<{ posted: bigint; held: bigint; seq: bigint }> {
  return await database.one('select posted, held, seq from ledger.account where id = $1', [of.accountId])
}

/** How many times the default effort; the seed is printed by whoever uses it. */
export const ROUNDS = Math.max(1, Number.parseInt(process.env['FORGE_TEST_ROUNDS'] ?? '1', 10))
export const SEED = Number.parseInt(process.env['FORGE_TEST_SEED'] ?? String(Date.now() % 2 ** 31), 10)

/** Small and seeded (mulberry32), so that a failed run can be had again. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
