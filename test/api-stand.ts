import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import {
  type Api,
  type ApiDeps,
  createApi,
  createConsole,
  createTenants,
  type Person,
  TENANT_ROLE,
} from '../src/api/index.ts'
import { openCatalog } from '../src/catalog/index.ts'
import { type Database, listen, openDatabase } from '../src/db/index.ts'
import { createIdentity, type Identity, type IdentityOptions, originsOf } from '../src/identity/index.ts'
import { startJobs } from '../src/jobs.ts'
import { createIdSource, type IdSource, silentLog, systemClock } from '../src/kernel/index.ts'
import { auditLedger, createAccountBook, createLedgerWriter, type LedgerWriter } from '../src/ledger/index.ts'
import { createMailer } from '../src/mail/index.ts'
import { createFailureWatch } from '../src/rates/index.ts'
import { createKeyring } from '../src/secrets/index.ts'
import {
  endOperatorCodes,
  issueOperatorCode,
  NO_NETWORKS,
  openTenancy,
  operatorCodeLives,
  recordEvent,
  redeemOperatorCode,
  senderAddress,
  type Tenancy,
} from '../src/tenancy/index.ts'
import { type TestDatabase, testDatabase } from './database.ts'

/**
 * The management API over real parts, listening on a free port. Only the gateway is a plain stand-in: it owns /v1/ and
 * answers `gateway`, since none of the tests that use this are about it. How people sign in is another story, too (src/identity):
 * here a cookie names somebody.
 */
export interface ApiStand {
  readonly api: Api
  readonly url: string
  readonly port: number
  readonly operator: string
  readonly tenancy: Tenancy
  readonly identity: Identity
  readonly writer: LedgerWriter
  readonly app: Database
  readonly owner: Database
  readonly databaseUrl: string
  readonly ids: IdSource
  call(method: string, path: string, more?: CallOptions): Promise<Answer>
  /** Somebody who is signed in, with the cookie that says so. */
  person(more?: Partial<Person>): Person & { readonly cookie: string }
  /** An organization with one project and one key. */
  customer(name: string): Promise<Customer>
}

export interface StandOptions {
  /** Of another stand: two processes over one database. */
  readonly database?: TestDatabase
  readonly identity?: Partial<IdentityOptions>
}

export interface CallOptions {
  /** The operator token when left out; null for none. */
  readonly token?: string | null
  /** Sent as a page of the installation sends it, without a token. */
  readonly cookie?: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The answer as JSON, or null. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers whose shape they assert
  readonly json: any
}

export interface Customer {
  readonly org: string
  readonly project: string
  readonly key: string
  readonly keyId: string
}

const YAML = `
channels:
  direct: {protocol: openai, base_url: 'http://127.0.0.1:9/v1', api_key: sk-UPSTREAM-SECRET, public_name: Direct}
  relay:  {protocol: openai, base_url: 'http://127.0.0.1:9/v1', api_key: sk-UPSTREAM-SECRET, public_name: Relay}
models:
  m-one:
    context: 128000
    max_output: 16384
    reference_price: {currency: USD, input: "2.50", cache_read: "0.25", output: "10.00"}
    routes:
      official:
        type: official
        bucket: credit
        price: {input: "2.50", cache_read: "0.25", output: "10.00"}
        channels: [{channel: direct, upstream_model: m-direct}]
      ordinary:
        type: ordinary
        bucket: rmb
        price: {input: "0.90", output: "7.20", web_search: {per: 1000, price: "10"}}
        channels: [{channel: relay, upstream_model: m-relay}]
`

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

async function call(
  url: string,
  operator: string,
  method: string,
  path: string,
  more: CallOptions = {},
): Promise<Answer> {
  const token = more.token === undefined && more.cookie === undefined ? operator : (more.token ?? null)
  const response = await fetch(url + path, {
    method,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(more.cookie === undefined ? {} : { cookie: more.cookie, 'sec-fetch-site': 'same-origin' }),
      ...(more.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...more.headers,
    },
    ...(more.body === undefined
      ? {}
      : { body: typeof more.body === 'string' ? more.body : JSON.stringify(more.body) }),
  })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, json: jsonOf(text) }
}

export async function startApi(
  t: Pick<TestContext, 'after'>,
  override: Partial<ApiDeps> = {},
  more: StandOptions = {},
): Promise<ApiStand> {
  const { app, database: owner, url: databaseUrl } = more.database ?? (await testDatabase(t as TestContext))
  const ids = createIdSource(systemClock.nowMs, randomBytes)
  const operator = `op-${randomBytes(12).toString('hex')}`
  const home = await mkdtemp(join(tmpdir(), 'forge-api-'))
  const configPath = join(home, 'forge.yaml')
  await writeFile(configPath, YAML)
  const parts = { database: app, clock: systemClock, ids, log: silentLog }
  const catalog = await openCatalog({ ...parts, configPath, env: {}, sandboxUrl: () => 'http://127.0.0.1:9' })
  const tenancy = await openTenancy({ ...parts, listen, randomBytes })
  const writer = createLedgerWriter({ database: app, processId: ids.uuid(), log: silentLog })
  const keyring = createKeyring('the master key of tests', randomBytes)
  const mailer = createMailer({ smtpUrl: null, from: 'forge@stand.test', log: silentLog })
  const jobs = startJobs({
    ...parts,
    keyring,
    mailer,
    rules: { privateTargets: true },
    randomBytes,
    random: () => 0,
    version: '0.0.0-test',
  })
  const people = new Map<string, Person>()
  const pool = openDatabase({ connection: databaseUrl, role: TENANT_ROLE, log: silentLog, max: 4 })
  const nothing = { drop: () => {} }
  const tables = { tenancy, clock: systemClock, ids, budgets: nothing, rates: nothing, jobs }
  const console = createConsole({ ...tables, pool: app })
  const bound = { port: 80 }
  const origins = (): readonly string[] => originsOf(null, { host: '127.0.0.1', port: bound.port })
  const identity = createIdentity({
    ...parts,
    listen,
    keyring,
    mailer,
    signUp: 'invited',
    oidc: null,
    origins,
    addressOf: (req) => senderAddress(req, NO_NETWORKS),
    maySignUp: tenancy.maySignUp,
    joining: tenancy,
    redeemOperatorCode,
    operatorCodeLives,
    endOperatorCodes,
    recordEvent,
    operatorToken: operator,
    ...more.identity,
  })
  const api = createApi({
    ...console,
    ...parts,
    identity,
    operatorLink: async () => `${origins()[0]}/operator/${await issueOperatorCode(app, randomBytes)}`,
    tenancy,
    keys: tenancy,
    people: {
      ...identity,
      personOf: async (req) => people.get(req.headers.cookie ?? '') ?? (await identity.personOf(req)),
      describe: async (wanted) =>
        new Map([
          ...(await identity.describe(wanted)),
          ...[...people.values()]
            .filter(({ id }) => wanted.includes(id))
            .map((one) => [one.id, one] as const),
        ]),
    },
    tenants: createTenants({ ...tables, pool }),
    console,
    origin: () => origins()[0] ?? '',
    mailer: createMailer({ smtpUrl: null, from: 'forge@stand.test', log: silentLog }),
    catalog,
    ledger: { writer, accounts: createAccountBook(app) },
    failures: createFailureWatch({ clock: systemClock }),
    gateway: {
      owns: (_method, path) => path.startsWith('/v1/'),
      handle: (_req, res) => {
        res.end('gateway')
      },
    },
    operatorToken: operator,
    trustedProxies: NO_NETWORKS,
    ready: () => ({ ready: true, checks: [{ name: 'database', ok: true, detail: 'answers' }] }),
    metrics: () => [
      {
        name: 'forge_ledger_queue_depth',
        help: 'Ops that wait.',
        type: 'gauge',
        samples: [{ value: writer.depth }],
      },
    ],
    audit: async () => {
      const checks = [...(await auditLedger(app))]
      return { ok: checks.every((check) => check.ok), checks }
    },
    version: '0.0.0-test',
    ...override,
  })
  const { port } = await api.listen({ host: '127.0.0.1', port: 0 })
  bound.port = port
  t.after(async () => {
    await api.close(1_000)
    await Promise.all([jobs.close(), identity.close(), tenancy.close(), catalog.close()])
    await Promise.all([writer.drain(), pool.close()])
    await rm(home, { recursive: true, force: true })
  })
  const url = `http://127.0.0.1:${port}`
  const ask: ApiStand['call'] = (method, path, more) => call(url, operator, method, path, more)
  return {
    api,
    url,
    port,
    operator,
    tenancy,
    identity,
    writer,
    app,
    owner,
    databaseUrl,
    ids,
    call: ask,
    person(more = {}) {
      const id = ids.uuid()
      const cookie = `person=${id}`
      const person: Person = {
        id,
        email: `${id}@stand.test`,
        emailVerified: true,
        name: 'Somebody',
        operatorRole: null,
        ...more,
      }
      people.set(cookie, person)
      return { ...person, cookie }
    },
    async customer(name) {
      const org = (await ask('POST', '/api/v1/organizations', { body: { name } })).json
      const project = (await ask('POST', '/api/v1/projects', { body: { organization: org.id, name } })).json
      const key = (await ask('POST', '/api/v1/keys', { body: { project: project.id, label: name } })).json
      return { org: org.id, project: project.id, key: key.key, keyId: key.id }
    },
  }
}
