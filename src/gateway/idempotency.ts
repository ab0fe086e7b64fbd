import { createHash } from 'node:crypto'
import { type Fault, fault } from '../contract/index.ts'
import type { Database } from '../db/index.ts'
import { errorText, formatId, isObject, type Log, parseJson, type Uuid } from '../kernel/index.ts'

/**
 * One outcome for one Idempotency-Key of a project. The key is claimed before anything is sent. An outcome that was
 * delivered or charged is stored and replayed; one that cost nothing (a refusal, a failure before output) frees the
 * key, so that the same call may simply be made again.
 */

/**
 * Answers larger than this are not kept; a repeat is then told where its receipt is instead, and a retry without a key is
 * a request of its own.
 */
const ANSWER_BYTES_MAX = 8 * 1024 * 1024
const FORGET_EVERY_MS = 60_000
const FORGET_SQL = `delete from gateway.idempotency where created_at < clock_timestamp() - interval '24 hours'`
/** The answers of a minute, and no longer: they are what a model said. */
const FORGET_UNKEYED_SQL = `delete from gateway.idempotency
  where api_key_id is not null and stored_at < clock_timestamp() - interval '60 seconds'`

export interface Claim {
  readonly orgId: Uuid
  readonly projectId: Uuid
  readonly keyHash: Buffer
  readonly requestId: Uuid
  /** Without an Idempotency-Key (retries.ts): what cannot be given again is remembered as that, and the next retry is new. */
  readonly unkeyed: boolean
}

export interface StoredAnswer {
  readonly requestId: Uuid
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

export type ClaimResult =
  | { readonly kind: 'claimed'; readonly claim: Claim }
  | { readonly kind: 'replay'; readonly answer: StoredAnswer }
  | { readonly kind: 'refused'; readonly fault: Fault }

export interface ClaimInput {
  readonly orgId: Uuid
  readonly projectId: Uuid
  readonly key: string
  readonly path: string
  readonly body: Buffer
  readonly requestId: Uuid
}

export interface Idempotency {
  claim(input: ClaimInput): Promise<ClaimResult>
  /** Keeps the outcome. Nothing is thrown: the caller has been answered already. */
  store(claim: Claim, answer: Omit<StoredAnswer, 'requestId'> | null): Promise<void>
  release(claim: Claim): Promise<void>
  close(): void
}

export type StoredRow = Record<string, unknown> & {
  readonly request_id: Uuid
  readonly body_sha256: Buffer
  readonly status: number | null
  readonly headers: string | null
  readonly answer: Buffer | null
}

interface Row extends StoredRow {
  readonly stored: boolean
  /** Its day is over, and it was not deleted yet. */
  readonly expired: boolean
  readonly alive: boolean
  /** Its receipt is written, and it began long ago: the answer should have been kept by now. */
  readonly long_ended: boolean | null
  readonly receipt_status: string | null
  readonly charge: bigint | null
  /** Claimed long ago by a process that is long dead, and nothing was ever set aside: nothing was sent either. */
  readonly orphan: boolean
}

const CLAIM_SQL = `insert into gateway.idempotency (org_id, project_id, key_sha256, body_sha256, request_id, process_id)
  values ($1, $2, $3, $4, $5, $6) on conflict do nothing returning request_id`

const READ_SQL = `select i.request_id, i.body_sha256, i.status, i.headers, i.answer, i.stored_at is not null as stored,
    i.created_at < clock_timestamp() - interval '24 hours' as expired,
    p.beat_at > clock_timestamp() - interval '15 seconds' as alive, r.status as receipt_status, r.charge,
    r.created_at < clock_timestamp() - interval '60 seconds' as long_ended,
    greatest(p.beat_at, i.created_at) < clock_timestamp() - interval '60 seconds' and not exists (select from ledger.hold h
      where h.org_id = i.org_id and h.id between i.request_id and (left(i.request_id::text, 35) || 'f')::uuid) as orphan
  from gateway.idempotency i
  left join ledger.process p on p.id = i.process_id
  left join ledger.receipt r on r.org_id = i.org_id and r.id = i.request_id
  where i.org_id = $1 and i.project_id = $2 and i.key_sha256 = $3`

/** Only from the request that is known to have ended for nothing: two who take over at once cannot both win. */
const TAKE_OVER_SQL = `update gateway.idempotency set request_id = $5, process_id = $6, created_at = clock_timestamp()
  where org_id = $1 and project_id = $2 and key_sha256 = $3 and request_id = $4 and stored_at is null returning request_id`

const STORE_SQL = `update gateway.idempotency set status = $5, headers = $6, answer = $7, stored_at = clock_timestamp()
  where org_id = $1 and project_id = $2 and key_sha256 = $3 and request_id = $4`

const END_UNKEYED_SQL = `update gateway.idempotency set stored_at = clock_timestamp()
  where org_id = $1 and project_id = $2 and key_sha256 = $3 and request_id = $4`

const END_SQL = `delete from gateway.idempotency
  where org_id = $1 and project_id = $2 and key_sha256 = $3 and request_id = $4`
/** An outcome that is kept was charged: whatever fails after that, the key stays used. */
const RELEASE_SQL = `${END_SQL} and stored_at is null`

export const hashOf = (...parts: ReadonlyArray<string | Buffer>): Buffer => {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}

export function readAnswer(row: StoredRow): StoredAnswer | null {
  if (row.answer === null || row.status === null) return null
  const headers = parseJson(row.headers ?? '{}')
  return {
    requestId: row.request_id,
    status: row.status,
    headers: headers.ok && isObject(headers.value) ? (headers.value as Record<string, string>) : {},
    body: row.answer,
  }
}

const inProgress = fault('request_in_progress', 'A request with this Idempotency-Key is still running.', {
  retryAfterMs: 1_000,
})

const reused = fault('idempotency_key_reused', 'This Idempotency-Key was used with another body.')

function lost(row: Row): Fault {
  const id = formatId('req', row.request_id)
  return fault(
    'conflict',
    `The answer of this Idempotency-Key is not kept any more; it was charged once, see receipt ${id}.`,
    {
      facts: { receipt: id },
    },
  )
}

class DatabaseIdempotency implements Idempotency {
  private readonly database: Database
  private readonly processId: Uuid
  private readonly log: Log
  private readonly timer: NodeJS.Timeout

  constructor(database: Database, processId: Uuid, log: Log) {
    this.database = database
    this.processId = processId
    this.log = log
    this.timer = setInterval(() => void this.forgetOld(), FORGET_EVERY_MS)
    this.timer.unref()
  }

  async claim(input: ClaimInput): Promise<ClaimResult> {
    const { orgId, projectId, requestId } = input
    const keyHash = hashOf(input.key)
    const bodyHash = hashOf(input.path, '\n', input.body)
    const claim: Claim = { orgId, projectId, keyHash, requestId, unkeyed: false }
    for (let turn = 0; turn < 3; turn++) {
      const values = [orgId, projectId, keyHash, bodyHash, requestId, this.processId]
      if ((await this.database.maybeOne(CLAIM_SQL, values)) !== null) return { kind: 'claimed', claim }
      const judged = await this.judge(claim, bodyHash)
      if (judged !== 'again') return judged
    }
    return { kind: 'refused', fault: inProgress }
  }

  private async judge(claim: Claim, bodyHash: Buffer): Promise<ClaimResult | 'again'> {
    const place = [claim.orgId, claim.projectId, claim.keyHash]
    const row = await this.database.maybeOne<Row>(READ_SQL, place)
    if (row === null) return 'again'
    if (row.expired) {
      await this.database.query(END_SQL, [...place, row.request_id])
      return 'again'
    }
    if (!row.body_sha256.equals(bodyHash)) return { kind: 'refused', fault: reused }
    const answer = readAnswer(row)
    if (answer !== null) return { kind: 'replay', answer }
    if (row.stored) return { kind: 'refused', fault: lost(row) }
    // Not ended, or ended just now by a process that is about to keep the answer.
    if ((row.receipt_status === null && !row.orphan) || (row.alive === true && row.long_ended !== true))
      return { kind: 'refused', fault: inProgress }
    if ((row.charge ?? 0n) !== 0n) return { kind: 'refused', fault: lost(row) }
    const values = [...place, row.request_id, claim.requestId, this.processId]
    const taken = await this.database.maybeOne(TAKE_OVER_SQL, values)
    return taken === null ? 'again' : { kind: 'claimed', claim }
  }

  async store(claim: Claim, answer: Omit<StoredAnswer, 'requestId'> | null): Promise<void> {
    const kept = answer !== null && answer.body.length <= ANSWER_BYTES_MAX ? answer : null
    const headers = kept === null ? null : JSON.stringify(kept.headers)
    await this.settle(claim, STORE_SQL, [kept?.status ?? null, headers, kept?.body ?? null])
  }

  async release(claim: Claim): Promise<void> {
    await this.settle(claim, claim.unkeyed ? END_UNKEYED_SQL : RELEASE_SQL, [])
  }

  /** The caller has been answered, or is about to be: a failure here is told to the operator, not to them. */
  private async settle(claim: Claim, sql: string, more: readonly unknown[]): Promise<void> {
    const { orgId, projectId, keyHash, requestId } = claim
    try {
      await this.database.query(sql, [orgId, projectId, keyHash, requestId, ...more])
    } catch (thrown) {
      this.log.error(
        { error: errorText(thrown), request: requestId },
        'an idempotency key could not be settled',
      )
    }
  }

  private async forgetOld(): Promise<void> {
    try {
      await this.database.query(FORGET_UNKEYED_SQL)
      await this.database.query(FORGET_SQL)
    } catch (thrown) {
      this.log.warn({ error: errorText(thrown) }, 'old idempotency keys could not be deleted')
    }
  }

  close(): void {
    clearInterval(this.timer)
  }
}

export function createIdempotency(database: Database, processId: Uuid, log: Log): Idempotency {
  return new DatabaseIdempotency(database, processId, log)
}
