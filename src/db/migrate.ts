import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { errorText, type Log, silentLog } from '../kernel/index.ts'
import { connectDedicated, type DedicatedConnection } from './connection.ts'
import { isUniqueViolation, sqlState } from './errors.ts'

/**
 * Numbered SQL files, applied in order, one transaction each, append only. The table of what was applied is compared
 * with the files before anything is done: a start on a schema that is not the one the code was written for would
 * misread money.
 */

/** The files and the database do not fit together, or a file failed; the message names the file. */
export class MigrationError extends Error {
  override name = 'MigrationError'
}

export interface MigrateOptions {
  /** The folder of `NNNN_name.sql` files. */
  readonly dir: string
  readonly log?: Log
  /**
   * How long a statement waits for a lock before the file is rolled back and tried again: behind a waiting DDL every
   * reader of the table would queue up.
   */
  readonly lockTimeoutMs?: number
}

export interface Migrated {
  /** File names applied by this call, in order. */
  readonly applied: readonly string[]
  /** The highest number in the database; 0 for none. */
  readonly version: number
}

interface MigrationFile {
  readonly number: number
  readonly name: string
  readonly sql: string
  readonly sha256: string
}

interface AppliedRow {
  readonly number: number
  readonly name: string
  readonly sha256: string
}

const FILE_NAME = /^(\d{4})_[a-z0-9_]+\.sql$/
const SERVER_VERSION_MIN = 150_000
const LOCK_TIMEOUT_MS = 500
const LOCK_ATTEMPTS = 30
const LOCK_PAUSE_MS = 200
/** Another process may be running long files; then it is done and we have nothing left to do. */
const TURN_TIMEOUT_MS = 300_000
/** Any constant that no other user of advisory locks picks. */
const TURN_KEY = 7_406_211_945

const CREATE_TABLE = `create table if not exists public.forge_migration (
  number int primary key,
  name text not null,
  sha256 text not null,
  applied_at timestamptz not null default clock_timestamp()
)`

/**
 * Brings the database to the files' version. Any number of processes may call it at once; each file is applied once.
 * @param connection URL of the user who owns the schema
 * @throws MigrationError (edited, missing or unknown file, failing SQL, old server), or a connection error
 */
export async function migrate(connection: string, options: MigrateOptions): Promise<Migrated> {
  const log = options.log ?? silentLog
  const files = await readMigrations(options.dir)
  const session = await openSession(connection, log)
  try {
    await requireServerVersion(session)
    await session.query(`set lock_timeout = ${TURN_TIMEOUT_MS}`)
    await session.query(`select pg_advisory_lock(${TURN_KEY})`)
    await session.query(CREATE_TABLE)
    const applied: string[] = []
    for (;;) {
      const next = pendingOf(files, await appliedRows(session))[0]
      if (next === undefined) return { applied, version: files.at(-1)?.number ?? 0 }
      if (await applyFile(session, next, options.lockTimeoutMs ?? LOCK_TIMEOUT_MS, log)) {
        log.info({ migration: next.name }, 'migration applied')
        applied.push(next.name)
      }
    }
  } finally {
    await session.close()
  }
}

/**
 * The names of files not yet applied, in order; changes nothing.
 * @throws MigrationError as `migrate` would before applying anything
 */
export async function pendingMigrations(
  connection: string,
  options: Pick<MigrateOptions, 'dir'>,
): Promise<readonly string[]> {
  const files = await readMigrations(options.dir)
  const session = await openSession(connection, silentLog)
  try {
    await requireServerVersion(session)
    const { found } = await session.one<{ found: boolean }>(
      `select to_regclass('public.forge_migration') is not null as found`,
    )
    return pendingOf(files, found ? await appliedRows(session) : []).map((file) => file.name)
  } finally {
    await session.close()
  }
}

/** Long files are allowed: only waiting for locks is limited. */
function openSession(connection: string, log: Log): Promise<DedicatedConnection> {
  return connectDedicated({
    connection,
    log,
    statementTimeoutMs: 0,
    queryTimeoutMs: 0,
    connectTimeoutMs: 10_000,
    applicationName: 'tokens-forge migrate',
  })
}

async function requireServerVersion(session: DedicatedConnection): Promise<void> {
  const { number, text } = await session.one<{ number: number; text: string }>(
    `select current_setting('server_version_num')::int as number, current_setting('server_version') as text`,
  )
  if (number >= SERVER_VERSION_MIN) return
  throw new MigrationError(`PostgreSQL ${text} is too old: Tokens Forge needs version 15 or newer`)
}

function appliedRows(session: DedicatedConnection): Promise<readonly AppliedRow[]> {
  return session.query<AppliedRow>('select number, name, sha256 from public.forge_migration order by number')
}

async function readMigrations(dir: string): Promise<readonly MigrationFile[]> {
  const names = (await readdir(dir)).filter((name) => name.endsWith('.sql')).sort()
  const files: MigrationFile[] = []
  for (const name of names) {
    const digits = FILE_NAME.exec(name)?.[1]
    if (digits === undefined)
      throw new MigrationError(`migration ${name}: the name must be NNNN_lower_case.sql`)
    const number = Number.parseInt(digits, 10)
    const expected = files.length + 1
    if (number !== expected) {
      const wanted = String(expected).padStart(4, '0')
      throw new MigrationError(
        `migration ${name}: number ${wanted} was expected here; numbers have no gap and no double`,
      )
    }
    const bytes = await readFile(join(dir, name))
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    files.push({ number, name, sql: bytes.toString('utf8'), sha256 })
  }
  return files
}

/** The files after the applied ones, which must be exactly the first ones, unchanged. */
function pendingOf(files: readonly MigrationFile[], rows: readonly AppliedRow[]): readonly MigrationFile[] {
  for (const [index, row] of rows.entries()) {
    const file = files[index]
    if (row.number !== index + 1) {
      throw new MigrationError(
        `the database has migration ${row.name} but not number ${index + 1} before it: restore table forge_migration`,
      )
    }
    if (file === undefined) {
      throw new MigrationError(
        `the database is newer than this version: it has migration ${row.name}, which there is no file for; run the newer version`,
      )
    }
    if (file.name !== row.name || file.sha256 !== row.sha256) {
      throw new MigrationError(
        `migration ${file.name} was applied as ${row.name} with other content: restore the file and put the change into a new one`,
      )
    }
  }
  return files.slice(rows.length)
}

/** @returns false when another process applied the file meanwhile. */
async function applyFile(
  session: DedicatedConnection,
  file: MigrationFile,
  lockTimeoutMs: number,
  log: Log,
): Promise<boolean> {
  for (let attempt = 1; ; attempt++) {
    try {
      await applyOnce(session, file, lockTimeoutMs)
      return true
    } catch (thrown) {
      // On a lost connection the first error says why.
      await session.query('rollback').catch(() => undefined)
      if (isUniqueViolation(thrown, 'forge_migration_pkey')) return false
      if (sqlState(thrown) !== '55P03' || attempt >= LOCK_ATTEMPTS) throw explained(file, thrown)
      log.warn({ migration: file.name, attempt }, 'a migration waits for a lock; trying again')
      await sleep(LOCK_PAUSE_MS)
    }
  }
}

async function applyOnce(
  session: DedicatedConnection,
  file: MigrationFile,
  lockTimeoutMs: number,
): Promise<void> {
  await session.query('begin')
  await session.query(`set local lock_timeout = ${lockTimeoutMs}`)
  await session.query('set local idle_in_transaction_session_timeout = 0')
  // First, so that a process which got past the advisory lock (a pooler between us) meets it before doing anything.
  await session.query('insert into public.forge_migration (number, name, sha256) values ($1, $2, $3)', [
    file.number,
    file.name,
    file.sha256,
  ])
  const current = `select pg_current_xact_id()::text as id`
  const before = await session.one<{ id: string }>(current)
  await session.query(file.sql)
  const after = await session.one<{ id: string }>(current)
  if (before.id !== after.id) {
    throw new MigrationError(
      `migration ${file.name} ends the transaction by itself: it must not contain COMMIT or ROLLBACK`,
    )
  }
  await session.query('commit')
  // What a file sets for its session (search_path, role) must not reach the next file.
  await session.query('reset all')
}

function explained(file: MigrationFile, thrown: unknown): unknown {
  const state = sqlState(thrown)
  if (state === null) return thrown
  const position = thrown instanceof Error ? Reflect.get(thrown, 'position') : undefined
  const offset = typeof position === 'string' ? Number.parseInt(position, 10) : 0
  const where = offset > 0 ? ` line ${file.sql.slice(0, offset).split('\n').length}` : ''
  return new MigrationError(`migration ${file.name}${where} failed: ${errorText(thrown)} (${state})`, {
    cause: thrown,
  })
}
