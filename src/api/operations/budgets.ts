import { z } from 'zod'
import type { BudgetState } from '../../budgets/index.ts'
import {
  budgetChangeSchema,
  budgetSchema,
  budgetsQuery,
  FaultError,
  fault,
  listOf,
  newBudgetSchema,
} from '../../contract/index.ts'
import type { Actor } from '../../tenancy/index.ts'
import type { ApiDeps } from '../deps.ts'
import { type Caller, operation } from '../operation.ts'
import { cursorOf, idOf, notFound, pageOf } from '../scope.ts'
import { budgetView } from '../views.ts'
import { assertOwn, limitsFilter, placeOf, seenBy } from './limit-scope.ts'
import { amountOf, bucketOf } from './money-of.ts'

const idParams = z.strictObject({ id: z.string() })
const noQuery = z.strictObject({})

function inForce(): FaultError {
  const message = 'A budget of that scope, bucket, period and kind is in force. Change it, or end it first.'
  return new FaultError(fault('conflict', message))
}

async function found(deps: ApiDeps, caller: Caller, text: string): Promise<BudgetState> {
  const budget = await deps.budgets.get(idOf('bud', text), seenBy(caller))
  if (budget === null || (caller.kind === 'key' && caller.key.orgId !== budget.orgId)) throw notFound()
  return budget
}

export const listBudgets = operation({
  id: 'listBudgets',
  method: 'GET',
  path: '/api/v1/budgets',
  summary: 'Budgets with what is used and held of them, newest first; a key sees those it falls under',
  callers: ['operator', 'key'],
  permission: 'limits.read',
  params: z.strictObject({}),
  query: budgetsQuery,
  body: null,
  response: listOf(budgetSchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const filter = await limitsFilter(deps, caller, query)
    const rows = await deps.budgets.list({ ...filter, before: cursorOf('bud', query.cursor) })
    return pageOf('bud', rows, query.limit, budgetView)
  },
})

export const createBudget = operation({
  id: 'createBudget',
  method: 'POST',
  path: '/api/v1/budgets',
  summary: 'Makes a budget; it counts from now on',
  callers: ['operator'],
  permission: 'limits.write',
  params: z.strictObject({}),
  query: noQuery,
  body: newBudgetSchema,
  response: budgetSchema,
  status: 201,
  faults: ['not_found', 'conflict'],
  async run({ deps, by, body }) {
    const bucket = bucketOf(deps.catalog.snapshot(), body.bucket)
    const amountNano = amountOf(body.amount, 0n)
    const place = await placeOf(deps, body)
    const made = await deps.budgets.make({
      ...place,
      scope: body.scope,
      bucket: bucket.id,
      currency: bucket.currency,
      period: body.period ?? (body.scope === 'run' ? 'total' : 'month'),
      amountNano,
      hard: body.hard ?? true,
      by,
    })
    if (made === null) throw inForce()
    return budgetView(made)
  },
})

export const getBudget = operation({
  id: 'getBudget',
  method: 'GET',
  path: '/api/v1/budgets/{id}',
  summary: 'One budget',
  callers: ['operator', 'key'],
  permission: 'limits.read',
  params: idParams,
  query: noQuery,
  body: null,
  response: budgetSchema,
  faults: ['not_found'],
  run: async ({ deps, caller, params }) => budgetView(await found(deps, caller, params.id)),
})

async function changed(
  deps: ApiDeps,
  by: Actor,
  budget: BudgetState,
  to: Omit<Parameters<ApiDeps['budgets']['change']>[1], 'by'>,
) {
  const result = await deps.budgets.change({ orgId: budget.orgId, id: budget.id }, { ...to, by })
  if (result === 'ended') throw new FaultError(fault('conflict', 'The budget has ended. Make a new one.'))
  if (result === 'conflict') throw inForce()
  const now = await deps.budgets.get(budget.id)
  if (now === null) throw notFound()
  return budgetView(now)
}

export const changeBudget = operation({
  id: 'changeBudget',
  method: 'PATCH',
  path: '/api/v1/budgets/{id}',
  summary: 'Changes the amount or kind of a budget; what is used stays',
  callers: ['operator'],
  permission: 'limits.write',
  params: idParams,
  query: noQuery,
  body: budgetChangeSchema,
  response: budgetSchema,
  faults: ['not_found', 'conflict', 'scope_exceeds_creator'],
  async run({ deps, caller, by, params, body }) {
    const budget = await found(deps, caller, params.id)
    assertOwn(caller, budget)
    return changed(deps, by, budget, {
      ...(body.amount === undefined ? {} : { amountNano: amountOf(body.amount, 0n) }),
      ...(body.hard === undefined ? {} : { hard: body.hard }),
    })
  },
})

export const endBudget = operation({
  id: 'endBudget',
  method: 'DELETE',
  path: '/api/v1/budgets/{id}',
  summary: 'Ends a budget; its record stays',
  callers: ['operator'],
  permission: 'limits.write',
  params: idParams,
  query: noQuery,
  body: null,
  response: budgetSchema,
  faults: ['not_found', 'conflict', 'scope_exceeds_creator'],
  async run({ deps, caller, by, params }) {
    const budget = await found(deps, caller, params.id)
    assertOwn(caller, budget)
    return changed(deps, by, budget, { end: true })
  },
})
