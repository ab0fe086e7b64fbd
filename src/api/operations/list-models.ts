import { z } from 'zod'
import { listModels as catalogModels } from '../../catalog/index.ts'
import { listOf, modelSchema } from '../../contract/index.ts'
import { modelView } from '../model-view.ts'
import { operation } from '../operation.ts'

export const listModels = operation({
  id: 'listModels',
  method: 'GET',
  path: '/api/v1/models',
  summary: 'Every model with its routes, prices and balances, and whether this key can call it',
  callers: ['operator', 'key'],
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: null,
  response: listOf(modelSchema),
  faults: [],
  run({ deps, caller }) {
    const nowMs = deps.clock.nowMs()
    const models = catalogModels(deps.catalog.snapshot())
    return { data: models.map((model) => modelView(caller, model, nowMs)), next_cursor: null }
  },
})
