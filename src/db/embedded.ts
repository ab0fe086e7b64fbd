import { copyFile, stat, truncate } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Clock, errorText, type Log, systemClock } from '../kernel/index.ts'
import {
  clusterPaths,
  DATABASE,
  prepareCluster,
  requireOwnership,
  SUPERUSER,
  storedPassword,
} from './cluster.ts'
import { connectDedicated, type DedicatedConnection } from './connection.ts'
import { EmbeddedFault } from './embedded-binaries.ts'
import { isConnectionLoss, sqlState } from './errors.ts'
import {
  type ClusterPaths,
  clearRemains,
  postmasterPid,
  SOCKET_PORT,
  startPostmaster,
  stopPostmaster,
} from './postmaster.ts'
import { acquireStartLock } from './start-lock.ts'

/**
 * PostgreSQL as a part of the product: one cluster a data directory, reachable through a private socket only. The
 * server outlives us when we are killed and is found again; any number of processes may share it, and the last one
 * that stops takes it down. Each holds one connection open to say that it is there: the kernel closes it whatever
 * becomes of the process, so nothing is ever counted that is dead.
 */

export interface EmbeddedOptions {
  readonly dataDir: string
  readonly log: Log
  readonly clock?: Clock
  /** Lines for a person who waits. */
  readonly onProgress?: (line: string) => void
  /** False gives up safety against power loss; for tests. */
  readonly durable?: boolean
  /** False: do not start the server again when it dies under us. */
  readonly supervise?: boolean
}

export interface EmbeddedDatabase {
  /** URL of the owner (a superuser) for openDatabase and migrate. */
  readonly url: string
  /** The server was already running. */
  readonly adopted: boolean
  /** Where the server writes what it has to say. */
  readonly logFile: string
  /** Close your own connections first. The server goes down with the last process that uses it. */
  stop(): Promise<void>
  /** Lets go of the server and leaves it running. */
  release(): Promise<void>
}

const PRESENCE = 'tokens-forge presence'
const LOCK_TIMEOUT_MS = 120_000
const POLL_MS = 10
const CONNECT_TIMEOUT_MS = 5_000
/** A server that lives but does not listen so long has lost its socket; one in recovery does answer. */
const SILENT_MS = 10_000
const SLOW_START_MS = 1_000
const START_RETRY_MS = 10_000
const REVIVE_LAST_MS = 2_000
const LOG_BYTES_MAX = 16 * 1024 * 1024
const LOG_CHECK_MS = 60_000

/** Failures that pass once the processes of a killed server are gone. */
const PASSING = /pre-existing shared memory block|lock file ".*" already exists|Is another postmaster/

interface Context {
  readonly paths: ClusterPaths
  readonly log: Log
  readonly clock: Clock
  readonly onProgress: (line: string) => void
  readonly durable: boolean
}

interface Attached {
  readonly presence: DedicatedConnection
  readonly url: string
  readonly adopted: boolean
}

/**
 * Starts the data directory's database, or joins the one that runs.
 * @throws EmbeddedFault with what to do about it
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedDatabase> {
  const context: Context = {
    paths: await clusterPaths(options.dataDir),
    log: options.log,
    clock: options.clock ?? systemClock,
    onProgress: options.onProgress ?? (() => undefined),
    durable: options.durable ?? true,
  }
  const first = await underLock(context, () => ensureRunning(context))
  const keeper = keepPresence(context, first.presence, options.supervise ?? true)
  return {
    url: first.url,
    adopted: first.adopted,
    logFile: context.paths.logFile,
    release: () => keeper.end(),
    async stop() {
      // Before the lock: a revival under way needs it to come to its end.
      await keeper.settle()
      await underLock(context, () => stop(context, keeper))
    },
  }
}

async function underLock<T>(context: Context, work: () => Promise<T>): Promise<T> {
  const lock = await acquireStartLock(context.paths.clusterDir, LOCK_TIMEOUT_MS)
  try {
    return await work()
  } finally {
    await lock.release()
  }
}

function databaseUrl(paths: ClusterPaths, password: string, database: string): string {
  const host = encodeURIComponent(paths.socketDir)
  return `postgresql://${SUPERUSER}:${password}@localhost/${database}?host=${host}&port=${SOCKET_PORT}`
}

async function ensureRunning(context: Context): Promise<Attached> {
  const { paths } = context
  await requireOwnership(paths)
  const password = await storedPassword(paths)
  if (password !== null) {
    const found = await joinRunning(context, password)
    if (found !== null) return await attached(paths, password, found, true)
  }
  const prepared = await prepareCluster(paths, context.durable, context.onProgress).catch(explainPermission)
  await clearRemains(paths, context.clock)
  context.onProgress('starting the database')
  const giveUpMs = context.clock.monotonicMs() + START_RETRY_MS
  for (;;) {
    const postmaster = await startPostmaster(paths, prepared.account, settings(context))
    const started = await whenReady(context, prepared.password, postmaster.failure)
    if (typeof started !== 'string') return await attached(paths, prepared.password, started, false)
    if (!PASSING.test(started) || context.clock.monotonicMs() > giveUpMs) {
      throw new EmbeddedFault(`PostgreSQL did not start (log: ${paths.logFile}): ${started}`)
    }
    await sleep(POLL_MS * 10)
  }
}

/** Root without its usual capabilities (a hardened container) cannot hand over to another user and look after its files. */
function explainPermission(thrown: unknown): never {
  const code: unknown = thrown instanceof Error ? Reflect.get(thrown, 'code') : null
  if (code !== 'EACCES' && code !== 'EPERM') throw thrown
  throw new EmbeddedFault(
    `no right to set up the embedded database: ${errorText(thrown)}; start as the owner of the data directory, or as an ordinary user on a new one (FORGE_DATA_DIR)`,
    { cause: thrown },
  )
}

async function attached(
  paths: ClusterPaths,
  password: string,
  presence: DedicatedConnection,
  adopted: boolean,
): Promise<Attached> {
  presence.unref()
  try {
    const known = await presence.maybeOne('select from pg_database where datname = $1', [DATABASE])
    if (known === null) await presence.query(`create database ${DATABASE}`)
  } catch (thrown) {
    // Left open it would count as a user for as long as this process lives.
    await presence.close()
    throw thrown
  }
  return { presence, url: databaseUrl(paths, password, DATABASE), adopted }
}

type Answer = DedicatedConnection | 'starting' | 'silent'

async function ask(context: Context, password: string): Promise<Answer> {
  try {
    return await connectDedicated({
      connection: databaseUrl(context.paths, password, 'postgres'),
      log: context.log,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      // Creating a database or a checkpoint behind it may take its time on a slow disk.
      statementTimeoutMs: 60_000,
      applicationName: PRESENCE,
    })
  } catch (thrown) {
    if (sqlState(thrown) === '28P01') {
      throw new EmbeddedFault(`the running database refuses the stored password: ${errorText(thrown)}`, {
        cause: thrown,
      })
    }
    if (sqlState(thrown) === '57P03') return 'starting'
    if (isConnectionLoss(thrown)) return 'silent'
    throw thrown
  }
}

/** Joins a running server. Null when there is none; a server that comes up or goes down is waited for. */
async function joinRunning(context: Context, password: string): Promise<DedicatedConnection | null> {
  const sinceMs = context.clock.monotonicMs()
  for (;;) {
    const answer = await ask(context, password)
    if (typeof answer !== 'string') return answer
    if ((await postmasterPid(context.paths)) === null) return null
    if (answer === 'silent' && context.clock.monotonicMs() - sinceMs > SILENT_MS) {
      context.log.warn({}, 'the database runs but cannot be reached; restarting it')
      await stopPostmaster(context.paths, context.clock)
      return null
    }
    await sleep(POLL_MS)
  }
}

/** @returns the connection, or what the server said when it ended instead */
async function whenReady(
  context: Context,
  password: string,
  failure: () => Promise<string | null>,
): Promise<DedicatedConnection | string> {
  let slowAtMs = context.clock.monotonicMs() + SLOW_START_MS
  for (;;) {
    const answer = await ask(context, password)
    if (typeof answer !== 'string') return answer
    const failed = await failure()
    if (failed !== null) return failed
    if (context.clock.monotonicMs() > slowAtMs) {
      context.onProgress('the database is recovering from an unclean stop')
      slowAtMs = Number.POSITIVE_INFINITY
    }
    await sleep(POLL_MS)
  }
}

/** On the command line, so that a new version's settings reach old clusters. */
function settings(context: Context): Readonly<Record<string, string>> {
  const { durable, paths } = context
  return {
    listen_addresses: '',
    port: String(SOCKET_PORT),
    unix_socket_directories: paths.socketDir,
    unix_socket_permissions: '0700',
    cluster_name: paths.clusterName,
    max_connections: '400',
    shared_buffers: durable ? '256MB' : '64MB',
    fsync: durable ? 'on' : 'off',
    full_page_writes: durable ? 'on' : 'off',
    synchronous_commit: 'on',
    // lz4 is not built in, and pglz costs more than the bytes it saves.
    wal_compression: 'off',
    max_wal_size: '2GB',
    autovacuum_naptime: '10s',
    idle_in_transaction_session_timeout: '60s',
    jit: 'off',
    // Our working set is in memory: workers for reading would only be more processes.
    io_method: 'sync',
    update_process_title: 'off',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_line_prefix: '%m [%p] ',
    log_checkpoints: 'off',
    // Values of rows and texts of statements are customers' data; a log is not the place for them.
    log_error_verbosity: 'terse',
    log_min_error_statement: 'panic',
    log_parameter_max_length_on_error: '0',
  }
}

interface PresenceKeeper {
  /** The connection, or null while the server is away. */
  current(): DedicatedConnection | null
  /** From here on nothing is started any more. */
  settle(): Promise<void>
  /** Settles and says goodbye. */
  end(): Promise<void>
}

/** Holds the presence open. When it breaks, the server has died or been restarted: bring it back, from whoever's hands. */
function keepPresence(context: Context, first: DedicatedConnection, supervise: boolean): PresenceKeeper {
  let current: DedicatedConnection | null = first
  const ending = new AbortController()
  let reviving: Promise<void> = Promise.resolve()
  const cutting = setInterval(() => void cutLog(context), LOG_CHECK_MS).unref()

  function watch(presence: DedicatedConnection): void {
    presence.onLost((cause) => {
      current = null
      if (ending.signal.aborted || !supervise) return
      context.log.warn({ error: errorText(cause) }, 'the embedded database went away; bringing it back')
      reviving = revive()
    })
  }

  async function revive(): Promise<void> {
    for (let waitMs = POLL_MS; !ending.signal.aborted; waitMs = Math.min(waitMs * 2, REVIVE_LAST_MS)) {
      try {
        const { presence } = await underLock(context, () => ensureRunning(context))
        current = presence
        watch(presence)
        context.log.info({}, 'the embedded database is back')
        return
      } catch (thrown) {
        context.log.error({ error: errorText(thrown) }, 'the embedded database cannot be brought back yet')
        await sleep(waitMs, undefined, { ref: false, signal: ending.signal }).catch(() => undefined)
      }
    }
  }

  async function settle(): Promise<void> {
    ending.abort()
    clearInterval(cutting)
    await reviving
  }

  watch(first)
  return {
    current: () => current,
    settle,
    async end() {
      await settle()
      await current?.close()
      current = null
    },
  }
}

async function stop(context: Context, keeper: PresenceKeeper): Promise<void> {
  const shared = await isShared(keeper.current())
  await keeper.end()
  if (!shared) await stopPostmaster(context.paths, context.clock)
}

async function isShared(presence: DedicatedConnection | null): Promise<boolean> {
  if (presence === null) return false
  try {
    const others = await presence.query(
      'select from pg_stat_activity where application_name = $1 and pid <> pg_backend_pid()',
      [PRESENCE],
    )
    return others.length > 0
  } catch {
    // A server that does not answer serves nobody.
    return false
  }
}

/** The server appends to its log, so it may be cut under its hands; one older part is kept. */
async function cutLog(context: Context): Promise<void> {
  const { logFile } = context.paths
  try {
    if ((await stat(logFile)).size < LOG_BYTES_MAX) return
    await copyFile(logFile, `${logFile}.1`)
    await truncate(logFile)
  } catch (thrown) {
    context.log.warn({ error: errorText(thrown) }, 'the database log cannot be shortened')
  }
}
