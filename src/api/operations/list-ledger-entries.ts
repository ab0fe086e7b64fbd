import { z } from 'zod'
import { entriesQuery, ledgerEntrySchema, listOf } from '../../contract/index.ts'
import { readStatement } from '../../ledger/index.ts'
import { operation } from '../operation.ts'
import { badCursor, organizationOf } from '../scope.ts'
import { entryView } from '../views.ts'

const SEQ = /^[1-9]\d{0,17}$/

export const listLedgerEntries = operation({
  id: 'listLedgerEntries',
  method: 'GET',
  path: '/api/v1/ledger/entries',
  summary: 'What moved a balance, newest first: an unbroken walk of amounts and balances',
  callers: ['operator', 'key'],
  permission: 'balances.read',
  params: z.strictObject({}),
  query: entriesQuery,
  body: null,
  response: listOf(ledgerEntrySchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const orgId = await organizationOf(deps, caller, query.organization)
    if (query.cursor !== undefined && !SEQ.test(query.cursor)) throw badCursor()
    const before = query.cursor === undefined ? null : BigInt(query.cursor)
    const lines = await readStatement(deps.database, {
      orgId,
      bucket: query.bucket,
      before,
      limit: query.limit + 1,
    })
    const data = lines.slice(0, query.limit).map(entryView)
    const last = data.at(-1)
    return { data, next_cursor: lines.length > query.limit && last !== undefined ? String(last.seq) : null }
  },
})
