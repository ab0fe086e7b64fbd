import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Endpoint } from '../../src/contract/index.ts'
import type { Upstream } from '../../test/clients/stand.ts'
import type { AgentName } from './install.ts'

/** How one agent is run and read; what must be true afterwards is said in turns.ts for both. */

export interface Access {
  /** Of the gateway. */
  readonly url: string
  readonly key: string
}

/** `stream` and `tool` are read event by event. */
export type TurnKind = 'text' | 'stream' | 'tool'

export interface ToolUse {
  /** What the tool gave back, as the agent says. */
  readonly output: string
  readonly text: string
}

export interface Agent {
  readonly name: string
  readonly command: AgentName
  readonly endpoint: Endpoint
  readonly path: string
  readonly native: Upstream
  /** The header by which it names its session, and what the run of one is called. */
  readonly sessionHeader: string
  readonly runPrefix: string
  readonly toolPrompt: string
  readonly arguments: (kind: TurnKind, model: string, prompt: string) => readonly string[]
  /** Prepares an empty home; gives the environment. */
  readonly settle: (home: string, access: Access) => Promise<Readonly<Record<string, string>>>
  readonly textOf: (kind: 'text' | 'stream', output: string) => string
  readonly toolOf: (output: string) => ToolUse
  /** What it says to the person, by what went wrong. */
  readonly says: Readonly<Record<'unknownModel' | 'unpaid' | 'down', RegExp>>
  /** Names of the tools in a request of its. */
  readonly toolsIn: (body: unknown) => readonly string[]
}

export interface Ran {
  readonly code: number | null
  readonly output: string
  readonly complaints: string
  readonly tookMs: number
}

export interface Setting {
  readonly launcher: readonly string[]
  readonly access: Access
  /** Where every other address leads. */
  readonly wallUrl: string
  readonly timeoutMs: number
}

/** One turn of an agent in an empty home and an empty folder. */
export async function runAgent(agent: Agent, setting: Setting, args: readonly string[]): Promise<Ran> {
  const base = await mkdtemp(join(tmpdir(), 'forge-agent-'))
  const [home, work] = [join(base, 'home'), join(base, 'work')]
  try {
    await mkdir(home)
    await mkdir(work)
    const { wallUrl, launcher } = setting
    const env = {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      HOME: home,
      LANG: 'C.UTF-8',
      HTTP_PROXY: wallUrl,
      HTTPS_PROXY: wallUrl,
      NO_PROXY: '127.0.0.1,localhost',
      ...(await agent.settle(home, setting.access)),
    }
    return await spawned([...launcher, ...args], work, env, setting.timeoutMs)
  } finally {
    await rm(base, { recursive: true, force: true, maxRetries: 5 })
  }
}

function spawned(
  [command = '', ...args]: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>>,
  timeoutMs: number,
): Promise<Ran> {
  const startedMs = performance.now()
  // A group of its own: launchers start the native program, and both must go when the time is over.
  const child = spawn(command, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let complaints = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text
  })
  const timer = setTimeout(() => {
    complaints += `\n(stopped after ${timeoutMs} ms)`
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  }, timeoutMs)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      clearTimeout(timer)
      resolve({ code, output, complaints, tookMs: performance.now() - startedMs })
    })
  })
}

/** The events of an agent that writes one a line. */
export function eventsIn(output: string): readonly Readonly<Record<string, unknown>>[] {
  return output
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
}
