import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { testDatabase } from '../../test/database.ts'
import { type ListenHandlers, listen, sqlState } from '../db/index.ts'
import { createIdSource, formatId, silentLog, systemClock } from '../kernel/index.ts'
import { makeApiKey, openTenancy, type Tenancy } from './index.ts'

const ids = createIdSource(systemClock.nowMs, randomBytes)

const PLAIN = {
  label: 'a key',
  policy: 'ordinary_then_official',
  allowCrossBalance: false,
  models: null,
  routes: null,
  expiresAtMs: null,
} as const

/** Two instances over one database, as two processes have; `heard` resolves with the next notification of the second. */
async function twoInstances(t: TestContext) {
  const { app, database } = await testDatabase(t)
  const options = { database: app, clock: systemClock, ids, randomBytes, log: silentLog }
  let next = Promise.withResolvers<string>()
  const listening: typeof listen = (db, channels, handlers: ListenHandlers) =>
    listen(db, channels, {
      ...handlers,
      onNotify(channel, payload) {
        handlers.onNotify(channel, payload)
        next.resolve(`${channel} ${payload}`)
      },
    })
  const one = await openTenancy({ ...options, listen })
  const two = await openTenancy({ ...options, listen: listening })
  t.after(async () => {
    await one.close()
    await two.close()
  })
  const org = await one.createOrganization({ name: 'Alpha' })
  const project = await one.createProject({ orgId: org.id, name: 'Beta' })
  assert.ok(project)
  return {
    one,
    two,
    app,
    database,
    org,
    project,
    heard: () => next.promise,
    forgetHeard: () => {
      next = Promise.withResolvers<string>()
    },
  }
}

async function newKey(tenancy: Tenancy, projectId: string, more = {}) {
  const made = await tenancy.createKey({ ...PLAIN, projectId, ...more })
  assert.ok(made)
  return made
}

test('a key is found with everything it may do, without a promise the second time', async (t) => {
  const { one, two, org, project, heard } = await twoInstances(t)
  const { secret, key } = await newKey(one, project.id, {
    models: ['m'],
    routes: ['official'],
    maxAttempts: 3,
  })
  await heard()
  const found = await two.findKey(secret)
  assert.deepEqual(found, {
    id: key.id,
    orgId: org.id,
    orgName: 'Alpha',
    projectId: project.id,
    projectName: 'Beta',
    projectState: 'active',
    replaysUnkeyedRetries: false,
    label: 'a key',
    prefix: secret.slice(0, 10),
    secretId: key.secretId,
    policy: 'ordinary_then_official',
    allowCrossBalance: false,
    models: new Set(['m']),
    routes: new Set(['official']),
    buckets: null,
    maxCharge: null,
    networks: null,
    maxAttempts: 3,
    state: 'active',
    expiresAtMs: null,
  })
  assert.ok(Object.isFrozen(found))
  assert.equal(two.findKey(secret), found)
})

test('a change by one process is known to the other at once', async (t) => {
  const { one, two, project, heard, forgetHeard } = await twoInstances(t)
  const { secret, key } = await newKey(one, project.id)
  await heard()
  assert.equal((await two.findKey(secret))?.state, 'active')
  forgetHeard()
  assert.deepEqual((await one.setKeyState(key.id, 'revoked')).ok, true)
  assert.equal(await heard(), `forge_key ${key.id}`)
  assert.equal((await two.findKey(secret))?.state, 'revoked')
  assert.equal((await one.findKey(secret))?.state, 'revoked')
})

test('a renamed organization and project are renamed on the keys in memory', async (t) => {
  const { one, two, app, org, project, heard, forgetHeard } = await twoInstances(t)
  const { secret } = await newKey(one, project.id)
  await two.findKey(secret)
  await heard()
  forgetHeard()
  await app.query('update tenancy.organization set name = $2 where id = $1', [org.id, 'Gamma'])
  assert.equal(await heard(), `forge_tenancy organization:${org.id}`)
  assert.equal((await two.findKey(secret))?.orgName, 'Gamma')
})

test('a key that appears is found at once, although it was judged unknown a moment before', async (t) => {
  const { one, two, database, project, heard, forgetHeard } = await twoInstances(t)
  const { secret, key } = await newKey(one, project.id)
  await heard()
  forgetHeard()
  await database.query('create table public.kept as select * from tenancy.api_key_secret')
  await database.query('delete from tenancy.api_key_secret')
  await heard()
  assert.equal(await two.findKey(secret), null)
  assert.equal(two.cacheSizes().unknown, 1, 'remembered')
  forgetHeard()
  await database.query('insert into tenancy.api_key_secret select * from public.kept')
  await heard()
  assert.equal((await two.findKey(secret))?.id, key.id)
})

test('what is remembered is forgotten when notifications may have been missed', async (t) => {
  const { two, one, database, project } = await twoInstances(t)
  const { secret, key } = await newKey(one, project.id)
  let gaps = 0
  const second = Promise.withResolvers<void>()
  const watched = await openTenancy({
    database,
    clock: systemClock,
    ids,
    randomBytes,
    log: silentLog,
    listen: (db, channels, handlers) =>
      listen(db, channels, {
        ...handlers,
        onNotify() {},
        onGap() {
          handlers.onGap()
          if (++gaps === 2) second.resolve()
        },
      }),
  })
  t.after(() => watched.close())
  assert.equal((await watched.findKey(secret))?.state, 'active')
  await two.setKeyState(key.id, 'paused')
  assert.equal((await watched.findKey(secret))?.state, 'active', 'this instance is deaf, so it cannot know')
  await database.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ilike 'listen%'`,
  )
  await second.promise
  assert.equal((await watched.findKey(secret))?.state, 'paused')
})

test('the secret of a key is stored nowhere', async (t) => {
  const { one, database, project } = await twoInstances(t)
  const { secret, key } = await newKey(one, project.id)
  const rows = await database.query<{ text: string }>(
    `select k::text as text from tenancy.api_key k union all select s::text from tenancy.api_key_secret s
     union all select e::text from tenancy.audit_event e`,
  )
  const dump = JSON.stringify([
    rows,
    key,
    await one.getKey(key.id),
    await one.listKeys({ orgId: null, projectId: null, limit: 10, before: null }),
  ])
  assert.ok(!dump.includes(secret))
  assert.ok(!dump.includes(secret.slice(10, 40)))
  assert.ok(dump.includes(secret.slice(0, 10)))
})

test('a revoked key stays revoked, also for who writes to the table', async (t) => {
  const { one, app, project } = await twoInstances(t)
  const { key } = await newKey(one, project.id)
  await one.setKeyState(key.id, 'revoked')
  assert.deepEqual(await one.setKeyState(key.id, 'active'), { ok: false, reason: 'revoked' })
  assert.equal((await one.setKeyState(key.id, 'revoked')).ok, true)
  await assert.rejects(
    app.query(`update tenancy.api_key set state = 'active' where id = $1`, [key.id]),
    (thrown) => sqlState(thrown) === '23000',
  )
})

test('the role of the gateway may not delete, nor turn a key into another', async (t) => {
  const { one, app, project } = await twoInstances(t)
  const { key } = await newKey(one, project.id)
  for (const sql of [
    'delete from tenancy.api_key where id = $1',
    'update tenancy.api_key set project_id = gen_random_uuid() where id = $1',
    'delete from tenancy.organization where id = $1',
    'delete from tenancy.api_key_secret where key_id = $1',
    `update tenancy.api_key_secret set key_sha256 = sha256('x') where key_id = $1`,
    'update tenancy.api_key_secret set key_id = gen_random_uuid() where key_id = $1',
  ])
    await assert.rejects(app.query(sql, [key.id]), (thrown) => sqlState(thrown) === '42501', sql)
})

test('text that has not the form of a key never reaches the database', async (t) => {
  const { one, app } = await twoInstances(t)
  await app.close()
  for (const text of ['', 'sk-tf-nope', 'x'.repeat(100_000), `${makeApiKey(randomBytes)}x`])
    assert.equal(await one.findKey(text), null)
})

test('the last use of a key is noted once a minute, and empties no cache', async (t) => {
  const { one, two, database, project, heard, forgetHeard } = await twoInstances(t)
  const { secret, key } = await newKey(one, project.id)
  await heard()
  const found = await two.findKey(secret)
  forgetHeard()
  assert.equal((await one.getKey(key.id))?.lastUsedAtMs, null)
  two.touch(key.secretId)
  two.touch(key.secretId)
  await two.close()
  const usedAtMs = (await one.getKey(key.id))?.lastUsedAtMs
  assert.ok(usedAtMs !== undefined && usedAtMs !== null && Math.abs(usedAtMs - Date.now()) < 60_000)
  const before = await database.one<{ xmin: string }>(
    'select xmin::text from tenancy.api_key where id = $1',
    [key.id],
  )
  one.touch(key.secretId)
  one.touch(key.secretId)
  await one.close()
  const after = await database.one<{ xmin: string }>('select xmin::text from tenancy.api_key where id = $1', [
    key.id,
  ])
  assert.notEqual(after.xmin, before.xmin)
  assert.equal(two.findKey(secret), found)
})

test('a run is made by its first request and is the same for every later one, in every process', async (t) => {
  const { one, two, org, project } = await twoInstances(t)
  const place = { orgId: org.id, projectId: project.id }
  const all = await Promise.all(
    [one, two, one, two, one, two].map((tenancy) =>
      tenancy.openRun({ ...place, nameOrId: '  nightly\tbatch ' }),
    ),
  )
  const run = all[0]
  assert.ok(run)
  assert.equal(run.name, 'nightly batch')
  for (const other of all) assert.deepEqual(other, run)
  assert.equal(one.openRun({ ...place, nameOrId: '  nightly\tbatch ' }) instanceof Promise, false)
  assert.deepEqual(await two.openRun({ ...place, nameOrId: formatId('run', run.id) }), run)
})

test('the id of a run is of use inside its project only', async (t) => {
  const { one, org, project } = await twoInstances(t)
  const other = await one.createProject({ orgId: org.id, name: 'Other' })
  assert.ok(other)
  const run = await one.openRun({ orgId: org.id, projectId: project.id, nameOrId: 'r' })
  assert.ok(run)
  const place = { orgId: org.id, projectId: other.id }
  assert.equal(await one.openRun({ ...place, nameOrId: formatId('run', run.id) }), null)
  assert.equal(await one.openRun({ ...place, nameOrId: 'run_x' }), null)
  assert.equal(await one.openRun({ ...place, nameOrId: ' \u0000 ' }), null)
  assert.equal(await one.openRun({ ...place, nameOrId: 'x'.repeat(129) }), null)
  assert.notEqual((await one.openRun({ ...place, nameOrId: 'r' }))?.id, run.id)
})

test('projects and keys are made inside what exists only', async (t) => {
  const { one } = await twoInstances(t)
  assert.equal(await one.createProject({ orgId: ids.uuid(), name: 'x' }), null)
  assert.equal(await one.createKey({ ...PLAIN, projectId: ids.uuid() }), null)
  assert.deepEqual(await one.setKeyState(ids.uuid(), 'paused'), { ok: false, reason: 'unknown' })
})
