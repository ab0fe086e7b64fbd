import { randomBytes } from 'node:crypto'
import { type Database, openDatabase } from '../src/db/index.ts'
import { createIdSource, type Nano, silentLog, systemClock, type Uuid } from '../src/kernel/index.ts'
import { createLedgerWriter, type LedgerOp, openAccount } from '../src/ledger/index.ts'

/** Three ways to keep the same books: reserve before a request, settle with its receipt after it. */

export interface Account {
  readonly orgId: Uuid
  readonly accountId: bigint
}

export interface Way {
  readonly name: string
  /** False when the account could not cover it. */
  reserve(account: Account, id: Uuid): Promise<boolean>
  settle(account: Account, id: Uuid): Promise<void>
  close(): Promise<void>
}

export const WAYS = {
  writer: 'ledger writer',
  call: 'one call per operation',
  plain: 'a transaction per operation',
} as const

export const RESERVED_NANO = 5_000_000n
export const CHARGED_NANO = 3_123_456n
const CONNECTIONS = 16
const BUCKET = 'credit'

export const ids = createIdSource(systemClock.nowMs, randomBytes)
const PROJECT = ids.uuid()
const KEY = ids.uuid()

/** Of the size and make of a real one: what the gateway freezes for a request with one attempt. */
function documentOf(id: Uuid, prose: number): string {
  const candidate = {
    route: 'ordinary',
    channel: 'provider-a',
    public: 'Provider A',
    role: 'primary',
    outcome: 'tried',
  }
  return JSON.stringify({
    v: 1,
    id,
    org: { id: `org_${id.slice(0, 26)}`, name: 'Measured' },
    key: { id: `key_${id.slice(0, 26)}`, label: 'bench', prefix: 'tf-abcdef' },
    endpoint: 'openai.chat_completions',
    model: 'bench-model',
    decision: {
      policy: 'ordinary_then_official',
      rule: 'bucket.by_route',
      bucket: BUCKET,
      candidates: [candidate],
    },
    usage: { counts: { input: 137, cache_read: 0, output: 112 }, source: 'upstream' },
    charge: {
      currency: 'USD',
      total: '0.003123456',
      lines: [{ meter: 'input', quantity: 137, unit: '0.000001' }],
    },
    text: 'x'.repeat(prose),
  })
}
const intentOf = (id: Uuid): string => documentOf(id, 260)
const receiptOf = (id: Uuid): string => documentOf(id, 620)

const reserveOp = ({ orgId, accountId }: Account, id: Uuid): LedgerOp => ({
  kind: 'reserve',
  orgId,
  id,
  accountId,
  amountNano: RESERVED_NANO,
  minimumNano: RESERVED_NANO,
  ttlMs: 60_000,
  intent: intentOf(id),
})

const settleOp = ({ orgId, accountId }: Account, id: Uuid): LedgerOp => ({
  kind: 'settle',
  orgId,
  id,
  accountId,
  amountNano: CHARGED_NANO,
  receipt: {
    id,
    projectId: PROJECT,
    apiKeyId: KEY,
    runId: null,
    status: 'completed',
    bucket: BUCKET,
    route: 'ordinary',
    model: 'bench-model',
    chargeNano: CHARGED_NANO,
    createdAtMs: Date.now(),
    document: receiptOf(id),
  },
})

const open = (url: string, max: number, role?: string): Database =>
  openDatabase({
    connection: url,
    log: silentLog,
    max,
    ...(role === undefined ? {} : { role }),
    statementTimeoutMs: 60_000,
  })

/** The product's writer: what queued while a batch was under way is the next batch. */
export function ourWriter(url: string): Way {
  const database = open(url, 2, 'forge_app')
  const writer = createLedgerWriter({ database, processId: ids.uuid(), log: silentLog })
  return {
    name: WAYS.writer,
    reserve: async (account, id) => (await writer.submit(reserveOp(account, id))).verdict === 'done',
    async settle(account, id) {
      const { verdict } = await writer.submit(settleOp(account, id))
      if (verdict !== 'done') throw new Error(`a settlement answered ${verdict}`)
    },
    async close() {
      await writer.drain()
      await database.close()
    },
  }
}

/** The same function called once for every operation, over sixteen connections: as safe, without company. */
export function callPerOperation(url: string): Way {
  const lanes = Array.from({ length: CONNECTIONS }, () => {
    const database = open(url, 1, 'forge_app')
    const options = { database, processId: ids.uuid(), log: silentLog, batchMax: 1, lingerMs: 0 }
    return { database, writer: createLedgerWriter(options) }
  })
  let turn = 0
  const submit = async (op: LedgerOp) => {
    // The lane with the shortest queue, as a pool would have it.
    turn++
    let best = lanes[turn % CONNECTIONS]
    for (const lane of lanes) if (best === undefined || lane.writer.depth < best.writer.depth) best = lane
    if (best === undefined) throw new Error('no lane')
    return await best.writer.submit(op)
  }
  return {
    name: WAYS.call,
    reserve: async (account, id) => (await submit(reserveOp(account, id))).verdict === 'done',
    async settle(account, id) {
      const { verdict } = await submit(settleOp(account, id))
      if (verdict !== 'done') throw new Error(`a settlement answered ${verdict}`)
    },
    async close() {
      for (const { database, writer } of lanes) {
        await writer.drain()
        await database.close()
      }
    },
  }
}

const PLAIN_TABLES = `
  create schema if not exists plain;
  create table if not exists plain.account (id bigint primary key, posted bigint not null, held bigint not null default 0) with (fillfactor = 50);
  create table if not exists plain.hold (id uuid primary key, account_id bigint not null, amount bigint not null, intent text not null,
    ended boolean not null default false, created_at timestamptz not null default now());
  create table if not exists plain.charge (id uuid primary key, account_id bigint not null, amount bigint not null, document text not null,
    created_at timestamptz not null default now());`

/** What one would write without thinking of load: a transaction with a row lock for every operation. It keeps less. */
export async function transactionPerOperation(
  url: string,
  accounts: readonly Account[],
  fundsNano: Nano,
): Promise<Way> {
  const database = open(url, CONNECTIONS)
  await database.query(PLAIN_TABLES)
  await database.query(
    'insert into plain.account (id, posted) select unnest($1::bigint[]), $2 on conflict do nothing',
    [accounts.map(({ accountId }) => String(accountId)), String(fundsNano)],
  )
  return {
    name: WAYS.plain,
    reserve: ({ accountId }, id) =>
      database.tx(async (tx) => {
        const { free } = await tx.one<{ free: bigint }>({
          name: 'r1',
          text: 'select posted - held as free from plain.account where id = $1 for update',
          values: [accountId],
        })
        if (free < RESERVED_NANO) return false
        await tx.query({
          name: 'r2',
          text: 'insert into plain.hold (id, account_id, amount, intent) values ($1, $2, $3, $4)',
          values: [id, accountId, RESERVED_NANO, intentOf(id)],
        })
        await tx.query({
          name: 'r3',
          text: 'update plain.account set held = held + $2 where id = $1',
          values: [accountId, RESERVED_NANO],
        })
        return true
      }),
    settle: ({ accountId }, id) =>
      database.tx(async (tx) => {
        await tx.one({
          name: 's1',
          text: 'select posted from plain.account where id = $1 for update',
          values: [accountId],
        })
        const hold = await tx.one<{ amount: bigint }>({
          name: 's2',
          text: 'update plain.hold set ended = true where id = $1 and not ended returning amount',
          values: [id],
        })
        await tx.query({
          name: 's3',
          text: 'insert into plain.charge (id, account_id, amount, document) values ($1, $2, $3, $4)',
          values: [id, accountId, CHARGED_NANO, receiptOf(id)],
        })
        await tx.query({
          name: 's4',
          text: 'update plain.account set posted = posted - $2, held = held - $3 where id = $1',
          values: [accountId, CHARGED_NANO, hold.amount],
        })
      }),
    close: () => database.close(),
  }
}

/** Makes accounts of as many organizations and pays money in. */
export async function openFunded(url: string, count: number, fundsNano: Nano): Promise<readonly Account[]> {
  const database = open(url, 8, 'forge_app')
  const writer = createLedgerWriter({ database, processId: ids.uuid(), log: silentLog })
  const accounts = await Promise.all(
    Array.from({ length: count }, async (): Promise<Account> => {
      const orgId = ids.uuid()
      const accountId = await openAccount(database, orgId, BUCKET, 'USD')
      await writer.submit({
        kind: 'grant',
        orgId,
        id: ids.uuid(),
        accountId,
        amountNano: fundsNano,
        reason: 'bench',
      })
      return { orgId, accountId }
    }),
  )
  await database.close()
  return accounts
}
