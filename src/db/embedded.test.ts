import assert from 'node:assert/strict'
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { silentLog } from '../kernel/index.ts'
import { clusterPaths } from './cluster.ts'
import { linkLibraries } from './embedded-binaries.ts'
import { EmbeddedFault, isConnectionLoss, openDatabase, startEmbedded } from './index.ts'
import { postmasterPid } from './postmaster.ts'

const asRoot = process.getuid?.() === 0
const INDEX = new URL('./index.ts', import.meta.url).href
/** A gateway reduced to its database: prints its URL, stops on a line of input. */
const GATEWAY = `const { startEmbedded } = await import(${JSON.stringify(INDEX)})
const log = { debug() {}, info() {}, warn() {}, error() {} }
const database = await startEmbedded({ dataDir: process.argv[1], log, durable: false })
console.log(JSON.stringify({ adopted: database.adopted, url: database.url }))
process.stdin.once('data', async () => { await database.stop(); process.exit(0) })`

interface Gateway {
  readonly process: ChildProcess
  readonly adopted: boolean
  readonly url: string
  stop(): Promise<void>
  kill(): Promise<void>
}

async function gateway(dataDir: string, options: SpawnOptions = {}): Promise<Gateway> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', GATEWAY, dataDir], {
    cwd: '/',
    ...options,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [line] = await once(child.stdout ?? child, 'data')
  const ready = JSON.parse(String(line)) as { adopted: boolean; url: string }
  const exited = once(child, 'exit')
  return {
    process: child,
    ...ready,
    async stop() {
      child.stdin?.write('stop\n')
      assert.deepEqual(await exited, [0, null])
    },
    async kill() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

async function ask(url: string, text: string): Promise<readonly object[]> {
  const database = openDatabase({ connection: url, log: silentLog, max: 1 })
  try {
    return await database.query(text)
  } finally {
    await database.close()
  }
}

async function serverProcesses(postmaster: number): Promise<number[]> {
  const found = [postmaster]
  for (const entry of await readdir('/proc')) {
    const line = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '')
    const parent = line.slice(line.lastIndexOf(')') + 2).split(' ')[1]
    if (parent === String(postmaster)) found.push(Number.parseInt(entry, 10))
  }
  return found
}

async function newDataDir(): Promise<string> {
  return join(await mkdtemp(join(tmpdir(), 'forge-db-')), 'data')
}

async function pidOf(dataDir: string): Promise<number | null> {
  return await postmasterPid(await clusterPaths(dataDir))
}

/** One that went down with another before its turn is dead all the same. */
function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'ESRCH')) throw thrown
  }
}

describe('one data directory', () => {
  let dataDir = ''
  const start = () => startEmbedded({ dataDir, log: silentLog, durable: false })

  before(async () => {
    dataDir = await newDataDir()
    // Another user must be able to come to it; mkdtemp makes it ours alone.
    if (asRoot) await chmod(join(dataDir, '..'), 0o711)
  })
  after(async () => {
    assert.equal(await pidOf(dataDir), null, 'a server was left behind')
    await rm(join(dataDir, '..'), { recursive: true })
  })

  test('an initdb that was cut short is done again, and secrets are for their owner only', async () => {
    const half = join(dataDir, 'postgres.new-abc')
    await mkdir(join(half, 'global'), { recursive: true })
    await writeFile(join(half, 'PG_VERSION'), '18')
    const lines: string[] = []
    const server = await startEmbedded({
      dataDir,
      log: silentLog,
      durable: false,
      onProgress: (line) => lines.push(line),
    })
    assert.equal(server.adopted, false)
    assert.equal(lines[0], 'preparing database files')
    const left = (await readdir(dataDir)).filter((entry) => entry.startsWith('postgres.new'))
    assert.deepEqual(left, [])
    assert.equal((await stat(join(dataDir, 'postgres-password'))).mode & 0o777, 0o600)
    const row = await ask(
      server.url,
      `select current_setting('server_encoding') as encoding, current_setting('data_checksums') as checksums,
        current_setting('listen_addresses') as addresses, current_setting('password_encryption') as password, 'B' < 'a' as c`,
    )
    assert.deepEqual(row, [
      { encoding: 'UTF8', checksums: 'on', addresses: '', password: 'scram-sha-256', c: true },
    ])
    await ask(server.url, 'create table kept (amount int8)')
    await server.stop()
    assert.equal(await pidOf(dataDir), null)
  })

  test('a wrong password is refused, also on the socket', async () => {
    const server = await start()
    const url = new URL(server.url)
    url.password = 'guess'
    await assert.rejects(ask(url.toString(), 'select 1'), /password authentication failed/)
    await server.stop()
  })

  test('eight that start at once share one server, and it stays until the last one stops', async () => {
    const servers = await Promise.all(Array.from({ length: 8 }, start))
    assert.equal(servers.filter((server) => !server.adopted).length, 1)
    assert.equal(new Set(servers.map((server) => server.url)).size, 1)
    const [last, ...others] = servers
    assert.ok(last !== undefined)
    await Promise.all(others.map((server) => server.stop()))
    assert.equal((await ask(last.url, 'select 1')).length, 1)
    await last.stop()
    assert.equal(await pidOf(dataDir), null)
  })

  test('a server whose gateway was killed alone is adopted with what was committed', async () => {
    const killed = await gateway(dataDir)
    await ask(killed.url, 'insert into kept values (1)')
    const pid = await pidOf(dataDir)
    await killed.kill()
    const server = await start()
    assert.equal(server.adopted, true)
    assert.equal(await pidOf(dataDir), pid)
    assert.deepEqual(await ask(server.url, 'select amount from kept'), [{ amount: 1n }])
    await server.stop()
    assert.equal(await pidOf(dataDir), null)
  })

  test('after SIGKILL of everything, even with the old pid in use by another program, the next start works', async () => {
    const killed = await gateway(dataDir)
    await ask(killed.url, 'insert into kept values (2)')
    const pid = await pidOf(dataDir)
    assert.ok(pid !== null)
    const all = await serverProcesses(pid)
    assert.ok(all.length > 3)
    killed.process.kill('SIGKILL')
    for (const each of all) killNow(each)
    const file = join(dataDir, 'postgres', 'postmaster.pid')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace(String(pid), String(process.pid)))
    const server = await start()
    assert.equal(server.adopted, false)
    assert.equal((await ask(server.url, 'select amount from kept')).length, 2)
    await server.stop()
  })

  test('a postmaster killed alone, with a backend still computing, does not hinder the next start', async () => {
    const killed = await gateway(dataDir)
    const database = openDatabase({ connection: killed.url, log: silentLog, statementTimeoutMs: 60_000 })
    const busy = database
      .query('select count(*) from generate_series(1, 1000000000)')
      .catch((thrown: unknown) => thrown)
    for (;;) {
      const running = await ask(
        killed.url,
        `select from pg_stat_activity where query like 'select count(*) from gen%'`,
      )
      if (running.length > 0) break
    }
    const pid = await pidOf(dataDir)
    assert.ok(pid !== null)
    killed.process.kill('SIGKILL')
    process.kill(pid, 'SIGKILL')
    const server = await start()
    assert.equal(server.adopted, false)
    assert.ok(isConnectionLoss(await busy))
    await database.close()
    await server.stop()
  })

  test('a server that dies under a gateway comes back by itself, and pools find it', async () => {
    const server = await start()
    const database = openDatabase({ connection: server.url, log: silentLog, max: 2 })
    await database.query('select 1')
    const pid = await pidOf(dataDir)
    assert.ok(pid !== null)
    process.kill(pid, 'SIGKILL')
    const untilMs = Date.now() + 5_000
    for (;;) {
      const rows = await database.query('select amount from kept').catch((thrown: unknown) => {
        assert.ok(isConnectionLoss(thrown), String(thrown))
        return null
      })
      const now = await pidOf(dataDir)
      if (rows !== null && now !== null && now !== pid) break
      assert.ok(Date.now() < untilMs, 'not back within 5 s')
    }
    await database.close()
    await server.stop()
    assert.equal(await pidOf(dataDir), null)
  })

  test('files that are not ours are neither used nor removed', async () => {
    const other = await mkdtemp(join(tmpdir(), 'forge-db-'))
    await mkdir(join(other, 'postgres'))
    await writeFile(join(other, 'postgres', 'thesis.txt'), 'x')
    const refused = startEmbedded({ dataDir: other, log: silentLog })
    await assert.rejects(
      refused,
      (thrown) => thrown instanceof EmbeddedFault && /is not empty/.test(thrown.message),
    )
    assert.deepEqual(await readdir(join(other, 'postgres')), ['thesis.txt'])
    await rm(other, { recursive: true })
  })
})

test('a data directory whose path is too long for a socket works all the same', async (t) => {
  const base = await newDataDir()
  t.after(() => rm(join(base, '..'), { recursive: true }))
  const dataDir = join(base, 'long'.repeat(30))
  const server = await startEmbedded({ dataDir, log: silentLog, durable: false })
  assert.equal((await ask(server.url, 'select 1')).length, 1)
  const { socketDir } = await clusterPaths(dataDir)
  assert.ok(!socketDir.startsWith(dataDir))
  assert.equal((await stat(socketDir)).mode & 0o777, 0o700)
  await server.stop()
  await rm(socketDir, { recursive: true })
})

test('library links are made where they are missing, again and again', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'forge-links-'))
  t.after(() => rm(dir, { recursive: true }))
  const native = join(dir, 'native')
  await mkdir(join(native, 'lib'), { recursive: true })
  await writeFile(join(native, 'lib', 'libx.so.1.2'), 'library')
  const links = [{ source: 'native/lib/libx.so.1.2', target: 'native/lib/libx.so.1' }]
  await writeFile(join(native, 'pg-symlinks.json'), JSON.stringify(links))
  await symlink('nowhere', join(native, 'lib', 'libx.so.1'))
  for (let i = 0; i < 2; i++) {
    assert.equal(await linkLibraries(native, join(dir, 'fallback')), false)
    assert.equal(await readFile(join(native, 'lib', 'libx.so.1'), 'utf8'), 'library')
  }
})

// As an ordinary user the whole file shows this already.
if (asRoot) {
  test('what an ordinary user made, root goes on with, and the user again', async (t) => {
    const user = { uid: 65_534, gid: 65_534 }
    const dataDir = await newDataDir()
    const parent = join(dataDir, '..')
    t.after(() => rm(parent, { recursive: true }))
    await chown(parent, user.uid, user.gid)
    const reach = spawn('/bin/sh', ['-c', 'test -r "$1"', 'sh', new URL(INDEX).pathname], {
      ...user,
      stdio: 'ignore',
    })
    const [code] = await once(reach, 'exit')
    if (code !== 0) return t.diagnostic('this checkout is out of reach for an ordinary user')
    for (const who of [user, {}, user]) {
      const server = await gateway(dataDir, who)
      assert.equal(server.adopted, false)
      await ask(server.url, 'create table if not exists kept (amount int8)')
      await server.stop()
    }
  })
}
