import { once } from 'node:events'
import { open, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../kernel/index.ts'
import type { Account } from './embedded-account.ts'
import { EmbeddedFault } from './embedded-binaries.ts'

/** The server process of one cluster: is it there, start it, stop it. Knows nothing of connections. */

export interface ClusterPaths {
  readonly dataDir: string
  readonly clusterDir: string
  readonly socketDir: string
  readonly logFile: string
  /** In every process title of the cluster; how we know its processes when their parent is gone. */
  readonly clusterName: string
}

export const SOCKET_PORT = 5432

const POLL_MS = 10
const FAST_STOP_MS = 30_000
const IMMEDIATE_STOP_MS = 10_000

/**
 * The pid of the cluster's running server, or null. The pid file alone proves nothing, since pids are used again, and
 * its absence proves nothing either: two servers on one cluster would destroy it.
 */
export async function postmasterPid(paths: ClusterPaths): Promise<number | null> {
  const pid = await pidOnFile(paths)
  if (pid !== null && (await isPostmaster(pid, paths))) return pid
  for (const other of await processIds()) {
    if (await isPostmaster(other, paths)) return other
  }
  return null
}

async function processIds(): Promise<readonly number[]> {
  return (await readdir('/proc')).map((entry) => Number.parseInt(entry, 10)).filter((pid) => pid > 0)
}

async function pidOnFile(paths: ClusterPaths): Promise<number | null> {
  const text = await readFile(join(paths.clusterDir, 'postmaster.pid'), 'utf8').catch(() => '')
  const pid = Number.parseInt(text, 10)
  return pid > 0 ? pid : null
}

async function commandLine(pid: number): Promise<string> {
  return await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
}

/** A zombie has no command line: it is as good as gone, though kill(pid, 0) still finds it. */
async function isPostmaster(pid: number, paths: ClusterPaths): Promise<boolean> {
  const [file = '', ...args] = (await commandLine(pid)).split('\0')
  return file.endsWith('postgres') && args.includes(paths.clusterDir)
}

/** Children of a server that died alone; they end by themselves, but not while inside a long computation. */
async function orphans(paths: ClusterPaths): Promise<readonly number[]> {
  const title = `postgres: ${paths.clusterName}: `
  const found: number[] = []
  for (const pid of await processIds()) {
    if ((await commandLine(pid)).startsWith(title)) found.push(pid)
  }
  return found
}

/**
 * Clears what a killed server left behind, as far as PostgreSQL would not see through it itself: children still at
 * work, and a pid file whose pid another program has by now. Call under the start lock, with no server running.
 */
export async function clearRemains(paths: ClusterPaths, clock: Clock): Promise<void> {
  const patientUntilMs = clock.monotonicMs() + 3_000
  for (;;) {
    const left = await orphans(paths)
    if (left.length === 0) break
    const patient = clock.monotonicMs() < patientUntilMs
    for (const orphan of left) signal(orphan, patient ? 'SIGTERM' : 'SIGKILL')
    await sleep(POLL_MS)
  }
  await rm(join(paths.clusterDir, 'postmaster.pid'), { force: true })
  const socket = join(paths.socketDir, `.s.PGSQL.${SOCKET_PORT}`)
  await rm(socket, { force: true })
  await rm(`${socket}.lock`, { force: true })
}

export interface StartedPostmaster {
  /** Null while it runs; then the end of what it logged. */
  failure(): Promise<string | null>
}

/** Starts the server; it need not accept connections yet. */
export async function startPostmaster(
  paths: ClusterPaths,
  account: Account,
  settings: Readonly<Record<string, string>>,
): Promise<StartedPostmaster> {
  // The descriptor is handed down, so that the account needs no right to the folder; appending, so that it can be cut.
  const logHandle = await open(paths.logFile, 'a', 0o600)
  const { size: offset } = await logHandle.stat()
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const child = account.spawn(
    'postgres',
    ['-D', paths.clusterDir, ...args],
    ['ignore', logHandle.fd, logHandle.fd],
  )
  let ended: string | null = null
  child.once('error', (error) => {
    ended = error.message
  })
  child.once('exit', (code, killedBy) => {
    ended ??= `ended with ${killedBy ?? `code ${code}`}`
  })
  child.unref()
  await logHandle.close()
  return {
    failure: async () => (ended === null ? null : `${ended}\n${await tail(paths.logFile, offset)}`),
  }
}

async function tail(file: string, offset: number): Promise<string> {
  const bytes = await readFile(file).catch(() => Buffer.alloc(0))
  return bytes.subarray(offset).toString('utf8').trim().split('\n').slice(-20).join('\n')
}

/** Ends the server: its clients' transactions are rolled back, everything committed is on disk. Resolves when it is gone. */
export async function stopPostmaster(paths: ClusterPaths, clock: Clock): Promise<void> {
  const pid = await postmasterPid(paths)
  if (pid === null) return
  for (const [name, patienceMs] of [
    ['SIGINT', FAST_STOP_MS],
    ['SIGQUIT', IMMEDIATE_STOP_MS],
  ] as const) {
    signal(pid, name)
    const untilMs = clock.monotonicMs() + patienceMs
    while (clock.monotonicMs() < untilMs) {
      if (!(await isPostmaster(pid, paths))) return
      await sleep(POLL_MS)
    }
  }
  throw new EmbeddedFault(`PostgreSQL (process ${pid}) does not stop`)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // It went meanwhile.
  }
}

/** Runs initdb to its end. */
export async function runInitdb(account: Account, args: readonly string[]): Promise<void> {
  const child = account.spawn('initdb', args, ['ignore', 'ignore', 'pipe'])
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said += text
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new EmbeddedFault(`initdb ended with code ${code}: ${said.trim()}`)
}
