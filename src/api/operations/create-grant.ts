import { z } from 'zod'
import type { Bucket } from '../../catalog/index.ts'
import { FaultError, fault, grantSchema, newGrantSchema } from '../../contract/index.ts'
import { assert, formatId, formatNano, isoTime, type Nano, type Uuid } from '../../kernel/index.ts'
import { LedgerFault, type OpResult, readBalances } from '../../ledger/index.ts'
import type { ApiDeps } from '../deps.ts'
import { operation } from '../operation.ts'
import { InvalidRequest } from '../problem.ts'
import { idOf, notFound } from '../scope.ts'
import { bucketsView } from '../views.ts'
import { amountOf, bucketOf } from './money-of.ts'

/** The ledger retries until its database answers; who waits for an answer is told sooner. */
const ANSWER_WITHIN_MS = 15_000

/** @returns seconds from now; 0 for never */
function secondsUntil(text: string | undefined, nowMs: number): number {
  if (text === undefined) return 0
  const seconds = Math.floor((Date.parse(text) - nowMs) / 1000)
  if (seconds <= 0 || seconds > 0x7fffffff)
    throw new InvalidRequest('body', [{ field: 'expires_at', message: 'has passed, or is too far away' }])
  return seconds
}

interface GrantOrder {
  readonly orgId: Uuid
  readonly id: Uuid
  readonly bucket: Bucket
  readonly amountNano: Nano
  readonly reason: string
  readonly expiresInSeconds: number
}

async function post(deps: ApiDeps, order: GrantOrder): Promise<OpResult> {
  const { writer, accounts } = deps.ledger
  const { orgId, id, bucket, amountNano, reason, expiresInSeconds } = order
  const accountId =
    accounts.known(orgId, bucket.id) ?? (await accounts.open(orgId, bucket.id, bucket.currency))
  const late = Promise.withResolvers<never>()
  const message = `The ledger does not answer. The grant may still be added: repeat it with the id ${id}.`
  const timer = setTimeout(
    () => late.reject(new FaultError(fault('ledger_unavailable', message))),
    ANSWER_WITHIN_MS,
  )
  try {
    const op = { kind: 'grant', orgId, id, accountId, amountNano, reason, expiresInSeconds } as const
    return await Promise.race([writer.submit(op), late.promise])
  } catch (thrown) {
    if (!(thrown instanceof LedgerFault)) throw thrown
    throw new InvalidRequest('body', [{ field: 'amount', message: 'is more than the balance can hold' }])
  } finally {
    clearTimeout(timer)
  }
}

export const createGrant = operation({
  id: 'createGrant',
  method: 'POST',
  path: '/api/v1/grants',
  summary: 'Adds free money to a bucket of an organization',
  callers: ['operator'],
  params: z.strictObject({}),
  query: z.strictObject({}),
  body: newGrantSchema,
  response: grantSchema,
  status: (answer) => (answer.repeated ? 200 : 201),
  faults: ['not_found', 'conflict', 'ledger_unavailable', 'overloaded'],
  async run({ deps, by, newId, body }) {
    const orgId = idOf('org', body.organization)
    const snapshot = deps.catalog.snapshot()
    const bucket = bucketOf(snapshot, body.bucket)
    const amountNano = amountOf(body.amount, 1n)
    const expiresInSeconds = secondsUntil(body.expires_at, deps.clock.nowMs())
    if ((await deps.tenancy.getOrganization(orgId)) === null) throw notFound()

    const id = body.id ?? newId
    // The ledger makes the event of the grant itself, in its own transaction; whom to name there it learns from this one.
    await deps.tenancy.recordAsked(by, {
      orgId,
      action: 'grant.ask',
      objectKind: 'transfer',
      objectId: id,
      after: { bucket: bucket.id, amount: formatNano(amountNano), reason: body.reason },
    })
    const { verdict } = await post(deps, {
      orgId,
      id,
      bucket,
      amountNano,
      reason: body.reason,
      expiresInSeconds,
    })
    if (verdict === 'conflict')
      throw new FaultError(fault('conflict', 'The id was used for another movement of this organization.'))
    assert(verdict === 'done' || verdict === 'repeated', `a grant was answered with ${verdict}`)

    const balance = bucketsView(snapshot, await readBalances(deps.database, orgId))[bucket.id]
    assert(balance !== undefined, 'a bucket that money was added to has a balance')
    return {
      id,
      organization: formatId('org', orgId),
      bucket: bucket.id,
      currency: bucket.currency,
      amount: formatNano(amountNano),
      reason: body.reason,
      expires_at: body.expires_at === undefined ? null : isoTime(Date.parse(body.expires_at)),
      repeated: verdict === 'repeated',
      balance,
    }
  },
})
