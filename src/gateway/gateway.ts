import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Catalog, CatalogModel } from '../catalog/index.ts'
import { fault } from '../contract/index.ts'
import type { Database } from '../db/index.ts'
import { type Clock, formatId, type IdSource, type Log, type Uuid } from '../kernel/index.ts'
import type { AbandonedHold, AccountBook, LedgerWriter } from '../ledger/index.ts'
import type { ApiKeyRecord, Tenancy } from '../tenancy/index.ts'
import { keyFault, readCredential } from './admit.ts'
import { faultAnswer, sendFault } from './answer.ts'
import { type Counters, createCounters, type GatewayDeps } from './deps.ts'
import { createIdempotency } from './idempotency.ts'
import { createOpenHolds } from './open-holds.ts'
import { orderRoutes } from './plan.ts'
import { recover } from './recover.ts'
import { serveChat } from './serve.ts'
import type { Exchange } from './types.ts'
import { createUpstreams } from './upstream.ts'

export interface GatewayOptions {
  readonly database: Database
  readonly writer: LedgerWriter
  readonly accounts: AccountBook
  readonly tenancy: Pick<Tenancy, 'findKey' | 'touch' | 'openRun'>
  readonly catalog: Pick<Catalog, 'snapshot'>
  readonly processId: Uuid
  readonly clock: Clock
  readonly ids: IdSource
  readonly log: Log
  readonly random: () => number
}

export interface Gateway {
  /** True for paths that are the gateway's, whatever the method: they are answered in the caller's protocol. */
  owns(method: string, path: string): boolean
  handle(req: IncomingMessage, res: ServerResponse): void
  /** Ends the hold of a request whose process died. */
  recover(hold: AbandonedHold): Promise<void>
  readonly counters: Counters
  /** Holds of requests that run here. */
  openHolds(): number
  /** Waits for running requests, then breaks off what is left; every one is settled. */
  drain(patienceMs: number): Promise<void>
  close(): Promise<void>
}

type Handler = (deps: GatewayDeps, exchange: Exchange) => Promise<void>

function modelCard(model: CatalogModel): object {
  return { id: model.name, object: 'model', created: 0, owned_by: model.family ?? 'tokens-forge' }
}

/** What this key can call now, by the same rules that plan a request. */
export function callableModels(
  deps: Pick<GatewayDeps, 'catalog' | 'clock' | 'random'>,
  key: ApiKeyRecord,
): readonly CatalogModel[] {
  return [...deps.catalog.snapshot().models.values()].filter((model) => {
    if (key.models !== null && !key.models.has(model.name)) return false
    return orderRoutes({
      model,
      key,
      askedRoute: null,
      askedBy: null,
      mayCross: key.allowCrossBalance,
      atMs: deps.clock.nowMs(),
      random: deps.random,
    }).ok
  })
}

const listModels: Handler = async (deps, exchange) => {
  const secret = readCredential(exchange.req)
  const found = secret === null ? null : await deps.tenancy.findKey(secret)
  const refused = keyFault(found)
  if (refused !== null || found === null) {
    sendFault(
      exchange.res,
      faultAnswer(
        refused ?? fault('invalid_api_key', 'The API key is missing or unknown.'),
        exchange.requestId,
        false,
      ),
    )
    return
  }
  const body = JSON.stringify({ object: 'list', data: callableModels(deps, found).map(modelCard) })
  exchange.res.writeHead(200, {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'x-request-id': formatId('req', exchange.requestId),
  })
  exchange.res.end(body)
}

/** Paths of the gateway; each says which method it takes. */
const ENDPOINTS: ReadonlyMap<string, { readonly method: string; readonly handle: Handler }> = new Map([
  ['/v1/chat/completions', { method: 'POST', handle: serveChat }],
  ['/v1/models', { method: 'GET', handle: listModels }],
])

function pathOf(url: string): string {
  const query = url.indexOf('?')
  return query === -1 ? url : url.slice(0, query)
}

function answerUnknown(exchange: Exchange, path: string): void {
  const endpoint = ENDPOINTS.get(path)
  const problem =
    endpoint === undefined
      ? fault('not_found', `There is no ${path} here.`)
      : fault('method_not_allowed', `${path} takes ${endpoint.method}.`)
  sendFault(
    exchange.res,
    faultAnswer(problem, exchange.requestId, false),
    endpoint === undefined ? {} : { allow: endpoint.method },
  )
  exchange.req.resume()
}

function handle(deps: GatewayDeps, draining: () => boolean, req: IncomingMessage, res: ServerResponse): void {
  const exchange: Exchange = {
    req,
    res,
    requestId: deps.ids.uuid(),
    startedAtMs: deps.clock.nowMs(),
    startedMonotonicMs: deps.clock.monotonicMs(),
  }
  const path = pathOf(req.url ?? '')
  const endpoint = ENDPOINTS.get(path)
  if (endpoint === undefined || endpoint.method !== req.method) answerUnknown(exchange, path)
  else if (draining()) {
    const leaving = fault('overloaded', 'This gateway is shutting down.', { retryAfterMs: 1_000 })
    sendFault(res, faultAnswer(leaving, exchange.requestId, false), { connection: 'close' })
    req.resume()
  } else void endpoint.handle(deps, exchange)
}

async function drain(deps: GatewayDeps, patienceMs: number): Promise<void> {
  const until = deps.clock.monotonicMs() + patienceMs
  const quiet = async (deadlineMs: number): Promise<void> => {
    while (deps.counters.active > 0 && deps.clock.monotonicMs() < deadlineMs)
      await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await quiet(until)
  for (const call of deps.calls) call.abort('gateway_shutdown')
  await quiet(deps.clock.monotonicMs() + 5_000)
  await deps.writer.drain()
}

export function createGateway(options: GatewayOptions): Gateway {
  const { database, writer, log, processId } = options
  const counters = createCounters()
  const onLost = (id: Uuid): void => log.error({ hold: id }, 'the hold of a running request is gone')
  const deps: GatewayDeps = {
    ...options,
    upstreams: createUpstreams(),
    idempotency: createIdempotency(database, processId, log),
    openHolds: createOpenHolds(writer, onLost),
    calls: new Set(),
    counters,
  }
  let leaving = false
  return {
    owns: (_method, path) => path.startsWith('/v1/') || path === '/v1',
    handle: (req, res) => handle(deps, () => leaving, req, res),
    recover: (hold) => recover(deps, hold),
    counters,
    openHolds: () => deps.openHolds.size,
    async drain(patienceMs) {
      leaving = true
      await drain(deps, patienceMs)
    },
    async close() {
      deps.openHolds.close()
      deps.idempotency.close()
      await deps.upstreams.close()
    },
  }
}
