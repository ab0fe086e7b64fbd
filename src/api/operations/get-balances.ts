import { z } from 'zod'
import { balancesQuery, balancesSchema } from '../../contract/index.ts'
import { formatId } from '../../kernel/index.ts'
import { readBalances } from '../../ledger/index.ts'
import { operation } from '../operation.ts'
import { organizationOf } from '../scope.ts'
import { bucketsView } from '../views.ts'

export const getBalances = operation({
  id: 'getBalances',
  method: 'GET',
  path: '/api/v1/balances',
  summary: 'The balances of an organization, one a bucket',
  callers: ['operator', 'key'],
  permission: 'balances.read',
  params: z.strictObject({}),
  query: balancesQuery,
  body: null,
  response: balancesSchema,
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const orgId = await organizationOf(deps, caller, query.organization)
    const balances = await readBalances(deps.database, orgId)
    return { organization: formatId('org', orgId), buckets: bucketsView(deps.catalog.snapshot(), balances) }
  },
})
