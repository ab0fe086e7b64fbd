import { type BudgetBook, createBudgetStore } from '../budgets/index.ts'
import { bindDatabase, type Database } from '../db/index.ts'
import { assert, type Clock, type IdSource, isUuid, type Uuid } from '../kernel/index.ts'
import { createRateStore, type RateBook } from '../rates/index.ts'
import { createReceiptReader } from '../receipts/index.ts'
import type { Tenancy } from '../tenancy/index.ts'
import type { NoticeDeps, TenantDeps } from './deps.ts'

/** The role whose rights customers' own reads and writes have; migrations make it. */
export const TENANT_ROLE = 'forge_tenant'

export interface TenantOptions {
  /** For customers, connections of {@link TENANT_ROLE}. */
  readonly pool: Database
  readonly tenancy: Pick<Tenancy, 'within'>
  readonly clock: Clock
  readonly ids: IdSource
  /** What this process remembers of an organization's limits, to be dropped on a change. */
  readonly budgets: Pick<BudgetBook, 'drop'>
  readonly rates: Pick<RateBook, 'drop'>
  readonly jobs: { over(database: Database): NoticeDeps }
}

/** The domains' functions over one way to the database. */
export function createConsole(options: TenantOptions): TenantDeps {
  const { pool, tenancy, clock, ids, budgets, rates, jobs } = options
  return {
    ...jobs.over(pool),
    database: pool,
    tenancy: tenancy.within(pool),
    budgets: createBudgetStore({ database: pool, clock, ids, changed: budgets.drop }),
    rates: createRateStore({ database: pool, ids, changed: rates.drop }),
    receipts: createReceiptReader(pool),
  }
}

/** The same over a database that shows some organizations and hides all others. */
export function createTenants(options: TenantOptions): (orgIds: readonly Uuid[]) => TenantDeps {
  return (orgIds) => {
    assert(orgIds.every(isUuid), 'organizations are named by their ids')
    const pool = bindDatabase(options.pool, { 'forge.orgs': `{${orgIds.join(',')}}` })
    return createConsole({ ...options, pool })
  }
}
