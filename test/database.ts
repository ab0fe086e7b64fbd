import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { lstat, mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import {
  type Database,
  type EmbeddedDatabase,
  migrate,
  openDatabase,
  type Queryable,
  startEmbedded,
} from '../src/db/index.ts'
import { silentLog } from '../src/kernel/index.ts'

/**
 * Real databases for tests. One embedded server is shared by all test files of this checkout and left running between
 * them; every caller gets a database of its own, cloned from a migrated template. TEST_DATABASE_URL names another
 * server (a superuser of it); KEEP_DB=1 keeps the database of a test that failed.
 */

export interface TestDatabase {
  /** URL of the owner, for code that opens its own pool; for a role, see `appRole`. */
  readonly url: string
  /** The owner: may do everything. */
  readonly database: Database
  /** What the gateway may do. The owner while the migrations make no role forge_app. */
  readonly app: Database
  readonly appRole: string | undefined
}

export interface TestDatabaseOptions {
  /** Fsync on, on a server of its own: for tests that cut the power or measure. */
  readonly durable?: boolean
  /** False: an empty database instead of a migrated one. */
  readonly migrated?: boolean
}

/** A test context, or `{ after }` of node:test for a whole file. */
interface Scope {
  after(fn: () => Promise<void>): void
  readonly error?: unknown
}

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MIGRATIONS = join(ROOT, 'migrations')
const APP_ROLE = 'forge_app'
const IDLE_STOP_MS = 10 * 60_000
const IDLE_CHECK_MS = 20_000
const WATCHER = 'tokens-forge test watcher'
/** Any constant; held in the server's first database while templates are made. */
const TEMPLATE_KEY = 8_215_330_771
const WATCHER_KEY = 8_215_330_772

/** A database of the caller's own; dropped, and its pools closed, after the scope. */
export async function testDatabase(scope: Scope, options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const server = await sharedServer(options.durable ?? false)
  const template = (options.migrated ?? true) ? await server.template() : 'template0'
  const name = `test_${process.pid}_${randomBytes(5).toString('hex')}`
  await server.admin.query(`create database ${name} template ${template} strategy file_copy`)
  const url = withDatabase(server.url, name)
  const database = openDatabase({ connection: url, log: silentLog, max: 10 })
  const role = await database.maybeOne('select from pg_roles where rolname = $1', [APP_ROLE])
  const appRole = role === null ? undefined : APP_ROLE
  const app =
    appRole === undefined
      ? database
      : openDatabase({ connection: url, log: silentLog, role: appRole, max: 10 })
  scope.after(async () => {
    await Promise.all([database.close(), app.close()])
    const failed = 'error' in scope && scope.error !== null && scope.error !== undefined
    if (failed && process.env['KEEP_DB'] === '1') {
      console.error(`kept: ${withDatabase(server.url, await keep(server.admin, name))}`)
    } else {
      await server.admin.query(`drop database ${name} with (force)`)
    }
  })
  return { url, database, app, appRole }
}

/** Under a name that the sweep of dead processes' databases does not touch. */
async function keep(admin: Database, name: string): Promise<string> {
  const kept = `kept_${name}`
  await admin.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name])
  await admin.query(`alter database ${name} rename to ${kept}`)
  return kept
}

function withDatabase(url: string, name: string): string {
  const parsed = new URL(url)
  parsed.pathname = `/${name}`
  return parsed.toString()
}

interface Server {
  readonly url: string
  readonly admin: Database
  /** The name of the migrated template, made by the first who asks. */
  template(): Promise<string>
}

const servers = new Map<boolean, Promise<Server>>()

function sharedServer(durable: boolean): Promise<Server> {
  const known = servers.get(durable) ?? connectServer(durable)
  servers.set(durable, known)
  return known
}

async function connectServer(durable: boolean): Promise<Server> {
  const given = process.env['TEST_DATABASE_URL'] ?? ''
  const url = given === '' ? await embeddedServer(durable) : given
  // One connection: making databases is done one at a time by the server anyway.
  const admin = openDatabase({
    connection: url,
    log: silentLog,
    max: 1,
    statementTimeoutMs: 60_000,
    exitOnIdle: true,
  })
  if (given === '') await sweep(admin)
  let made: Promise<string> | null = null
  return {
    url,
    admin,
    template() {
      made ??= makeTemplate(url)
      return made
    },
  }
}

async function embeddedServer(durable: boolean): Promise<string> {
  const dataDir = await serverDir(durable)
  const start = (): Promise<EmbeddedDatabase> =>
    startEmbedded({ dataDir, log: silentLog, durable, supervise: false })
  const server = await start().catch(async () => {
    // Without fsync a power cut may have ruined the files; nothing in them is worth keeping.
    await rm(dataDir, { recursive: true, force: true })
    return await start()
  })
  const admin = openDatabase({ connection: server.url, log: silentLog, max: 1 })
  const watched = await admin.maybeOne('select from pg_stat_activity where application_name = $1 limit 1', [
    WATCHER,
  ])
  await admin.close()
  if (watched === null) {
    const watcher = spawn(process.execPath, [fileURLToPath(import.meta.url), dataDir], {
      cwd: '/',
      env: {},
      stdio: 'ignore',
      detached: true,
    })
    watcher.unref()
  }
  return server.url
}

/** Below the temporary folder, one a user and checkout, and nobody else's. */
async function serverDir(durable: boolean): Promise<string> {
  const uid = process.getuid?.() ?? 0
  const manifest = await readFile(join(ROOT, 'package.json'), 'utf8')
  const key = createHash('sha256').update(`${ROOT}\n${manifest}`).digest('hex').slice(0, 8)
  const dir = join(tmpdir(), `forge-test-${uid}-${key}${durable ? '-durable' : ''}`)
  await mkdir(dir, { recursive: true, mode: uid === 0 ? 0o711 : 0o700 })
  const found = await lstat(dir)
  if (!found.isDirectory() || found.uid !== uid) throw new Error(`${dir} belongs to someone else`)
  return dir
}

/** Databases of test processes that died before they could drop them. */
async function sweep(admin: Database): Promise<void> {
  const rows = await admin.query<{ datname: string }>(
    `select datname from pg_database where datname ~ '^test_[0-9]+_'`,
  )
  for (const { datname } of rows) {
    const pid = Number.parseInt(datname.split('_')[1] ?? '', 10)
    if (!isAlive(pid)) await admin.query(`drop database if exists ${datname} with (force)`)
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Named by what is in the migrations; the template flag says that it is finished. */
async function makeTemplate(url: string): Promise<string> {
  const name = `forge_template_${await migrationsDigest()}`
  const session = openDatabase({ connection: url, log: silentLog, max: 1, statementTimeoutMs: 60_000 })
  const turn = await session.connect()
  try {
    await turn.query(`select pg_advisory_lock(${TEMPLATE_KEY})`)
    const found = await turn.maybeOne<{ datistemplate: boolean }>(
      'select datistemplate from pg_database where datname = $1',
      [name],
    )
    if (found?.datistemplate === true) return name
    await turn.query(`drop database if exists ${name} with (force)`)
    await turn.query(`create database ${name} template template0 strategy file_copy`)
    await migrate(withDatabase(url, name), { dir: MIGRATIONS })
    await turn.query(`alter database ${name} with is_template true`)
    await dropOldTemplates(turn)
    return name
  } finally {
    await turn.close()
    await session.close()
  }
}

/** Those of earlier versions of the migrations; a few stay, since a run that began before an edit may still need one. */
async function dropOldTemplates(session: Queryable): Promise<void> {
  const old = await session.query<{ datname: string }>(
    `select datname from pg_database where datname ~ '^forge_template_' order by oid desc offset 5`,
  )
  for (const { datname } of old) {
    await session.query(`alter database ${datname} with is_template false`)
    await session.query(`drop database ${datname} with (force)`)
  }
}

async function migrationsDigest(): Promise<string> {
  const hash = createHash('sha256')
  for (const name of (await readdir(MIGRATIONS).catch(() => [])).sort()) {
    hash.update(`${name}\n`).update(await readFile(join(MIGRATIONS, name)))
  }
  return hash.digest('hex').slice(0, 12)
}

/** Runs as a process of its own: takes the server down when nobody has used it for a while. */
async function watch(dataDir: string): Promise<void> {
  const server = await startEmbedded({ dataDir, log: silentLog, supervise: false })
  const database = openDatabase({ connection: server.url, log: silentLog, max: 1, applicationName: WATCHER })
  const own = await database.connect()
  const { alone } = await own.one<{ alone: boolean }>(`select pg_try_advisory_lock(${WATCHER_KEY}) as alone`)
  for (let idleMs = 0; alone && idleMs < IDLE_STOP_MS; idleMs += IDLE_CHECK_MS) {
    await sleep(IDLE_CHECK_MS)
    // Two connections are this process's own: this one, and the one that keeps the server.
    const { busy } = await own.one<{ busy: boolean }>(
      `select count(*) > 2 as busy from pg_stat_activity where backend_type = 'client backend'`,
    )
    if (busy) idleMs = 0
  }
  await own.close()
  await (alone ? server.stop() : server.release())
}

if (import.meta.main) {
  const [dataDir] = process.argv.slice(2)
  // A server that went away (someone removed the folder) leaves nothing to watch.
  if (dataDir !== undefined) await watch(dataDir).catch(() => undefined)
}
