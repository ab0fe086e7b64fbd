import { z } from 'zod'
import { auditSchema } from '../../contract/index.ts'
import { operation } from '../operation.ts'

export const getAudit = operation({
  id: 'getAudit',
  method: 'GET',
  path: '/api/v1/ledger/audit',
  summary: 'Checks every invariant of the ledger now',
  callers: ['operator'],
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: null,
  response: auditSchema,
  faults: [],
  run: ({ deps }) => deps.audit(),
})
