import { fault } from '../contract/index.ts'
import { keyFault, readCredential } from './admit.ts'
import { faultAnswer, sendFault } from './answer.ts'
import type { CallResult } from './call.ts'
import type { GatewayDeps } from './deps.ts'
import type { Pins } from './pins.ts'
import { relay } from './relay.ts'
import type { Admitted, AttemptRecord, Exchange } from './types.ts'

/** Stored responses: retrieved, cancelled and deleted at the channel that made them. They cost nothing. */

export interface StoredCall {
  readonly responseId: string
  readonly method: 'GET' | 'DELETE' | 'POST'
  /** Below the channel's base URL. */
  readonly path: string
}

const RESPONSE_ID = /"id":\s?"(resp[\w-]+)"/
const STORED = /^\/v1\/responses\/([\w-]{1,256})(\/cancel|\/input_items)?$/

export function matchStored(method: string, path: string): StoredCall | null {
  const match = STORED.exec(path)
  if (match === null) return null
  const [, responseId = '', action = ''] = match
  const wanted = action === '/cancel' ? ['POST'] : action === '/input_items' ? ['GET'] : ['GET', 'DELETE']
  if (!wanted.includes(method)) return null
  return { responseId, method: method as StoredCall['method'], path: `/responses/${responseId}${action}` }
}

export async function serveStored(deps: GatewayDeps, exchange: Exchange, stored: StoredCall): Promise<void> {
  const { req, res } = exchange
  const secret = readCredential(req)
  const key = secret === null ? null : await deps.tenancy.findKey(secret)
  const refused = keyFault(deps, key, req)
  if (refused !== null || key === null) {
    if (refused !== null) sendFault(res, faultAnswer(exchange, refused, false))
    return
  }
  const pin = await deps.pins.find(key.orgId, key.projectId, stored.responseId)
  const channel = pin === null ? undefined : deps.catalog.snapshot().channels.get(pin.channel)
  if (channel === undefined) {
    // A stranger's response is not told apart from none.
    sendFault(
      res,
      faultAnswer(exchange, fault('not_found', `There is no response "${stored.responseId}" here.`), false),
    )
    return
  }
  const query = (req.url ?? '').split('?')[1]
  const path = query === undefined ? stored.path : `${stored.path}?${query}`
  const answer = await relay(deps, channel, { method: stored.method, path, headers: {}, body: null })
  // An upstream's own words about a failure may name its key and where it is.
  if (answer === null || answer.status < 200 || answer.status >= 300) {
    const gone = answer?.status === 404
    const problem = gone
      ? fault('not_found', `There is no response "${stored.responseId}" here any more.`)
      : fault('upstream_error', 'The channel that keeps this response could not do what was asked.')
    sendFault(res, faultAnswer(exchange, problem, false))
    return
  }
  if (stored.method === 'DELETE') await deps.pins.forget(key.orgId, key.projectId, stored.responseId)
  res.writeHead(answer.status, {
    'content-type': answer.contentType,
    'content-length': String(answer.body.length),
    'x-request-id': exchange.publicId,
  })
  res.end(answer.body)
}

/** A response that the provider keeps can be asked for later, at the channel that made it. Null where none is kept. */
export function rememberResponse(
  pins: Pins,
  admitted: Admitted,
  attempt: AttemptRecord | undefined,
  result: CallResult | null,
): Promise<void> | null {
  if (attempt === undefined || result === null) return null
  // A whole answer is kept by the provider even when its caller has left.
  if (result.outcome.kind !== 'served' && result.answer === null) return null
  const { target } = attempt.channel
  const { exchange, key, body } = admitted.inbound
  const kept = exchange.call.endpoint === 'openai.responses' && body['store'] !== false
  if (!kept || target.channel.protocol !== 'openai-responses') return null
  const whole = result.answer?.body['id']
  const begun = RESPONSE_ID.exec(result.streamBegin?.toString('utf8') ?? '')?.[1]
  const responseId = typeof whole === 'string' ? whole : begun
  if (responseId === undefined) return null
  const { orgId, projectId } = key
  return pins.remember({
    orgId,
    projectId,
    responseId,
    channel: target.channel.name,
    route: attempt.plan.route.name,
    model: admitted.model.name,
  })
}
