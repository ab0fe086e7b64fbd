import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  account,
  batch,
  funded,
  ids,
  ledgerDatabase,
  reserve,
  settle,
  writer,
} from '../../test/ledger/stand.ts'
import { createAccountBook, openAccount, readBalances, readStatement } from './index.ts'

test('the accounts of an organization and bucket are made once, whoever asks at the same moment', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const orgId = ids.uuid()
  const made = await Promise.all(Array.from({ length: 20 }, () => openAccount(app, orgId, 'credit', 'USD')))
  assert.equal(new Set(made).size, 1)
  const kinds = await database.query<{ kind: string; at: bigint }>(
    'select kind, id - $1 as at from ledger.account order by id',
    [made[0]],
  )
  assert.deepEqual(
    kinds.map(({ kind, at }) => `${at} ${kind}`),
    ['0 customer', '1 revenue', '2 issuance', '3 cash', '4 writeoff', '5 adjustment', '6 breakage'],
  )
})

test('a bucket keeps its currency, and another bucket has accounts of its own', async (t) => {
  const { app } = await ledgerDatabase(t)
  const credit = await account(app)
  await assert.rejects(openAccount(app, credit.orgId, 'credit', 'EUR'), /is in USD, not in EUR/)
  const book = createAccountBook(app)
  assert.equal(book.known(credit.orgId, 'rmb'), null)
  const rmb = await book.open(credit.orgId, 'rmb', 'CNY')
  assert.notEqual(rmb, credit.accountId)
  assert.equal(book.known(credit.orgId, 'rmb'), rmb)
})

test('balances say what is there, what is held by how many requests, and what is left', async (t) => {
  const { app } = await ledgerDatabase(t)
  const rich = await funded(app, 100n)
  await account(app, rich.orgId, 'rmb')
  await batch(writer(app), [reserve(rich, ids.uuid(), 30n), reserve(rich, ids.uuid(), 20n)])
  const [credit, rmb] = await readBalances(app, rich.orgId)
  assert.ok(credit?.soonestReleaseAt instanceof Date)
  assert.deepEqual(
    { ...credit, soonestReleaseAt: null },
    {
      orgId: rich.orgId,
      bucket: 'credit',
      currency: 'USD',
      accountId: rich.accountId,
      postedNano: 100n,
      heldNano: 50n,
      availableNano: 50n,
      openHolds: 2,
      soonestReleaseAt: null,
    },
  )
  assert.deepEqual([rmb?.bucket, rmb?.currency, rmb?.postedNano, rmb?.openHolds], ['rmb', 'CNY', 0n, 0])
})

test('a statement walks back entry by entry without a gap, and its lines add up to the balance', async (t) => {
  const { app } = await ledgerDatabase(t)
  const rich = await funded(app, 1_000n)
  const ledger = writer(app)
  for (let i = 1n; i <= 12n; i++) {
    const id = ids.uuid()
    await batch(ledger, [reserve(rich, id, 50n), settle(rich, id, i)])
  }
  const lines = []
  for (let before: bigint | null = null; ; ) {
    const page = await readStatement(app, { orgId: rich.orgId, bucket: 'credit', before, limit: 5 })
    if (page.length === 0) break
    lines.push(...page)
    before = page.at(-1)?.accountSeq ?? null
  }
  assert.deepEqual(
    lines.map((line) => line.accountSeq),
    Array.from({ length: 13 }, (_, i) => BigInt(13 - i)),
  )
  let balance = 0n
  for (const line of lines.toReversed()) {
    balance += line.amountNano
    assert.equal(line.balanceAfterNano, balance)
  }
  assert.equal(balance, 922n)
  assert.deepEqual([lines.at(-1)?.kind, lines.at(-1)?.reason, lines[0]?.kind], ['topup', 'test', 'charge'])
  assert.deepEqual(
    await readStatement(app, { orgId: ids.uuid(), bucket: 'credit', before: null, limit: 5 }),
    [],
  )
})

test('the last page of a long statement is read by the index, not by sorting the history', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 10n ** 9n)
  // What is made up here was done by nobody: the audit log is left out of it.
  await database.query('alter table ledger.transfer disable trigger audited')
  await database.query(
    `insert into ledger.transfer (org_id, id, kind, account_id, asked, amount)
      select $1, gen_random_uuid(), 'topup', $2::bigint, 1, 1 from generate_series(1, 20000)`,
    [rich.orgId, rich.accountId],
  )
  await database.query(
    `insert into ledger.entry (org_id, transfer_id, line, account_id, currency, amount, account_seq, balance_after)
      select t.org_id, t.id, l.line, $1::bigint + l.kind, 'USD', l.amount, case when l.line = 1 then t.n + 1 end, case when l.line = 1 then 0 end
      from (select *, row_number() over () as n from ledger.transfer where amount = 1) t
      cross join (values (1::smallint, 0, 1), (2::smallint, 3, -1)) l(line, kind, amount)`,
    [rich.accountId],
  )
  await database.query('update ledger.account set seq = 20001 where id = $1', [rich.accountId])
  const session = await app.connect()
  t.after(() => session.close())
  const read = async () => {
    const { hit } = await session.one<{ hit: bigint }>(
      'select pg_stat_get_xact_tuples_returned($1::regclass) + pg_stat_get_xact_tuples_fetched($1::regclass) as hit',
      ['ledger.entry'],
    )
    return hit
  }
  await session.query('begin')
  const before = await read()
  const page = await readStatement(
    { ...app, query: (statement, values) => session.query(statement, values) },
    { orgId: rich.orgId, bucket: 'credit', before: null, limit: 50 },
  )
  const touched = (await read()) - before
  await session.query('rollback')
  assert.equal(page.length, 50)
  assert.ok(touched < 200n, `${touched} entries were read for a page of 50`)
})
