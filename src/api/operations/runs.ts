import { z } from 'zod'
import { listOf, projectPageQuery, runSchema, runSummarySchema } from '../../contract/index.ts'
import { formatNano } from '../../kernel/index.ts'
import type { BucketTotal } from '../deps.ts'
import { operation } from '../operation.ts'
import { cursorOf, idOf, notFound, pageOf, scopeOf } from '../scope.ts'
import { runView } from '../views.ts'

function totalsView(totals: readonly BucketTotal[]) {
  return Object.fromEntries(
    totals.map(({ bucket, currency, chargedNano, heldNano, requests }) => [
      bucket,
      { currency, charged: formatNano(chargedNano), held: formatNano(heldNano), requests },
    ]),
  )
}

export const listRuns = operation({
  id: 'listRuns',
  method: 'GET',
  path: '/api/v1/runs',
  summary: 'Runs, newest first',
  callers: ['operator', 'key'],
  params: z.strictObject({}),
  query: projectPageQuery,
  body: null,
  response: listOf(runSummarySchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const scope = await scopeOf(deps, caller, query)
    const before = cursorOf('run', query.cursor)
    const rows = await deps.tenancy.listRuns({ ...scope, limit: query.limit + 1, before })
    return pageOf('run', rows, query.limit, runView)
  },
})

export const getRun = operation({
  id: 'getRun',
  method: 'GET',
  path: '/api/v1/runs/{id}',
  summary: 'One run with what it cost, per bucket and per step',
  callers: ['operator', 'key'],
  params: z.strictObject({ id: z.string() }),
  query: z.strictObject({}),
  body: null,
  response: runSchema,
  faults: ['not_found'],
  async run({ deps, caller, params }) {
    const run = await deps.tenancy.getRun(idOf('run', params.id))
    if (run === null || (caller.kind === 'key' && caller.key.projectId !== run.projectId)) throw notFound()
    const { totals, steps } = await deps.receipts.runTotals({ orgId: run.orgId, id: run.id })
    return {
      ...runView(run),
      budget: null,
      totals: totalsView(totals),
      steps: steps.map((step) => ({ ...step, totals: totalsView(step.totals) })),
    }
  },
})
