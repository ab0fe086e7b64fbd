import { z } from 'zod'
import { listModels as catalogModels } from '../../catalog/index.ts'
import { listOf, type ModelView, modelSchema } from '../../contract/index.ts'
import { readBalances } from '../../ledger/index.ts'
import type { ApiDeps } from '../deps.ts'
import { type Available, modelView } from '../model-view.ts'
import { type Caller, operation } from '../operation.ts'
import { scopeOf } from '../scope.ts'

/** Every model as the caller may use it; with what the balances have available of the organization of a key, or of a person's only one. */
export async function modelsFor(deps: ApiDeps, caller: Caller): Promise<ModelView[]> {
  const nowMs = deps.clock.nowMs()
  const { orgId } = await scopeOf(deps, caller, {})
  const balances = orgId === null ? null : await readBalances(deps.database, orgId)
  const available: Available | null =
    balances === null
      ? null
      : (bucket) => balances.find((balance) => balance.bucket === bucket)?.availableNano ?? 0n
  return catalogModels(deps.catalog.snapshot()).map((model) => modelView(caller, model, nowMs, available))
}

export const listModels = operation({
  id: 'listModels',
  method: 'GET',
  path: '/api/v1/models',
  summary: 'Every model with its routes, prices and balances, and whether this key can call it',
  callers: ['operator', 'key'],
  permission: 'models.read',
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: null,
  response: listOf(modelSchema),
  faults: [],
  run: async ({ deps, caller }) => ({ data: await modelsFor(deps, caller), next_cursor: null }),
})
