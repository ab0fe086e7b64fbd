import type { IncomingMessage } from 'node:http'
import { type Fault, fault } from '../contract/index.ts'
import { serveCount } from './count.ts'
import type { GatewayDeps } from './deps.ts'
import { modelsProtocol, serveModels } from './models.ts'
import { serveGenerate } from './serve.ts'
import { matchStored, serveStored } from './stored.ts'
import type { Exchange } from './types.ts'
import { callOfPath, callOfProtocol, decoded, type EndpointCall, geminiPath, matchCall } from './wire.ts'

/** Every path of the gateway, and what is done there. */

export type EndpointMatch =
  | {
      readonly kind: 'serve'
      readonly call: EndpointCall
      readonly handle: (deps: GatewayDeps, exchange: Exchange) => Promise<void>
    }
  | {
      readonly kind: 'refuse'
      readonly call: EndpointCall
      readonly fault: Fault
      readonly headers: Readonly<Record<string, string>>
    }

const MODELS = /^(?:\/anthropic)?\/(?:v1|v1beta|v1alpha)\/models(?:\/([^:]+))?$/
const COUNTS = new Set([
  '/v1/messages/count_tokens',
  '/anthropic/v1/messages/count_tokens',
  '/v1/responses/input_tokens',
])

/** Clients probe this before they speak; it needs no key and says nothing. */
async function serveHello(_deps: GatewayDeps, exchange: Exchange): Promise<void> {
  exchange.res.writeHead(200, { 'content-type': 'application/json', 'content-length': '2' })
  exchange.res.end(exchange.req.method === 'HEAD' ? undefined : '{}')
}

const wrongMethod = (call: EndpointCall, path: string, allow: string): EndpointMatch => ({
  kind: 'refuse',
  call,
  fault: fault('method_not_allowed', `${path} takes ${allow}.`),
  headers: { allow },
})

function matchModels(req: IncomingMessage, path: string, query: string): EndpointMatch | null {
  const match = MODELS.exec(path)
  if (match === null) return null
  const call = callOfProtocol(modelsProtocol(req.headers, path, query))
  if (req.method !== 'GET') return wrongMethod(call, path, 'GET')
  const name = match[1] === undefined ? null : decoded(match[1])
  return { kind: 'serve', call, handle: (deps, exchange) => serveModels(deps, exchange, name) }
}

function isCount(path: string): boolean {
  return COUNTS.has(path) || geminiPath(path)?.method === 'countTokens'
}

export function matchEndpoint(req: IncomingMessage, path: string, query: string): EndpointMatch {
  const call = matchCall(path, query)
  if (call !== null && req.method === 'POST') return { kind: 'serve', call, handle: serveGenerate }
  const here = call ?? callOfPath(path)
  // Codex tries a WebSocket first; this status makes it fall back at once.
  if (path === '/v1/responses' && req.headers.upgrade !== undefined)
    return {
      kind: 'refuse',
      call: here,
      fault: fault('upgrade_required', 'WebSockets are not spoken here; use HTTP.'),
      headers: { connection: 'close' },
    }
  if (call !== null) return wrongMethod(call, path, 'POST')
  const models = matchModels(req, path, query)
  if (models !== null) return models
  if (path === '/api/hello') return { kind: 'serve', call: here, handle: serveHello }
  if (isCount(path))
    return req.method === 'POST'
      ? { kind: 'serve', call: here, handle: serveCount }
      : wrongMethod(here, path, 'POST')
  const stored = matchStored(req.method ?? '', path)
  if (stored !== null)
    return { kind: 'serve', call: here, handle: (deps, exchange) => serveStored(deps, exchange, stored) }
  return { kind: 'refuse', call: here, fault: fault('not_found', `There is no ${path} here.`), headers: {} }
}
