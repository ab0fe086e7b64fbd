import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Client, createClient } from '../../src/client/index.ts'
import { type Sandbox, startSandbox } from '../../src/sandbox/index.ts'
import { MODELS, UPSTREAMS } from '../../test/clients/stand.ts'
import { OPERATOR_TOKEN, PRICE, testConfig, withSandbox } from '../../test/forge.ts'
import { freePort } from '../free-port.ts'

/** The product as its users start it, on loopback, over a sandbox that remembers what reached it. */

const ROOT = join(import.meta.dirname, '..', '..')
const run = promisify(execFile)

export interface Product {
  readonly url: string
  readonly sandbox: Sandbox
  /** As its operator. */
  readonly operator: Client
  account(rmb: string): Promise<Account>
  /** @throws with what `forge audit` says when an invariant does not hold */
  audit(): Promise<void>
  stop(): Promise<void>
}

/** An organization with money, and a key of its. */
export interface Account {
  readonly id: string
  readonly key: string
  readonly client: Client
}

/** Every kind of channel twice: one that works, on both balances, and one whose upstream answers 500. */
function agentModels(): object {
  const sizes = { context: 400_000, maxOutput: 64_000 }
  const price = { ...PRICE, cache_write_5m: '1.25', cache_write_1h: '2' }
  return testConfig(
    Object.fromEntries(
      UPSTREAMS.flatMap((protocol) => [
        [MODELS[protocol], { protocol, ordinary: [''], official: [''], price, ...sizes }],
        [`down-${protocol}`, { protocol, ordinary: ['status=500'], price, ...sizes }],
      ]),
    ),
  )
}

async function untilReady(operator: Client, child: ChildProcess): Promise<void> {
  for (let turn = 0; turn < 600; turn++) {
    if (child.exitCode !== null) throw new Error('the gateway did not start')
    const { ready } = await operator.getReady().catch(() => ({ ready: false }))
    if (ready) return
    await sleep(100)
  }
  throw new Error('the gateway was not ready within a minute')
}

async function openAccount(operator: Client, url: string, rmb: string): Promise<Account> {
  const { id } = await operator.createOrganization({ name: 'Agents' })
  const project = await operator.createProject({ organization: id, name: 'Work' })
  const { key } = await operator.createKey({ project: project.id, label: 'agent' })
  for (const [bucket, amount] of [
    ['rmb', rmb],
    ['credit', '10'],
  ] as const)
    await operator.createGrant({ organization: id, bucket, amount, reason: 'to be spent by an agent' })
  return { id, key, client: createClient({ baseUrl: url, token: key }) }
}

export async function startProduct(): Promise<Product> {
  const home = await mkdtemp(join(tmpdir(), 'forge-agents-'))
  const sandbox = await startSandbox({ record: true })
  const port = await freePort()
  const env = {
    ...process.env,
    FORGE_PORT: String(port),
    FORGE_DATA_DIR: join(home, 'data'),
    FORGE_CONFIG: join(home, 'forge.yaml'),
    FORGE_LOG_LEVEL: 'warn',
    FORGE_OPERATOR_TOKEN: OPERATOR_TOKEN,
  }
  await writeFile(env.FORGE_CONFIG, withSandbox(agentModels(), sandbox))
  const forge = [process.execPath, join(ROOT, 'bin', 'forge.mjs')] as const
  const child = spawn(forge[0], [forge[1], 'start'], {
    cwd: ROOT,
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const url = `http://127.0.0.1:${port}`
  const operator = createClient({ baseUrl: url, token: OPERATOR_TOKEN })
  const stop = async (): Promise<void> => {
    if (child.exitCode === null) {
      child.kill('SIGTERM')
      await new Promise((resolve) => child.once('exit', resolve))
    }
    await sandbox.close()
    await rm(home, { recursive: true, force: true })
  }
  try {
    await untilReady(operator, child)
  } catch (thrown) {
    await stop()
    throw thrown
  }
  return {
    url,
    sandbox,
    operator,
    account: (rmb) => openAccount(operator, url, rmb),
    async audit() {
      await run(forge[0], [forge[1], 'audit'], { cwd: ROOT, env })
    },
    stop,
  }
}
