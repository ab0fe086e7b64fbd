import type { AuditActor, RateMeasure, RateScope } from '../contract/index.ts'
import { formatId, type IdPrefix, type Uuid } from '../kernel/index.ts'

/** What a limit is, and what is said of a request that falls under some. */

/** Null is no limit of that kind. */
export type RateAmounts = Readonly<Record<RateMeasure, number | null>>

export interface RateLimit {
  readonly id: Uuid
  readonly orgId: Uuid
  readonly scope: RateScope
  /** The id of the organization, project or key; a route's name, type, or `model:route`. */
  readonly scopeId: string
  readonly amounts: RateAmounts
  /** Who made it: an organization does not widen what an operator limits. */
  readonly setBy: AuditActor
  readonly createdAtMs: number
  readonly endedAtMs: number | null
}

/** What a running request has of one limit. Given back once, whatever becomes of it. */
export interface Reservation {
  readonly limit: RateLimit
  readonly tokens: number
  /** The second in which it was counted here, by this process's clock. */
  readonly second: number
  /** The same in Redis, by its clock; null when there is no Redis, `unsure` when nobody can say whether it is counted there. */
  readonly shared: number | 'unsure' | null
  /** The request, as the name of its lease. */
  readonly lease: Uuid
}

/** How far a limit is used after a request was let in, or turned away. */
export interface RateUse {
  readonly limit: RateLimit
  /** As they apply here: a part of the limit where processes cannot ask each other. */
  readonly amounts: RateAmounts
  readonly requests: number
  readonly tokens: number
  /** Until nothing of it is used any more, if nothing more comes. */
  readonly resetMs: number
}

export interface RateRefusal {
  readonly limit: RateLimit
  readonly measure: RateMeasure
  readonly amount: number
  readonly used: number
  readonly needed: number
  /** Until this request would fit. A guess for concurrency: nobody knows when a request ends. */
  readonly waitMs: number
  /** It is larger than the limit itself. */
  readonly never: boolean
}

export type RateVerdict =
  | { readonly ok: true; readonly reservations: readonly Reservation[]; readonly uses: readonly RateUse[] }
  | { readonly ok: false; readonly refusal: RateRefusal; readonly uses: readonly RateUse[] }

export interface RateRow {
  readonly id: string
  readonly org_id: string
  readonly scope: RateScope
  readonly scope_id: string
  readonly requests_per_minute: number | null
  readonly tokens_per_minute: number | null
  readonly concurrency: number | null
  readonly set_by: AuditActor
  readonly created_at: Date
  readonly ended_at: Date | null
}

/** Columns of a {@link RateRow}, of `tenancy.rate_limit`. Amounts are far below 2^53. */
export const RATE_COLUMNS = `id, org_id, scope, scope_id, requests_per_minute::float8, tokens_per_minute::float8,
  concurrency::float8, set_by, created_at, ended_at`

export function rateOf(row: RateRow): RateLimit {
  return Object.freeze({
    id: row.id,
    orgId: row.org_id,
    scope: row.scope,
    scopeId: row.scope_id,
    amounts: Object.freeze({
      requests_per_minute: row.requests_per_minute,
      tokens_per_minute: row.tokens_per_minute,
      concurrency: row.concurrency,
    }),
    setBy: row.set_by,
    createdAtMs: row.created_at.getTime(),
    endedAtMs: row.ended_at === null ? null : row.ended_at.getTime(),
  })
}

const PREFIXES: Readonly<Record<RateScope, IdPrefix | null>> = {
  organization: 'org',
  project: 'prj',
  key: 'key',
  route: null,
}

export function shownScopeId({ scope, scopeId }: Pick<RateLimit, 'scope' | 'scopeId'>): string {
  const prefix = PREFIXES[scope]
  return prefix === null ? scopeId : formatId(prefix, scopeId)
}
