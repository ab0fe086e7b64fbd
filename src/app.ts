import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { pino } from 'pino'
import { type Api, createApi, type Metric } from './api/index.ts'
import { type BudgetBook, createBudgetStore, openBudgets } from './budgets/index.ts'
import { type Catalog, loadPriceVersion, openCatalog } from './catalog/index.ts'
import type { AuditReport, Readiness } from './contract/index.ts'
import { type Database, listen, openDatabase } from './db/index.ts'
import { createGateway, type Gateway } from './gateway/index.ts'
import { type Jobs, startJobs } from './jobs.ts'
import { createIdSource, errorText, type IdSource, type Log, systemClock } from './kernel/index.ts'
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
import { auditReceipts, createReceiptReader } from './receipts/index.ts'
import { createKeyring, type Keyring } from './secrets/index.ts'
import { networksOf, openTenancy, type Tenancy } from './tenancy/index.ts'

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
  /** Networks of proxies that may say for whom they ask; none when left out. */
  readonly trustedProxies?: readonly string[]
  /** Lets webhooks be delivered to loopback and private networks too; not when left out. */
  readonly webhookPrivateTargets?: boolean
  readonly sandboxUrl: () => string | Promise<string>
  readonly log: Log
  readonly version: string
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
  const open = (applicationName: string, max: number, statementTimeoutMs: number): Database =>
    openDatabase({
      connection: options.databaseUrl,
      role: options.role,
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
  }
}

function collectMetrics(writer: LedgerWriter, gateway: Gateway): readonly Metric[] {
  const { counters } = gateway
  const gauge = (name: string, help: string, value: number): Metric => ({
    name,
    help,
    type: 'gauge',
    samples: [{ value }],
  })
  const counts = (name: string, help: string, label: string, map: ReadonlyMap<string, number>): Metric => ({
    name,
    help,
    type: 'counter',
    samples: [...map].map(([key, value]) => ({ labels: { [label]: key }, value })),
  })
  return [
    gauge('forge_ledger_queue_depth', 'Ledger operations queued or under way.', writer.depth),
    gauge('forge_ledger_healthy', '1 while the ledger answers.', writer.healthy ? 1 : 0),
    gauge('forge_requests_active', 'Gateway requests under way.', counters.active),
    gauge('forge_holds_open', 'Holds of requests that run in this process.', gateway.openHolds()),
    counts('forge_requests_total', 'Gateway requests by how they ended.', 'status', counters.byStatus),
    counts(
      'forge_settlements_total',
      'Settled requests by row of the settlement matrix.',
      'settlement',
      counters.bySettlement,
    ),
    {
      name: 'forge_streams_total',
      help: 'Streams begun.',
      type: 'counter',
      samples: [{ value: counters.streams }],
    },
    {
      name: 'forge_late_settlements_total',
      help: 'Settlements that came after recovery.',
      type: 'counter',
      samples: [{ value: counters.lateSettlements }],
    },
  ]
}

async function readiness(database: Database, writer: LedgerWriter, leaving: boolean): Promise<Readiness> {
  const answer = await database.query('select 1').then(
    () => ({ name: 'database', ok: true, detail: 'answers' }),
    (thrown) => ({ name: 'database', ok: false, detail: errorText(thrown) }),
  )
  const checks = [
    answer,
    {
      name: 'ledger',
      ok: writer.healthy,
      detail: writer.healthy ? `${writer.depth} operations under way` : 'does not answer',
    },
    { name: 'accepting', ok: !leaving, detail: leaving ? 'shutting down' : 'yes' },
  ]
  return { ready: checks.every((check) => check.ok), checks }
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
  readonly gateway: Gateway
  readonly recovery: Recovery
  readonly ids: IdSource
  readonly keyring: Keyring
  readonly mailer: Mailer
  readonly jobs: Jobs
}

async function buildParts(options: AppOptions): Promise<Parts> {
  const { log, configPath, env, sandboxUrl } = options
  const clock = systemClock
  const ids = createIdSource(clock.nowMs, randomBytes)
  const processId = ids.uuid()
  const pools = openPools(options)
  const database = pools.app
  const writer = createLedgerWriter({ database: pools.ledger, processId, log })
  const accounts = createAccountBook(database)
  const tenancy = await openTenancy({ database, listen, clock, ids, randomBytes, log })
  const catalog = await openCatalog({ database, configPath, env, ids, clock, log, sandboxUrl })
  const budgets = await openBudgets({ database, listen, clock, log })
  const gateway = createGateway({
    database,
    writer,
    accounts,
    tenancy,
    catalog,
    budgets,
    trustedProxies: networksOf(options.trustedProxies ?? []),
    processId,
    clock,
    ids,
    log,
    random: Math.random,
  })
  const recovery = startRecovery({ database, processId, log, recover: (hold) => gateway.recover(hold) })
  const keyring = createKeyring(options.masterKey, randomBytes)
  const mailer = createMailer({ ...options.mail, log })
  const jobs = startJobs({
    database: pools.jobs,
    apiDatabase: database,
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
  return { pools, writer, accounts, tenancy, catalog, budgets, gateway, recovery, ids, keyring, mailer, jobs }
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
  await catalog.close()
  await parts.budgets.close()
  await parts.jobs.close()
  await tenancy.close()
  parts.mailer.close()
  await Promise.all([pools.ledger.close(), pools.app.close(), pools.jobs.close(), pools.audit.close()])
}

export async function buildApp(options: AppOptions): Promise<App> {
  const parts = await buildParts(options)
  const { pools, writer, accounts, tenancy, catalog, gateway, recovery, ids } = parts
  let leaving = false
  const audit = createAudit(pools.audit)
  const api = createApi({
    database: pools.app,
    tenancy,
    catalog,
    ledger: { writer, accounts },
    budgets: createBudgetStore({ database: pools.app, clock: systemClock, ids, changed: parts.budgets.drop }),
    receipts: createReceiptReader(pools.app),
    events: parts.jobs.events,
    webhooks: parts.jobs.webhooks,
    alerts: parts.jobs.alerts,
    gateway,
    operatorToken: options.operatorToken,
    trustedProxies: networksOf(options.trustedProxies ?? []),
    clock: systemClock,
    ids,
    log: options.log,
    ready: () => readiness(pools.app, writer, leaving),
    metrics: () => collectMetrics(writer, gateway),
    audit,
    version: options.version,
  })
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
