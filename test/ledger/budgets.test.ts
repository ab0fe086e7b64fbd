import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Database, openDatabase } from '../../src/db/index.ts'
import { silentLog, type Uuid } from '../../src/kernel/index.ts'
import { LedgerFault, type LedgerOp, type OpResult } from '../../src/ledger/index.ts'
import { createProxy } from './proxy.ts'
import {
  type Account,
  account,
  batch,
  broken,
  budget,
  funded,
  ids,
  ledgerDatabase,
  reserve,
  settle,
  target,
  writer,
} from './stand.ts'

const DAY = 86_400_000

function under(op: ReturnType<typeof reserve>, budgets: readonly Uuid[], startMs = 0): LedgerOp {
  return { ...op, budgets: budgets.map((id) => ({ id, startMs })) }
}

const release = (to: Account, id: Uuid): LedgerOp => ({ kind: 'void', ...target(to, id), reason: 'test' })
const verdicts = (results: readonly OpResult[]) => results.map((result) => result.verdict)

async function use(database: Database, id: Uuid, startMs = 0): Promise<readonly [bigint, bigint] | null> {
  const row = await database.maybeOne<{ used: bigint; held: bigint }>(
    `select used, held from ledger.budget_use where budget_id = $1 and window_start = to_timestamp($2::float8 / 1000)`,
    [id, startMs],
  )
  return row === null ? null : [row.used, row.held]
}

test('two processes that race 1,000 reserves for room of exactly 100 in one of three budgets get exactly 100', async (t) => {
  const { app, database, url } = await ledgerDatabase(t)
  for (const tight of [0, 1, 2]) {
    const rich = await funded(app, 1_000_000n)
    const made = await Promise.all(
      [0, 1, 2].map((i) => budget(app, rich, i === tight ? 100n * 7n + 6n : 5_000n)),
    )
    const soft = await budget(app, rich, 1n, { hard: false })
    const args = [url, rich.orgId, String(rich.accountId), '7', '500', ...made, soft]
    const racers = [1, 2].map(() => fork(fileURLToPath(new URL('racer.ts', import.meta.url)), args))
    await Promise.all(racers.map((racer) => once(racer, 'message')))
    const answers = racers.map(async (racer) => (await once(racer, 'message'))[0] as string[])
    for (const racer of racers) racer.send('go')
    const all = (await Promise.all(answers)).flat()
    assert.equal(all.filter((verdict) => verdict === 'done').length, 100)
    assert.equal(all.filter((verdict) => verdict === 'over_budget').length, 900)
    for (const id of [...made, soft]) assert.deepEqual(await use(database, id), [0n, 700n])
  }
  assert.deepEqual(await broken(database), [])
})

test('the receipt of a refused request puts back nothing of what is counted meanwhile', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const run = await budget(app, rich, 100n)
  const [first, second] = [ids.uuid(), ids.uuid()]
  await batch(writer(app), [
    under(reserve(rich, first, 70n), [run]),
    under(reserve(rich, second, 50n), [run]),
  ])
  // Between what the batch of the receipt reads and what it writes there is time for another process.
  await database.query(`create function public.linger() returns trigger language plpgsql as
    $$ begin if new.status = 'refused' then perform pg_sleep(1); end if; return new; end $$`)
  await database.query(
    'create trigger linger before insert on ledger.receipt for each row execute function public.linger()',
  )
  const receipt = {
    id: second,
    projectId: ids.uuid(),
    apiKeyId: ids.uuid(),
    runId: null,
    status: 'refused',
    bucket: null,
    route: null,
    model: 'm',
    chargeNano: 0n,
    createdAtMs: Date.now(),
    document: '{}',
  }
  const record: LedgerOp = { kind: 'record', orgId: rich.orgId, id: second, receipt }
  const noted = batch(writer(app), [record])
  await sleep(300)
  assert.deepEqual(verdicts(await batch(writer(app), [settle(rich, first, 40n)])), ['done'])
  assert.deepEqual(verdicts(await noted), ['done'])
  assert.deepEqual(await use(database, run), [40n, 0n])
})

test('the refusal names the budget with the least room and its use, and says the same when it is asked again', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const [key, run] = [await budget(app, rich, 300n), await budget(app, rich, 100n)]
  const [first, second] = [ids.uuid(), ids.uuid()]
  const refused = under(reserve(rich, second, 50n), [key, run])
  const limit = { budgetId: run, windowStartMs: 0, amountNano: 100n, usedNano: 0n, heldNano: 70n }
  const ledger = writer(app)
  assert.deepEqual(await batch(ledger, [under(reserve(rich, first, 70n), [key, run]), refused]), [
    { verdict: 'done', figureNano: 70n },
    { verdict: 'over_budget', figureNano: 30n, limit },
  ])
  assert.deepEqual(await batch(ledger, [settle(rich, first, 40n)]), [{ verdict: 'done', figureNano: 40n }])
  // The id stays refused although there would be room by now: its caller was told so.
  assert.deepEqual(await batch(ledger, [refused]), [
    { verdict: 'refused_before', figureNano: 0n, limit: { ...limit, usedNano: 40n, heldNano: 0n } },
  ])
  assert.deepEqual(await use(database, key), [40n, 0n])
  assert.deepEqual(await broken(database), [])
})

test('a balance that is short is named before a budget that is short as well', async (t) => {
  const { app } = await ledgerDatabase(t)
  const poor = await funded(app, 10n)
  const id = await budget(app, poor, 5n)
  assert.deepEqual(await batch(writer(app), [under(reserve(poor, ids.uuid(), 50n), [id])]), [
    { verdict: 'insufficient', figureNano: 10n },
  ])
})

test('what a budget leaves is taken when it is enough, also by an extension, and never more', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const id = await budget(app, rich, 100n)
  const hold = ids.uuid()
  const ledger = writer(app)
  const extend = (amountNano: bigint, minimumNano: bigint): LedgerOp => ({
    kind: 'extend',
    ...target(rich, hold),
    amountNano,
    minimumNano,
    ttlMs: 60_000,
  })
  const results = await batch(ledger, [
    under(reserve(rich, hold, 60n), [id]),
    extend(80n, 0n),
    extend(500n, 400n),
    extend(500n, 0n),
    extend(500n, 0n),
  ])
  assert.deepEqual(
    results.map(({ verdict, figureNano, limit }) => [verdict, figureNano, limit?.heldNano]),
    [
      ['done', 60n, undefined],
      ['done', 80n, undefined],
      ['over_budget', 100n, 80n],
      ['done', 100n, 80n],
      ['done', 100n, 100n],
    ],
  )
  assert.deepEqual(await use(database, id), [0n, 100n])
  assert.deepEqual(verdicts(await batch(ledger, [under(reserve(rich, ids.uuid(), 1n), [id])])), [
    'over_budget',
  ])
  assert.deepEqual(verdicts(await batch(ledger, [settle(rich, hold, 100n)])), ['done'])
  assert.deepEqual(await use(database, id), [100n, 0n])
  assert.deepEqual(await broken(database), [])
})

test('a charge goes to the window that held it, also when it comes after the window’s end', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const [daily, total] = [await budget(app, rich, 100n), await budget(app, rich, 150n, { period: 'total' })]
  const [evening, morning, given] = [ids.uuid(), ids.uuid(), ids.uuid()]
  const at = (id: Uuid, amount: bigint, startMs: number): LedgerOp => ({
    ...reserve(rich, id, amount),
    budgets: [
      { id: daily, startMs },
      { id: total, startMs: 0 },
    ],
  })
  const ledger = writer(app)
  const results = await batch(ledger, [
    at(evening, 90n, DAY),
    at(ids.uuid(), 20n, DAY),
    at(morning, 50n, 2 * DAY),
    at(ids.uuid(), 20n, 2 * DAY),
    settle(rich, evening, 80n),
    at(given, 20n, 2 * DAY),
    release(rich, given),
  ])
  assert.deepEqual(verdicts(results), ['done', 'over_budget', 'done', 'over_budget', 'done', 'done', 'done'])
  assert.deepEqual(results[1]?.limit?.budgetId, daily)
  assert.deepEqual(results[3]?.limit?.budgetId, total)
  assert.deepEqual(await use(database, daily, DAY), [80n, 0n])
  assert.deepEqual(await use(database, daily, 2 * DAY), [0n, 50n])
  assert.deepEqual(await use(database, total), [80n, 50n])
  assert.deepEqual(await broken(database), [])
})

test('a soft budget refuses nothing and tells each threshold once', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const id = await budget(app, rich, 100n, { hard: false })
  const ledger = writer(app)
  const told = async () =>
    (
      await database.query<{ threshold: number; amount: bigint; used: bigint }>(
        'select threshold, amount, used from ledger.budget_event where budget_id = $1 order by id',
        [id],
      )
    ).map((row) => [row.threshold, row.amount, row.used])
  const spend = async (amount: bigint): Promise<void> => {
    const hold = ids.uuid()
    assert.deepEqual(
      verdicts(await batch(ledger, [under(reserve(rich, hold, 300n), [id]), settle(rich, hold, amount)])),
      ['done', 'done'],
    )
  }
  await spend(49n)
  assert.deepEqual(await told(), [])
  await spend(1n)
  await spend(10n)
  assert.deepEqual(await told(), [[50, 100n, 50n]])
  await spend(60n)
  await spend(1n)
  const first = [
    [50, 100n, 50n],
    [80, 100n, 120n],
    [100, 100n, 120n],
  ]
  assert.deepEqual(await told(), first)
  // With another amount the thresholds are others.
  await app.query(`select ledger.change_budget($1, $2, 200, null, false, 'test')`, [rich.orgId, id])
  await spend(1n)
  assert.deepEqual(await told(), [...first, [50, 200n, 122n]])
  assert.deepEqual(await broken(database), [])
})

test('an amount that is lowered below its use blocks, one that is raised lets through, and the use stays', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const id = await budget(app, rich, 100n)
  const ledger = writer(app)
  const hold = ids.uuid()
  const change = (amount: number | null, hard: boolean | null = null, end = false) =>
    app.one<{ done: boolean }>('select ledger.change_budget($1, $2, $3, $4, $5, $6) as done', [
      rich.orgId,
      id,
      amount,
      hard,
      end,
      'test',
    ])
  await batch(ledger, [under(reserve(rich, hold, 80n), [id])])
  await change(50)
  const refused = await batch(ledger, [under(reserve(rich, ids.uuid(), 1n), [id])])
  assert.deepEqual([refused[0]?.verdict, refused[0]?.figureNano], ['over_budget', -30n])
  // What costs nothing needs no room; what is held already is settled in full.
  assert.deepEqual(
    verdicts(await batch(ledger, [under(reserve(rich, ids.uuid(), 0n), [id]), settle(rich, hold, 80n)])),
    ['done', 'done'],
  )
  await change(90)
  assert.deepEqual(verdicts(await batch(ledger, [under(reserve(rich, ids.uuid(), 10n), [id])])), ['done'])
  await change(null, false)
  assert.deepEqual(verdicts(await batch(ledger, [under(reserve(rich, ids.uuid(), 100n), [id])])), ['done'])
  assert.deepEqual(await use(database, id), [80n, 110n])
  // Ended: a gateway that has not heard of it may go on naming it.
  assert.deepEqual(await change(null, true, true), { done: true })
  assert.deepEqual(await change(10), { done: false })
  assert.deepEqual(verdicts(await batch(ledger, [under(reserve(rich, ids.uuid(), 100n), [id])])), ['done'])
  assert.deepEqual(await use(database, id), [80n, 110n])
  assert.deepEqual(await broken(database), [])
})

test('a reserve that names another account’s budget is a fault of its own, and its neighbours go through', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const [rich, other] = [await funded(app, 1_000n), await funded(app, 1_000n)]
  const rmb = await account(app, rich.orgId, 'rmb')
  const mine = await budget(app, rich, 100n)
  const ledger = writer(app)
  for (const foreign of [await budget(app, other, 100n), await budget(app, rmb, 100n), ids.uuid()]) {
    const ops = [
      under(reserve(rich, ids.uuid(), 10n), [mine]),
      under(reserve(rich, ids.uuid(), 10n), [mine, foreign]),
      under(reserve(rich, ids.uuid(), 10n), [mine]),
    ]
    const results = await Promise.allSettled(ops.map((op) => ledger.submit(op)))
    assert.deepEqual(
      results.map((result) => (result.status === 'fulfilled' ? result.value.verdict : result.reason.name)),
      ['done', LedgerFault.name, 'done'],
    )
  }
  assert.deepEqual(await use(database, mine), [0n, 60n])
  assert.deepEqual(await broken(database), [])
})

test('one budget is in force for a scope, bucket, period and kind; its end makes room for another', async (t) => {
  const { app } = await ledgerDatabase(t)
  const rich = await funded(app, 1n)
  const make = (scopeId: string) =>
    app
      .query(`select ledger.make_budget($1, $2, 'credit', 'USD', 'key', $3, 'day', 5, true, 'test')`, [
        rich.orgId,
        ids.uuid(),
        scopeId,
      ])
      .then(
        () => 'made',
        () => 'refused',
      )
  assert.deepEqual([await make('a'), await make('b'), await make('a')], ['made', 'made', 'refused'])
  await app.query(
    `select ledger.change_budget(org_id, id, null, null, true, 'test') from ledger.budget where org_id = $1 and scope_id = 'a'`,
    [rich.orgId],
  )
  assert.equal(await make('a'), 'made')
})

test('a batch whose answer was lost counts once in its budgets, and another process settles what was held', async (t) => {
  const { app, database, url } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000_000n)
  const id = await budget(app, rich, 1_000n)
  const proxy = await createProxy(url)
  const wire = openDatabase({ connection: proxy.url, log: silentLog, role: 'forge_app', max: 1 })
  t.after(async () => {
    await wire.close()
    await proxy.close()
  })
  const [lossy, other] = [writer(wire), writer(app)]
  await lossy.submit(under(reserve(rich, ids.uuid(), 1n), [id]))
  for (let round = 0; round < 20; round++) {
    const [kept, freed, late] = [ids.uuid(), ids.uuid(), ids.uuid()]
    proxy.loseNextReply()
    const results = await batch(lossy, [
      under(reserve(rich, kept, 30n), [id]),
      under(reserve(rich, freed, 40n), [id]),
      under(reserve(rich, late, 5_000n, 2_000n), [id]),
      settle(rich, kept, 20n),
      release(rich, freed),
    ])
    assert.deepEqual(verdicts(results), ['repeated', 'repeated', 'refused_before', 'repeated', 'repeated'])
    assert.equal(results[2]?.limit?.budgetId, id)
  }
  assert.deepEqual(await use(database, id), [400n, 1n])
  const orphan = ids.uuid()
  await lossy.submit(under(reserve(rich, orphan, 100n), [id]))
  await other.submit(settle(rich, orphan, 60n))
  assert.deepEqual(await use(database, id), [460n, 1n])
  assert.deepEqual(await broken(database), [])
})
