import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createProxy } from '../../test/ledger/proxy.ts'
import {
  balance,
  batch,
  broken,
  funded,
  ids,
  ledgerDatabase,
  reserve,
  settle,
  target,
  topup,
  writer,
} from '../../test/ledger/stand.ts'
import { openDatabase } from '../db/index.ts'
import { NANO_MAX, silentLog } from '../kernel/index.ts'
import { LedgerFault, type LedgerOp, LedgerOverloaded, type OpResult } from './index.ts'

const verdicts = (results: readonly OpResult[]) => results.map((result) => result.verdict)

test('an op that overflows is rejected alone; its 49 neighbours of the batch are done, in their order', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const account = await funded(app, 100n)
  const other = await funded(app, 100n)
  const ledger = writer(app)
  const holds = Array.from({ length: 24 }, () => ids.uuid())
  const ops: LedgerOp[] = [
    ...holds.map((id) => reserve(account, id, 4n)),
    topup(other, NANO_MAX),
    topup(other, 5n),
    ...holds.map((id) => settle(account, id, 1n)),
  ]
  assert.equal(ops.length, 50)
  const outcomes = await Promise.allSettled(ops.map((op) => ledger.submit(op)))
  const failed = outcomes.flatMap((outcome, i) =>
    outcome.status === 'rejected' ? [[i, outcome.reason]] : [],
  )
  assert.equal(failed.length, 1)
  assert.equal(failed[0]?.[0], 24)
  assert.ok(failed[0]?.[1] instanceof LedgerFault)
  assert.deepEqual(await balance(database, account), { posted: 76n, held: 0n, seq: 25n })
  assert.deepEqual(await balance(database, other), { posted: 105n, held: 0n, seq: 2n })
  assert.deepEqual(await broken(database), [])
})

test('amounts that mean nothing are faults and change nothing', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const account = await funded(app, 100n)
  const hold = ids.uuid()
  const ledger = writer(app)
  await ledger.submit(reserve(account, hold, 10n))
  const to = { ...target(account, ids.uuid()), reason: 'test' }
  const nonsense: LedgerOp[] = [
    reserve(account, ids.uuid(), -1n),
    settle(account, hold, -1n, 0n),
    { kind: 'adjust', ...to, amountNano: 0n },
    { kind: 'grant', ...to, amountNano: 0n },
    { kind: 'topup', ...to, amountNano: -5n },
    { kind: 'refund', ...to, amountNano: 0n },
    { kind: 'refund', ...to, amountNano: -5n },
    { kind: 'refund', ...to, amountNano: -NANO_MAX - 1n },
  ]
  for (const op of nonsense) await assert.rejects(ledger.submit(op), LedgerFault, JSON.stringify(op.kind))
  assert.deepEqual(await balance(database, account), { posted: 100n, held: 10n, seq: 1n })
  assert.deepEqual(await broken(database), [])
})

test('a receipt over another amount than the one that is charged is a fault, and no money moves', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const account = await funded(app, 100n)
  const [short, right] = [ids.uuid(), ids.uuid()]
  const ledger = writer(app)
  await batch(ledger, [reserve(account, short, 10n), reserve(account, right, 10n)])
  const [wrong, good] = await Promise.allSettled([
    // Only 10 can be paid, so a document over 12 would lie.
    ledger.submit(settle(account, short, 12n, 12n)),
    ledger.submit(settle(account, right, 12n, 10n)),
  ])
  assert.ok(wrong?.status === 'rejected' && wrong.reason instanceof LedgerFault)
  assert.deepEqual(good?.status === 'fulfilled' && good.value, { verdict: 'done', figureNano: 10n })
  assert.deepEqual(await balance(database, account), { posted: 90n, held: 10n, seq: 2n })
  assert.deepEqual(await broken(database), [])
})

test('a full queue refuses new work at once, still takes endings, and says how deep it is', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const account = await funded(app, 1_000n)
  const hold = ids.uuid()
  const ledger = writer(app, { queueMax: 10, batchMax: 4 })
  await ledger.submit(reserve(account, hold, 10n))
  const blocker = await database.connect()
  await blocker.query('begin')
  await blocker.query('select from ledger.account where id = $1 for update', [account.accountId])
  const running = ledger.submit(topup(account, 1n))
  await until(() => ledger.depth === 1, database)
  await new Promise(setImmediate)
  const queued = Array.from({ length: 10 }, () => ledger.submit(reserve(account, ids.uuid(), 1n)))
  assert.equal(ledger.depth, 11)
  for (const op of [
    reserve(account, ids.uuid(), 1n),
    { kind: 'renew', ...target(account, hold), ttlMs: 1_000 } as const,
    { kind: 'extend', ...target(account, hold), amountNano: 20n, minimumNano: 20n, ttlMs: 1_000 } as const,
  ])
    await assert.rejects(ledger.submit(op), LedgerOverloaded)
  const ending = ledger.submit(settle(account, hold, 10n))
  assert.equal(ledger.depth, 12)
  let drained = false
  const drain = ledger.drain().then(() => {
    drained = true
  })
  await new Promise(setImmediate)
  assert.equal(drained, false)
  await blocker.query('commit')
  await blocker.close()
  await drain
  assert.equal(ledger.depth, 0)
  assert.deepEqual(verdicts(await Promise.all([running, ending, ...queued])), Array(12).fill('done'))
  await ledger.drain()
})

/** Until something becomes true that has no event. */
async function until(condition: () => boolean, _why: unknown): Promise<void> {
  for (let i = 0; !condition(); i++) {
    assert.ok(i < 500, 'it never became true')
    await sleep(10)
  }
}

test('while the database is away nothing is rejected or lost; health and depth tell the truth; all is answered after', async (t) => {
  const { app, database, url } = await ledgerDatabase(t)
  const account = await funded(app, 10_000n)
  const proxy = await createProxy(url)
  const wire = openDatabase({ connection: proxy.url, log: silentLog, role: 'forge_app', max: 1 })
  t.after(async () => {
    await wire.close()
    await proxy.close()
  })
  const ledger = writer(wire, { batchMax: 50 })
  await ledger.submit(topup(account, 1n))
  assert.equal(ledger.healthy, true)
  const holds = Array.from({ length: 300 }, () => ids.uuid())
  const first = holds.slice(0, 150).map((id) => ledger.submit(reserve(account, id, 10n)))
  proxy.cut()
  const second = holds.slice(150).map((id) => ledger.submit(reserve(account, id, 10n)))
  await until(() => !ledger.healthy, 'the first failed attempt')
  assert.ok(ledger.depth > 0)
  const endings = holds.map((id) => ledger.submit(settle(account, id, 10n)))
  const drained = ledger.drain()
  proxy.restore()
  await drained
  assert.equal(ledger.depth, 0)
  assert.equal(ledger.healthy, true)
  for (const verdict of verdicts(await Promise.all([...first, ...second, ...endings])))
    assert.ok(verdict === 'done' || verdict === 'repeated', verdict)
  assert.deepEqual(await balance(database, account), { posted: 7_001n, held: 0n, seq: 302n })
  assert.deepEqual(await broken(database), [])
})

test('a fault that the returning database answers ends the outage: the writer is healthy again', async (t) => {
  const { app, url } = await ledgerDatabase(t)
  const account = await funded(app, 10n)
  const proxy = await createProxy(url)
  const wire = openDatabase({ connection: proxy.url, log: silentLog, role: 'forge_app', max: 1 })
  t.after(async () => {
    await wire.close()
    await proxy.close()
  })
  const ledger = writer(wire)
  await ledger.submit(topup(account, 1n))
  proxy.cut()
  const poison = assert.rejects(ledger.submit(topup(account, NANO_MAX)), LedgerFault)
  await until(() => !ledger.healthy, 'the first failed attempt')
  proxy.restore()
  await poison
  assert.equal(ledger.healthy, true)
})

test('a caller that throws on its answer does not take its neighbours’ answers with it', async (t) => {
  const { app } = await ledgerDatabase(t)
  const account = await funded(app, 10n)
  const ledger = writer(app)
  const answered = new Promise<OpResult>((resolve, reject) => {
    ledger.enqueue(
      topup(account, 1n),
      true,
      () => {
        throw new Error('careless')
      },
      () => undefined,
    )
    ledger.enqueue(topup(account, 1n), true, resolve, reject)
  })
  assert.deepEqual(await answered, { verdict: 'done', figureNano: 1n })
})
