import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { type TestDatabase, testDatabase } from '../../test/database.ts'
import { createIdSource, type Log, type LogFields, silentLog, systemClock } from '../kernel/index.ts'
import { ConfigFaults } from './fault.ts'
import { type Catalog, type CatalogOptions, openCatalog } from './source.ts'
import type { CatalogSnapshot } from './types.ts'

const POLL_NEVER_MS = 3_600_000

const db = await testDatabase({ after })

function fileOf(input: string, model = 'm', bucket = 'rmb'): string {
  return JSON.stringify({
    buckets: { spare: { currency: 'EUR' } },
    channels: { a: { protocol: 'openai', base_url: 'http://127.0.0.1:1/v1' } },
    models: {
      [model]: {
        context: 1000,
        max_output: 100,
        routes: {
          r: { type: 'ordinary', bucket, price: { input, output: '2' }, channels: [{ channel: 'a' }] },
        },
      },
    },
  })
}

/** A real file in a folder of its own, and what the catalog logged about it. */
function fixture(t: TestContext, text: string) {
  const dir = mkdtempSync(join(tmpdir(), 'forge-catalog-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const path = join(dir, 'forge.yaml')
  writeFileSync(path, text)
  const logged: LogFields[] = []
  const waiting: Array<() => void> = []
  const note = (fields: LogFields): void => {
    logged.push(fields)
    for (const wake of waiting.splice(0)) wake()
  }
  const log: Log = { ...silentLog, warn: note, error: note }
  return { path, logged, log, nextLog: () => new Promise<void>((resolve) => waiting.push(resolve)) }
}

async function open(
  t: TestContext,
  options: Partial<CatalogOptions> & Pick<CatalogOptions, 'configPath'>,
): Promise<Catalog> {
  const catalog = await openCatalog({
    database: db.app,
    env: {},
    ids: createIdSource(systemClock.nowMs, randomBytes),
    clock: systemClock,
    log: silentLog,
    sandboxUrl: () => 'http://127.0.0.1:9/v1',
    ...options,
  })
  t.after(() => catalog.close())
  return catalog
}

function nextChange(catalog: Catalog): Promise<CatalogSnapshot> {
  return new Promise((resolve) => {
    const end = catalog.onChange((snapshot) => {
      end()
      resolve(snapshot)
    })
  })
}

function inputOf(snapshot: CatalogSnapshot, model = 'm'): string | undefined {
  return snapshot.models.get(model)?.routes[0]?.prices[0]?.sheet.rates.input?.text
}

test('a change of the file is in force without a restart, as a snapshot of its own', async (t) => {
  const { path, log } = fixture(t, fileOf('1'))
  const catalog = await open(t, { configPath: path, log, pollMs: POLL_NEVER_MS })
  const before = catalog.snapshot()
  const changed = nextChange(catalog)
  writeFileSync(path, fileOf('3'))
  assert.equal(inputOf(await changed), '3')
  assert.equal(inputOf(before), '1')
  assert.ok(catalog.snapshot().revision > before.revision)
  assert.notEqual(
    catalog.snapshot().models.get('m')?.routes[0]?.prices[0]?.id,
    before.models.get('m')?.routes[0]?.prices[0]?.id,
  )
})

test('a file that is replaced by a rename, as editors do, is still followed, again and again', async (t) => {
  const { path, log } = fixture(t, fileOf('1'))
  const catalog = await open(t, { configPath: path, log, pollMs: POLL_NEVER_MS })
  for (const input of ['4', '5', '6']) {
    const changed = nextChange(catalog)
    writeFileSync(`${path}.new`, fileOf(input))
    renameSync(`${path}.new`, path)
    assert.equal(inputOf(await changed), input)
  }
})

test('a change that the watched folder does not report is found by polling', async (t) => {
  const real = fixture(t, fileOf('1'))
  const { path, log } = fixture(t, '')
  rmSync(path)
  symlinkSync(real.path, path)
  const catalog = await open(t, { configPath: path, log, pollMs: 5, debounceMs: 5 })
  const changed = nextChange(catalog)
  writeFileSync(real.path, fileOf('7'))
  assert.equal(inputOf(await changed), '7')
})

test('a file that is emptied does not replace the models in force by the starter catalog', async (t) => {
  const { path, log, nextLog } = fixture(t, fileOf('1'))
  const catalog = await open(t, { configPath: path, log, pollMs: POLL_NEVER_MS })
  const reported = nextLog()
  writeFileSync(path, '')
  await reported
  assert.deepEqual([...catalog.snapshot().models.keys()], ['m'])
})

test('a faulty file leaves the last good one in force, each fault is logged once, and mending it heals', async (t) => {
  const { path, log, logged, nextLog } = fixture(t, fileOf('1'))
  const catalog = await open(t, { configPath: path, log, pollMs: POLL_NEVER_MS })
  const good = catalog.snapshot()
  const reported = nextLog()
  writeFileSync(path, fileOf('-1', 'm', 'rbm'))
  await reported
  const faults = [
    'models.m.routes.r.price.input: a price cannot be negative',
    'models.m.routes.r.bucket: there is no bucket "rbm" (did you mean "rmb"?)',
  ]
  assert.deepEqual(
    logged.map(({ fault }) => fault),
    faults,
  )
  const again = await catalog.reload()
  assert.equal(again.ok, false)
  assert.equal(again.faults.length, 2)
  assert.equal(logged.length, 2)
  assert.equal(catalog.snapshot(), good)
  const changed = nextChange(catalog)
  writeFileSync(path, fileOf('8'))
  assert.equal(inputOf(await changed), '8')
})

test('a file that vanishes leaves the last good one in force', async (t) => {
  const { path, log } = fixture(t, fileOf('1'))
  const catalog = await open(t, { configPath: path, log, pollMs: POLL_NEVER_MS })
  rmSync(path)
  const { ok, faults } = await catalog.reload()
  assert.equal(ok, false)
  assert.match(faults[0]?.problem ?? '', /cannot be read/)
  assert.equal(inputOf(catalog.snapshot()), '1')
})

test('the first load of a faulty file throws every fault', async (t) => {
  const { path } = fixture(t, fileOf('x', 'M'))
  await assert.rejects(open(t, { configPath: path }), (thrown: unknown) => {
    assert.ok(thrown instanceof ConfigFaults)
    assert.deepEqual(
      thrown.faults.map((fault) => fault.path),
      ['models.M.routes.r.price.input', 'models.M'],
    )
    assert.match(thrown.message, /2 fault/)
    return true
  })
})

test('a bucket that was priced in one currency cannot become another', async (t) => {
  const { path, log } = fixture(t, fileOf('1', 'euro-model', 'spare'))
  const catalog = await open(t, { configPath: path, log, pollMs: POLL_NEVER_MS })
  writeFileSync(path, fileOf('1', 'euro-model', 'spare').replace('EUR', 'JPY'))
  const { faults } = await catalog.reload()
  assert.deepEqual(faults, [
    {
      path: 'buckets.spare.currency',
      problem: 'was EUR before and cannot change; use a bucket of another name',
    },
  ])
  assert.equal(catalog.snapshot().buckets.get('spare')?.currency, 'EUR')
})

test('a database that fails for a while is no loss: the change comes into force once it answers', async (t) => {
  const { path, log } = fixture(t, fileOf('1'))
  let failures = 0
  const database: TestDatabase['app'] = {
    ...db.app,
    query: (...args) => (failures-- > 0 ? Promise.reject(new Error('no database')) : db.app.query(...args)),
  }
  const catalog = await open(t, { configPath: path, log, database, pollMs: 20 })
  failures = 2
  const changed = nextChange(catalog)
  writeFileSync(path, fileOf('9'))
  assert.equal(inputOf(await changed), '9')
})

test('reloads at the same time come into force one after the other, and a listener that throws harms none', async (t) => {
  const { path, log } = fixture(t, fileOf('1'))
  const catalog = await open(t, { configPath: path, log, pollMs: POLL_NEVER_MS })
  const revisions: number[] = []
  catalog.onChange(() => {
    throw new Error('listener')
  })
  catalog.onChange(({ revision }) => revisions.push(revision))
  const { revision } = catalog.snapshot()
  await Promise.all(Array.from({ length: 5 }, () => catalog.reload()))
  assert.deepEqual(
    revisions,
    [1, 2, 3, 4, 5].map((n) => revision + n),
  )
})

test('without a file, or with one that names no model, the starter catalog is served by the sandbox', async (t) => {
  const { path } = fixture(t, 'channels: {own: {protocol: openai, base_url: "http://h"}}')
  for (const configPath of [null, path]) {
    const catalog = await open(t, { configPath })
    const snapshot = catalog.snapshot()
    assert.ok(snapshot.models.size > 0)
    for (const model of snapshot.models.values())
      for (const route of model.routes)
        assert.deepEqual(
          route.channels.map(({ channel }) => channel.name),
          ['sandbox'],
        )
    assert.equal(snapshot.channels.get('sandbox')?.baseUrl, 'http://127.0.0.1:9/v1')
    assert.equal(snapshot.channels.has('own'), configPath !== null)
  }
})

test('a closed catalog still answers with its last snapshot and reloads no more', async (t) => {
  const { path, log } = fixture(t, fileOf('1'))
  const catalog = await open(t, { configPath: path, log })
  await catalog.close()
  assert.equal((await catalog.reload()).ok, false)
  assert.equal(inputOf(catalog.snapshot()), '1')
})
