import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Api, TENANT_ROLE } from './api/index.ts'
import { type BudgetBook, openBudgets } from './budgets/index.ts'
import { type Catalog, openCatalog } from './catalog/index.ts'
import { type Database, type DatabaseClock, listen, openDatabase, openDatabaseClock } from './db/index.ts'
import { createGateway, type Gateway, readUpstreamSalt } from './gateway/index.ts'
import { createIdentity, type Identity, type OidcSettings, type SignUpMode } from './identity/index.ts'
import { type Jobs, startJobs } from './jobs.ts'
import { type Clock, createIdSource, type IdSource, type Log, systemClock } from './kernel/index.ts'
import {
  type AccountBook,
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
import { createKeyring, type Keyring } from './secrets/index.ts'
import {
  endOperatorCodes,
  networksOf,
  openTenancy,
  operatorCodeLives,
  recordEvent,
  redeemOperatorCode,
  senderAddress,
  type Tenancy,
} from './tenancy/index.ts'

/** What an app consists of, in the order in which it is made, and ended again. */

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
  /** Lets webhooks be delivered to loopback and private networks too; not when left out. */
  readonly webhookPrivateTargets?: boolean
  readonly sandboxUrl: () => string | Promise<string>
  readonly log: Log
  readonly version: string
  /** The machine's own when left out. */
  readonly clock?: Clock
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
    jobs: open('forge-jobs', 4, 30_000),
    audit: open('forge-audit', 1, 300_000),
    /** What people and scripts look at: a question that takes long is given up, and whoever asks many waits for their own. */
    console: open('forge-console', 4, 2_000),
    tenant: open('forge-tenant', 4, 2_000, TENANT_ROLE),
  }
}

export interface Parts {
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
  readonly jobs: Jobs
}

type Base = Pick<Parts, 'pools' | 'tenancy' | 'clock' | 'ids'>

/** Who people are, and what tells them and their programs what happened. */
function buildPeopleParts(options: AppOptions, origins: () => readonly string[], base: Base) {
  const { pools, tenancy, clock, ids } = base
  const { log } = options
  const trusted = networksOf(options.trustedProxies ?? [])
  const keyring = createKeyring(options.masterKey, randomBytes)
  const mailer = createMailer({ ...options.mail, log })
  const identity = createIdentity({
    database: pools.app,
    listen,
    keyring,
    mailer,
    ids,
    log,
    origins,
    signUp: options.signUp ?? 'invited',
    oidc: options.oidc ?? null,
    addressOf: (req) => senderAddress(req, trusted),
    maySignUp: tenancy.maySignUp,
    joining: tenancy,
    redeemOperatorCode,
    operatorCodeLives,
    endOperatorCodes,
    recordEvent,
    operatorToken: options.operatorToken,
  })
  const jobs = startJobs({
    database: pools.jobs,
    keyring,
    mailer,
    rules: { privateTargets: options.webhookPrivateTargets ?? false },
    clock,
    ids,
    randomBytes,
    random: Math.random,
    log,
    version: options.version,
  })
  return { keyring, mailer, identity, jobs }
}

export async function buildParts(options: AppOptions, origins: () => readonly string[]): Promise<Parts> {
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
    ...buildPeopleParts(options, origins, { pools, tenancy, clock, ids }),
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
export async function closeParts(parts: Parts, api: Api, patienceMs: number, log: Log): Promise<void> {
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
  await parts.jobs.close()
  await tenancy.close()
  await parts.identity.close()
  parts.mailer.close()
  await Promise.all([
    pools.ledger.close(),
    pools.app.close(),
    pools.jobs.close(),
    pools.audit.close(),
    pools.tenant.close(),
    pools.console.close(),
  ])
}
