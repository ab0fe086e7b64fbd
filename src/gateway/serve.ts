import type { IncomingMessage } from 'node:http'
import { fault } from '../contract/index.ts'
import { isConnectionLoss } from '../db/index.ts'
import { errorText, formatId } from '../kernel/index.ts'
import type { ApiKeyRecord } from '../tenancy/index.ts'
import { type Admission, admit, decode, keyFault, readCredential } from './admit.ts'
import { faultAnswer, sendFault } from './answer.ts'
import { type BodyRead, readBody } from './body.ts'
import { countUp, type GatewayDeps } from './deps.ts'
import { SettledFailure } from './failure.ts'
import type { Claim, ClaimResult, StoredAnswer } from './idempotency.ts'
import { plan } from './plan.ts'
import { serveRoutes } from './routes.ts'
import { type Refusal, recordReplay, refuse } from './settle.ts'
import type { Exchange, Inbound } from './types.ts'

/** The way of one request through the stages: who asks, for what, by which routes, and then routes.ts. */

function findKey(
  deps: GatewayDeps,
  req: IncomingMessage,
): ApiKeyRecord | null | Promise<ApiKeyRecord | null> {
  const secret = readCredential(req)
  return secret === null ? null : deps.tenancy.findKey(secret)
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

/** Null where nothing is left to be done. */
type Serving = Promise<void> | null

function turnAway(deps: GatewayDeps, claimed: Claim | null, refusal: Refusal): Serving {
  const tell = (): null => {
    refuse(deps, refusal)
    return null
  }
  // Freed first: whoever is answered may ask again at once.
  return claimed === null ? tell() : deps.idempotency.release(claimed).then(() => void tell())
}

function serveAdmission(
  deps: GatewayDeps,
  inbound: Inbound,
  claimed: Claim | null,
  admitted: Admission,
): Serving {
  const { exchange, key } = inbound
  if (!admitted.ok) {
    const { fault: refused, run } = admitted
    return turnAway(deps, claimed, { exchange, key, inbound, run, fault: refused })
  }
  const planned = plan(admitted.value, deps.random)
  if (planned.ok) return serveRoutes(deps, planned.value, claimed)
  const { rejected, fault: refused } = planned
  return turnAway(deps, claimed, {
    exchange,
    key,
    inbound,
    admitted: admitted.value,
    rejected,
    fault: refused,
  })
}

function serveInbound(deps: GatewayDeps, inbound: Inbound, claimed: Claim | null): Serving {
  const { exchange, key } = inbound
  const draining = deps.draining.problem(key.orgId)
  if (draining !== null) return turnAway(deps, claimed, { exchange, key, inbound, fault: draining })
  const admitted = admit(deps, inbound)
  if (!(admitted instanceof Promise)) return serveAdmission(deps, inbound, claimed, admitted)
  return admitted.then((asked) => serveAdmission(deps, inbound, claimed, asked) ?? undefined)
}

async function serveClaiming(
  deps: GatewayDeps,
  inbound: Inbound,
  asked: Promise<ClaimResult>,
): Promise<void> {
  const claimed = await claim(deps, inbound, asked)
  if (claimed === null) return
  try {
    await serveInbound(deps, inbound, claimed)
  } catch (thrown) {
    // Else the key would answer "still running" for as long as this process lives.
    await deps.idempotency.release(claimed)
    throw thrown
  }
}

/** @returns null when the request was answered */
function readInbound(
  deps: GatewayDeps,
  exchange: Exchange,
  key: ApiKeyRecord,
  bytes: BodyRead,
): Inbound | null {
  if (bytes === 'gone') return null
  if (!bytes.ok) {
    refuse(deps, { exchange, key, fault: bytes.fault, close: true })
    return null
  }
  deps.tenancy.touch(key.secretId)
  const inbound = decode(exchange, key, bytes.value)
  if (inbound.ok) return inbound.value
  refuse(deps, { exchange, key, fault: inbound.fault })
  return null
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

/** Without a key there is nobody to whom a receipt could be shown. */
function turnStrangerAway(deps: GatewayDeps, exchange: Exchange): void {
  const invalid = keyFault(deps, null, exchange.req)
  if (invalid !== null) sendFault(exchange.res, faultAnswer(exchange, invalid, false))
  exchange.req.resume()
  countUp(deps.counters.byStatus, 'unauthorized')
}

/** Answers one request that generates something, whatever its format; never rejects. */
export async function serveGenerate(deps: GatewayDeps, exchange: Exchange): Promise<void> {
  const { req, res } = exchange
  deps.counters.active++
  let key: ApiKeyRecord | null = null
  try {
    const found = findKey(deps, req)
    key = found instanceof Promise ? await found : found
    if (key === null) return turnStrangerAway(deps, exchange)
    const refused = keyFault(deps, key, req)
    if (refused !== null) return refuse(deps, { exchange, key, fault: refused })
    // Whoever waits for our word before sending a large body has been recognised by now.
    if (req.headers.expect !== undefined) res.writeContinue()
    const inbound = readInbound(deps, exchange, key, await readBody(req))
    if (inbound === null) return
    const asked = askClaim(deps, inbound)
    const serving = asked === null ? serveInbound(deps, inbound, null) : serveClaiming(deps, inbound, asked)
    if (serving !== null) await serving
  } catch (thrown) {
    answerFailure(deps, exchange, key, thrown)
  } finally {
    deps.counters.active--
  }
}
