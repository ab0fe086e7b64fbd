import { z } from 'zod'
import { receiptSchema } from '../../contract/index.ts'
import { operation } from '../operation.ts'
import { idOf, notFound, scopeOf } from '../scope.ts'
import { viewOf } from './list-receipts.ts'

export const getReceipt = operation({
  id: 'getReceipt',
  method: 'GET',
  path: '/api/v1/receipts/{id}',
  summary: 'One receipt: what was asked, decided, tried, used and charged',
  callers: ['operator', 'key'],
  permission: 'receipts.read',
  params: z.strictObject({ id: z.string() }),
  query: z.strictObject({}),
  body: null,
  response: receiptSchema,
  faults: ['not_found'],
  async run({ deps, caller, params }) {
    const scope = await scopeOf(deps, caller, {})
    const receipt = await deps.receipts.get({ ...scope, view: viewOf(caller), id: idOf('req', params.id) })
    if (receipt === null) throw notFound()
    return receipt
  },
})
