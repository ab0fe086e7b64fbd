import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { ERRORS, type Fault, FaultError, fault } from '../contract/index.ts'
import { isObject, type Json, parseJson, type Uuid } from '../kernel/index.ts'
import type { Actor } from '../tenancy/index.ts'
import type { ApiDeps } from './deps.ts'
import { InvalidRequest } from './problem.ts'

/**
 * `Idempotency-Key` on a POST of the management API: one outcome for one key of a caller, for a day. What is made gets an
 * id that is chosen before anything is done, so that a repeat after a crash in between finds what was made. Refusals are
 * not kept: they changed nothing. Answers with a secret are not kept either, since a copy of the secret would be; their
 * repeat is told the id of what was made.
 */

export interface Outcome {
  readonly status: number
  readonly answer: unknown
  readonly replayed?: true
}

/** What a repeat would make is there already, and its secret cannot be shown: the attempt before died on its way back. */
export class MadeBefore extends FaultError {
  override name = 'MadeBefore'
  readonly id: string
  constructor(id: string) {
    super(madeBefore(id))
    this.id = id
  }
}

function madeBefore(id: string): Fault {
  return fault(
    'conflict',
    `This Idempotency-Key has made ${id}. Its secret was in the first answer and is kept nowhere: if that was lost, rotate the key.`,
  )
}

interface Asked {
  readonly by: Actor
  readonly key: string
  readonly secret: boolean
  readonly path: string
  readonly body: unknown
}

interface Row {
  readonly object_id: Uuid
  readonly request_sha256: Buffer
  readonly status: number | null
  readonly answer: string | null
  readonly abandoned: boolean
}

const FORM = /^[\x21-\x7e]{1,255}$/
/** Longer than any operation takes: whoever claimed the key has died. */
const ABANDONED_AFTER = '60 seconds'

const FORGET_SQL = `delete from tenancy.management_request where created_at < clock_timestamp() - interval '24 hours'`
const CLAIM_SQL = `insert into tenancy.management_request (actor, key_sha256, request_sha256, object_id)
  values ($1, $2, $3, $4) on conflict do nothing returning object_id`
const READ_SQL = `select object_id, request_sha256, status, answer,
    started_at < clock_timestamp() - interval '${ABANDONED_AFTER}' as abandoned
  from tenancy.management_request where actor = $1 and key_sha256 = $2`
const TAKE_OVER_SQL = `update tenancy.management_request set started_at = clock_timestamp()
  where actor = $1 and key_sha256 = $2 and status is null
    and started_at < clock_timestamp() - interval '${ABANDONED_AFTER}' returning object_id`
const STORE_SQL = `update tenancy.management_request set status = $3, answer = $4 where actor = $1 and key_sha256 = $2`
const RELEASE_SQL =
  'delete from tenancy.management_request where actor = $1 and key_sha256 = $2 and status is null'

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest()

export function idempotencyKeyOf(headers: IncomingHttpHeaders): string | null {
  const value = headers['idempotency-key']
  if (value === undefined) return null
  if (typeof value === 'string' && FORM.test(value)) return value
  const message = 'must be 1 to 255 visible ASCII characters'
  throw new InvalidRequest('header', [{ field: 'idempotency-key', message }])
}

function idIn(answer: unknown): Json {
  return isObject(answer as Json) ? ((answer as { id?: Json }).id ?? null) : null
}

function replay(row: Row, secret: boolean): Outcome {
  const stored = parseJson(row.answer ?? 'null')
  if (row.status === null || !stored.ok) throw new Error('a stored answer cannot be read')
  if (secret) throw new FaultError(madeBefore(String(idIn(stored.value))))
  return { status: row.status, answer: stored.value, replayed: true }
}

/** @param run is given the id for what it makes */
export async function once(
  deps: Pick<ApiDeps, 'database' | 'ids'>,
  asked: Asked,
  run: (newId: Uuid) => Promise<Outcome>,
): Promise<Outcome> {
  const { database } = deps
  const who = [asked.by.id === null ? asked.by.kind : `${asked.by.kind}:${asked.by.id}`, sha256(asked.key)]
  const request = sha256(JSON.stringify([asked.path, asked.body]))
  await database.query(FORGET_SQL)
  const claimed = await database.maybeOne<{ object_id: Uuid }>(CLAIM_SQL, [...who, request, deps.ids.uuid()])
  const newId = claimed?.object_id ?? (await takeOver())
  if (typeof newId !== 'string') return newId

  async function takeOver(): Promise<Uuid | Outcome> {
    const row = await database.maybeOne<Row>(READ_SQL, who)
    if (row !== null && !row.request_sha256.equals(request))
      throw new FaultError(
        fault('idempotency_key_reused', 'The Idempotency-Key was used with another path or body.'),
      )
    if (row !== null && row.status !== null) return replay(row, asked.secret)
    const taken = row?.abandoned === true ? await database.maybeOne<Row>(TAKE_OVER_SQL, who) : null
    if (taken !== null) return taken.object_id
    throw new FaultError(
      fault('request_in_progress', 'A request with this Idempotency-Key is still running.'),
    )
  }

  try {
    const outcome = await run(newId)
    const kept = asked.secret ? { id: idIn(outcome.answer) } : outcome.answer
    await database.query(STORE_SQL, [...who, outcome.status, JSON.stringify(kept)])
    return outcome
  } catch (thrown) {
    if (thrown instanceof MadeBefore)
      await database.query(STORE_SQL, [...who, 201, JSON.stringify({ id: thrown.id })])
    // Refused is not done. What failed in another way may have been done: its key stays claimed, and its id with it.
    else if (thrown instanceof FaultError && ERRORS[thrown.fault.code].status < 500)
      await database.query(RELEASE_SQL, who)
    throw thrown
  }
}
