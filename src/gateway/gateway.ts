import type { IncomingMessage, ServerResponse } from 'node:http'
import type { BudgetBook } from '../budgets/index.ts'
import type { Catalog } from '../catalog/index.ts'
import { type Fault, fault } from '../contract/index.ts'
import { type Database, isConnectionLoss } from '../db/index.ts'
import {
  type Clock,
  createDeadlines,
  errorText,
  formatId,
  type IdSource,
  type Log,
  type Uuid,
} from '../kernel/index.ts'
import type { AbandonedHold, AccountBook, LedgerWriter } from '../ledger/index.ts'
import { createPlatforms } from '../platforms/index.ts'
import type { FailureWatch, Limiter, RateBook } from '../rates/index.ts'
import { keyInUrl, type NetworkSet, secretInQuery, senderAddress, type Tenancy } from '../tenancy/index.ts'
import { takesKeyInQuery } from './admit.ts'
import { faultAnswer, sendFault } from './answer.ts'
import { type Counters, createCounters, type GatewayDeps } from './deps.ts'
import { createDraining, type Draining } from './draining.ts'
import { matchEndpoint } from './endpoints.ts'
import { createIdempotency } from './idempotency.ts'
import { createOpenHolds } from './open-holds.ts'
import { createOutages } from './outages.ts'
import { createPins } from './pins.ts'
import { recover } from './recover.ts'
import { createRetries } from './retries.ts'
import { createStreamUsage } from './stream-usage.ts'
import type { Exchange } from './types.ts'
import { createUpstreams } from './upstream.ts'
import { CHAT_CALL } from './wire.ts'

export interface GatewayOptions {
  readonly database: Database
  readonly writer: LedgerWriter
  readonly accounts: AccountBook
  readonly tenancy: Pick<Tenancy, 'findKey' | 'touch' | 'openRun' | 'noteExposed'>
  readonly catalog: Pick<Catalog, 'snapshot'>
  readonly budgets: Pick<BudgetBook, 'under'>
  readonly rates: Pick<RateBook, 'of'>
  readonly limiter: Limiter
  readonly failures: FailureWatch
  readonly trustedProxies: NetworkSet
  readonly processId: Uuid
  readonly upstreamSalt: Buffer
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
  readonly draining: Pick<Draining, 'size' | 'cancelled'>
  /** Holds of requests that run here. */
  openHolds(): number
  /** Waits for running requests, then breaks off what is left; every one is settled. */
  drain(patienceMs: number): Promise<void>
  close(): Promise<void>
}

const OWNED = /^\/(?:v1|v1beta|v1alpha|anthropic)(?:\/|$)|^\/api\/hello$/

function refuseHere(exchange: Exchange, problem: Fault, headers: Readonly<Record<string, string>>): void {
  sendFault(exchange.res, faultAnswer(exchange, problem, false), headers)
  exchange.req.resume()
}

function handle(deps: GatewayDeps, draining: () => boolean, req: IncomingMessage, res: ServerResponse): void {
  const url = req.url ?? ''
  const mark = url.indexOf('?')
  const path = mark === -1 ? url : url.slice(0, mark)
  const query = mark === -1 ? '' : url.slice(mark + 1)
  const match = matchEndpoint(req, path, query)
  const requestId = deps.ids.uuid()
  const exchange: Exchange = {
    req,
    res,
    requestId,
    publicId: formatId('req', requestId),
    startedAtMs: deps.clock.nowMs(),
    startedMonotonicMs: deps.clock.monotonicMs(),
    call: match.kind === 'serve' ? match.call : CHAT_CALL,
  }
  const isGemini = takesKeyInQuery(url)
  const exposed = query === '' ? null : secretInQuery(query, (name) => isGemini && name === 'key')
  if (exposed !== null) {
    deps.tenancy.noteExposed(exposed, {
      requestId,
      address: senderAddress(req, deps.trustedProxies),
      path,
    })
    refuseHere({ ...exchange, call: match.call }, keyInUrl(), {})
  } else if (match.kind === 'refuse')
    refuseHere({ ...exchange, call: match.call }, match.fault, match.headers)
  else if (draining()) {
    const leaving = fault('overloaded', 'This gateway is shutting down.', { retryAfterMs: 1_000 })
    refuseHere(exchange, leaving, { connection: 'close' })
  } else match.handle(deps, exchange).catch((thrown: unknown) => answerFree(deps, exchange, thrown))
}

/** A free call has no receipt: a failure of ours is logged and answered, and no other request knows of it. */
function answerFree(deps: GatewayDeps, exchange: Exchange, thrown: unknown): void {
  deps.log.error(
    { error: errorText(thrown), request: exchange.publicId },
    'a free call failed inside the gateway',
  )
  const problem = isConnectionLoss(thrown)
    ? fault('ledger_unavailable', 'The database does not answer.', { retryAfterMs: 1_000 })
    : fault('internal_error', 'Something failed inside the gateway.')
  sendFault(exchange.res, faultAnswer(exchange, problem, false))
  if (!exchange.res.writableEnded) exchange.res.destroy()
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
}

export function createGateway(options: GatewayOptions): Gateway {
  const { database, writer, log, processId } = options
  const counters = createCounters()
  const onLost = (id: Uuid): void => log.error({ hold: id }, 'the hold of a running request is gone')
  const deps: GatewayDeps = {
    ...options,
    upstreams: createUpstreams(),
    platforms: createPlatforms(options.clock),
    idempotency: createIdempotency(database, processId, log),
    retries: createRetries(database, processId),
    openHolds: createOpenHolds(writer, onLost),
    outages: createOutages(options.clock),
    draining: createDraining(),
    pins: createPins(database, log),
    streamUsage: createStreamUsage(),
    calls: new Set(),
    deadlines: createDeadlines(options.clock),
    counters,
  }
  let leaving = false
  return {
    owns: (_method, path) => OWNED.test(path),
    handle: (req, res) => handle(deps, () => leaving, req, res),
    // A hold of a request that still runs here is ended by that request, however late its renewals are.
    recover: (hold) => (hold.own && deps.openHolds.has(hold.id) ? Promise.resolve() : recover(deps, hold)),
    counters,
    draining: deps.draining,
    openHolds: () => deps.openHolds.size,
    async drain(patienceMs) {
      leaving = true
      await drain(deps, patienceMs)
    },
    async close() {
      deps.openHolds.close()
      deps.deadlines.close()
      deps.pins.close()
      deps.idempotency.close()
      await deps.upstreams.close()
    },
  }
}
