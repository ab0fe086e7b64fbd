import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openDatabase } from '../../src/db/index.ts'
import { silentLog } from '../../src/kernel/index.ts'
import type { LedgerOp, LedgerWriter } from '../../src/ledger/index.ts'
import {
  type Account,
  balance,
  batch,
  broken,
  funded,
  ids,
  ledgerDatabase,
  ROUNDS,
  reserve,
  SEED,
  seeded,
  settle,
  target,
  topup,
  writer,
} from './stand.ts'

async function message(child: ChildProcess): Promise<unknown> {
  const [value] = await once(child, 'message')
  return value
}

test('two processes that race 1,000 reserves for room of exactly 100 get exactly 100, and nothing is negative', async (t) => {
  const { app, database, url } = await ledgerDatabase(t)
  const account = await funded(app, 100n * 7n + 6n)
  const args = [url, account.orgId, String(account.accountId), '7', '500']
  const racers = [1, 2].map(() => fork(fileURLToPath(new URL('racer.ts', import.meta.url)), args))
  await Promise.all(racers.map(message))
  const answers = racers.map(message)
  for (const racer of racers) racer.send('go')
  const verdicts = (await Promise.all(answers)).flat()
  assert.equal(verdicts.length, 1_000)
  assert.equal(verdicts.filter((verdict) => verdict === 'done').length, 100)
  assert.equal(verdicts.filter((verdict) => verdict === 'insufficient').length, 900)
  assert.deepEqual(await balance(database, account), { posted: 706n, held: 700n, seq: 1n })
  assert.deepEqual(await broken(database), [])
})

/** One id, one hold, and three processes that want to end it: settle, void and expire race. */
test('of several endings of one hold that race exactly one is done', async (t) => {
  const { app, database, url } = await ledgerDatabase(t)
  const account = await funded(app, 1_000_000n)
  const pools = [1, 2, 3].map(() =>
    openDatabase({ connection: url, log: silentLog, role: 'forge_app', max: 1 }),
  )
  t.after(() => Promise.all(pools.map((pool) => pool.close())))
  const writers = pools.map((pool) => writer(pool))
  const holds = Array.from({ length: 150 * ROUNDS }, () => ids.uuid())
  await batch(
    writers[0] as LedgerWriter,
    holds.map((id): LedgerOp => ({ ...reserve(account, id, 10n), ttlMs: -1 }) as LedgerOp),
  )
  const verdicts = await Promise.all(
    holds.flatMap((id) => {
      const endings: LedgerOp[] = [
        settle(account, id, 10n),
        { kind: 'void', ...target(account, id), reason: 'race' },
        { kind: 'expire', ...target(account, id), reason: 'race' },
      ]
      return [
        Promise.all(endings.map(async (op, i) => (await (writers[i] as LedgerWriter).submit(op)).verdict)),
      ]
    }),
  )
  for (const three of verdicts) {
    assert.equal(three.filter((verdict) => verdict === 'done').length, 1)
    assert.equal(three.filter((verdict) => verdict === 'conflict').length, 2)
  }
  assert.deepEqual(await broken(database), [])
})

interface Pending {
  readonly account: Account
  readonly id: string
}

/** Whatever comes to a random mind; only what the account can have happened to it. */
function randomOp(random: () => number, accounts: readonly Account[], open: Pending[]): LedgerOp {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T
  const dice = random()
  if (dice < 0.45 || open.length === 0) {
    const pending = { account: pick(accounts), id: ids.uuid() }
    open.push(pending)
    return reserve(pending.account, pending.id, 10n, 1n)
  }
  if (dice < 0.5) return topup(pick(accounts), 5n)
  const { account, id } = open.splice(Math.floor(random() * open.length), 1)[0] as Pending
  // What is paid is known only when the whole hold was got; a receipt over less would be refused.
  return { kind: 'void', ...target(account, id), reason: 'random' }
}

test(`three writers over many accounts in any order never deadlock, and every invariant holds (seed ${SEED})`, async (t) => {
  const { app, database, url } = await ledgerDatabase(t)
  const accounts: Account[] = []
  for (let i = 0; i < 120; i++) accounts.push(await funded(app, 500n))
  const pools = [1, 2, 3].map(() =>
    openDatabase({ connection: url, log: silentLog, role: 'forge_app', max: 1 }),
  )
  t.after(() => Promise.all(pools.map((pool) => pool.close())))
  await Promise.all(
    pools.map(async (pool, n) => {
      const random = seeded(SEED + n)
      // The ids differ in the half of the byte space they end in: a mutation orders its locks by it.
      const ledger = writer(pool, { processId: `00000000-0000-7000-8000-0000000000${['10', '90', 'f0'][n]}` })
      const open: Pending[] = []
      for (let i = 0; i < 40 * ROUNDS; i++) {
        const ops = Array.from({ length: 150 }, () => randomOp(random, accounts, open))
        for (const { verdict } of await batch(ledger, ops))
          assert.ok(['done', 'insufficient', 'conflict'].includes(verdict), verdict)
      }
    }),
  )
  // The writer hides a deadlock by trying again, so the server is asked.
  await database.query('select pg_stat_force_next_flush()')
  const { deadlocks } = await database.one<{ deadlocks: bigint }>(
    'select deadlocks from pg_stat_database where datname = current_database()',
  )
  assert.equal(deadlocks, 0n)
  assert.deepEqual(await broken(database), [])
})

test('an id that two processes use at the same moment for two accounts is done once and a conflict once', async (t) => {
  const { app, database, url } = await ledgerDatabase(t)
  const credit = await funded(app, 1_000n)
  const rmb: Account = {
    ...credit,
    bucket: 'rmb',
    accountId: (
      await app.one<{ id: bigint }>(`select ledger.open_accounts($1, 'rmb', 'CNY') as id`, [credit.orgId])
    ).id,
  }
  const pools = [1, 2].map(() => openDatabase({ connection: url, log: silentLog, role: 'forge_app', max: 1 }))
  t.after(() => Promise.all(pools.map((pool) => pool.close())))
  const [one, two] = pools.map((pool) => writer(pool)) as [LedgerWriter, LedgerWriter]
  for (let i = 0; i < 40; i++) {
    const id = ids.uuid()
    const verdicts = await Promise.all([one.submit(topup(credit, 1n, id)), two.submit(topup(rmb, 1n, id))])
    assert.deepEqual(new Set(verdicts.map((result) => result.verdict)), new Set(['conflict', 'done']))
  }
  assert.deepEqual(await broken(database), [])
})
