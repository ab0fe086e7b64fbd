import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Queryable, sqlState } from '../../src/db/index.ts'
import { account, batch, broken, funded, ids, ledgerDatabase, reserve, settle, writer } from './stand.ts'

const FROZEN = [
  'account_kind',
  'transfer',
  'entry',
  'receipt',
  'lot',
  'budget_change',
  'budget_event',
] as const
const TABLES = [...FROZEN, 'account', 'hold', 'process', 'budget', 'budget_use'] as const
const NO_PERMISSION = '42501'
const APPEND_ONLY = '23001'

async function stateOf(database: Queryable, sql: string): Promise<string | null> {
  return await database.query(sql).then(
    () => null,
    (thrown: unknown) => sqlState(thrown),
  )
}

async function firstColumn(database: Queryable, table: string): Promise<string> {
  const row = await database.one<{ name: string }>(
    `select attname as name from pg_attribute where attrelid = $1::regclass and attnum = 1`,
    [`ledger.${table}`],
  )
  return row.name
}

test('the gateway’s role can write no table of the ledger, in no way', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  for (const table of TABLES) {
    const column = await firstColumn(database, table)
    for (const sql of [
      `insert into ledger.${table} default values`,
      `update ledger.${table} set ${column} = ${column}`,
      `delete from ledger.${table}`,
      `truncate ledger.${table}`,
      `select from ledger.${table} for update`,
      `merge into ledger.${table} x using (select 1) y on false when not matched then insert default values`,
      `copy ledger.${table} from stdin`,
    ])
      assert.equal(await stateOf(app, sql), NO_PERMISSION, sql)
    assert.equal(await stateOf(app, `alter table ledger.${table} disable trigger all`), NO_PERMISSION)
  }
  for (const sql of [
    `select nextval('ledger.account_set')`,
    'create table ledger.mine ()',
    'create function ledger.mine() returns int language sql as $$ select 1 $$',
    'set session_replication_role = replica',
    'drop function ledger.beat(uuid)',
    'drop schema ledger cascade',
    `alter function ledger.beat(uuid) owner to forge_app`,
  ])
    assert.equal(await stateOf(app, sql), NO_PERMISSION, sql)
})

test('the gateway’s role may call the functions that are its business, and no other', async (t) => {
  const { database } = await ledgerDatabase(t)
  const rows = await database.query<{ name: string }>(
    `select p.proname as name from pg_proc p where p.pronamespace = 'ledger'::regnamespace
      and has_function_privilege('forge_app', p.oid, 'execute') order by 1`,
  )
  assert.deepEqual(
    rows.map((row) => row.name),
    ['apply', 'beat', 'change_budget', 'leave', 'make_budget', 'open_accounts', 'set_by'],
  )
})

test('the owner can append to the record and never change it: a trigger refuses', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const rich = await funded(app, 100n)
  const hold = ids.uuid()
  await batch(writer(app), [reserve(rich, hold, 10n), settle(rich, hold, 5n)])
  for (const table of FROZEN) {
    const column = await firstColumn(database, table)
    for (const sql of [
      `update ledger.${table} set ${column} = ${column}`,
      `update ledger.${table} set ${column} = ${column} where false`,
      `delete from ledger.${table}`,
      `truncate ledger.${table} cascade`,
    ])
      assert.equal(await stateOf(database, sql), APPEND_ONLY, sql)
  }
  assert.deepEqual(await broken(database), [])
})

test('entries that do not sum to zero, mix currencies or stand alone cannot be written, by nobody', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const { orgId, accountId } = await account(app)
  const insert = (lines: readonly (readonly [line: number, currency: string, amount: number])[]) =>
    `insert into ledger.entry (org_id, transfer_id, line, account_id, currency, amount) values ${lines
      .map(
        ([line, currency, amount]) =>
          `('${orgId}', '${orgId}', ${line}, ${accountId + 1n}, '${currency}', ${amount})`,
      )
      .join(', ')}`
  for (const lines of [
    [[1, 'USD', 5]],
    [
      [1, 'USD', 5],
      [2, 'USD', -4],
    ],
    [
      [1, 'USD', 5],
      [2, 'CNY', -5],
    ],
    [
      [1, 'USD', 5],
      [2, 'USD', -5],
      [3, 'CNY', 5],
      [4, 'CNY', -5],
    ],
  ] as const)
    assert.equal(await stateOf(database, insert(lines)), '23000', JSON.stringify(lines))
  assert.equal(await stateOf(database, insert([[1, 'USD', 0]])), '23514')
  assert.equal(
    await stateOf(
      database,
      insert([
        [1, 'USD', 5],
        [2, 'USD', -5],
      ]),
    ),
    null,
  )
})

/** What a gateway that was taken over could try: objects of its own under the names that our functions use. */
const TRICKS = [
  `create function pg_temp.spy(value anyelement) returns boolean language plpgsql as $$
    begin perform set_config('spy.user', coalesce(current_setting('spy.user', true), '') || ' ' || current_user, false); return true; end $$`,
  ...['text', 'uuid', 'int8', 'int4', 'int2', 'timestamptz', 'interval'].map(
    (type) =>
      `create domain pg_temp.${type} as pg_catalog.${type} check (pg_temp.spy(value::pg_catalog.${type}))`,
  ),
  'create temp table account (org_id pg_catalog.uuid, id pg_catalog.int8)',
  'create temp table hold (id pg_catalog.uuid)',
  'create temp table added (amount pg_catalog.int8)',
  `create function pg_temp.unnest(anyarray) returns setof anyelement language sql as 'select null::pg_catalog.int8 where false'`,
  `create function pg_temp.clock_timestamp() returns pg_catalog.timestamptz language sql as $$ select '2000-01-01'::pg_catalog.timestamptz $$`,
  'set search_path = pg_temp, pg_catalog',
]

test('temporary objects that bear the names of ours do not run inside the ledger’s functions', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const session = await app.connect()
  t.after(() => session.close())
  for (const trick of TRICKS) await session.query(trick)
  const [org, id] = [ids.uuid(), ids.uuid()]
  const { account_id } = await session.one<{ account_id: bigint }>(
    `select ledger.open_accounts('${org}', 'credit', 'USD') as account_id`,
  )
  const one = (value: string, type: string) => `array[${value}]::pg_catalog.${type}[]`
  const verdict = await session.one<{ verdict: string }>(
    `select verdict::pg_catalog.text as verdict from ledger.apply('${id}', ${one('8', 'int2')}, ${one(`'${org}'`, 'uuid')},
      ${one(`'${id}'`, 'uuid')}, ${one(String(account_id), 'int8')}, ${one('5', 'int8')}, ${one('0', 'int8')},
      ${one('0', 'int4')}, 'x' || chr(30), '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '', '{}', '{}', '{}')`,
  )
  assert.equal(verdict.verdict, '{0}')
  await session.query(`select ledger.beat('${id}')`)
  await session.query(`select ledger.leave('${id}')`)
  const { spied } = await session.one<{ spied: string | null }>(
    `select nullif(current_setting('spy.user', true), '') as spied`,
  )
  assert.equal(spied, null, 'code of the caller ran with the rights of the owner')
  assert.deepEqual(await broken(database), [])
})
