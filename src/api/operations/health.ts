import { z } from 'zod'
import { livenessSchema, readinessSchema } from '../../contract/index.ts'
import { operation } from '../operation.ts'

export const getLive = operation({
  id: 'getLive',
  method: 'GET',
  path: '/livez',
  summary: 'Answers while the process runs',
  callers: ['anyone'],
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: null,
  response: livenessSchema,
  faults: [],
  run: () => ({ status: 'ok' as const }),
})

export const getReady = operation({
  id: 'getReady',
  method: 'GET',
  path: '/readyz',
  summary: 'Answers 200 when requests can be served, 503 with what is missing otherwise',
  callers: ['anyone'],
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: null,
  response: readinessSchema,
  status: (answer) => (answer.ready ? 200 : 503),
  faults: [],
  run: async ({ deps }) => await deps.ready(),
})
