import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testDatabase } from '../../test/database.ts'
import { silentLog } from '../kernel/index.ts'
import { isConnectionLoss, isRetryable, isUniqueViolation, openDatabase, sqlState } from './index.ts'

const empty = { migrated: false } as const

/** The database's own error, caught. */
async function failure(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => assert.fail('expected a rejection'),
    (thrown: unknown) => thrown,
  )
}

function backendPid(database: { one: (text: string) => Promise<unknown> }): Promise<number> {
  return database.one('select pg_backend_pid() as pid').then((row) => (row as { pid: number }).pid)
}

test('int8 is read as bigint without loss, alone and in arrays; a date stays text; a moment is a Date', async (t) => {
  const { database } = await testDatabase(t, empty)
  const row = await database.one(
    `select 9223372036854775807 as big, 0::int8 as zero, null::int8 as none, array[-1, null, 9007199254740993]::int8[] as list,
      array[[1,2],[3,4]]::int8[] as nested, 1.10::numeric as exact, date '2026-01-02' as day, timestamptz '2026-01-02 03:04:05.678+00' as moment`,
  )
  assert.deepEqual(row, {
    big: 9223372036854775807n,
    zero: 0n,
    none: null,
    list: [-1n, null, 9007199254740993n],
    nested: [
      [1n, 2n],
      [3n, 4n],
    ],
    exact: '1.10',
    day: '2026-01-02',
    moment: new Date('2026-01-02T03:04:05.678Z'),
  })
})

test('bigint values and named statements go to the server and back exactly', async (t) => {
  const { database } = await testDatabase(t, empty)
  const statement = { name: 'echo', text: 'select $1::int8 as value, $2::int8[] as list' }
  for (const value of [2n ** 63n - 1n, -(2n ** 63n), 0n]) {
    const row = await database.one({ ...statement, values: [value, [value, 1n]] })
    assert.deepEqual(row, { value, list: [value, 1n] })
  }
})

test('one wants exactly one row, maybeOne at most one', async (t) => {
  const { database } = await testDatabase(t, empty)
  assert.equal(await database.maybeOne('select 1 where false'), null)
  await assert.rejects(database.one('select 1 where false'), /expected one row/)
  await assert.rejects(database.maybeOne('select generate_series(1, 2)'), /at most one row/)
})

test('a transaction is there as a whole when tx resolves, and not at all when fn throws', async (t) => {
  const { database } = await testDatabase(t, empty)
  await database.query('create table entry (amount int8 primary key)')
  const value = await database.tx(async (tx) => {
    await tx.query('insert into entry values ($1)', [1n])
    await tx.query('insert into entry values ($1)', [2n])
    return 'done'
  })
  assert.equal(value, 'done')
  const cause = new Error('changed my mind')
  const thrown = await failure(
    database.tx(async (tx) => {
      await tx.query('insert into entry values ($1)', [3n])
      throw cause
    }),
  )
  assert.equal(thrown, cause)
  assert.deepEqual(await database.query('select amount from entry order by 1'), [
    { amount: 1n },
    { amount: 2n },
  ])
})

test('a transaction that went on after a failed statement rejects instead of claiming to have committed', async (t) => {
  const { database } = await testDatabase(t, empty)
  await database.query('create table entry (amount int8 primary key)')
  const work = database.tx(async (tx) => {
    await tx.query('insert into entry values (1)')
    await tx.query('insert into entry values (1)').catch(() => undefined)
  })
  await assert.rejects(work, /rolled back at its end/)
  assert.deepEqual(await database.query('select amount from entry'), [])
})

test('a refused commit (deferred constraint) rejects with the rule it broke', async (t) => {
  const { database } = await testDatabase(t, empty)
  await database.query(
    'create table a (id int primary key, other int references a deferrable initially deferred)',
  )
  const thrown = await failure(database.tx((tx) => tx.query('insert into a values (1, 2)')))
  assert.equal(sqlState(thrown), '23503')
  assert.deepEqual(await database.query('select id from a'), [])
})

test('statements that fn did not wait for are inside the transaction; its handle is dead afterwards', async (t) => {
  const { database } = await testDatabase(t, empty)
  await database.query('create table entry (amount int8 primary key)')
  let stale: Promise<unknown> = Promise.resolve()
  const leak = await database.tx(async (tx) => {
    for (let i = 1; i <= 5; i++) stale = tx.query('insert into entry values ($1)', [i])
    return tx
  })
  assert.equal((await database.query('select from entry')).length, 5)
  await stale
  await assert.rejects(leak.query('insert into entry values (6)'), /has ended/)
})

test('no outcome of a transaction leaves its connection dirty for the next borrower', async (t) => {
  const { url } = await testDatabase(t, empty)
  const database = openDatabase({ connection: url, log: silentLog, max: 1 })
  t.after(() => database.close())
  await database.query('create table entry (amount int8 primary key)')
  await failure(database.tx((tx) => tx.query('select 1/0')))
  await failure(database.tx(() => Promise.reject(new Error('no'))))
  await failure(database.tx((tx) => tx.query('commit; begin; select 1/0')))
  const state = `select pg_current_xact_id_if_assigned() is null as clean, now() = statement_timestamp() as fresh`
  assert.deepEqual(await database.one(state), { clean: true, fresh: true })
  await assert.rejects(database.query('begin'), /use tx\(\)/)
  assert.deepEqual(await database.one(state), { clean: true, fresh: true })
})

test('an SQL error costs no connection', async (t) => {
  const { url } = await testDatabase(t, empty)
  const database = openDatabase({ connection: url, log: silentLog, max: 1 })
  t.after(() => database.close())
  const before = await backendPid(database)
  await database.query('create table entry (amount int8 constraint entry_once primary key)')
  await database.query('insert into entry values (1)')
  const thrown = await failure(database.query('insert into entry values (1)'))
  assert.ok(isUniqueViolation(thrown) && isUniqueViolation(thrown, 'entry_once'))
  assert.ok(!isUniqueViolation(thrown, 'other') && !isConnectionLoss(thrown) && !isRetryable(thrown))
  assert.equal(await backendPid(database), before)
})

test('a backend killed while idle, in a query or between two statements of a transaction does not end the process', async (t) => {
  const { url, database: killer } = await testDatabase(t, empty)
  const database = openDatabase({ connection: url, log: silentLog, max: 1 })
  t.after(() => database.close())
  const kill = (pid: number) => killer.query('select pg_terminate_backend($1, 5000)', [pid])

  await kill(await backendPid(database))
  await database.query('select 1').catch((thrown: unknown) => assert.ok(isConnectionLoss(thrown)))
  const idle = await backendPid(database)

  const asleep = failure(database.query('select pg_sleep(4)'))
  await kill(idle)
  assert.ok(isConnectionLoss(await asleep))

  const thrown = await failure(
    database.tx(async (tx) => {
      await kill(await backendPid(tx))
      await tx.query('select 1')
    }),
  )
  assert.ok(isConnectionLoss(thrown), String(thrown))
  assert.equal((await database.query('select 1')).length, 1)
  assert.deepEqual(database.connections(), { total: 1, idle: 1, waiting: 0 })
})

test('a query that we gave up on is a lost connection, and its late answer reaches nobody', async (t) => {
  const { url } = await testDatabase(t, empty)
  const connection = `${url}&options=-c%20statement_timeout%3D0`
  const database = openDatabase({
    connection,
    log: silentLog,
    max: 1,
    statementTimeoutMs: 50,
    queryTimeoutMs: 150,
  })
  t.after(() => database.close())
  // Sets the server's own limit aside, as a server that hangs would.
  const thrown = await failure(
    database.tx(async (tx) => {
      await tx.query('set local statement_timeout = 0')
      await tx.query(`select pg_sleep(0.4), 'late' as answer`)
    }),
  )
  assert.ok(isConnectionLoss(thrown), String(thrown))
  assert.deepEqual(await database.query(`select 'mine' as answer`), [{ answer: 'mine' }])
})

test('the server gives up first: a slow statement is a certain no and costs no connection', async (t) => {
  const { url } = await testDatabase(t, empty)
  const database = openDatabase({ connection: url, log: silentLog, max: 1, statementTimeoutMs: 50 })
  t.after(() => database.close())
  const before = await backendPid(database)
  const thrown = await failure(database.query('select pg_sleep(2)'))
  assert.equal(sqlState(thrown), '57014')
  assert.ok(!isConnectionLoss(thrown))
  assert.equal(await backendPid(database), before)
  assert.throws(() =>
    openDatabase({ connection: url, log: silentLog, statementTimeoutMs: 10, queryTimeoutMs: 10 }),
  )
})

test('no free connection in time is an error within the time-out, not a hang', async (t) => {
  const { url } = await testDatabase(t, empty)
  const database = openDatabase({ connection: url, log: silentLog, max: 1, connectTimeoutMs: 60 })
  t.after(() => database.close())
  await database.tx(async (tx) => {
    await tx.query('select 1')
    assert.ok(isConnectionLoss(await failure(database.query('select 1'))))
  })
})

test('a role applies from the first statement, whatever the URL or RESET ROLE say', async (t) => {
  const { url, database: owner } = await testDatabase(t, empty)
  const role = `db_test_${process.pid}`
  await owner.query(`create role ${role} nologin`)
  const connection = `${url}&options=${encodeURIComponent('-c role=none -c lock_timeout=77')}`
  const database = openDatabase({ connection, log: silentLog, max: 1, role })
  const user = 'select current_user::text as name'
  assert.deepEqual(await database.one(user), { name: role })
  await database.query('reset role')
  assert.deepEqual(await database.one(user), { name: role })
  assert.deepEqual(await database.one('show lock_timeout'), { lock_timeout: '77ms' })
  await database.close()
  await owner.query(`drop role ${role}`)
})

test('a prepared statement goes on after a migration changed its table', async (t) => {
  const { database } = await testDatabase(t, empty)
  await database.query('create table entry (amount int4)')
  await database.query('insert into entry values (1)')
  const read = () => database.one({ name: 'read', text: 'select * from entry' })
  assert.deepEqual(await read(), { amount: 1 })
  await database.query('alter table entry alter amount type int8')
  assert.deepEqual(await read(), { amount: 1n })
})

test('a deadlock and a serialization failure are retryable', async (t) => {
  const { database } = await testDatabase(t, empty)
  await database.query('create table entry (id int primary key, amount int8)')
  await database.query('insert into entry values (1, 0), (2, 0)')
  const bump = 'update entry set amount = amount + 1 where id = $1'
  const met = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const
  const crossing = ([first, second]: readonly [number, number]) =>
    database.tx(async (tx) => {
      await tx.query(`set local deadlock_timeout = '20ms'`)
      await tx.query(bump, [first])
      met[first === 1 ? 0 : 1].resolve()
      await Promise.all(met.map((side) => side.promise))
      await tx.query(bump, [second])
    })
  const ends = await Promise.allSettled([crossing([1, 2]), crossing([2, 1])])
  const lost = ends.filter((end) => end.status === 'rejected')
  assert.equal(lost.length, 1)
  assert.ok(isRetryable(lost[0]?.reason))
  assert.ok(isRetryable(Object.assign(new Error(), { code: '40001' })))
})

test('a server that is not there is a lost connection; a missing file or database is not', async (t) => {
  const { url } = await testDatabase(t, empty)
  for (const connection of [
    'postgresql://a:b@localhost/c?host=%2Fnowhere',
    'postgresql://a:b@127.0.0.1:1/c',
  ]) {
    const database = openDatabase({ connection, log: silentLog })
    assert.ok(isConnectionLoss(await failure(database.query('select 1'))), connection)
    await database.close()
  }
  const parsed = new URL(url)
  parsed.pathname = '/no_such_database'
  const database = openDatabase({ connection: parsed.toString(), log: silentLog })
  const refused = await failure(database.query('select 1'))
  await database.close()
  assert.equal(sqlState(refused), '3D000')
  assert.ok(!isConnectionLoss(refused))
  assert.ok(!isConnectionLoss(Object.assign(new Error('no such file'), { code: 'ENOENT', syscall: 'open' })))
  for (const code of ['57P01', '57P02', '57P03', '08006', 'ECONNRESET']) {
    assert.ok(isConnectionLoss(Object.assign(new Error(), { code })), code)
  }
})

test('a pool is closed once, after what was under way', async (t) => {
  const { url } = await testDatabase(t, empty)
  const database = openDatabase({ connection: url, log: silentLog })
  const slow = database.query('select 1 as one from pg_sleep(0.05)')
  await database.query('select 1')
  await Promise.all([database.close(), database.close()])
  assert.deepEqual(await slow, [{ one: 1 }])
})
