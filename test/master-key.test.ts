import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { SetupError } from '../src/cli/index.ts'
import { silentLog } from '../src/kernel/index.ts'
import { preflight } from '../src/preflight.ts'
import { testDatabase } from './database.ts'

/** Two hosts, one database: what must be the same on both is found out before anything is served. */

const ROOT = join(import.meta.dirname, '..')
const FIRST = 'the master key of the first host'
const OTHER = 'the master key of another host'

const check = (databaseUrl: string, masterKey: string, replaceMasterKey = false): Promise<void> =>
  preflight({ databaseUrl, masterKey, replaceMasterKey, log: silentLog })

test('a database belongs to the master key that came first, until that one is given up', async (t) => {
  const { url } = await testDatabase(t)
  const atOnce = await Promise.allSettled(
    Array.from({ length: 8 }, (_, host) => check(url, host % 2 === 0 ? FIRST : OTHER)),
  )
  const served = atOnce.flatMap(({ status }, host) => (status === 'fulfilled' ? [host % 2] : []))
  assert.equal(served.length, 4, 'all hosts of one key, none of the other')
  assert.equal(new Set(served).size, 1)
  const [first, other] = served[0] === 0 ? [FIRST, OTHER] : [OTHER, FIRST]
  await check(url, first)
  await check(url, first, true)
  await assert.rejects(check(url, other), SetupError)
  await check(url, other, true)
  await check(url, other)
  await assert.rejects(check(url, first), /another master key/)
})

test('what is kept of the key is none of its keys', async (t) => {
  const { url, database } = await testDatabase(t)
  await check(url, FIRST)
  const stored = JSON.stringify(await database.query('select * from tenancy.master_key'))
  assert.ok(!stored.includes(FIRST))
  const { check_sha256: kept } = await database.one<{ check_sha256: Buffer }>(
    'select check_sha256 from tenancy.master_key',
  )
  assert.equal(kept.length, 32)
})

/** Starts the server as people do. @returns the exit code, null when it had to be ended, and what it said */
async function started(t: TestContext, env: Record<string, string>) {
  const home = await mkdtemp(join(tmpdir(), 'forge-start-'))
  t.after(() => rm(home, { recursive: true, force: true }))
  const child = spawn(process.execPath, [join(ROOT, 'src/main.ts'), 'start', '--port', '0'], {
    cwd: home,
    env: { PATH: process.env['PATH'] ?? '', FORGE_DATA_DIR: join(home, 'data'), ...env },
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (said.includes('is ready:')) child.kill('SIGTERM')
    })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, said }
}

test('a host with another key than the first one is told so and does not start', async (t) => {
  const { url } = await testDatabase(t)
  const first = await started(t, { DATABASE_URL: url })
  assert.match(first.said, /is ready:/)
  const second = await started(t, { DATABASE_URL: url })
  assert.equal(second.code, 3, second.said)
  assert.match(second.said, /belongs to another master key/)
  assert.match(second.said, /FORGE_REPLACE_MASTER_KEY=true/)
  assert.doesNotMatch(second.said, /is ready:/)
})

/** A pooler that takes connections and drops what they ask for as they begin. */
async function forgetfulPooler(t: TestContext, databaseUrl: string): Promise<string> {
  const url = new URL(databaseUrl)
  const host = url.searchParams.get('host') ?? url.hostname
  const port = Number.parseInt(url.searchParams.get('port') ?? (url.port || '5432'), 10)
  const server = createServer((client) => {
    const upstream = createConnection(
      host.startsWith('/') ? { path: join(host, `.s.PGSQL.${port}`) } : { host, port },
    )
    client.once('data', (first) => {
      const text = first.toString('latin1').replace(/-c role=\w+/, (option) => ' '.repeat(option.length))
      upstream.write(Buffer.from(text, 'latin1'))
      client.pipe(upstream)
    })
    upstream.pipe(client)
    upstream.on('error', () => client.destroy())
    client.on('error', () => upstream.destroy())
    client.on('close', () => upstream.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const address = server.address()
  assert.ok(address !== null && typeof address === 'object')
  url.searchParams.delete('host')
  url.searchParams.delete('port')
  url.hostname = '127.0.0.1'
  url.port = String(address.port)
  return url.href
}

test('behind a pooler that drops the role nothing is served: all customers would be one', async (t) => {
  const { url } = await testDatabase(t)
  await assert.rejects(
    check(await forgetfulPooler(t, url), FIRST),
    (thrown) => thrown instanceof SetupError && /forge_tenant.*pooler/.test(thrown.message),
  )
})
