import type { DeliveryState, EventType } from '../contract/index.ts'
import { conditions, type Database, instant } from '../db/index.ts'
import { isoTime, type Uuid } from '../kernel/index.ts'

/** What was sent, and sending it again. */

export interface Delivery {
  readonly id: Uuid
  readonly seq: bigint
  readonly orgId: Uuid
  readonly endpointId: Uuid | null
  readonly email: string | null
  readonly eventId: Uuid
  readonly type: EventType
  readonly state: DeliveryState
  readonly attempts: number
  readonly status: number | null
  readonly error: string | null
  readonly nextAtMs: number
  readonly createdAtMs: number
  readonly doneAtMs: number | null
}

export interface Attempt {
  readonly n: number
  readonly at: Date
  readonly status: number | null
  readonly latencyMs: number
  readonly error: string | null
  readonly nextAt: Date | null
}

export interface DeliveryQuery {
  readonly endpointId: Uuid
  readonly state: DeliveryState | null
  readonly type: EventType | null
  readonly sinceMs: number | null
  readonly untilMs: number | null
  readonly before: bigint | null
  readonly limit: number
}

export interface DeliveryLog {
  /** Newest first. */
  list(query: DeliveryQuery): Promise<readonly Delivery[]>
  get(
    endpointId: Uuid,
    id: Uuid,
  ): Promise<{ readonly delivery: Delivery; readonly attempts: readonly Attempt[] } | null>
  /** Sends one again, whatever became of it; under the same event id. */
  replay(endpointId: Uuid, id: Uuid, nowMs: number): Promise<boolean>
  /** Sends again all that failed of those made since. @returns how many */
  replayFailed(endpointId: Uuid, sinceMs: number, nowMs: number): Promise<number>
}

interface Row {
  readonly id: Uuid
  readonly seq: bigint
  readonly org_id: Uuid
  readonly endpoint_id: Uuid | null
  readonly email: string | null
  readonly event_id: Uuid
  readonly type: EventType
  readonly state: DeliveryState
  readonly attempts: number
  readonly last_status: number | null
  readonly last_error: string | null
  readonly next_at: Date
  readonly created_at: Date
  readonly done_at: Date | null
}

const FROM = `select d.id, d.seq, d.org_id, d.endpoint_id, d.email, d.event_id, e.type, d.state, d.attempts, d.last_status, d.last_error,
    d.next_at, d.created_at, d.done_at
  from webhooks.delivery d join events.event e on e.org_id = d.org_id and e.id = d.event_id`
const AGAIN = `state = 'pending', tries = 0, done_at = null, next_at = $2`

function deliveryOf(row: Row): Delivery {
  return {
    id: row.id,
    seq: row.seq,
    orgId: row.org_id,
    endpointId: row.endpoint_id,
    email: row.email,
    eventId: row.event_id,
    type: row.type,
    state: row.state,
    attempts: row.attempts,
    status: row.last_status,
    error: row.last_error,
    nextAtMs: row.next_at.getTime(),
    createdAtMs: row.created_at.getTime(),
    doneAtMs: row.done_at === null ? null : row.done_at.getTime(),
  }
}

export function createDeliveryLog(database: Database): DeliveryLog {
  return {
    async list(query) {
      const { where, values } = conditions([
        ['d.endpoint_id =', query.endpointId],
        ['d.state =', query.state],
        ['e.type =', query.type],
        ['d.created_at >=', instant(query.sinceMs)],
        ['d.created_at <', instant(query.untilMs)],
        ['d.seq <', query.before],
      ])
      const sql = `${FROM} ${where} order by d.seq desc limit $${values.length + 1}`
      return (await database.query<Row>(sql, [...values, query.limit])).map(deliveryOf)
    },
    async get(endpointId, id) {
      const row = await database.maybeOne<Row>(`${FROM} where d.id = $1 and d.endpoint_id = $2`, [
        id,
        endpointId,
      ])
      if (row === null) return null
      const attempts = await database.query<Attempt>(
        `select n, at, status, latency_ms as "latencyMs", error, next_at as "nextAt" from webhooks.attempt
         where org_id = $1 and delivery_id = $2 order by n`,
        [row.org_id, id],
      )
      return { delivery: deliveryOf(row), attempts }
    },
    async replay(endpointId, id, nowMs) {
      const again = await database.maybeOne(
        `update webhooks.delivery set ${AGAIN} where id = $1 and endpoint_id = $3 returning id`,
        [id, isoTime(nowMs), endpointId],
      )
      return again !== null
    },
    async replayFailed(endpointId, sinceMs, nowMs) {
      const rows = await database.query(
        `update webhooks.delivery set ${AGAIN} where endpoint_id = $1 and state = 'failed' and created_at >= $3 returning id`,
        [endpointId, isoTime(nowMs), isoTime(sinceMs)],
      )
      return rows.length
    },
  }
}
