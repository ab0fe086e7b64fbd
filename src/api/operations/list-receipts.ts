import { z } from 'zod'
import { listOf, receiptSchema, receiptsQuery } from '../../contract/index.ts'
import type { ReceiptScope } from '../deps.ts'
import { type Caller, operation } from '../operation.ts'
import { cursorOf, idOf, scopeOf } from '../scope.ts'

export function viewOf(caller: Caller): ReceiptScope['view'] {
  return caller.kind === 'operator' ? 'operator' : 'customer'
}

function timeOf(text: string | undefined): number | null {
  return text === undefined ? null : Date.parse(text)
}

export const listReceipts = operation({
  id: 'listReceipts',
  method: 'GET',
  path: '/api/v1/receipts',
  summary: 'Receipts, newest first',
  callers: ['operator', 'key'],
  permission: 'receipts.read',
  params: z.strictObject({}),
  query: receiptsQuery,
  body: null,
  response: listOf(receiptSchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const scope = await scopeOf(deps, caller, query)
    const { data, nextCursor } = await deps.receipts.list({
      ...scope,
      view: viewOf(caller),
      apiKeyId: query.key === undefined ? null : idOf('key', query.key),
      runId: query.run === undefined ? null : idOf('run', query.run),
      status: query.status ?? null,
      bucket: query.bucket ?? null,
      model: query.model ?? null,
      sinceMs: timeOf(query.since),
      untilMs: timeOf(query.until),
      limit: query.limit,
      before: cursorOf('req', query.cursor),
    })
    return { data: [...data], next_cursor: nextCursor }
  },
})
