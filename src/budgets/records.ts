import type { AuditActor, BudgetPeriod, BudgetScope } from '../contract/index.ts'
import type { Nano, Uuid } from '../kernel/index.ts'

export interface Budget {
  readonly id: Uuid
  readonly orgId: Uuid
  readonly scope: BudgetScope
  /** The id of the organization, project, key or run; a route's name, type, or `model:route`. */
  readonly scopeId: string
  readonly bucket: string
  readonly currency: string
  readonly period: BudgetPeriod
  readonly amountNano: Nano
  /** Hard refuses, soft tells. */
  readonly hard: boolean
  readonly createdAtMs: number
  readonly endedAtMs: number | null
}

/** A budget with what counts in its window of now. */
export interface BudgetState extends Budget {
  /** Who made it: an organization does not widen what an operator limits. */
  readonly setBy: AuditActor
  readonly usedNano: Nano
  readonly heldNano: Nano
  readonly window: Window
}

/** From the first moment on, until before the end; a window without an end is for ever. */
export interface Window {
  readonly startMs: number
  readonly endMs: number | null
}

export interface BudgetRow {
  readonly id: string
  readonly org_id: string
  readonly scope: BudgetScope
  readonly scope_id: string
  readonly bucket: string
  readonly currency: string
  readonly period: BudgetPeriod
  readonly amount: bigint
  readonly hard: boolean
  readonly created_at: Date
  readonly ended_at: Date | null
}

/** Columns of a {@link BudgetRow}, of `ledger.budget g join ledger.account a`. */
export const BUDGET_COLUMNS =
  'g.id, g.org_id, g.scope, g.scope_id, a.bucket, a.currency, g.period, g.amount, g.hard, g.created_at, g.ended_at'

export function budgetOf(row: BudgetRow): Budget {
  return Object.freeze({
    id: row.id,
    orgId: row.org_id,
    scope: row.scope,
    scopeId: row.scope_id,
    bucket: row.bucket,
    currency: row.currency,
    period: row.period,
    amountNano: row.amount,
    hard: row.hard,
    createdAtMs: row.created_at.getTime(),
    endedAtMs: row.ended_at === null ? null : row.ended_at.getTime(),
  })
}
