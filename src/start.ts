import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type App, buildApp, createLog } from './app.ts'
import type { CatalogModel } from './catalog/index.ts'
import { type Config, environment, loadOrCreateSecret } from './config.ts'
import { BUILT_IN_BUCKETS } from './contract/index.ts'
import { migrate, startEmbedded } from './db/index.ts'
import { MIGRATIONS, packageVersion } from './installation.ts'
import { errorText, type Log } from './kernel/index.ts'
import { APP_ROLE, preflight } from './preflight.ts'
import { type Sandbox, startSandbox } from './sandbox/index.ts'
import { issueOperatorCode } from './tenancy/index.ts'

/**
 * `forge start`: database, schema, sandbox, demo, gateway, in this order, with a line for each step; and everything
 * down again in the opposite order.
 */

const DRAIN_MS = 30_000
const RESTART_AFTER_MS = 1_000
/** What a new installation is given to try with, in nano. */
const DEMO_GRANTS = { credit: 5_000_000_000n, rmb: 20_000_000_000n } as const

export interface StartIo {
  /** Lines for the person at the terminal. */
  readonly say: (line: string) => void
}

export interface Running {
  readonly url: string
  stop(): Promise<void>
}

export interface PreparedDatabase {
  readonly url: string
  stop(): Promise<void>
}

/** The embedded PostgreSQL of the data directory, or the one that DATABASE_URL names. */
export async function prepareDatabase(config: Config, log: Log, io: StartIo): Promise<PreparedDatabase> {
  if (config.databaseUrl !== null) return { url: config.databaseUrl.reveal(), stop: async () => {} }
  const embedded = await startEmbedded({
    dataDir: config.dataDir,
    log,
    onProgress: (line) => io.say(`  ${line}`),
  })
  return { url: embedded.url, stop: () => embedded.stop() }
}

async function step<T>(io: StartIo, name: string, work: () => Promise<T>): Promise<T> {
  const begun = performance.now()
  const result = await work()
  io.say(`  ${name} (${Math.round((performance.now() - begun) / 100) / 10} s)`)
  return result
}

/** The first start of an empty installation: an organization with both buckets funded and a key, kept for later starts. */
async function prepareDemo(app: App, config: Config): Promise<string | null> {
  const file = join(config.dataDir, 'demo-key')
  const known = await app.tenancy.listOrganizations({ limit: 1, before: null })
  if (known.length > 0) return existsSync(file) ? (await readFile(file, 'utf8')).trim() : null
  const org = await app.tenancy.createOrganization({ name: 'Demo' })
  const project = await app.tenancy.createProject({ orgId: org.id, name: 'First steps' })
  const made =
    project === null
      ? null
      : await app.tenancy.createKey({
          projectId: project.id,
          label: 'demo',
          policy: 'ordinary_then_official',
          allowCrossBalance: false,
          models: null,
          routes: null,
          expiresAtMs: null,
        })
  if (made === null) throw new Error('the demo organization could not be made')
  for (const [bucket, amountNano] of Object.entries(DEMO_GRANTS) as Array<
    [keyof typeof DEMO_GRANTS, bigint]
  >) {
    const accountId = await app.accounts.open(org.id, bucket, BUILT_IN_BUCKETS[bucket].currency)
    // Derived ids: a start that is killed in between and begun again grants once.
    const id = `${org.id.slice(0, -1)}${bucket === 'credit' ? 1 : 2}`
    await app.writer.submit({
      kind: 'grant',
      orgId: org.id,
      id,
      accountId,
      amountNano,
      reason: 'starter grant of the demo organization',
    })
  }
  await writeFile(file, `${made.secret}\n`, { mode: 0o600 })
  return made.secret
}

interface Greeting {
  readonly url: string
  readonly demoKey: string | null
  readonly model: string
  readonly sandboxed: boolean
  readonly operatorLink: string
}

/** The official route where there is one: the newcomer sees how a route is named. */
function askedInGreeting(model: CatalogModel | undefined): string {
  if (model === undefined) return 'gpt-5-mini'
  const official = model.routes.find(({ type }) => type === 'official')
  return official === undefined ? model.name : `${model.name}:${official.name}`
}

function greet(io: StartIo, greeting: Greeting): void {
  const { url, demoKey, model } = greeting
  const lines = [
    '',
    `Tokens Forge ${packageVersion()} is ready: ${url}`,
    '',
    `  operator link  ${greeting.operatorLink}`,
    '                 (works once: make the first account with it, or have the operator token shown)',
  ]
  if (demoKey !== null)
    lines.push(
      `  demo API key   ${demoKey}`,
      ...(greeting.sandboxed
        ? ['  sandbox        no channel is configured: the built-in sandbox answers, no real model']
        : []),
      '',
      'Send a request:',
      `  curl -i ${url}/v1/chat/completions -H "Authorization: Bearer ${demoKey}" \\`,
      `    -H "Content-Type: application/json" \\`,
      `    -d '{"model":"${model}","max_tokens":100,"messages":[{"role":"user","content":"Which balance pays for this?"}]}'`,
      '',
      'Read its receipt (the id is in the x-request-id header):',
      '  npx forge receipt <x-request-id>',
    )
  for (const line of [...lines, '']) io.say(line)
}

/** What a gateway process is given; children get it as a message, never on their command line. */
export interface WorkerSetting {
  readonly databaseUrl: string
  readonly redisUrl: string | null
  readonly operatorToken: string
  readonly masterKey: string
  readonly smtpUrl: string | null
  readonly oidcClientSecret: string | null
  readonly sandboxUrl: string | null
  readonly config: {
    readonly host: string
    readonly port: number
    readonly configPath: string | null
    readonly trustedProxies: readonly string[]
    readonly webhookPrivateTargets: boolean
    readonly mailFrom: string
    readonly publicUrl: string | null
    readonly processes: number
    readonly signUp: Config['signUp']
    readonly oidc: { readonly issuer: string; readonly clientId: string } | null
    readonly logLevel: Config['logLevel']
  }
}

function oidcOf({ config: { oidc }, oidcClientSecret }: Omit<WorkerSetting, 'sandboxUrl'>) {
  if (oidc === null || oidcClientSecret === null) return null
  return { issuer: oidc.issuer, clientId: oidc.clientId, clientSecret: oidcClientSecret }
}

async function buildWorker(
  setting: Omit<WorkerSetting, 'sandboxUrl'>,
  sandboxUrl: () => string | Promise<string>,
  log: Log,
): Promise<App> {
  return buildApp({
    databaseUrl: setting.databaseUrl,
    role: APP_ROLE,
    configPath: setting.config.configPath,
    env: environment(),
    operatorToken: setting.operatorToken,
    masterKey: setting.masterKey,
    mail: { smtpUrl: setting.smtpUrl, from: setting.config.mailFrom },
    publicUrl: setting.config.publicUrl,
    signUp: setting.config.signUp,
    oidc: oidcOf(setting),
    trustedProxies: setting.config.trustedProxies,
    redisUrl: setting.redisUrl,
    processes: setting.config.processes,
    webhookPrivateTargets: setting.config.webhookPrivateTargets,
    sandboxUrl,
    log,
    version: packageVersion(),
  })
}

/** What the system says of a port is for programmers. */
async function listenFor(app: App, options: Parameters<App['api']['listen']>[0]) {
  try {
    return await app.api.listen(options)
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? thrown.code : null
    const place = `${options.host}:${options.port}`
    if (code === 'EADDRINUSE')
      throw new Error(
        `Something listens at ${place} already, maybe another gateway: stop it, or choose another port with --port or FORGE_PORT.`,
      )
    if (code === 'EACCES')
      throw new Error(
        `This user may not listen at ${place}: choose a port above 1023 with --port or FORGE_PORT.`,
      )
    throw thrown
  }
}

/** A gateway process of several: serves until its parent tells it to stop or is gone. */
export async function runWorker(setting: WorkerSetting): Promise<Running> {
  const log = createLog(setting.config.logLevel)
  const sandboxUrl = (): string => {
    if (setting.sandboxUrl === null)
      throw new Error('the configuration lost its channels; restart to use the sandbox')
    return setting.sandboxUrl
  }
  const app = await buildWorker(setting, sandboxUrl, log)
  const address = await listenFor(app, {
    host: setting.config.host,
    port: setting.config.port,
    reusePort: true,
  })
  return { url: `http://${address.host}:${address.port}`, stop: () => app.close(DRAIN_MS) }
}

/** Keeps `count` children alive; the kernel spreads connections over them. */
async function startWorkers(
  setting: WorkerSetting,
  count: number,
  main: string,
  log: Log,
): Promise<{ stop(): Promise<void> }> {
  const children = new Map<number, ChildProcess>()
  let stopping = false
  const launch = (slot: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const child = fork(main, ['worker'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
      children.set(slot, child)
      child.once('message', () => resolve())
      child.once('exit', (code, signal) => {
        reject(new Error(`a gateway process ended while starting (${signal ?? code})`))
        if (stopping) return
        log.error(
          { slot, code, signal },
          'a gateway process died; its holds are recovered, it is started again',
        )
        void sleep(RESTART_AFTER_MS).then(() => (stopping ? undefined : launch(slot).catch(() => {})))
      })
      child.send(setting)
    })
  await Promise.all(Array.from({ length: count }, (_, slot) => launch(slot)))
  return {
    async stop() {
      stopping = true
      const ended = [...children.values()].map(
        (child) =>
          new Promise<void>((resolve) => {
            if (child.exitCode !== null || child.signalCode !== null) resolve()
            else child.once('exit', () => resolve())
          }),
      )
      for (const child of children.values()) child.kill('SIGTERM')
      await Promise.all(ended)
    },
  }
}

class Stack {
  private readonly closers: Array<() => Promise<void>> = []
  private readonly log: Log

  constructor(log: Log) {
    this.log = log
  }

  add(close: () => Promise<void>): void {
    this.closers.push(close)
  }

  /** Last in, first out; a part that fails to stop does not keep the others up. */
  async close(): Promise<void> {
    for (const close of this.closers.splice(0).reverse())
      await close().catch((thrown) =>
        this.log.error({ error: errorText(thrown) }, 'a part did not stop in order'),
      )
  }
}

async function serve(
  config: Config,
  main: string,
  setting: WorkerSetting,
  app: App,
  stack: Stack,
  log: Log,
): Promise<string> {
  if (config.processes === 1) {
    const address = await listenFor(app, { host: config.host, port: config.port })
    return `http://${address.host}:${address.port}`
  }
  await app.close(0)
  const workers = await startWorkers(setting, config.processes, main, log)
  stack.add(() => workers.stop())
  return `http://${config.host}:${config.port}`
}

/**
 * Prepares everything and serves, in this process or in `config.processes` child processes on one port.
 * @param main the file that children are started with, as `main worker`
 */
export async function start(config: Config, io: StartIo, main: string): Promise<Running> {
  const log = createLog(config.logLevel)
  const stack = new Stack(log)
  io.say(`Tokens Forge ${packageVersion()} starts`)
  try {
    await mkdir(config.dataDir, { recursive: true })
    const operatorToken = (
      config.operatorToken ?? (await loadOrCreateSecret(config.dataDir, 'operator-token'))
    ).reveal()
    const masterKey = (config.masterKey ?? (await loadOrCreateSecret(config.dataDir, 'master-key'))).reveal()
    const database = await step(io, 'database is up', () => prepareDatabase(config, log, io))
    stack.add(() => database.stop())
    await step(io, 'schema is current', () => migrate(database.url, { dir: MIGRATIONS, log }))
    const { replaceMasterKey } = config
    await preflight({ databaseUrl: database.url, masterKey, replaceMasterKey, log })
    let sandbox: Sandbox | null = null
    const sandboxUrl = async (): Promise<string> => {
      sandbox ??= await startSandbox({ log })
      return `${sandbox.url}/v1`
    }
    stack.add(async () => sandbox?.close())
    const shared = {
      databaseUrl: database.url,
      redisUrl: config.redisUrl?.reveal() ?? null,
      operatorToken,
      masterKey,
      smtpUrl: config.smtpUrl?.reveal() ?? null,
      oidcClientSecret: config.oidc?.clientSecret.reveal() ?? null,
      config,
    }
    const app = await step(io, 'gateway is built', () => buildWorker(shared, sandboxUrl, log))
    let closed = false
    stack.add(async () => {
      if (!closed) await app.close(DRAIN_MS)
    })
    const demoKey = await prepareDemo(app, config)
    const operatorCode = await issueOperatorCode(app.database, randomBytes)
    const models = [...app.catalog.snapshot().models.values()]
    const running: Sandbox | null = sandbox
    const setting: WorkerSetting = { ...shared, sandboxUrl: running === null ? null : await sandboxUrl() }
    closed = config.processes > 1
    const url = await serve(config, main, setting, app, stack, log)
    const model = models.find((candidate) => candidate.name === 'gpt-5-mini') ?? models[0]
    greet(io, {
      url,
      demoKey,
      model: askedInGreeting(model),
      sandboxed: running !== null,
      // Its form must come from the address that people use.
      operatorLink: `${config.publicUrl ?? url}/operator/${operatorCode}`,
    })
    return { url, stop: () => stack.close() }
  } catch (thrown) {
    await stack.close()
    throw thrown
  }
}
