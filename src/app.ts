import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { type Api, createApi, createConsole, createTenants, TENANT_ROLE } from './api/index.ts'
import { type BudgetBook, openBudgets } from './budgets/index.ts'
import { type Catalog, loadPriceVersion, openCatalog } from './catalog/index.ts'
import type { AuditReport } from './contract/index.ts'
import { type Database, type DatabaseClock, listen, openDatabase, openDatabaseClock } from './db/index.ts'
import { createGateway, type Gateway, readUpstreamSalt } from './gateway/index.ts'
import {
  createIdentity,
  type Identity,
  type OidcSettings,
  originsOf,
  type SignUpMode,
} from './identity/index.ts'
import { type Clock, createIdSource, type IdSource, type Log, systemClock } from './kernel/index.ts'
import {
  type AccountBook,
  auditLedger,
  createAccountBook,
  createLedgerWriter,
  type LedgerWriter,
  type Recovery,
  startRecovery,
} from './ledger/index.ts'
import { createMailer, type Mailer } from './mail/index.ts'
import {
  createFailureWatch,
  type FailureWatch,
  type Limiter,
  openLimiter,
  openRates,
  type RateBook,
} from './rates/index.ts'
import { collectMetrics, readiness } from './readings.ts'
import { auditReceipts } from './receipts/index.ts'
import { createKeyring, type Keyring } from './secrets/index.ts'
import {
  issueOperatorCode,
  networksOf,
  openTenancy,
  operatorCodeLives,
  recordEvent,
  redeemOperatorCode,
  senderAddress,
  type Tenancy,
} from './tenancy/index.ts'

/** The composition root: the only file that constructs. `start.ts` prepares what it is given. */

export interface AppOptions {
  /** Connection URL of the migrated database. */
  readonly databaseUrl: string
  /** The role whose rights the gateway has. */
  readonly role: string
  readonly configPath: string | null
  readonly env: Readonly<Record<string, string | undefined>>
  readonly operatorToken: string
  /** What keys of the installation are derived from. */
  readonly masterKey: string
  readonly mail: { readonly smtpUrl: string | null; readonly from: string }
  /** Null: as the server listens. */
  readonly publicUrl: string | null
  /** Who may make an account; whom an invitation names when left out. */
  readonly signUp?: SignUpMode
  readonly oidc?: OidcSettings | null
  /** Networks of proxies that may say for whom they ask; none when left out. */
  readonly trustedProxies?: readonly string[]
  /** Carries a password; null or left out counts rates in this process. */
  readonly redisUrl?: string | null
  /** How many of these there are in the installation; 1 when left out. */
  readonly processes?: number
  /** Requests without a valid key that one address may send; 30 when left out. */
  readonly failuresPerMinute?: number
  readonly sandboxUrl: () => string | Promise<string>
  readonly log: Log
  readonly version: string
  /** The machine's own when left out. */
  readonly clock?: Clock
}

export interface App {
  readonly api: Api
  readonly database: Database
  readonly tenancy: Tenancy
  readonly catalog: Catalog
  readonly writer: LedgerWriter
  readonly accounts: AccountBook
  readonly gateway: Gateway
  readonly recovery: Recovery
  audit(): Promise<AuditReport>
  /** Stops accepting, lets requests end (cutting what takes longer), settles everything, closes. */
  close(patienceMs: number): Promise<void>
}

export function createLog(level: string): Log {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 2, sync: false }),
  ) as Log
}

/** Pools apart: traffic of the console must never make the ledger wait, nor an audit either of them. */
function openPools(options: AppOptions) {
  const open = (
    applicationName: string,
    max: number,
    statementTimeoutMs: number,
    role = options.role,
  ): Database =>
    openDatabase({
      connection: options.databaseUrl,
      role,
      log: options.log,
      applicationName,
      max,
      statementTimeoutMs,
      queryTimeoutMs: statementTimeoutMs + 2_000,
      connectTimeoutMs: 5_000,
    })
  return {
    ledger: open('forge-ledger', 2, 10_000),
    app: open('forge', 8, 5_000),
    audit: open('forge-audit', 1, 300_000),
    /** What people and scripts look at: a question that takes long is given up, and whoever asks many waits for their own. */
    console: open('forge-console', 4, 2_000),
    tenant: open('forge-tenant', 4, 2_000, TENANT_ROLE),
  }
}

function createAudit(database: Database): () => Promise<AuditReport> {
  return async () => {
    const versionExists = async (id: string): Promise<boolean> =>
      (await loadPriceVersion(database, id)) !== null
    const checks = [...(await auditLedger(database)), ...(await auditReceipts(database, versionExists))]
    return { ok: checks.every((check) => check.ok), checks }
  }
}

interface Parts {
  readonly pools: ReturnType<typeof openPools>
  readonly writer: LedgerWriter
  readonly accounts: AccountBook
  readonly tenancy: Tenancy
  readonly catalog: Catalog
  readonly budgets: BudgetBook
  readonly rates: RateBook
  readonly limiter: Limiter
  readonly failures: FailureWatch
  readonly gateway: Gateway
  readonly recovery: Recovery
  readonly clock: DatabaseClock
  readonly ids: IdSource
  readonly keyring: Keyring
  readonly mailer: Mailer
  readonly identity: Identity
}

type SignIn = Pick<
  Parameters<typeof createIdentity>[0],
  'database' | 'listen' | 'keyring' | 'mailer' | 'ids' | 'log' | 'origins' | 'operatorToken' | 'maySignUp'
>

function openIdentity(options: AppOptions, signIn: SignIn): Identity {
  const trusted = networksOf(options.trustedProxies ?? [])
  return createIdentity({
    ...signIn,
    signUp: options.signUp ?? 'invited',
    oidc: options.oidc ?? null,
    addressOf: (req) => senderAddress(req, trusted),
    maySignUp: signIn.maySignUp,
    redeemOperatorCode,
    operatorCodeLives,
    recordEvent,
  })
}

async function buildParts(options: AppOptions, origins: () => readonly string[]): Promise<Parts> {
  const { log, configPath, env, sandboxUrl } = options
  const pools = openPools(options)
  const database = pools.app
  const clock = await openDatabaseClock({ database, clock: options.clock ?? systemClock, log })
  const ids = createIdSource(clock.nowMs, randomBytes)
  const processId = ids.uuid()
  const writer = createLedgerWriter({ database: pools.ledger, processId, log })
  const accounts = createAccountBook(database)
  const tenancy = await openTenancy({ database, listen, clock, ids, randomBytes, log })
  const catalog = await openCatalog({ database, configPath, env, ids, clock, log, sandboxUrl })
  const budgets = await openBudgets({ database, listen, clock, log })
  const rates = await openRates({ database, listen, clock, log })
  const { redisUrl = null, processes = 1 } = options
  const limiter = await openLimiter({ redisUrl, processId, processes, clock, log })
  const { failuresPerMinute: perMinute } = options
  const failures = createFailureWatch({ clock, ...(perMinute === undefined ? {} : { perMinute }) })
  const gateway = createGateway({
    database,
    writer,
    accounts,
    tenancy,
    catalog,
    budgets,
    rates,
    limiter,
    failures,
    trustedProxies: networksOf(options.trustedProxies ?? []),
    processId,
    upstreamSalt: await readUpstreamSalt(database),
    clock,
    ids,
    log,
    random: Math.random,
  })
  const recovery = startRecovery({ database, processId, log, recover: (hold) => gateway.recover(hold) })
  const keyring = createKeyring(options.masterKey, randomBytes)
  const mailer = createMailer({ ...options.mail, log })
  const signIn = {
    database,
    listen,
    keyring,
    mailer,
    ids,
    log,
    origins,
    operatorToken: options.operatorToken,
    maySignUp: tenancy.maySignUp,
  }
  const identity = openIdentity(options, signIn)
  return {
    pools,
    writer,
    accounts,
    tenancy,
    catalog,
    budgets,
    rates,
    limiter,
    failures,
    gateway,
    recovery,
    clock,
    ids,
    keyring,
    mailer,
    identity,
  }
}

/** On top of the patience with requests. A statement that is running may take so long. */
const LEDGER_PATIENCE_MS = 10_000

/** A database that does not come back may not keep the process for ever: recovery ends what it leaves. */
async function drainWithin(writer: LedgerWriter, patienceMs: number, log: Log): Promise<void> {
  const done = new AbortController()
  const late = sleep(patienceMs, true, { signal: done.signal }).catch(() => false)
  const drained = writer.drain().then(() => done.abort())
  if (!(await Promise.race([late, drained.then(() => false)]))) return
  log.error(
    { ops: writer.depth },
    'the ledger did not answer before the end; recovery settles what these requests held',
  )
}

/** In the order of what leans on what: callers first, then requests, then money, then connections. */
async function closeParts(parts: Parts, api: Api, patienceMs: number, log: Log): Promise<void> {
  const { pools, writer, tenancy, catalog, gateway, recovery } = parts
  const closed = api.close(patienceMs + 5_000, patienceMs)
  await gateway.drain(patienceMs)
  await closed
  await recovery.close()
  await drainWithin(writer, patienceMs + LEDGER_PATIENCE_MS, log)
  await gateway.close()
  parts.clock.close()
  await catalog.close()
  await parts.budgets.close()
  await parts.rates.close()
  await parts.limiter.close()
  await tenancy.close()
  await parts.identity.close()
  parts.mailer.close()
  await Promise.all([
    pools.ledger.close(),
    pools.app.close(),
    pools.audit.close(),
    pools.tenant.close(),
    pools.console.close(),
  ])
}

/** Where it listens; before it does, nobody can ask. */
function addressOf(api: Api | null): { readonly host: string; readonly port: number } {
  const address = api?.server.address()
  return address !== null && typeof address === 'object'
    ? { host: address.address, port: address.port }
    : { host: '127.0.0.1', port: 80 }
}

export async function buildApp(options: AppOptions): Promise<App> {
  const bound: { api: Api | null } = { api: null }
  const origins = (): readonly string[] => originsOf(options.publicUrl, addressOf(bound.api))
  const parts = await buildParts(options, origins)
  const { pools, writer, accounts, tenancy, catalog, gateway, recovery, clock, ids } = parts
  let leaving = false
  const audit = createAudit(pools.audit)
  const { budgets, rates } = parts
  const tables = { tenancy, clock, ids, budgets, rates }
  const console = createConsole({ ...tables, pool: pools.console })
  const api = createApi({
    ...console,
    database: pools.app,
    tenancy,
    keys: tenancy,
    people: parts.identity,
    tenants: createTenants({ ...tables, pool: pools.tenant }),
    console,
    origin: () => origins()[0] ?? '',
    mailer: parts.mailer,
    catalog,
    ledger: { writer, accounts },
    failures: parts.failures,
    gateway,
    identity: parts.identity,
    operatorToken: options.operatorToken,
    operatorLink: async () =>
      `${origins()[0] ?? ''}/operator/${await issueOperatorCode(pools.app, randomBytes)}`,
    trustedProxies: networksOf(options.trustedProxies ?? []),
    clock,
    ids,
    log: options.log,
    ready: () => readiness(pools.app, writer, leaving),
    metrics: () => collectMetrics(writer, gateway, parts.limiter),
    audit,
    version: options.version,
  })
  bound.api = api
  return {
    api,
    database: pools.app,
    tenancy,
    catalog,
    writer,
    accounts,
    gateway,
    recovery,
    audit,
    close(patienceMs) {
      leaving = true
      return closeParts(parts, api, patienceMs, options.log)
    },
  }
}
