import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Account,
  batch,
  budget,
  funded,
  ids,
  ledgerDatabase,
  reserve,
  settle,
  target,
  writer,
} from '../../test/ledger/stand.ts'
import type { Database } from '../db/index.ts'
import { auditLedger } from './index.ts'

/** Each case is done by a superuser who knows how to silence a trigger, found by the audit, undone, and forgotten by it. */

interface History {
  readonly rich: Account
  readonly charge: string
  readonly writtenOff: string
  readonly grant: string
  readonly hold: string
  readonly budget: string
}

async function history(app: Database): Promise<History> {
  const rich = await funded(app, 1_000n)
  await funded(app, 50n, 'rmb')
  const [charge, writtenOff, grant, hold, freed] = [
    ids.uuid(),
    ids.uuid(),
    ids.uuid(),
    ids.uuid(),
    ids.uuid(),
  ]
  const ledger = writer(app)
  const counted = await budget(app, rich, 500n)
  const budgets = [{ id: counted, startMs: 0 }]
  await ledger.submit({ kind: 'grant', ...target(rich, grant), amountNano: 40n, reason: 'welcome' })
  const results = await batch(ledger, [
    { ...reserve(rich, charge, 100n), budgets },
    reserve(rich, writtenOff, 100n),
    { ...reserve(rich, hold, 30n), budgets },
    { ...reserve(rich, freed, 30n), budgets },
    reserve(rich, ids.uuid(), 5_000n),
    settle(rich, charge, 60n),
    settle(rich, writtenOff, 120n, 100n),
    { kind: 'void', ...target(rich, freed), reason: 'test' },
  ])
  assert.deepEqual(
    results.map((result) => result.verdict),
    ['done', 'done', 'done', 'done', 'insufficient', 'done', 'done', 'done'],
  )
  return { rich, charge, writtenOff, grant, hold, budget: counted }
}

const TRIAL = 'trial balance'
const TRANSFER_SUM = 'every transfer sums to zero'
const BALANCES = 'balances are the sum'
const WALK = 'entries of an account form'
const HELD = 'held amounts'
const BELOW_ZERO = 'no balance is below zero'
const ENDS_ONCE = 'a hold ends once'
const SAYS = 'what a transfer says'
const INSIDE = 'entries stay inside'
const CHARGE_RECEIPT = 'every charge has one receipt'
const RECEIPT_TRANSFER = 'every receipt with a charge'
const USE = 'what budgets have used'
const PASSED = 'no hard budget was ever passed'
const LAST_CHANGE = 'a budget is what its last change says'
const ORIGIN = 'money of grants'
const LONG_OPEN = 'no hold is open long'
const TRIGGERS = 'the record cannot be changed: triggers'
const ROLE = 'the record cannot be changed: the gateway role'

interface Tampering {
  readonly what: string
  readonly sql: (h: History) => string
  readonly undo: (h: History) => string
  readonly found: readonly string[]
}

const entryOf = (id: string, line: number) => `transfer_id = '${id}' and line = ${line}`
const entryRow = (id: string, line: number) =>
  `create table stolen as select * from ledger.entry where ${entryOf(id, line)}; delete from ledger.entry where ${entryOf(id, line)}`
const giveBack = (table: string) => `insert into ledger.${table} select * from stolen; drop table stolen`

const CASES: readonly Tampering[] = [
  {
    what: 'the amount of a customer’s entry is changed',
    sql: (h) => `update ledger.entry set amount = amount + 1 where ${entryOf(h.charge, 1)}`,
    undo: (h) => `update ledger.entry set amount = amount - 1 where ${entryOf(h.charge, 1)}`,
    found: [TRIAL, TRANSFER_SUM, BALANCES, WALK, SAYS],
  },
  {
    what: 'both sides of a charge are lowered alike',
    sql: (h) =>
      `update ledger.entry set amount = amount - sign(amount) * 10 where transfer_id = '${h.charge}'`,
    undo: (h) =>
      `update ledger.entry set amount = amount + sign(amount) * 10 where transfer_id = '${h.charge}'`,
    found: [BALANCES, WALK, SAYS],
  },
  {
    what: 'an entry of the platform is deleted',
    sql: (h) => entryRow(h.charge, 2),
    undo: () => giveBack('entry'),
    found: [TRIAL, TRANSFER_SUM],
  },
  {
    what: 'an entry of the customer is deleted',
    sql: (h) => entryRow(h.charge, 1),
    undo: () => giveBack('entry'),
    found: [TRIAL, TRANSFER_SUM, BALANCES, WALK, SAYS],
  },
  {
    what: 'a write-off is hidden in the revenue',
    sql: (h) =>
      `update ledger.entry set amount = amount - 20 where ${entryOf(h.writtenOff, 2)};
       create table stolen as select * from ledger.entry where ${entryOf(h.writtenOff, 3)};
       delete from ledger.entry where ${entryOf(h.writtenOff, 3)}`,
    undo: (h) =>
      `update ledger.entry set amount = amount + 20 where ${entryOf(h.writtenOff, 2)}; ${giveBack('entry')}`,
    found: [SAYS],
  },
  {
    what: 'revenue is booked as cash',
    sql: (h) => `update ledger.entry set account_id = account_id + 2 where ${entryOf(h.charge, 2)}`,
    undo: (h) => `update ledger.entry set account_id = account_id - 2 where ${entryOf(h.charge, 2)}`,
    found: [INSIDE],
  },
  {
    what: 'an entry is moved to the account of another organization',
    sql: (h) => `update ledger.entry set account_id = account_id + 800 where ${entryOf(h.charge, 2)}`,
    undo: (h) => `update ledger.entry set account_id = account_id - 800 where ${entryOf(h.charge, 2)}`,
    found: [INSIDE],
  },
  {
    what: 'an entry is in another currency',
    sql: (h) => `update ledger.entry set currency = 'CNY' where ${entryOf(h.charge, 2)}`,
    undo: (h) => `update ledger.entry set currency = 'USD' where ${entryOf(h.charge, 2)}`,
    found: [TRIAL, TRANSFER_SUM, INSIDE],
  },
  {
    what: 'a balance is raised',
    sql: (h) => `update ledger.account set posted = posted + 500 where id = ${h.rich.accountId}`,
    undo: (h) => `update ledger.account set posted = posted - 500 where id = ${h.rich.accountId}`,
    found: [BALANCES],
  },
  {
    what: 'a balance is pushed below zero',
    sql: (h) =>
      `update ledger.account set posted = posted - 5000, floor = -9000 where id = ${h.rich.accountId}`,
    undo: (h) => `update ledger.account set posted = posted + 5000, floor = 0 where id = ${h.rich.accountId}`,
    found: [BALANCES, BELOW_ZERO],
  },
  {
    what: 'what is held is changed',
    sql: (h) => `update ledger.account set held = held - 10 where id = ${h.rich.accountId}`,
    undo: (h) => `update ledger.account set held = held + 10 where id = ${h.rich.accountId}`,
    found: [HELD],
  },
  {
    what: 'a hold appears from nowhere',
    sql: (h) =>
      `insert into ledger.hold select org_id, '00000000-0000-7000-8000-000000000000', account_id, 7, 7, process_id, opened_at, expires_at, intent
        from ledger.hold where id = '${h.hold}'`,
    undo: () => `delete from ledger.hold where id = '00000000-0000-7000-8000-000000000000'`,
    found: [HELD],
  },
  {
    what: 'an ended hold is opened again',
    sql: (h) =>
      `insert into ledger.hold select org_id, '${h.charge}', account_id, 0, 0, process_id, opened_at, expires_at, intent
        from ledger.hold where id = '${h.hold}'`,
    undo: (h) => `delete from ledger.hold where id = '${h.charge}'`,
    found: [ENDS_ONCE],
  },
  {
    what: 'a hold is forgotten',
    sql: (h) => `update ledger.hold set expires_at = expires_at - interval '1 hour' where id = '${h.hold}'`,
    undo: (h) => `update ledger.hold set expires_at = expires_at + interval '1 hour' where id = '${h.hold}'`,
    found: [LONG_OPEN],
  },
  {
    what: 'a receipt is deleted',
    sql: (h) =>
      `create table stolen as select * from ledger.receipt where id = '${h.charge}'; alter table stolen drop column tokens; delete from ledger.receipt where id = '${h.charge}'`,
    undo: () => giveBack('receipt'),
    found: [CHARGE_RECEIPT],
  },
  {
    what: 'a receipt states another charge',
    sql: (h) => `update ledger.receipt set charge = charge - 1 where id = '${h.charge}'`,
    undo: (h) => `update ledger.receipt set charge = charge + 1 where id = '${h.charge}'`,
    found: [CHARGE_RECEIPT, RECEIPT_TRANSFER],
  },
  {
    what: 'a receipt names another bucket',
    sql: (h) => `update ledger.receipt set bucket = 'rmb' where id = '${h.charge}'`,
    undo: (h) => `update ledger.receipt set bucket = 'credit' where id = '${h.charge}'`,
    found: [CHARGE_RECEIPT],
  },
  {
    what: 'a receipt over money that never moved is written',
    sql: (h) =>
      `insert into ledger.receipt select org_id, '00000000-0000-7000-8000-000000000010', project_id, api_key_id, run_id, status, bucket, route,
        model, charge, created_at, xid, document from ledger.receipt where id = '${h.charge}'`,
    undo: () => `delete from ledger.receipt where id = '00000000-0000-7000-8000-000000000010'`,
    found: [RECEIPT_TRANSFER],
  },
  {
    what: 'the figure of a grant is changed in its transfer',
    sql: (h) => `update ledger.transfer set asked = asked + 1 where id = '${h.grant}'`,
    undo: (h) => `update ledger.transfer set asked = asked - 1 where id = '${h.grant}'`,
    found: [SAYS],
  },
  {
    what: 'what a budget has used is lowered',
    sql: (h) => `update ledger.budget_use set used = used - 1 where budget_id = '${h.budget}'`,
    undo: (h) => `update ledger.budget_use set used = used + 1 where budget_id = '${h.budget}'`,
    found: [USE],
  },
  {
    what: 'what a budget holds is raised above its amount',
    sql: (h) => `update ledger.budget_use set held = held + 900 where budget_id = '${h.budget}'`,
    undo: (h) => `update ledger.budget_use set held = held - 900 where budget_id = '${h.budget}'`,
    found: [USE, PASSED],
  },
  {
    what: 'a charge is taken out of its budget',
    sql: (h) => `update ledger.transfer set budgets = null where id = '${h.charge}'`,
    undo: (h) =>
      `update ledger.transfer set budgets = (select array[id] from ledger.budget_use where budget_id = '${h.budget}') where id = '${h.charge}'`,
    found: [USE],
  },
  {
    what: 'a charge is counted in a window that is not there',
    sql: (h) => `update ledger.transfer set budgets = budgets || 0::bigint where id = '${h.charge}'`,
    undo: (h) => `update ledger.transfer set budgets = budgets[1:1] where id = '${h.charge}'`,
    found: [USE],
  },
  {
    what: 'a budget is moved to another account',
    sql: (h) => `update ledger.budget set account_id = account_id + 8 where id = '${h.budget}'`,
    undo: (h) => `update ledger.budget set account_id = account_id - 8 where id = '${h.budget}'`,
    found: [USE],
  },
  {
    what: 'a budget is raised beside the record',
    sql: (h) => `update ledger.budget set amount = amount + 1 where id = '${h.budget}'`,
    undo: (h) => `update ledger.budget set amount = amount - 1 where id = '${h.budget}'`,
    found: [LAST_CHANGE],
  },
  {
    what: 'where money came from is forgotten',
    sql: (h) =>
      `create table stolen as select * from ledger.lot where transfer_id = '${h.grant}'; delete from ledger.lot where transfer_id = '${h.grant}'`,
    undo: () => giveBack('lot'),
    found: [ORIGIN],
  },
  {
    what: 'the trigger against changes is disabled',
    sql: () => 'alter table ledger.receipt disable trigger append_only',
    undo: () => 'alter table ledger.receipt enable trigger append_only',
    found: [TRIGGERS],
  },
  {
    what: 'the trigger against unbalanced entries is disabled',
    sql: () => 'alter table ledger.entry disable trigger entries_balance',
    undo: () => 'alter table ledger.entry enable trigger entries_balance',
    found: [TRIGGERS],
  },
  {
    what: 'the trigger against changes is replaced by one that allows them',
    sql: () => 'alter function ledger.refuse_change() rename to refuse_change_',
    undo: () => 'alter function ledger.refuse_change_() rename to refuse_change',
    found: [TRIGGERS],
  },
  {
    what: 'the gateway’s role may write a table',
    sql: () => 'grant insert on ledger.entry to forge_app',
    undo: () => 'revoke insert on ledger.entry from forge_app',
    found: [ROLE],
  },
  {
    what: 'the gateway’s role may write one column',
    sql: () => 'grant update (posted) on ledger.account to forge_app',
    undo: () => 'revoke update (posted) on ledger.account from forge_app',
    found: [ROLE],
  },
]

async function failing(database: Database): Promise<readonly string[]> {
  return (await auditLedger(database)).filter((check) => !check.ok).map((check) => check.name)
}

/** In one session in which triggers do not fire. */
async function tamper(database: Database, sql: string): Promise<void> {
  const session = await database.connect()
  await session.query(`set session_replication_role = replica; ${sql}`)
  await session.close()
}

test('every tampering is found by exactly the checks whose business it is, and its undoing makes the audit green', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  const made = await history(app)
  assert.deepEqual(await failing(app), [], 'the gateway’s own role can audit')
  for (const { what, sql, undo, found } of CASES) {
    await t.test(what, async () => {
      await tamper(database, sql(made))
      const names = await failing(database)
      await tamper(database, undo(made))
      const covered = (prefix: string): string =>
        names.find((name) => name.startsWith(prefix)) ?? `missing: ${prefix}`
      assert.deepEqual(names, found.map(covered))
      assert.deepEqual(await failing(database), [])
    })
  }
})

test('a check that cannot be made is a failed check, and says why', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  await database.query('revoke select on ledger.lot from forge_app')
  const checks = (await auditLedger(app)).filter((check) => !check.ok)
  assert.equal(checks.length, 1)
  assert.match(checks[0]?.detail ?? '', /could not be checked: permission denied/)
})

test('a failed check counts what is broken and names the first few places', async (t) => {
  const { app, database } = await ledgerDatabase(t)
  for (let i = 0; i < 7; i++) await funded(app, 5n)
  await tamper(database, 'update ledger.account set posted = posted + 1 where posted > 0')
  const check = (await auditLedger(database)).find((candidate) => candidate.name.startsWith(BALANCES))
  assert.match(check?.detail ?? '', /^7 accounts whose balance is not derivable: \d+(, \d+){4}$/)
})
