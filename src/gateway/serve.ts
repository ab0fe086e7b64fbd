import { fault } from '../contract/index.ts'
import { isConnectionLoss } from '../db/index.ts'
import { errorText, formatId } from '../kernel/index.ts'
import type { ApiKeyRecord } from '../tenancy/index.ts'
import { admit, decode, keyFault, readCredential } from './admit.ts'
import { faultAnswer, sendFault } from './answer.ts'
import { readBody } from './body.ts'
import { countUp, type GatewayDeps } from './deps.ts'
import { SettledFailure } from './failure.ts'
import type { Claim, ClaimResult, StoredAnswer } from './idempotency.ts'
import { plan } from './plan.ts'
import { serveRoutes } from './routes.ts'
import { recordReplay, refuse } from './settle.ts'
import type { Exchange, Inbound } from './types.ts'

/** The way of one request through the stages: who asks, for what, by which routes, and then routes.ts. */

async function findKey(deps: GatewayDeps, exchange: Exchange): Promise<ApiKeyRecord | null> {
  const secret = readCredential(exchange.req)
  if (secret === null) return null
  const found = deps.tenancy.findKey(secret)
  return found instanceof Promise ? await found : found
}

/** With an Idempotency-Key it is one request, however often it was sent; without one, the retry is told as its own. */
function replay(deps: GatewayDeps, inbound: Inbound, answer: StoredAnswer): void {
  const { exchange, idempotencyKey } = inbound
  const first = formatId('req', answer.requestId)
  const id = idempotencyKey === null ? exchange.publicId : first
  if (idempotencyKey === null) recordReplay(deps, inbound, first)
  exchange.res.writeHead(answer.status, {
    ...answer.headers,
    'x-request-id': id,
    'request-id': id,
    'x-tf-replayed': 'true',
    'x-tf-replay-of': first,
  })
  exchange.res.end(answer.body)
}

function askClaim(deps: GatewayDeps, inbound: Inbound): Promise<ClaimResult> | null {
  const { exchange, key, idempotencyKey, bytes: body } = inbound
  const { orgId, projectId, id: apiKeyId } = key
  const { req: request, requestId } = exchange
  if (idempotencyKey !== null)
    return deps.idempotency.claim({
      orgId,
      projectId,
      key: idempotencyKey,
      path: request.url ?? '',
      body,
      requestId,
    })
  if (!key.replaysUnkeyedRetries) return null
  return deps.retries.claim({ orgId, projectId, apiKeyId, requestId, request, body })
}

/** @returns the claim to settle, or null when the request was answered */
async function claim(
  deps: GatewayDeps,
  inbound: Inbound,
  asked: Promise<ClaimResult>,
): Promise<Claim | null> {
  const { exchange, key } = inbound
  const result = await asked
  if (result.kind === 'claimed') return result.claim
  if (result.kind === 'replay') replay(deps, inbound, result.answer)
  else refuse(deps, { exchange, key, inbound, fault: result.fault })
  return null
}

async function serveInbound(deps: GatewayDeps, inbound: Inbound, claimed: Claim | null): Promise<void> {
  const { exchange, key } = inbound
  const turnAway = async (refusal: Parameters<typeof refuse>[1]): Promise<void> => {
    // Freed first: whoever is answered may ask again at once.
    if (claimed !== null) await deps.idempotency.release(claimed)
    refuse(deps, refusal)
  }
  const draining = deps.draining.problem(key.orgId)
  if (draining !== null) return turnAway({ exchange, key, inbound, fault: draining })
  const admitted = await admit(deps, inbound)
  if (!admitted.ok) {
    const { fault: refused, run } = admitted
    return turnAway({ exchange, key, inbound, run, fault: refused })
  }
  const planned = plan(admitted.value, deps.random)
  if (!planned.ok)
    return turnAway({
      exchange,
      key,
      inbound,
      admitted: admitted.value,
      rejected: planned.rejected,
      fault: planned.fault,
    })
  await serveRoutes(deps, planned.value, claimed)
}

async function serveKey(deps: GatewayDeps, exchange: Exchange, key: ApiKeyRecord): Promise<void> {
  const refused = keyFault(deps, key, exchange.req)
  if (refused !== null) return refuse(deps, { exchange, key, fault: refused })
  // Whoever waits for our word before sending a large body has been recognised by now.
  if (exchange.req.headers.expect !== undefined) exchange.res.writeContinue()
  const bytes = await readBody(exchange.req)
  if (bytes === 'gone') return
  if (!bytes.ok) return refuse(deps, { exchange, key, fault: bytes.fault, close: true })
  deps.tenancy.touch(key.secretId)
  const inbound = decode(exchange, key, bytes.value)
  if (!inbound.ok) return refuse(deps, { exchange, key, fault: inbound.fault })
  const asked = askClaim(deps, inbound.value)
  const claimed = asked === null ? null : await claim(deps, inbound.value, asked)
  if (asked !== null && claimed === null) return
  try {
    await serveInbound(deps, inbound.value, claimed)
  } catch (thrown) {
    // Else the key would answer "still running" for as long as this process lives.
    if (claimed !== null) await deps.idempotency.release(claimed)
    throw thrown
  }
}

/** What a request ends with that something of ours broke: its receipt, where none was written yet, and an answer. */
function answerFailure(
  deps: GatewayDeps,
  exchange: Exchange,
  key: ApiKeyRecord | null,
  thrown: unknown,
): void {
  const cause = thrown instanceof SettledFailure ? thrown.cause : thrown
  deps.log.error(
    {
      error: errorText(cause),
      stack: cause instanceof Error ? cause.stack : undefined,
      request: exchange.publicId,
    },
    'a request failed inside the gateway',
  )
  const failed = isConnectionLoss(thrown)
    ? fault('ledger_unavailable', 'The database does not answer.', { retryAfterMs: 1_000 })
    : fault('internal_error', 'Something failed inside the gateway; what was charged is on the receipt.')
  if (key === null) sendFault(exchange.res, faultAnswer(exchange, failed, false))
  else if (thrown instanceof SettledFailure) sendFault(exchange.res, faultAnswer(exchange, failed, true))
  else refuse(deps, { exchange, key, fault: failed })
  if (exchange.res.headersSent && !exchange.res.writableEnded) exchange.res.destroy()
}

/** Answers one request that generates something, whatever its format; never rejects. */
export async function serveGenerate(deps: GatewayDeps, exchange: Exchange): Promise<void> {
  deps.counters.active++
  let key: ApiKeyRecord | null = null
  try {
    key = await findKey(deps, exchange)
    // Without a key there is nobody to whom a receipt could be shown.
    if (key === null) {
      const invalid = keyFault(deps, null, exchange.req)
      if (invalid !== null) sendFault(exchange.res, faultAnswer(exchange, invalid, false))
      exchange.req.resume()
      countUp(deps.counters.byStatus, 'unauthorized')
      return
    }
    await serveKey(deps, exchange, key)
  } catch (thrown) {
    answerFailure(deps, exchange, key, thrown)
  } finally {
    deps.counters.active--
  }
}
