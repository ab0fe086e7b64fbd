import { type BudgetStoreOptions, createBudgetStore } from '../budgets/index.ts'
import { bindDatabase, type Database } from '../db/index.ts'
import { assert, isUuid, type Uuid } from '../kernel/index.ts'
import { createReceiptReader } from '../receipts/index.ts'
import type { Tenancy } from '../tenancy/index.ts'
import type { TenantDeps } from './deps.ts'

/** The role whose rights customers' own reads and writes have; migrations make it. */
export const TENANT_ROLE = 'forge_tenant'

export interface TenantOptions extends Omit<BudgetStoreOptions, 'database'> {
  /** For customers, connections of {@link TENANT_ROLE}. */
  readonly pool: Database
  readonly tenancy: Pick<Tenancy, 'within'>
}

/** The domains' functions over one way to the database. */
export function createConsole({ pool, tenancy, ...budgets }: TenantOptions): TenantDeps {
  return {
    database: pool,
    tenancy: tenancy.within(pool),
    budgets: createBudgetStore({ ...budgets, database: pool }),
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
