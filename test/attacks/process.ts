import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { OPERATOR_TOKEN } from '../forge.ts'

/** `forge start` as a process of its own, over a database that is there. */

export interface ForgeProcess {
  readonly url: string
  readonly pid: number
  /** What it has written to stderr so far: its log. */
  log(): string
  /** Tells it to stop and waits until it has. */
  stop(): Promise<number | null>
}

export interface ProcessOptions {
  readonly databaseUrl: string
  /** The text of a forge.yaml. */
  readonly config: string
  readonly env?: Readonly<Record<string, string>>
}

const MAIN = join(import.meta.dirname, '../../src/main.ts')

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

function ready(child: ChildProcess, log: () => string): Promise<void> {
  return new Promise((resolve, reject) => {
    let out = ''
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      out += text
      if (/ is ready: /.test(out)) resolve()
    })
    child.once('exit', (code) => reject(new Error(`forge start ended (${code}): ${out}${log()}`)))
  })
}

export async function startProcess(t: TestContext, options: ProcessOptions): Promise<ForgeProcess> {
  const home = await mkdtemp(join(tmpdir(), 'forge-process-'))
  const config = join(home, 'forge.yaml')
  await writeFile(config, options.config)
  const port = await freePort()
  const child = spawn(process.execPath, [MAIN, 'start'], {
    cwd: home,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: options.databaseUrl,
      FORGE_PORT: String(port),
      FORGE_DATA_DIR: join(home, 'data'),
      // Processes on one database have one master key.
      FORGE_MASTER_KEY: 'the-master-key-of-the-tests',
      FORGE_CONFIG: config,
      FORGE_OPERATOR_TOKEN: OPERATOR_TOKEN,
      ...options.env,
    },
  })
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve))
  let log = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exited
    await rm(home, { recursive: true, force: true })
  })
  await ready(child, () => log)
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    log: () => log,
    async stop() {
      child.kill('SIGTERM')
      return await exited
    },
  }
}
