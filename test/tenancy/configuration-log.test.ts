import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openCatalog } from '../../src/catalog/index.ts'
import { createIdSource, silentLog, systemClock } from '../../src/kernel/index.ts'
import { testDatabase } from '../database.ts'

const yaml = (price: string, more = '') => `
channels:
  direct: {protocol: openai, base_url: 'http://127.0.0.1:9/v1', api_key: sk-CANARY, public_name: Direct}
${more}models:
  m-one:
    context: 128000
    max_output: 16384
    routes:
      official:
        type: official
        bucket: credit
        price: {input: "${price}", output: "10.00"}
        channels: [{channel: direct, upstream_model: m-direct}]
`

const pathsOf = (side: object | null | undefined): string[] =>
  Object.keys(side ?? {}).sort((a, b) => (a < b ? -1 : 1))

test('a changed configuration is in the log of changes once, with what differs and without its secrets', async (t) => {
  const { app, database: owner } = await testDatabase(t)
  const home = await mkdtemp(join(tmpdir(), 'forge-configuration-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const configPath = join(home, 'forge.yaml')
  await writeFile(configPath, yaml('2.50'))
  const open = () =>
    openCatalog({
      database: app,
      configPath,
      env: {},
      clock: systemClock,
      ids: createIdSource(systemClock.nowMs, randomBytes),
      log: silentLog,
      sandboxUrl: () => 'http://127.0.0.1:9',
      pollMs: 3_600_000,
    })
  const events = async () =>
    await owner.query<{ before: Record<string, string | null> | null; after: Record<string, string | null> }>(
      `select before, after from tenancy.audit_event where action = 'configuration.change' order by seq`,
    )
  const catalogs = await Promise.all([open(), open(), open()])
  t.after(async () => {
    await Promise.all(catalogs.map((catalog) => catalog.close()))
  })
  const [first, ...more] = await events()
  assert.deepEqual(more, [], 'three processes, one change')
  assert.equal(first?.before, null)
  assert.deepEqual(pathsOf(first?.after), [
    'buckets.credit',
    'buckets.rmb',
    'channels.direct',
    'models.m-one',
    'models.m-one.routes.official',
  ])

  await writeFile(
    configPath,
    yaml('2.75', `  relay: {protocol: openai, base_url: 'http://127.0.0.1:9/v1', api_key: k}\n`),
  )
  for (const reloaded of await Promise.all(catalogs.map((catalog) => catalog.reload())))
    assert.ok(reloaded.ok)
  const [, second, ...third] = await events()
  assert.deepEqual(third, [])
  assert.deepEqual(pathsOf(second?.after), ['channels.relay', 'models.m-one.routes.official'])
  assert.equal(second?.before?.['channels.relay'], null)
  assert.notEqual(
    second?.before?.['models.m-one.routes.official'],
    second?.after['models.m-one.routes.official'],
  )

  await writeFile(configPath, 'models: {')
  assert.equal((await catalogs[0].reload()).ok, false)
  assert.equal((await events()).length, 2, 'what is not put in force is no change')
  const stored = JSON.stringify([
    await events(),
    await owner.query('select content from catalog.configuration'),
  ])
  assert.ok(!stored.includes('CANARY'))
  await assert.rejects(owner.query(`update catalog.configuration set content = '{}'`), /append-only/)
})
