import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type App, buildApp } from '../src/app.ts'
import type { Receipt } from '../src/contract/index.ts'
import type { Database } from '../src/db/index.ts'
import { type Log, parseNano, silentLog, type Uuid } from '../src/kernel/index.ts'
import type { AppOptions } from '../src/parts.ts'
import { type Sandbox, startSandbox } from '../src/sandbox/index.ts'
import type { NewKey } from '../src/tenancy/index.ts'
import { testDatabase } from './database.ts'

/** A whole gateway for a test: real database, real sandbox upstream, real HTTP on loopback; closed with the test. */

export const OPERATOR_TOKEN = 'operator-token-for-tests-0123456789'

/** What is the same for every process of a test. */
export const INSTALLATION = {
  masterKey: 'the master key of tests',
  mail: { smtpUrl: null, from: 'forge@stand.test' },
  publicUrl: null,
} as const

export interface Account {
  readonly orgId: Uuid
  readonly projectId: Uuid
  readonly keyId: Uuid
  readonly key: string
}

export interface Forge {
  readonly url: string
  readonly app: App
  readonly sandbox: Sandbox
  /** For another process over the same database. */
  readonly databaseUrl: string
  /** Its forge.yaml, for the same; null for the starter catalog. */
  readonly configPath: string | null
  /** The owner's connection: may look at everything, and break things on purpose. */
  readonly owner: Database
  /** An organization with a project, a key and money. */
  account(options?: { grants?: Record<string, string>; key?: Partial<NewKey> }): Promise<Account>
  chat(
    key: string,
    body: unknown,
    init?: { headers?: Record<string, string>; signal?: AbortSignal; raw?: boolean },
  ): Promise<Response>
  /** Any path of the gateway, with the credential each format's clients send. */
  post(path: string, key: string, body: unknown, headers?: Record<string, string>): Promise<Response>
  /** Waits until the receipt is settled. */
  receipt(id: string | null): Promise<Receipt>
  balance(orgId: Uuid, bucket: string): Promise<{ posted: bigint; held: bigint; available: bigint }>
  /** Every ledger and receipt invariant; throws with what does not hold. */
  audit(): Promise<void>
  /** Waits until nothing is queued or held any more. */
  settled(): Promise<void>
}

export interface ForgeOptions {
  /** forge.yaml as an object; `sandbox` in a channel's base_url stands for the sandbox, `with:x,y` for its switches. */
  readonly config?: object
  readonly log?: Log
  readonly durable?: boolean
  readonly redisUrl?: string
  readonly failuresPerMinute?: number
  /** How people get in and are written to. */
  readonly people?: Partial<Pick<AppOptions, 'mail' | 'signUp' | 'oidc'>>
}

/** Prices that make mental arithmetic easy: 1 per million input, 0.1 cached, 10 output. */
export const PRICE = { input: '1', cache_read: '0.1', output: '10' }

export interface TestModel {
  /** What the channels speak; `openai` when left out. */
  readonly protocol?: string
  /** Switches of the sandbox for each channel of the ordinary route, primary first; '' for none. */
  readonly ordinary?: readonly string[]
  readonly official?: readonly string[]
  readonly context?: number
  readonly maxOutput?: number
  readonly price?: object
  readonly timeouts?: object
  readonly holdWindow?: number
}

/** A forge.yaml whose models are served by the sandbox under switches. */
export function testConfig(models: Readonly<Record<string, TestModel>>): object {
  const channels: Record<string, object> = {}
  const entries = Object.entries(models).map(([name, model]) => {
    const route = (type: 'official' | 'ordinary', bucket: string, switches: readonly string[]): object => ({
      type,
      bucket,
      price: model.price ?? PRICE,
      ...(model.holdWindow === undefined ? {} : { hold_window: model.holdWindow }),
      channels: switches.map((setting, priority) => {
        const channel = `${name}-${type}-${priority}`
        channels[channel] = {
          protocol: model.protocol ?? 'openai',
          base_url: `sandbox:${setting}`,
          api_key: 'sk-UPSTREAM-SECRET-0123456789',
          public_name: `Public ${priority}`,
          ...(model.timeouts === undefined ? {} : { timeouts: model.timeouts }),
        }
        return { channel, upstream_model: `up-${name}`, priority }
      }),
    })
    return [
      name,
      {
        context: model.context ?? 128_000,
        max_output: model.maxOutput ?? 16_384,
        reference_price: { currency: 'USD', ...PRICE },
        routes: {
          ...(model.official === undefined ? {} : { official: route('official', 'credit', model.official) }),
          ...(model.ordinary === undefined ? {} : { ordinary: route('ordinary', 'rmb', model.ordinary) }),
        },
      },
    ]
  })
  return { channels, models: Object.fromEntries(entries) }
}

/** What base URLs of each kind of channel end in. */
const SUFFIXES: Readonly<Record<string, string>> = {
  openai: '/v1',
  'openai-responses': '/v1',
  anthropic: '',
  gemini: '/v1beta',
}

/** The text of a forge.yaml, with the sandbox's addresses in it. */
export function withSandbox(config: object, sandbox: Sandbox): string {
  return JSON.stringify(config, function (this: { protocol?: string }, key, value: unknown) {
    if (key !== 'base_url' || typeof value !== 'string' || !value.startsWith('sandbox')) return value
    const switches = value.slice('sandbox:'.length)
    const base = switches === '' ? sandbox.url : sandbox.with(switches)
    return `${base}${SUFFIXES[this.protocol ?? 'openai'] ?? ''}`
  })
}

async function writeConfig(t: TestContext, config: object, sandbox: Sandbox): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'forge-test-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  const path = join(dir, 'forge.yaml')
  await writeFile(path, withSandbox(config, sandbox))
  return path
}

async function openAccount(
  app: App,
  options: { grants?: Record<string, string>; key?: Partial<NewKey> },
): Promise<Account> {
  const org = await app.tenancy.createOrganization({ name: 'Test' })
  const project = await app.tenancy.createProject({ orgId: org.id, name: 'p' })
  if (project === null) throw new Error('no project')
  const made = await app.tenancy.createKey({
    projectId: project.id,
    label: 'test',
    policy: 'ordinary_then_official',
    allowCrossBalance: false,
    models: null,
    routes: null,
    expiresAtMs: null,
    ...options.key,
  })
  if (made === null) throw new Error('no key')
  const grants = Object.entries(options.grants ?? { credit: '10', rmb: '10' })
  for (const [i, [bucket, amount]] of grants.entries()) {
    const { accounts } = app
    const accountId = await accounts.open(org.id, bucket, bucket === 'credit' ? 'USD' : 'CNY')
    const amountNano = parseNano(amount)
    if (amountNano === null) throw new Error(`no amount: ${amount}`)
    if (amountNano === 0n) continue
    await app.writer.submit({
      kind: 'grant',
      orgId: org.id,
      id: `${org.id.slice(0, -1)}${i + 1}`,
      accountId,
      amountNano,
      reason: 'test',
    })
  }
  return { orgId: org.id, projectId: project.id, keyId: made.key.id, key: made.secret }
}

async function until<T>(what: string, look: () => Promise<T | null>): Promise<T> {
  for (let turn = 0; turn < 1_000; turn++) {
    const found = await look()
    if (found !== null) return found
    await sleep(10)
  }
  throw new Error(`waited too long for ${what}`)
}

/** Another gateway process's parts on the same database, listening; the caller closes it. */
export async function startBeside(
  forge: Pick<Forge, 'databaseUrl' | 'sandbox'>,
  more: Partial<AppOptions> = {},
): Promise<{ readonly app: App; readonly url: string }> {
  const app = await buildApp({
    databaseUrl: forge.databaseUrl,
    role: 'forge_app',
    configPath: null,
    env: {},
    operatorToken: OPERATOR_TOKEN,
    ...INSTALLATION,
    sandboxUrl: () => `${forge.sandbox.url}/v1`,
    log: silentLog,
    version: '0.0.0-test',
    ...more,
  })
  const { port } = await app.api.listen({ host: '127.0.0.1', port: 0 })
  return { app, url: `http://127.0.0.1:${port}` }
}

export async function startForge(t: TestContext, options: ForgeOptions = {}): Promise<Forge> {
  const started: { app?: App } = {}
  // Before the database goes: what is still to be settled would wait for it for ever.
  t.after(() => started.app?.close(2_000))
  const prepared = await testDatabase(t, options.durable === true ? { durable: true } : {})
  const sandbox = await startSandbox({ record: true })
  t.after(() => sandbox.close())
  const configPath = options.config === undefined ? null : await writeConfig(t, options.config, sandbox)
  const app = await buildApp({
    databaseUrl: prepared.url,
    role: 'forge_app',
    configPath,
    env: {},
    operatorToken: OPERATOR_TOKEN,
    ...INSTALLATION,
    ...options.people,
    redisUrl: options.redisUrl ?? null,
    ...(options.failuresPerMinute === undefined ? {} : { failuresPerMinute: options.failuresPerMinute }),
    webhookPrivateTargets: true,
    sandboxUrl: () => `${sandbox.url}/v1`,
    log: options.log ?? silentLog,
    version: '0.0.0-test',
  })
  started.app = app
  const { port } = await app.api.listen({ host: '127.0.0.1', port: 0 })
  const url = `http://127.0.0.1:${port}`
  const forge: Forge = {
    url,
    app,
    sandbox,
    databaseUrl: prepared.url,
    configPath,
    owner: prepared.database,
    account: (account = {}) => openAccount(app, account),
    chat: (key, body, init = {}) =>
      fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...init.headers },
        body:
          init.raw === true
            ? (body as string)
            : JSON.stringify({
                messages: [{ role: 'user', content: 'Which balance pays?' }],
                max_tokens: 100,
                ...(body as object),
              }),
        ...(init.signal === undefined ? {} : { signal: init.signal }),
      }),
    post: (path, key, body, headers = {}) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'x-api-key': key, 'content-type': 'application/json', ...headers },
        body: JSON.stringify(body),
      }),
    receipt: (id) =>
      until(`receipt ${id}`, async () => {
        const response = await fetch(`${url}/api/v1/receipts/${id}`, {
          headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
        })
        const body = (await response.json()) as Receipt
        return response.status === 200 && body.status !== 'pending' ? body : null
      }),
    async balance(orgId, bucket) {
      const row = await prepared.database.maybeOne<{ posted: bigint; held: bigint }>(
        `select posted, held from ledger.account where org_id = $1 and bucket = $2 and kind = 'customer'`,
        [orgId, bucket],
      )
      const { posted, held } = row ?? { posted: 0n, held: 0n }
      return { posted, held, available: posted - held }
    },
    async audit() {
      const report = await app.audit()
      const broken = report.checks.filter((check) => !check.ok)
      if (broken.length > 0)
        throw new Error(broken.map((check) => `${check.name}: ${check.detail}`).join('\n'))
    },
    async settled() {
      await until('everything to settle', async () =>
        app.gateway.counters.active === 0 && app.writer.depth === 0 ? true : null,
      )
      await until('no hold to be left', async () => {
        const row = await prepared.database.one<{ n: number }>('select count(*)::int as n from ledger.hold')
        return row.n === 0 ? true : null
      })
    },
  }
  return forge
}
