import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Account,
  account,
  balance,
  batch,
  broken,
  funded,
  ids,
  ledgerDatabase,
  receipt,
  reserve,
  settle,
  target,
  topup,
  writer,
} from '../../test/ledger/stand.ts'
import type { LedgerOp, OpResult } from './index.ts'

const done = (figureNano: bigint): OpResult => ({ verdict: 'done', figureNano })
const repeated = (figureNano: bigint): OpResult => ({ verdict: 'repeated', figureNano })
const refused = (verdict: OpResult['verdict'], figureNano = 0n): OpResult => ({ verdict, figureNano })
const release = (to: Account, id: string): LedgerOp => ({ kind: 'void', ...target(to, id), reason: 'test' })

test('a reserve that is sent again answers what it set aside, also after its hold has ended', async (t) => {
  const { app } = await ledgerDatabase(t)
  const rich = await funded(app, 100n)
  const ledger = writer(app)
  const [charged, freed] = [ids.uuid(), ids.uuid()]
  assert.deepEqual(
    await batch(ledger, [
      reserve(rich, charged, 60n),
      reserve(rich, freed, 60n, 10n),
      reserve(rich, charged, 60n),
      settle(rich, charged, 25n),
      release(rich, freed),
    ]),
    [done(60n), done(40n), repeated(60n), done(25n), done(0n)],
  )
  assert.deepEqual(
    await batch(ledger, [
      reserve(rich, charged, 60n),
      reserve(rich, freed, 60n, 10n),
      // Another amount than the reserve's is another op, also when it is the charge's.
      reserve(rich, charged, 25n),
      reserve(rich, freed, 0n, 0n),
    ]),
    [repeated(60n), repeated(40n), refused('conflict'), refused('conflict')],
  )
})

test('an id that funding has used is a conflict for a reserve of the same amount, and the other way round', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 100n)
  const [used, held] = [ids.uuid(), ids.uuid()]
  assert.deepEqual(
    await batch(writer(app), [
      topup(rich, 30n, used),
      reserve(rich, used, 30n),
      reserve(rich, held, 30n),
      topup(rich, 30n, held),
      settle(rich, used, 30n),
    ]),
    [done(30n), refused('conflict'), done(30n), refused('conflict'), refused('conflict')],
  )
  assert.deepEqual(await broken(database), [])
})

test('a refused id stays refused after money has come, and nothing can be settled on it', async (t) => {
  const { app } = await ledgerDatabase(t)
  const poor = await funded(app, 5n)
  const id = ids.uuid()
  const ledger = writer(app)
  assert.deepEqual(
    await batch(ledger, [
      reserve(poor, id, 10n),
      topup(poor, 100n),
      reserve(poor, id, 10n),
      settle(poor, id, 10n),
      release(poor, id),
      reserve(poor, id, 11n),
    ]),
    [
      refused('insufficient', 5n),
      done(100n),
      refused('refused_before'),
      refused('conflict'),
      refused('conflict'),
      refused('conflict'),
    ],
  )
})

test('the account of another organization is no account', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const victim = await funded(app, 100n)
  const thief = await account(app)
  const id = ids.uuid()
  const stolen: Account = { ...victim, orgId: thief.orgId }
  const ops: LedgerOp[] = [
    reserve(stolen, id, 10n),
    { kind: 'adjust', ...target(stolen, ids.uuid()), amountNano: -10n, reason: 'test' },
    topup(stolen, 10n),
    // Only the customer's own account of a set can be named; the others move by themselves.
    topup({ ...victim, accountId: victim.accountId + 1n }, 10n),
    topup({ ...victim, accountId: 7_777_777n }, 10n),
  ]
  assert.deepEqual(
    await batch(writer(app), ops),
    ops.map(() => refused('no_account')),
  )
  assert.deepEqual(await balance(database, victim), { posted: 100n, held: 0n, seq: 1n })
})

test('a refund may leave a debt, which blocks; paying it off leaves no room for a correction to make a new one', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const indebted = await funded(app, 100n)
  const hold = ids.uuid()
  const ledger = writer(app)
  const adjust = (amountNano: bigint): LedgerOp => ({
    kind: 'adjust',
    ...target(indebted, ids.uuid()),
    amountNano,
    reason: 'test',
  })
  const refund: LedgerOp = {
    kind: 'refund',
    ...target(indebted, ids.uuid()),
    amountNano: 100n,
    reason: 'test',
  }
  assert.deepEqual(
    await batch(ledger, [
      reserve(indebted, hold, 80n),
      refund,
      reserve(indebted, ids.uuid(), 1n, 0n),
      adjust(-1n),
    ]),
    [done(80n), done(-100n), refused('insufficient', -80n), refused('insufficient', -80n)],
  )
  const floor = async () =>
    (
      await database.one<{ floor: bigint }>('select floor from ledger.account where id = $1', [
        indebted.accountId,
      ])
    ).floor
  assert.equal(await floor(), -80n)
  assert.deepEqual(
    await batch(ledger, [
      release(indebted, hold),
      adjust(-1n),
      topup(indebted, 30n),
      adjust(-31n),
      adjust(-30n),
    ]),
    [done(0n), refused('insufficient', 0n), done(30n), refused('insufficient', 30n), done(-30n)],
  )
  assert.equal(await floor(), 0n)
  assert.deepEqual(await broken(database), [])
})

test('what a provider reports above the hold is written off: the customer pays the hold, the operator the rest', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const id = ids.uuid()
  await batch(writer(app), [reserve(rich, id, 100n), settle(rich, id, 130n, 100n)])
  const entries = await database.query<{ kind: string; amount: bigint; balance_after: bigint | null }>(
    `select a.kind, e.amount, e.balance_after from ledger.entry e join ledger.account a on a.id = e.account_id
      where e.transfer_id = $1 order by e.line`,
    [id],
  )
  assert.deepEqual(entries, [
    { kind: 'customer', amount: -100n, balance_after: 900n },
    { kind: 'revenue', amount: 130n, balance_after: null },
    { kind: 'writeoff', amount: -30n, balance_after: null },
  ])
  assert.deepEqual(await broken(database), [])
})

test('an extension is to a total, takes what is available when that is enough, and a repeat changes nothing', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 100n)
  const id = ids.uuid()
  const extend = (amountNano: bigint, minimumNano: bigint): LedgerOp => ({
    kind: 'extend',
    ...target(rich, id),
    amountNano,
    minimumNano,
    ttlMs: 60_000,
  })
  assert.deepEqual(
    await batch(writer(app), [
      reserve(rich, id, 40n),
      extend(70n, 70n),
      extend(70n, 70n),
      extend(130n, 130n),
      extend(130n, 90n),
      extend(20n, 20n),
      // A minimum above what is asked for asks for no more than that.
      extend(100n, 500n),
      reserve(rich, ids.uuid(), 0n, 500n),
    ]),
    [
      done(40n),
      done(70n),
      done(70n),
      refused('insufficient', 100n),
      done(100n),
      done(100n),
      done(100n),
      done(0n),
    ],
  )
  assert.deepEqual(await balance(database, rich), { posted: 100n, held: 100n, seq: 1n })
})

test('the progress of a hold is the last that was told, however ops come together', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 100n)
  const id = ids.uuid()
  const renew = (progress?: string): LedgerOp => ({
    kind: 'renew',
    ...target(rich, id),
    ttlMs: 60_000,
    ...(progress === undefined ? {} : { progress }),
  })
  const told = async () =>
    (await database.one<{ progress: string }>('select progress from ledger.hold where id = $1', [id]))
      .progress
  const ledger = writer(app)
  await batch(ledger, [reserve(rich, id, 10n), renew('one'), renew('two'), renew()])
  assert.equal(await told(), 'two')
  await batch(ledger, [renew(), renew()])
  assert.equal(await told(), 'two')
})

test('the first receipt of an id stands, and what did not happen has none', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 100n)
  const [refusedId, hold, gone] = [ids.uuid(), ids.uuid(), ids.uuid()]
  const record = (document: string): LedgerOp => ({
    kind: 'record',
    orgId: rich.orgId,
    id: refusedId,
    receipt: receipt(rich, refusedId, 0n, document),
  })
  assert.deepEqual(
    await batch(writer(app), [
      record('first'),
      record('second'),
      settle(rich, gone, 5n, 0n),
      reserve(rich, hold, 5n),
    ]),
    [done(0n), done(0n), refused('no_hold'), done(5n)],
  )
  assert.deepEqual(await database.query('select id, document from ledger.receipt'), [
    { id: refusedId, document: 'first' },
  ])
})

test('an expiry is refused while the hold’s time has not passed by the database’s clock, and done after', async (t) => {
  const { app } = await ledgerDatabase(t)
  const rich = await funded(app, 100n)
  const [young, old] = [ids.uuid(), ids.uuid()]
  const expire = (id: string): LedgerOp => ({ kind: 'expire', ...target(rich, id), reason: 'test' })
  const ledger = writer(app)
  await batch(ledger, [reserve(rich, young, 5n), { ...reserve(rich, old, 5n), ttlMs: -1 } as LedgerOp])
  assert.deepEqual(await batch(ledger, [expire(young), expire(old), expire(old)]), [
    refused('not_expired'),
    done(0n),
    repeated(0n),
  ])
})
