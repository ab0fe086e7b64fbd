import type { IncomingMessage } from 'node:http'
import { fault } from '../contract/index.ts'
import type { Database, Queryable } from '../db/index.ts'
import type { Uuid } from '../kernel/index.ts'
import { header } from './admit.ts'
import { type Claim, type ClaimResult, hashOf, readAnswer, type StoredRow } from './idempotency.ts'

/**
 * Requests without an Idempotency-Key, for projects that ask for it. The official SDKs send the same body again when an
 * answer was lost on its way, and count: `x-stainless-retry-count`. Such a retry gets the answer of the request that it
 * repeats, if that ended less than a minute ago. Each request is kept as its own: two equal ones are two outcomes, and a
 * retry of the one that failed is not given the answer of the other.
 */

export interface UnkeyedInput {
  readonly orgId: Uuid
  readonly projectId: Uuid
  readonly apiKeyId: Uuid
  readonly requestId: Uuid
  readonly request: IncomingMessage
  readonly body: Buffer
}

/** They decide what is asked of whom, and who pays: with others it is another request. */
const PART_OF_REQUEST = [
  'x-tf-route',
  'x-tf-allow-cross-balance',
  'x-tf-run',
  'x-tf-step',
  'anthropic-version',
  'anthropic-beta',
]

/** How often the SDK has sent this request before; 0 for the first time and for clients that do not count. */
export function retryCount(request: IncomingMessage): number {
  const text = header(request, 'x-stainless-retry-count')
  return text !== null && /^\d{1,3}$/.test(text) ? Number.parseInt(text, 10) : 0
}

const KEEP_SQL = `insert into gateway.idempotency (org_id, project_id, key_sha256, body_sha256, request_id, process_id, api_key_id, retry)
  values ($1, $2, $3, $4, $5, $6, $7, $8)`

/**
 * What this may be a retry of, the likeliest first: what has ended before what still runs, what was sent last before, and
 * what failed before what was answered, since a failure is what makes an SDK ask again. Two retries at once never find
 * the same one. What ended without an answer that can be given again becomes the request of this retry.
 */
const MATCH_SQL = `with found as (
    select i.org_id, i.project_id, i.key_sha256, i.request_id, i.body_sha256, i.status, i.headers, i.answer,
        i.stored_at is not null as stored
      from gateway.idempotency i left join ledger.process p on p.id = i.process_id
      where i.api_key_id = $1 and i.body_sha256 = $2 and i.org_id = $3 and i.project_id = $4 and i.retry < $5
        and case when i.stored_at is null then p.beat_at > clock_timestamp() - interval '15 seconds'
          else i.stored_at > clock_timestamp() - interval '60 seconds' end
      order by i.stored_at is null, i.retry desc, i.answer is not null, i.stored_at desc
      limit 1 for update of i skip locked),
  taken as (
    update gateway.idempotency i set retry = $5,
        request_id = case when f.answer is null then $6 else i.request_id end,
        process_id = case when f.answer is null then $7 else i.process_id end,
        stored_at = case when f.answer is null then null else i.stored_at end
      from found f
      where f.stored and i.org_id = f.org_id and i.project_id = f.project_id and i.key_sha256 = f.key_sha256)
  select * from found`

const running = fault('request_in_progress', 'The request that this one repeats is still running.', {
  retryAfterMs: 1_000,
})

async function claimUnkeyed(database: Queryable, processId: Uuid, input: UnkeyedInput): Promise<ClaimResult> {
  const { orgId, projectId, apiKeyId, requestId, request, body } = input
  const named = PART_OF_REQUEST.map((name) => `${name}:${header(request, name) ?? ''}\n`)
  const bodyHash = hashOf(request.url ?? '', '\n', ...named, body)
  const retry = retryCount(request)
  if (retry > 0) {
    const values = [apiKeyId, bodyHash, orgId, projectId, retry, requestId, processId]
    const row = await database.maybeOne<StoredRow & { stored: boolean; key_sha256: Buffer }>(
      MATCH_SQL,
      values,
    )
    if (row !== null) {
      if (!row.stored) return { kind: 'refused', fault: running }
      const answer = readAnswer(row)
      if (answer !== null) return { kind: 'replay', answer }
      const { key_sha256: keyHash } = row
      return { kind: 'claimed', claim: { orgId, projectId, keyHash, requestId, unkeyed: true } }
    }
  }
  // An Idempotency-Key has no line breaks: none is hashed to this.
  const claim: Claim = {
    orgId,
    projectId,
    keyHash: hashOf('unkeyed\n', requestId),
    requestId,
    unkeyed: true,
  }
  await database.query(KEEP_SQL, [
    orgId,
    projectId,
    claim.keyHash,
    bodyHash,
    requestId,
    processId,
    apiKeyId,
    retry,
  ])
  return { kind: 'claimed', claim }
}

export interface Retries {
  /** Its claim is settled like any other (idempotency.ts). */
  claim(input: UnkeyedInput): Promise<ClaimResult>
}

export function createRetries(database: Database, processId: Uuid): Retries {
  return { claim: (input) => claimUnkeyed(database, processId, input) }
}
