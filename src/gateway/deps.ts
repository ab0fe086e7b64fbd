import type { BudgetBook } from '../budgets/index.ts'
import type { Catalog } from '../catalog/index.ts'
import type { Database } from '../db/index.ts'
import type { Clock, Deadlines, IdSource, Log } from '../kernel/index.ts'
import type { AccountBook, LedgerWriter } from '../ledger/index.ts'
import type { Platforms } from '../platforms/index.ts'
import type { FailureWatch, Limiter, RateBook } from '../rates/index.ts'
import type { NetworkSet, Tenancy } from '../tenancy/index.ts'
import type { UpstreamCall } from './call.ts'
import type { Draining } from './draining.ts'
import type { Idempotency } from './idempotency.ts'
import type { OpenHolds } from './open-holds.ts'
import type { Outages } from './outages.ts'
import type { Pins } from './pins.ts'
import type { Retries } from './retries.ts'
import type { StreamUsage } from './stream-usage.ts'
import type { Upstreams } from './upstream.ts'

/** What the stages need; made once by `createGateway`. */
export interface GatewayDeps {
  readonly database: Database
  readonly writer: LedgerWriter
  readonly accounts: AccountBook
  readonly tenancy: Pick<Tenancy, 'findKey' | 'touch' | 'openRun' | 'noteExposed'>
  readonly catalog: Pick<Catalog, 'snapshot'>
  readonly budgets: Pick<BudgetBook, 'under'>
  readonly rates: Pick<RateBook, 'of'>
  readonly limiter: Limiter
  readonly failures: FailureWatch
  /** Whose word on where a request comes from is taken. */
  readonly trustedProxies: NetworkSet
  readonly upstreams: Upstreams
  readonly platforms: Platforms
  /** Of the names that providers are told instead of customers' own (aliases.ts). */
  readonly upstreamSalt: Buffer
  readonly idempotency: Idempotency
  readonly retries: Retries
  readonly openHolds: OpenHolds
  readonly outages: Outages
  readonly draining: Draining
  readonly pins: Pins
  readonly streamUsage: StreamUsage
  /** Upstream calls under way, for shutting down. */
  readonly calls: Set<UpstreamCall>
  readonly clock: Clock
  readonly deadlines: Deadlines
  readonly ids: IdSource
  readonly log: Log
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly counters: Counters
}

/** For /metrics; plain numbers that only grow, but for `active`. */
export interface Counters {
  active: number
  streams: number
  readonly byStatus: Map<string, number>
  readonly bySettlement: Map<string, number>
  lateSettlements: number
}

export function createCounters(): Counters {
  return { active: 0, streams: 0, byStatus: new Map(), bySettlement: new Map(), lateSettlements: 0 }
}

export function countUp(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}
