import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Account,
  balance,
  batch,
  broken,
  funded,
  ids,
  ledgerDatabase,
  reserve,
  target,
  writer,
} from '../../test/ledger/stand.ts'
import type { Database } from '../db/index.ts'
import { silentLog, type Uuid } from '../kernel/index.ts'
import { type AbandonedHold, findAbandoned, type LedgerOp, type Recovery, startRecovery } from './index.ts'

const DEAD_AFTER_MS = 300
const BEAT_EVERY_MS = 20

/** Makes it look, by the database's clock, as if the process had last beaten a minute ago. */
async function kill(database: Database, processId: Uuid): Promise<void> {
  await database.query(
    `insert into ledger.process (id, beat_at) values ($1, clock_timestamp() - interval '1 minute')
      on conflict (id) do update set beat_at = excluded.beat_at`,
    [processId],
  )
}

async function age(database: Database, hold: Uuid, column: 'opened_at' | 'expires_at'): Promise<void> {
  await database.query(`update ledger.hold set ${column} = ${column} - interval '10 minutes' where id = $1`, [
    hold,
  ])
}

async function holdOf(app: Database, account: Account, processId: Uuid, ttlMs = 60_000): Promise<Uuid> {
  const id = ids.uuid()
  await writer(app, { processId }).submit({ ...reserve(account, id, 10n), ttlMs } as LedgerOp)
  return id
}

const found = async (app: Database, processId: Uuid, orphans = true): Promise<readonly Uuid[]> =>
  (await findAbandoned(app, processId, 15_000, orphans)).map((hold) => hold.id)

test('holds of a process that stopped beating are found; those of a living one and one’s own never are', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const [self, living, dead] = [ids.uuid(), ids.uuid(), ids.uuid()]
  const holds = {
    self: await holdOf(app, rich, self),
    living: await holdOf(app, rich, living),
    dead: await holdOf(app, rich, dead),
  }
  for (const id of [self, living]) await app.query('select ledger.beat($1)', [id])
  await kill(database, dead)
  assert.deepEqual(await found(app, self), [holds.dead])
  // Even when one's own beats have not been taken for long: whoever asks is alive.
  await kill(database, self)
  assert.deepEqual(await found(app, self), [holds.dead])
  const [hold] = await findAbandoned(app, self, 15_000)
  assert.deepEqual(
    { ...hold, openedAt: undefined },
    {
      orgId: rich.orgId,
      id: holds.dead,
      accountId: rich.accountId,
      bucket: 'credit',
      currency: 'USD',
      amountNano: 10n,
      openedAt: undefined,
      intent: '{}',
      progress: null,
      expired: false,
      own: false,
    },
  )
})

test('a process that has not beaten yet is not dead: its hold counts from when it was made', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const hold = await holdOf(app, rich, ids.uuid())
  assert.deepEqual(await found(app, ids.uuid()), [])
  await age(database, hold, 'opened_at')
  assert.deepEqual(await found(app, ids.uuid()), [hold])
})

test('a hold of a living process is found when its own time has long passed, if orphans are asked for', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const living = ids.uuid()
  await app.query('select ledger.beat($1)', [living])
  const hold = await holdOf(app, rich, living, -1)
  assert.deepEqual(await found(app, ids.uuid()), [], 'the time has just passed; a renewal may be on its way')
  await age(database, hold, 'expires_at')
  assert.deepEqual(await found(app, ids.uuid(), false), [])
  assert.deepEqual(await found(app, ids.uuid()), [hold])
  assert.equal((await findAbandoned(app, ids.uuid(), 15_000))[0]?.expired, true)
})

test('a process that left in order leaves its holds to the others', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const leaving = ids.uuid()
  await app.query('select ledger.beat($1)', [leaving])
  const hold = await holdOf(app, rich, leaving)
  await app.query('select ledger.leave($1)', [leaving])
  await age(database, hold, 'opened_at')
  assert.deepEqual(await found(app, ids.uuid()), [hold])
})

function recovery(
  app: Database,
  recover: (hold: AbandonedHold) => Promise<void>,
  processId = ids.uuid(),
): Recovery {
  return startRecovery({
    database: app,
    processId,
    log: silentLog,
    recover,
    beatEveryMs: BEAT_EVERY_MS,
    deadAfterMs: DEAD_AFTER_MS,
  })
}

test('a process looks for the dead only after it has beaten steadily for as long as it takes to be dead', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const dead = ids.uuid()
  const hold = await holdOf(app, rich, dead)
  await kill(database, dead)
  const startedMs = performance.now()
  const seen = Promise.withResolvers<{ id: Uuid; afterMs: number }>()
  const finder = recovery(app, async ({ id }) => seen.resolve({ id, afterMs: performance.now() - startedMs }))
  t.after(() => finder.close())
  const { id, afterMs } = await seen.promise
  assert.equal(id, hold)
  assert.ok(afterMs >= DEAD_AFTER_MS, `after ${afterMs} ms`)
})

test('a process that the database kept waiting does not judge right after, though no beat of it failed', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const [self, other] = [ids.uuid(), ids.uuid()]
  await app.query('select ledger.beat($1)', [other])
  let judgedMs: number | null = null
  const judged = Promise.withResolvers<void>()
  const finder = recovery(
    app,
    async () => {
      judgedMs ??= performance.now()
      judged.resolve()
    },
    self,
  )
  t.after(() => finder.close())
  // Steady by now; then everything stands still, as when the machine sleeps.
  await sleep(DEAD_AFTER_MS + 5 * BEAT_EVERY_MS)
  const pause = await database.connect()
  await pause.query('begin')
  await pause.query('select from ledger.process where id = $1 for update', [self])
  await holdOf(app, rich, other)
  await kill(database, other)
  await sleep(DEAD_AFTER_MS * 2)
  const resumedMs = performance.now()
  await pause.query('commit')
  await pause.close()
  await judged.promise
  assert.ok((judgedMs ?? 0) - resumedMs >= DEAD_AFTER_MS, `judged after ${(judgedMs ?? 0) - resumedMs} ms`)
})

test('a recovery that takes long does not keep its own process from beating', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const [self, dead] = [ids.uuid(), ids.uuid()]
  await holdOf(app, rich, dead)
  await kill(database, dead)
  const [begun, finish] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const finder = recovery(
    app,
    async () => {
      begun.resolve()
      await finish.promise
    },
    self,
  )
  await begun.promise
  const beatAt = async () =>
    (await app.one<{ beat_at: Date }>('select beat_at from ledger.process where id = $1', [self])).beat_at
  const before = await beatAt()
  while ((await beatAt()).getTime() <= before.getTime()) await sleep(BEAT_EVERY_MS)
  finish.resolve()
  await finder.close()
})

test('two processes that sweep at once end each hold once, and what one could not end is tried again', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 10_000n)
  const dead = ids.uuid()
  const holds = Array.from({ length: 60 }, () => ids.uuid())
  await batch(
    writer(app, { processId: dead }),
    holds.map((id) => reserve(rich, id, 10n)),
  )
  await kill(database, dead)
  const verdicts: string[] = []
  let failures = 0
  const sweepers = [1, 2].map(() => {
    const ledger = writer(app)
    return recovery(app, async (hold) => {
      if (failures++ === 0) throw new Error('not this time')
      const op: LedgerOp = { kind: 'void', ...target(rich, hold.id), reason: 'the process that held it died' }
      verdicts.push((await ledger.submit(op)).verdict)
    })
  })
  t.after(() => Promise.all(sweepers.map((sweeper) => sweeper.close())))
  await Promise.all(sweepers.map((sweeper) => sweeper.sweep()))
  await Promise.all(sweepers.map((sweeper) => sweeper.sweep()))
  assert.equal(verdicts.filter((verdict) => verdict === 'done').length, holds.length)
  assert.ok(verdicts.every((verdict) => verdict === 'done' || verdict === 'repeated'))
  assert.deepEqual(await balance(database, rich), { posted: 10_000n, held: 0n, seq: 1n })
  assert.deepEqual(await broken(database), [])
})

test('closing stops the beats and takes the process out of the list', async (t) => {
  const { app } = await ledgerDatabase(t)
  const self = ids.uuid()
  const finder = recovery(app, async () => undefined, self)
  const listed = async () => (await app.query('select from ledger.process where id = $1', [self])).length
  while ((await listed()) === 0) await sleep(5)
  await finder.close()
  assert.equal(await listed(), 0)
})
