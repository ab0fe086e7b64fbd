import { randomBytes } from 'node:crypto'
import { pino } from 'pino'
import { type Api, createApi, createConsole, createTenants } from './api/index.ts'
import { type Catalog, loadPriceVersion } from './catalog/index.ts'
import type { AuditReport } from './contract/index.ts'
import type { Database } from './db/index.ts'
import type { Gateway } from './gateway/index.ts'
import { originsOf } from './identity/index.ts'
import type { Log } from './kernel/index.ts'
import { type AccountBook, auditLedger, type LedgerWriter, type Recovery } from './ledger/index.ts'
import { type AppOptions, buildParts, closeParts } from './parts.ts'
import { collectMetrics, readiness } from './readings.ts'
import { auditReceipts } from './receipts/index.ts'
import { issueOperatorCode, networksOf, type Tenancy } from './tenancy/index.ts'

/** The composition root: the only file that constructs. `start.ts` prepares what it is given. */

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

/** JSON leaves these as they are, and a terminal may take them for commands. */
function plainLine(line: string): string {
  return line.replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

export function createLog(level: string): Log {
  return pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime, hooks: { streamWrite: plainLine } },
    pino.destination({ fd: 2, sync: false }),
  ) as Log
}

function createAudit(database: Database): () => Promise<AuditReport> {
  return async () => {
    const versionExists = async (id: string): Promise<boolean> =>
      (await loadPriceVersion(database, id)) !== null
    const checks = [...(await auditLedger(database)), ...(await auditReceipts(database, versionExists))]
    return { ok: checks.every((check) => check.ok), checks }
  }
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
  const { budgets, rates, jobs } = parts
  const tables = { tenancy, clock, ids, budgets, rates, jobs }
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
