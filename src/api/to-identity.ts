import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Fault } from '../contract/index.ts'
import { formatId } from '../kernel/index.ts'
import type { ApiDeps } from './deps.ts'
import { PAGE_HEADERS } from './page-headers.ts'
import { faultOf, PROBLEM_TYPE, problemOf } from './problem.ts'

/** Hands a request to the sign-in of people, under the headers that every answer has; its refusals are answered as ours. */
export async function toIdentity(
  { identity, ids, log }: Pick<ApiDeps, 'identity' | 'ids' | 'log'>,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const id = ids.uuid()
  const requestId = formatId('req', id)
  for (const [name, value] of Object.entries(PAGE_HEADERS)) res.setHeader(name, value)
  res.setHeader('x-request-id', requestId)
  let refused: Fault | null
  try {
    refused = await identity.handle(req, res, id)
  } catch (thrown) {
    // Whoever went away while sending is answered by nobody.
    if (req.destroyed && !req.complete) return
    refused = faultOf(thrown, log, requestId)
  }
  if (refused === null || res.headersSent) return
  const problem = problemOf(refused, requestId)
  // A body that was not read to its end would be taken for the next request.
  if (!req.complete) res.setHeader('connection', 'close')
  res.writeHead(problem.status, { 'content-type': PROBLEM_TYPE })
  res.end(JSON.stringify(problem))
}
