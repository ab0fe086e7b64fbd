import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AlertBook, RuleBook } from '../alerts/index.ts'
import type { BudgetStore } from '../budgets/index.ts'
import type { CatalogSnapshot } from '../catalog/index.ts'
import type { AuditReport, Readiness, Receipt } from '../contract/index.ts'
import type { Database } from '../db/index.ts'
import type { EventStore } from '../events/index.ts'
import type { Identity } from '../identity/index.ts'
import type { Clock, IdSource, Log, Nano, Uuid } from '../kernel/index.ts'
import type { AccountBook, LedgerWriter } from '../ledger/index.ts'
import type { Mailer } from '../mail/index.ts'
import type { FailureWatch, RateStore } from '../rates/index.ts'
import type { UsagePage, UsageQuestion } from '../receipts/index.ts'
import type { NetworkSet, Tenancy, TenancyTables } from '../tenancy/index.ts'
import type { DeliveryLog, EndpointBook } from '../webhooks/index.ts'
import type { People } from './people.ts'

/** What the API is given by the composition root. It constructs none of it and closes none of it. */
export interface ApiDeps {
  readonly database: Database
  readonly tenancy: TenancyTables
  readonly keys: Pick<Tenancy, 'findKey' | 'touch' | 'noteExposed'>
  readonly catalog: { snapshot(): CatalogSnapshot }
  readonly ledger: { readonly writer: Pick<LedgerWriter, 'submit'>; readonly accounts: AccountBook }
  readonly budgets: BudgetStore
  readonly rates: RateStore
  readonly failures: FailureWatch
  readonly receipts: ReceiptReader
  readonly people: People
  /** What reads and writes for customers: the same over a role that sees these organizations only. */
  tenants(orgIds: readonly Uuid[]): TenantDeps
  /** The same for operators, who see all: over a pool of its own, so that a question that takes long stands in nobody's way. */
  readonly console: TenantDeps
  /** Under which people reach this installation, without a slash at its end. */
  origin(): string
  readonly mailer: Mailer
  readonly events: EventStore
  readonly webhooks: Webhooks
  readonly alerts: { readonly rules: RuleBook; readonly list: AlertBook }
  readonly gateway: Gateway
  readonly identity: Identity
  readonly operatorToken: string
  /** Makes the code of a one-time operator link, and says where it is opened. */
  operatorLink(): Promise<string>
  /** Whose word on where a request comes from is taken. */
  readonly trustedProxies: NetworkSet
  readonly clock: Clock
  readonly ids: IdSource
  readonly log: Log
  ready(): Promise<Readiness> | Readiness
  /** Read at each scrape; the API adds its own and those of the process. */
  metrics(): readonly Metric[] | Promise<readonly Metric[]>
  audit(): Promise<AuditReport>
  /** Shown in /openapi.json. */
  readonly version: string
}

/** What tells programs and people what happened. */
export type NoticeDeps = Pick<ApiDeps, 'events' | 'webhooks' | 'alerts'>

export type TenantDeps = NoticeDeps & Pick<ApiDeps, 'database' | 'tenancy' | 'budgets' | 'rates' | 'receipts'>

export interface Webhooks {
  readonly endpoints: EndpointBook
  readonly log: DeliveryLog
  /** @returns what is wrong with a URL as a target, or the URL in normal form */
  checkTarget(url: string): Promise<URL | string>
  /** Something is due now. */
  wake(): void
}

/** Serves its own paths on the same port, before and without the HTTP framework. */
export interface Gateway {
  /** @param path without the query */
  owns(method: string, path: string): boolean
  handle(req: IncomingMessage, res: ServerResponse): void | Promise<void>
}

export interface Metric {
  /** Prometheus name, e.g. `forge_ledger_queue_depth`. */
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge'
  readonly samples: ReadonlyArray<{
    readonly labels?: Readonly<Record<string, string>>
    readonly value: number
  }>
}

/** Whose receipts: null is no limit, which only an operator has. Operators see channels by their private names. */
export interface ReceiptScope {
  readonly orgId: Uuid | null
  readonly projectId: Uuid | null
  readonly view: 'customer' | 'operator'
}

export interface ReceiptFilter extends ReceiptScope {
  readonly apiKeyId: Uuid | null
  readonly runId: Uuid | null
  readonly status: string | null
  readonly bucket: string | null
  readonly model: string | null
  readonly route: string | null
  /** One that was tried, by its private name. */
  readonly channel: string | null
  readonly fallback: boolean | null
  readonly crossed: boolean | null
  readonly leastNano: Nano | null
  readonly sinceMs: number | null
  readonly untilMs: number | null
  readonly limit: number
  /** The last receipt of the page before. */
  readonly before: Uuid | null
}

export interface BucketTotal {
  readonly bucket: string
  readonly currency: string
  readonly chargedNano: Nano
  readonly heldNano: Nano
  readonly requests: number
}

export interface StepTotal {
  readonly name: string | null
  readonly requests: number
  readonly attempts: number
  readonly totals: readonly BucketTotal[]
}

export interface KeyUsage {
  readonly totals: readonly Omit<BucketTotal, 'heldNano'>[]
  /** Of the last 24 hours, by the status of the receipt. */
  readonly lastDay: Readonly<Record<string, number>>
}

export interface ReceiptReader {
  keyUsage(key: { readonly orgId: Uuid; readonly id: Uuid }, nowMs: number): Promise<KeyUsage>
  get(query: ReceiptScope & { readonly id: Uuid }): Promise<Receipt | null>
  list(
    filter: ReceiptFilter,
  ): Promise<{ readonly data: readonly Receipt[]; readonly nextCursor: string | null }>
  runTotals(run: { readonly orgId: Uuid; readonly id: Uuid }): Promise<{
    readonly totals: readonly BucketTotal[]
    readonly steps: readonly StepTotal[]
  }>
  usage(question: UsageQuestion): Promise<UsagePage>
  /** When the first receipt of an organization began, and the last one; null where there is none. */
  usageSpan(orgId: Uuid): Promise<{ readonly firstMs: number; readonly lastMs: number } | null>
}
