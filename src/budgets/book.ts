import type { BudgetPeriod } from '../contract/index.ts'
import type { Database, Listener, listen as listenFactory } from '../db/index.ts'
import { type Clock, createMemory, type Log, type Uuid } from '../kernel/index.ts'
import { BUDGET_COLUMNS, type Budget, type BudgetRow, budgetOf, type Window } from './records.ts'
import { windowOf } from './windows.ts'

/** What a request is, as far as budgets are concerned. */
export interface Spending {
  readonly orgId: Uuid
  readonly projectId: Uuid
  readonly apiKeyId: Uuid
  readonly runId: Uuid | null
  readonly model: string
  readonly route: string
  readonly routeType: string
  readonly bucket: string
  readonly atMs: number
}

export interface BudgetAt {
  readonly budget: Budget
  readonly window: Window
}

export interface BudgetBook {
  /** The budgets that the spending falls under. Without a promise when they are in memory. */
  under(spending: Spending): readonly BudgetAt[] | Promise<readonly BudgetAt[]>
  /** For changes made by this process: its own word comes back to it a moment later. */
  drop(orgId: Uuid): void
  /** Organizations and runs in memory. */
  readonly size: number
  close(): Promise<void>
}

export interface BudgetBookOptions {
  readonly database: Database
  readonly listen: typeof listenFactory
  readonly clock: Clock
  readonly log: Log
}

interface OfOrganization {
  readonly timeZone: string
  /** By scope and id; those of runs are kept by run. */
  readonly byScope: ReadonlyMap<string, readonly Budget[]>
  readonly hasRuns: boolean
  /** The windows of now, worked out when they are first needed. */
  readonly windows: Map<BudgetPeriod, Window>
}

interface OfRun {
  readonly orgId: Uuid
  readonly budgets: readonly Budget[]
}

const BUDGET_CHANNEL = 'forge_budget'
const NAME_CHANNEL = 'forge_tenancy'
const REMEMBERED_MAX = 10_000
const NONE: readonly never[] = []

const ORGANIZATION_SQL = `select coalesce((select o.time_zone from tenancy.organization o where o.id = $1), 'UTC') as time_zone,
  exists (select from ledger.budget where org_id = $1 and scope = 'run' and ended_at is null) as has_runs`
const BUDGETS_SQL = `select ${BUDGET_COLUMNS} from ledger.budget g
  join ledger.account a on a.org_id = g.org_id and a.id = g.account_id
  where g.org_id = $1 and g.ended_at is null`

async function readOrganization(database: Database, orgId: Uuid): Promise<OfOrganization> {
  const head = await database.one<{ time_zone: string; has_runs: boolean }>(ORGANIZATION_SQL, [orgId])
  const rows = await database.query<BudgetRow>(`${BUDGETS_SQL} and g.scope <> 'run' order by g.id`, [orgId])
  const byScope = new Map<string, Budget[]>()
  for (const budget of rows.map(budgetOf)) {
    const place = `${budget.scope}/${budget.scopeId}`
    byScope.set(place, [...(byScope.get(place) ?? []), budget])
  }
  return { timeZone: head.time_zone, byScope, hasRuns: head.has_runs, windows: new Map() }
}

async function readRun(database: Database, place: string): Promise<OfRun> {
  const [orgId = '', runId = ''] = place.split('/')
  const rows = await database.query<BudgetRow>(
    `${BUDGETS_SQL} and g.scope = 'run' and g.scope_id = $2 order by g.id`,
    [orgId, runId],
  )
  return { orgId, budgets: rows.map(budgetOf) }
}

function windowAt(org: OfOrganization, period: BudgetPeriod, atMs: number): Window {
  const known = org.windows.get(period)
  if (known !== undefined && atMs >= known.startMs && (known.endMs === null || atMs < known.endMs))
    return known
  const window = windowOf(org.timeZone, period, atMs)
  // What began before midnight is still asked about after it; it must not bring back the old window for all.
  if (known === undefined || window.startMs > known.startMs) org.windows.set(period, window)
  return window
}

function select(org: OfOrganization, run: OfRun | null, spending: Spending): readonly BudgetAt[] {
  const { byScope } = org
  const { model, route, routeType } = spending
  const found: BudgetAt[] = []
  const add = (budgets: readonly Budget[] | undefined): void => {
    for (const budget of budgets ?? NONE)
      if (budget.bucket === spending.bucket)
        found.push({ budget, window: windowAt(org, budget.period, spending.atMs) })
  }
  add(byScope.get(`organization/${spending.orgId}`))
  add(byScope.get(`project/${spending.projectId}`))
  add(byScope.get(`key/${spending.apiKeyId}`))
  for (const name of new Set([route, routeType, `${model}:${route}`, `${model}:${routeType}`]))
    add(byScope.get(`route/${name}`))
  add(run?.budgets)
  return found
}

/** Listens before it returns, so that no change is missed by what is remembered from now on. */
export async function openBudgets(options: BudgetBookOptions): Promise<BudgetBook> {
  const { database, clock, log } = options
  const parts = { clock, log, what: 'budgets', max: REMEMBERED_MAX }
  const organizations = createMemory({ ...parts, read: (id) => readOrganization(database, id) })
  const runs = createMemory({ ...parts, read: (place) => readRun(database, place) })
  const listening = Promise.withResolvers<void>()

  function drop(orgId: Uuid): void {
    organizations.drop((id) => id === orgId)
    runs.drop((_, run) => run.orgId === orgId)
  }

  const listener: Listener = options.listen(database, [BUDGET_CHANNEL, NAME_CHANNEL], {
    log,
    onNotify(channel, payload) {
      if (channel === BUDGET_CHANNEL) drop(payload)
      else if (payload.startsWith('organization:')) drop(payload.slice('organization:'.length))
    },
    onGap() {
      organizations.drop(() => true)
      runs.drop(() => true)
      listening.resolve()
    },
  })
  await listening.promise

  function withRun(org: OfOrganization, spending: Spending) {
    if (org.byScope.size === 0 && !org.hasRuns) return NONE
    if (spending.runId === null || !org.hasRuns) return select(org, null, spending)
    const place = `${spending.orgId}/${spending.runId}`
    const run = runs.known(place)
    return run === undefined
      ? runs.load(place).then((loaded) => select(org, loaded, spending))
      : select(org, run, spending)
  }

  return {
    under(spending) {
      const org = organizations.known(spending.orgId)
      return org === undefined
        ? organizations.load(spending.orgId).then((loaded) => withRun(loaded, spending))
        : withRun(org, spending)
    },
    drop,
    get size() {
      return organizations.size + runs.size
    },
    close: () => listener.close(),
  }
}
