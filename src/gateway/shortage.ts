import type { BudgetAt, Spending } from '../budgets/index.ts'
import {
  type BudgetPeriod,
  type BudgetScope,
  type ErrorCode,
  fault,
  type ReceiptBudgetLimit,
} from '../contract/index.ts'
import type { Database } from '../db/index.ts'
import { formatId, formatNano, isoTime, type Nano } from '../kernel/index.ts'
import { type BudgetLimit, type BudgetWindow, readBalances } from '../ledger/index.ts'
import type { CandidateReason, DecisionReason } from '../receipts/index.ts'
import type { HoldWindow } from './hold.ts'
import type { Planned, RoutePlan, StageResult } from './types.ts'

/** Why a hold could not be made: a balance or a budget that does not suffice. */

/** Refusals after which another route may do, and what the receipt calls them. */
export const SHORTAGES: Partial<
  Record<ErrorCode, CandidateReason & ('balance_insufficient' | 'budget_exceeded' | 'rate_limited')>
> = {
  insufficient_balance: 'balance_insufficient',
  balance_held: 'balance_insufficient',
  budget_exceeded: 'budget_exceeded',
  rate_limit_exceeded: 'rate_limited',
}
export type Shortage = NonNullable<(typeof SHORTAGES)[ErrorCode]>

export const CROSSED_FOR: Readonly<Record<Shortage, DecisionReason>> = {
  balance_insufficient: 'crossed_for_balance',
  budget_exceeded: 'crossed_for_budget',
  rate_limited: 'crossed_for_rate_limit',
}

export function spendingOf(planned: Planned, plan: RoutePlan): Spending {
  const { inbound, model, run } = planned.admitted
  return {
    orgId: inbound.key.orgId,
    projectId: inbound.key.projectId,
    apiKeyId: inbound.key.id,
    runId: run?.id ?? null,
    model: model.name,
    route: plan.route.name,
    routeType: plan.route.type,
    bucket: plan.route.bucket.id,
    atMs: inbound.exchange.startedAtMs,
  }
}

export function windowNamed({ budget, window }: BudgetAt): BudgetWindow {
  return { id: budget.id, startMs: window.startMs }
}

const SCOPES: Readonly<
  Record<BudgetScope, { readonly name: string; readonly shown: (id: string) => string }>
> = {
  organization: { name: 'the organization', shown: (id) => formatId('org', id) },
  project: { name: 'the project', shown: (id) => formatId('prj', id) },
  key: { name: 'this API key', shown: (id) => formatId('key', id) },
  route: { name: 'the route', shown: (id) => id },
  run: { name: 'the run', shown: (id) => formatId('run', id) },
}

const PERIODS: Readonly<Record<BudgetPeriod, string>> = {
  day: 'daily',
  week: 'weekly',
  month: 'monthly',
  total: 'total',
}

export function scopeName(scope: BudgetScope): string {
  return SCOPES[scope].name
}

/** What the ledger said of a budget, with what is known of it here; null where the ledger named none of these. */
export function limitOf(
  under: readonly BudgetAt[],
  limit: BudgetLimit,
  neededNano: Nano,
): ReceiptBudgetLimit | null {
  const found = under.find(({ budget }) => budget.id === limit.budgetId)
  if (found === undefined) return null
  const { budget, window } = found
  return {
    scope: budget.scope,
    scope_id: SCOPES[budget.scope].shown(budget.scopeId),
    budget: formatId('bud', budget.id),
    bucket: budget.bucket,
    currency: budget.currency,
    period: budget.period,
    amount: formatNano(limit.amountNano),
    used: formatNano(limit.usedNano),
    held: formatNano(limit.heldNano),
    needed: formatNano(neededNano),
    resets_at: window.endMs === null ? null : isoTime(window.endMs),
  }
}

export function overBudget(
  under: readonly BudgetAt[],
  said: BudgetLimit,
  neededNano: Nano,
): StageResult<never> {
  const limit = limitOf(under, said, neededNano)
  if (limit === null) return { ok: false, fault: fault('budget_exceeded', 'A budget is used up.') }
  const { currency, amount, used, held, needed, resets_at } = limit
  const period = under.find(({ budget }) => budget.id === said.budgetId)?.budget.period ?? 'total'
  const reset = resets_at === null ? 'It does not reset.' : `It resets at ${resets_at}.`
  const message = `The ${PERIODS[period]} budget of ${SCOPES[limit.scope].name} is ${currency} ${amount}: ${used} is used and ${held} held by running requests, and this request needs at least ${needed} set aside. ${reset}`
  return { ok: false, fault: fault('budget_exceeded', message, { limit }) }
}

/** The balance does not make it: what there is, what is held, what is missing. */
export async function shortage(
  database: Database,
  planned: Planned,
  plan: RoutePlan,
  window: HoldWindow,
): Promise<StageResult<never>> {
  const { key } = planned.admitted.inbound
  const { bucket } = plan.route
  const balances = await readBalances(database, key.orgId)
  const balance = balances.find((candidate) => candidate.bucket === bucket.id)
  const available = balance?.availableNano ?? 0n
  const held = balance?.heldNano ?? 0n
  const needed = window.minimumNano
  const facts = {
    bucket: bucket.id,
    currency: bucket.currency,
    available: formatNano(available),
    held: formatNano(held),
    needed: formatNano(needed),
    missing: formatNano(needed > available ? needed - available : 0n),
    running_requests: balance?.openHolds ?? 0,
  }
  const need = `this request needs at least ${bucket.currency} ${facts.needed} set aside`
  // Waiting helps only if what is held would make up for what is missing.
  if (held > 0n && available + held >= needed) {
    const message = `${bucket.name} has ${bucket.currency} ${facts.available} available and ${facts.held} held by ${facts.running_requests} running request(s); ${need}.`
    return { ok: false, fault: fault('balance_held', message, { facts }) }
  }
  const message = `${bucket.name} has ${bucket.currency} ${facts.available} available; ${need} (missing ${facts.missing}).`
  return { ok: false, fault: fault('insufficient_balance', message, { facts }) }
}
