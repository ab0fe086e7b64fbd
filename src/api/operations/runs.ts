import { z } from 'zod'
import {
  FaultError,
  fault,
  listOf,
  newRunSchema,
  runSchema,
  runSummarySchema,
  runsQuery,
} from '../../contract/index.ts'
import { formatId, formatNano, type Nano } from '../../kernel/index.ts'
import type { ApiDeps, BucketTotal } from '../deps.ts'
import { type Caller, operation } from '../operation.ts'
import { InvalidRequest } from '../problem.ts'
import { cursorOf, idOf, instantOf, notFound, pageOf, scopeOf } from '../scope.ts'
import { runView } from '../views.ts'
import { amountOf, bucketOf } from './money-of.ts'
import { nameOf } from './name-of.ts'

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
  permission: 'runs.read',
  params: z.strictObject({}),
  query: runsQuery,
  body: null,
  response: listOf(runSummarySchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const scope = await scopeOf(deps, caller, query)
    const before = cursorOf('run', query.cursor)
    const filter = {
      ...scope,
      namePrefix: query.name_prefix ?? null,
      sinceMs: instantOf(query.since),
      untilMs: instantOf(query.until),
    }
    const rows = await deps.tenancy.listRuns({ ...filter, limit: query.limit + 1, before })
    return pageOf('run', rows, query.limit, runView)
  },
})

type OfRun = Parameters<typeof runView>[0]

/** The run as it stands: what it may spend in total, and what it has cost. */
async function wholeRun(deps: ApiDeps, run: OfRun) {
  const [{ totals, steps }, budgets] = await Promise.all([
    deps.receipts.runTotals({ orgId: run.orgId, id: run.id }),
    deps.budgets.list({
      orgId: run.orgId,
      scope: 'run',
      scopeId: run.id,
      seenBy: null,
      ended: false,
      limit: 100,
      before: null,
    }),
  ])
  // Where a soft one stands beside a hard one of the same bucket, the hard one is what it may spend.
  const whole = budgets.filter(({ period }) => period === 'total').sort((a, b) => +a.hard - +b.hard)
  const budget = whole.map(({ id, bucket, currency, amountNano, usedNano, heldNano, hard }) => [
    bucket,
    {
      id: formatId('bud', id),
      currency,
      amount: formatNano(amountNano),
      used: formatNano(usedNano),
      held: formatNano(heldNano),
      hard,
    },
  ])
  return {
    ...runView(run),
    budget: budget.length === 0 ? null : Object.fromEntries(budget),
    totals: totalsView(totals),
    steps: steps.map((step) => ({ ...step, totals: totalsView(step.totals) })),
  }
}

/** The project a run is made in: a key's own; an operator must name it. */
async function projectFor(deps: ApiDeps, caller: Caller, asked: string | undefined) {
  const { orgId, projectId } = await scopeOf(deps, caller, { project: asked })
  if (orgId === null || projectId === null)
    throw new InvalidRequest('body', [{ field: 'project', message: 'is required with the operator token' }])
  return { orgId, projectId }
}

export const createRun = operation({
  id: 'createRun',
  method: 'POST',
  path: '/api/v1/runs',
  summary: 'Makes a run, or finds the one of that name, and limits what it may spend',
  callers: ['operator', 'key'],
  permission: 'runs.write',
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: newRunSchema,
  response: runSchema,
  status: 201,
  faults: ['not_found', 'conflict'],
  async run({ deps, caller, by, body }) {
    const snapshot = deps.catalog.snapshot()
    const wanted = Object.entries(body.budget ?? {}).map(([id, amount]) => ({
      bucket: bucketOf(snapshot, id, `budget.${id}`),
      amountNano: amountOf(amount, 0n, `budget.${id}`),
    }))
    const place = await projectFor(deps, caller, body.project)
    const name = nameOf(body.name)
    if (name.startsWith('run_'))
      throw new InvalidRequest('body', [{ field: 'name', message: 'may not begin like an id' }])
    const opened = await deps.tenancy.openRun({ ...place, nameOrId: name })
    const run = opened === null ? null : await deps.tenancy.getRun(opened.id)
    if (run === null) throw notFound()
    for (const { bucket, amountNano } of wanted) {
      const made = await deps.budgets.make({
        orgId: run.orgId,
        scope: 'run',
        scopeId: run.id,
        bucket: bucket.id,
        currency: bucket.currency,
        period: 'total',
        amountNano,
        hard: true,
        by,
      })
      if (made === null) await assertSame(deps, run, bucket.id, amountNano)
    }
    return wholeRun(deps, run)
  },
})

/** A repeat is no conflict; whoever holds a key cannot raise what a run was given. */
async function assertSame(deps: ApiDeps, run: OfRun, bucket: string, amountNano: Nano): Promise<void> {
  const known = (await wholeRun(deps, run)).budget?.[bucket]
  if (known?.amount === formatNano(amountNano)) return
  throw new FaultError(fault('conflict', `The run has another budget of ${bucket} already.`))
}

export const getRun = operation({
  id: 'getRun',
  method: 'GET',
  path: '/api/v1/runs/{id}',
  summary: 'One run with what it cost, per bucket and per step',
  callers: ['operator', 'key'],
  permission: 'runs.read',
  params: z.strictObject({ id: z.string() }),
  query: z.strictObject({}),
  body: null,
  response: runSchema,
  faults: ['not_found'],
  async run({ deps, caller, params }) {
    const run = await deps.tenancy.getRun(idOf('run', params.id))
    if (run === null || (caller.kind === 'key' && caller.key.projectId !== run.projectId)) throw notFound()
    return wholeRun(deps, run)
  },
})
