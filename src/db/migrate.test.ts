import assert from 'node:assert/strict'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { testDatabase } from '../../test/database.ts'
import { MigrationError, migrate, pendingMigrations } from './index.ts'

const TWO = {
  '0001_base.sql': 'create table entry (amount int8);\ninsert into entry values (1);',
  '0002_more.sql': `do $$ begin insert into entry values (2); end $$; -- a ; and a body
    create function twice(x int8) returns int8 language sql as 'select x * 2';`,
}

async function folder(t: TestContext, files: Readonly<Record<string, string>>): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'forge-migrations-'))
  t.after(() => rm(dir, { recursive: true }))
  for (const [name, sql] of Object.entries(files)) await writeFile(join(dir, name), sql)
  return dir
}

const fault = (message: RegExp) => (thrown: unknown) => {
  assert.ok(thrown instanceof MigrationError, String(thrown))
  assert.match(thrown.message, message)
  return true
}

test('files are applied in order, once; a later one is applied on top', async (t) => {
  const { url, database } = await testDatabase(t, { migrated: false })
  const dir = await folder(t, TWO)
  assert.deepEqual(await pendingMigrations(url, { dir }), ['0001_base.sql', '0002_more.sql'])
  assert.deepEqual(await migrate(url, { dir }), { applied: ['0001_base.sql', '0002_more.sql'], version: 2 })
  assert.deepEqual(await migrate(url, { dir }), { applied: [], version: 2 })
  await writeFile(join(dir, '0003_last.sql'), 'insert into entry values (3)')
  assert.deepEqual(await pendingMigrations(url, { dir }), ['0003_last.sql'])
  assert.deepEqual(await migrate(url, { dir }), { applied: ['0003_last.sql'], version: 3 })
  assert.deepEqual(await database.query('select amount from entry order by 1'), [
    { amount: 1n },
    { amount: 2n },
    { amount: 3n },
  ])
})

test('twenty processes that migrate at once apply every file once', async (t) => {
  const { url, database } = await testDatabase(t, { migrated: false })
  const dir = await folder(t, TWO)
  const results = await Promise.all(Array.from({ length: 20 }, () => migrate(url, { dir })))
  assert.deepEqual(results.flatMap((result) => result.applied).sort(), ['0001_base.sql', '0002_more.sql'])
  assert.ok(results.every((result) => result.version === 2))
  assert.equal((await database.query('select from entry')).length, 2)
})

test('an edited file, a missing one and a newer database stop the start and are named', async (t) => {
  const { url } = await testDatabase(t, { migrated: false })
  const dir = await folder(t, TWO)
  await migrate(url, { dir })

  await writeFile(join(dir, '0001_base.sql'), `${TWO['0001_base.sql']} `)
  await assert.rejects(migrate(url, { dir }), fault(/0001_base\.sql.*other content/))
  await assert.rejects(pendingMigrations(url, { dir }), fault(/0001_base\.sql/))
  await writeFile(join(dir, '0001_base.sql'), TWO['0001_base.sql'])

  await rename(join(dir, '0002_more.sql'), join(dir, '0003_more.sql'))
  await assert.rejects(migrate(url, { dir }), fault(/0003_more\.sql.*0002 was expected/))
  await rm(join(dir, '0003_more.sql'))
  await assert.rejects(migrate(url, { dir }), fault(/newer than this version.*0002_more\.sql/))

  await writeFile(join(dir, '0002_More.sql'), '')
  await assert.rejects(migrate(url, { dir }), fault(/0002_More\.sql.*NNNN_lower_case/))
})

test('a hole in what was applied stops the start', async (t) => {
  const { url, database } = await testDatabase(t, { migrated: false })
  const dir = await folder(t, TWO)
  await migrate(url, { dir })
  await database.query('delete from forge_migration where number = 1')
  await assert.rejects(migrate(url, { dir }), fault(/0002_more\.sql but not number 1/))
})

test('a failing file leaves nothing of itself, and the message names file, line and reason', async (t) => {
  const { url, database } = await testDatabase(t, { migrated: false })
  const dir = await folder(t, { ...TWO, '0003_bad.sql': 'insert into entry values (3);\nselect nonsense;' })
  await assert.rejects(migrate(url, { dir }), fault(/0003_bad\.sql line 2 failed: .*nonsense.*\(42703\)/))
  assert.equal((await database.query('select from entry')).length, 2)
  assert.deepEqual(await pendingMigrations(url, { dir }), ['0003_bad.sql'])
  await writeFile(join(dir, '0003_bad.sql'), 'commit; select 1')
  await assert.rejects(migrate(url, { dir }), fault(/0003_bad\.sql ends the transaction/))
})

test('a migration behind a long reader gives its lock up and comes back, so that other readers get through', async (t) => {
  const { url, database } = await testDatabase(t, { migrated: false })
  const dir = await folder(t, TWO)
  await migrate(url, { dir })
  await writeFile(join(dir, '0003_alter.sql'), 'alter table entry add column note text')
  const waited: unknown[] = []
  const seen = Promise.withResolvers<void>()
  const log = {
    debug() {},
    info() {},
    error() {},
    warn(fields: unknown) {
      waited.push(fields)
      seen.resolve()
    },
  }
  let running: Promise<unknown> = Promise.resolve()
  await database.tx(async (reader) => {
    await reader.query('select * from entry')
    running = migrate(url, { dir, log, lockTimeoutMs: 50 })
    await seen.promise
    assert.equal((await database.query('select * from entry')).length, 2)
  })
  assert.deepEqual(await running, { applied: ['0003_alter.sql'], version: 3 })
  assert.ok(waited.length >= 1)
})
