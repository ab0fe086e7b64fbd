import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EmbeddedDatabase, migrate, openDatabase, startEmbedded } from '../src/db/index.ts'
import { silentLog } from '../src/kernel/index.ts'
import { parentPid } from './cpu.ts'

/** What a measurement stands on: a scratch folder, compiled tools, child processes on chosen cores, a database. */

const ROOT = join(import.meta.dirname, '..')

export interface Child {
  readonly pid: number
  /** The first line it printed, as JSON. */
  readonly ready: Readonly<Record<string, unknown>>
}

export interface Stand {
  readonly dir: string
  /** A warning for everyone who reads the figures, or null. */
  readonly warning: string | null
  /** Runs until the stand is closed; ready when it printed its first line. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<Child>
  /** Runs to its end. @returns what it printed */
  call(command: string, args: readonly string[], core: Core): Promise<string>
  move(pid: number, core: Core): void
  /** Called when the stand is closed, the last one first. */
  onClose(work: () => Promise<void>): void
  close(): Promise<void>
}

/** The load and its upstream have one core, the process under test another; `any` leaves it to the kernel. */
export type Core = 0 | 1 | 'any'

export interface RunOptions {
  readonly core?: Core
  readonly env?: NodeJS.ProcessEnv
  /** Ready when this port of 127.0.0.1 takes connections, for programs that print nothing of use. */
  readonly port?: number
  /** Its complaints are not ours to show. */
  readonly quiet?: boolean
}

const READY_MS = 60_000
const STOP_MS = 15_000

function canPin(): boolean {
  try {
    execFileSync('taskset', ['-c', '1', 'true'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

export async function freePort(): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

async function accepts(port: number): Promise<boolean> {
  return await fetch(`http://127.0.0.1:${port}/`).then(
    async (response) => {
      await response.body?.cancel()
      return true
    },
    () => false,
  )
}

function firstLine(child: ChildProcess): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout?.setEncoding('utf8')
    child.stdout?.on('data', (piece: string) => {
      text += piece
      const line = text.split('\n').find((each) => each.startsWith('{'))
      if (line !== undefined && text.includes('\n')) resolve(JSON.parse(line) as Record<string, unknown>)
    })
    child.once('exit', (code) =>
      reject(new Error(`${child.spawnfile} ended with ${code} before it was ready: ${text}`)),
    )
  })
}

async function portOpen(child: ChildProcess, port: number): Promise<Record<string, unknown>> {
  child.stdout?.resume()
  while (!(await accepts(port))) {
    if (child.exitCode !== null)
      throw new Error(`${child.spawnfile} ended with ${child.exitCode} before it was ready`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return { port }
}

function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    child.kill('SIGTERM')
  })
}

export function openStand(): Stand {
  const dir = mkdtempSync(join(tmpdir(), 'forge-bench-'))
  // An embedded database that root starts runs as another user, who must be able to reach its folder.
  chmodSync(dir, 0o711)
  const closings: Array<() => Promise<void>> = []
  const pins = availableParallelism() > 1 && canPin()
  const pinned = (core: Core, command: string, args: readonly string[]): [string, string[]] =>
    pins && core !== 'any' ? ['taskset', ['-c', String(core), command, ...args]] : [command, [...args]]
  return {
    dir,
    warning: pins
      ? null
      : 'processes could not be bound to cores (no taskset, or one core): read nothing into these figures',
    async run(command, args, options = {}) {
      const [program, argv] = pinned(options.core ?? 'any', command, args)
      const child = spawn(program, argv, {
        env: options.env ?? process.env,
        stdio: ['ignore', 'pipe', options.quiet === true ? 'ignore' : 'inherit'],
      })
      closings.push(() => stop(child))
      const failed = new Promise<never>((_resolve, reject) => {
        child.once('error', reject)
        setTimeout(() => reject(new Error(`${command} was not ready in time`)), READY_MS).unref()
      })
      const ready = await Promise.race([
        options.port === undefined ? firstLine(child) : portOpen(child, options.port),
        failed,
      ])
      return { pid: child.pid ?? 0, ready }
    },
    call(command, args, core) {
      const [program, argv] = pinned(core, command, args)
      return new Promise((resolve, reject) => {
        const child = spawn(program, argv, { stdio: ['ignore', 'pipe', 'inherit'] })
        let text = ''
        child.stdout.setEncoding('utf8').on('data', (piece: string) => {
          text += piece
        })
        child.once('error', reject)
        child.once('close', (code) =>
          code === 0 ? resolve(text) : reject(new Error(`${command} ended with ${code}`)),
        )
      })
    },
    move(pid, core) {
      if (pins)
        execFileSync('taskset', [
          '-a',
          '-cp',
          core === 'any' ? `0-${availableParallelism() - 1}` : String(core),
          String(pid),
        ])
    },
    onClose: (work) => void closings.push(work),
    async close() {
      for (const work of closings.splice(0).reverse()) await work()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Compiles one of bench/tools. @returns the path of the program */
export function compile(stand: Stand, name: 'load' | 'upstream'): string {
  const program = join(stand.dir, name)
  execFileSync('cc', ['-O2', '-o', program, join(ROOT, 'bench', 'tools', `${name}.c`)], { stdio: 'inherit' })
  return program
}

export interface BenchDatabase {
  readonly url: string
  /** Of the server; its CPU time is that of its tree. */
  readonly pid: number
}

/** A database in the stand's folder, as durable as in production, migrated; down again with the stand. */
export async function startDatabase(stand: Stand, name: string): Promise<BenchDatabase> {
  const embedded: EmbeddedDatabase = await startEmbedded({
    dataDir: join(stand.dir, name),
    log: silentLog,
    durable: true,
  })
  stand.onClose(() => embedded.stop())
  await migrate(embedded.url, { dir: join(ROOT, 'migrations'), log: silentLog })
  const database = openDatabase({ connection: embedded.url, log: silentLog, max: 1 })
  const { pid } = await database.one<{ pid: number }>('select pg_backend_pid() as pid')
  const server = parentPid(pid)
  await database.close()
  return { url: embedded.url, pid: server }
}
