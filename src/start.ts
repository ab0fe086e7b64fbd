import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type App, buildApp, createLog } from './app.ts'
import { type Config, environment, loadOrCreateSecret } from './config.ts'
import { migrate, startEmbedded } from './db/index.ts'
import { errorText, type Log } from './kernel/index.ts'
import { openAccount } from './ledger/index.ts'
import { type Sandbox, startSandbox } from './sandbox/index.ts'
import { BUILT_IN_BUCKETS } from './contract/index.ts'

/**
 * `forge start`: database, migrations, sandbox, demo, gateway, in this order, with a line for each step, and everything
 * down again in the opposite order.
 */

export const APP_ROLE = 'forge_app'
const ROOT = join(import.meta.dirname, '..')
export const MIGRATIONS = join(ROOT, 'migrations')
const DRAIN_MS = 30_000
/** What a new installation is given to try with. */
const DEMO_GRANTS = { credit: 5_000_000_000n, rmb: 20_000_000_000n } as const

export function packageVersion(): string {
  return (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version
}

export interface StartIo {
  /** Lines for the person at the terminal. */
  readonly say: (line: string) => void
}

export interface PreparedDatabase {
  readonly url: string
  stop(): Promise<void>
}

/** The embedded PostgreSQL of the data directory, or the one that DATABASE_URL names. */
export async function prepareDatabase(config: Config, log: Log, io: StartIo): Promise<PreparedDatabase> {
  if (config.databaseUrl !== null) return { url: config.databaseUrl.reveal(), stop: async () => {} }
  const embedded = await startEmbedded({ dataDir: config.dataDir, log, onProgress: (line) => io.say(`  database: ${line}`) })
  return { url: embedded.url, stop: () => embedded.stop() }
}

interface Demo {
  readonly key: string
}

/** The first start of an empty installation: an organization with both buckets funded and a key, kept for later starts. */
async function prepareDemo(app: App, config: Config): Promise<Demo | null> {
  const file = join(config.dataDir, 'demo-key')
  if ((await app.tenancy.listOrganizations({ limit: 1, before: null })).length > 0)
    return existsSync(file) ? { key: (await readFile(file, 'utf8')).trim() } : null
  const org = await app.tenancy.createOrganization({ name: 'Demo' })
  const project = await app.tenancy.createProject({ orgId: org.id, name: 'First steps' })
  if (project === null) throw new Error('the demo project could not be made')
  const made = await app.tenancy.createKey({
    projectId: project.id,
    label: 'demo',
    policy: 'ordinary_then_official',
    allowCrossBalance: false,
    models: null,
    routes: null,
    expiresAtMs: null,
  })
  if (made === null) throw new Error('the demo key could not be made')
  for (const [bucket, amountNano] of Object.entries(DEMO_GRANTS) as Array<[keyof typeof DEMO_GRANTS, bigint]>) {
    const accountId = await openAccount(app.database, org.id, bucket, BUILT_IN_BUCKETS[bucket].currency)
    await app.writer.submit({ kind: 'grant', orgId: org.id, id: `${org.id.slice(0, -1)}${bucket === 'credit' ? 1 : 2}`, accountId, amountNano, reason: 'starter grant of the demo organization' })
  }
  await writeFile(file, `${made.secret}\n`, { mode: 0o600 })
  return { key: made.secret }
}

function greeting(url: string, demo: Demo | null, model: string, sandboxed: boolean): string[] {
  const lines = ['', `Tokens Forge ${packageVersion()} is ready: ${url}`]
  if (demo === null) return lines
  return [
    ...lines,
    '',
    `  demo API key   ${demo.key}`,
    ...(sandboxed ? ['  no channel is configured, so the built-in sandbox answers (no real model): see docs/first-run.md'] : []),
    '',
    'Try it:',
    `  curl ${url}/v1/chat/completions -H "Authorization: Bearer ${demo.key}" -H "Content-Type: application/json" \\`,
    `    -d '{"model":"${model}:official","messages":[{"role":"user","content":"Which balance pays for this?"}],"max_tokens":100}' -i`,
    'then read the receipt whose id is in the x-request-id header:',
    `  npx forge receipt <x-request-id>`,
    '',
  ]
}

/** One line per step, with how long it took. */
async function step<T>(io: StartIo, name: string, work: () => Promise<T>): Promise<T> {
  const begun = performance.now()
  const result = await work()
  io.say(`  ${name} (${((performance.now() - begun) / 1000).toFixed(1)} s)`)
  return result
}

export interface Running {
  readonly url: string
  stop(): Promise<void>
}

interface WorkerSetting {
  readonly databaseUrl: string
  readonly sandboxUrl: string
  readonly operatorToken: string
}

async function startApp(config: Config, setting: Omit<WorkerSetting, 'sandboxUrl'> & { sandboxUrl: () => string | Promise<string> }, log: Log): Promise<App> {
  return buildApp({
    ...setting,
    role: APP_ROLE,
    configPath: config.configPath,
    env: environment(),
    log,
    version: packageVersion(),
  })
}

/** Prepares everything and serves in this process, or in `config.processes` child processes on one port. */
export async function start(config: Config, io: StartIo): Promise<Running> {
  const log = createLog(config.logLevel)
  io.say(`Tokens Forge ${packageVersion()} starts`)
  await mkdir(config.dataDir, { recursive: true })
  const secret = config.operatorToken ?? (await loadOrCreateSecret(config.dataDir, 'operator-token'))
  const operatorToken = secret.reveal()
  const database = await step(io, 'database is up', () => prepareDatabase(config, log, io))
  const stops: Array<() => Promise<void>> = [() => database.stop()]
  const stop = async (): Promise<void> => {
    for (const close of stops.reverse()) await close().catch((thrown) => log.error({ error: errorText(thrown) }, 'a part did not stop in order'))
  }
  try {
    await step(io, 'schema is current', () => migrate(database.url, { dir: MIGRATIONS, log }))
    let sandbox: Sandbox | null = null
    const sandboxUrl = async (): Promise<string> => {
      if (sandbox === null) {
        sandbox = await startSandbox({ log })
        const running = sandbox
        stops.push(() => running.close())
      }
      return `${sandbox.url}/v1`
    }
    const app = await startApp(config, { databaseUrl: database.url, operatorToken, sandboxUrl }, log)
    stops.push(() => app.close(DRAIN_MS))
    const demo = await step(io, 'gateway is built', () => prepareDemo(app, config))
    const address = await app.api.listen({ host: config.host, port: config.port })
    const url = `http://${address.host}:${address.port}`
    const models = [...app.catalog.snapshot().models.values()]
    const model = models.find((candidate) => candidate.name === 'gpt-5-mini') ?? models[0]
    for (const line of greeting(url, demo, model?.name ?? 'gpt-5-mini', sandbox !== null)) io.say(line)
    return { url, stop }
  } catch (thrown) {
    await stop()
    throw thrown
  }
}

