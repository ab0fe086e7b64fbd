import type { AuditActor } from '../contract/index.ts'
import { conditions, type Database, instant, type Queryable } from '../db/index.ts'
import type { Json, Uuid } from '../kernel/index.ts'

/** Who changed what. An event is written by the transaction of its change, or the change does not happen. */

export interface Actor {
  readonly kind: AuditActor
  /** Of the API key or person; null for the operator token, which operators have between them. */
  readonly id: Uuid | null
  readonly requestId: Uuid | null
  readonly address: string | null
}

/** The installation itself: its first start, its tests. */
export const SYSTEM: Actor = Object.freeze({ kind: 'system', id: null, requestId: null, address: null })

export interface NewEvent {
  readonly orgId: Uuid | null
  readonly action: string
  readonly objectKind: string
  readonly objectId: Uuid
  readonly before?: Json
  readonly after?: Json
}

export interface AuditEvent {
  readonly seq: bigint
  readonly orgId: Uuid | null
  readonly at: Date
  readonly actorKind: AuditActor
  readonly actorId: Uuid | null
  readonly action: string
  readonly objectKind: string
  readonly objectId: Uuid
  readonly before: Json
  readonly after: Json
  readonly requestId: Uuid | null
  readonly address: string | null
}

export interface EventFilter {
  readonly orgId: Uuid | null
  readonly actorKind: AuditActor | null
  readonly actorId: Uuid | null
  readonly action: string | null
  readonly objectId: Uuid | null
  readonly sinceMs: number | null
  readonly untilMs: number | null
  /** The number of the last event of the page before. */
  readonly before: bigint | null
  readonly limit: number
}

const INSERT_SQL = `insert into tenancy.audit_event (org_id, actor_kind, actor_id, action, object_kind, object_id, before, after,
    request_id, address) values ($1, $2, $3, $4, $5, $6, $7::jsonb, $8::jsonb, $9, $10)`

const textOf = (value: Json | undefined): string | null =>
  value === undefined || value === null ? null : JSON.stringify(value)

/** @param tx of the change itself */
export async function recordEvent(tx: Queryable, by: Actor, event: NewEvent): Promise<void> {
  await tx.query(INSERT_SQL, [
    event.orgId,
    by.kind,
    by.id,
    event.action,
    event.objectKind,
    event.objectId,
    textOf(event.before),
    textOf(event.after),
    by.requestId,
    by.address,
  ])
}

interface EventRow {
  readonly seq: bigint
  readonly org_id: string | null
  readonly at: Date
  readonly actor_kind: AuditActor
  readonly actor_id: string | null
  readonly action: string
  readonly object_kind: string
  readonly object_id: string
  readonly before: Json
  readonly after: Json
  readonly request_id: string | null
  readonly address: string | null
}

function eventOf(row: EventRow): AuditEvent {
  return {
    seq: row.seq,
    orgId: row.org_id,
    at: row.at,
    actorKind: row.actor_kind,
    actorId: row.actor_id,
    action: row.action,
    objectKind: row.object_kind,
    objectId: row.object_id,
    before: row.before,
    after: row.after,
    requestId: row.request_id,
    address: row.address,
  }
}

/** Newest first. */
export async function listEvents(database: Database, filter: EventFilter): Promise<readonly AuditEvent[]> {
  const { where, values } = conditions([
    ['org_id =', filter.orgId],
    ['actor_kind =', filter.actorKind],
    ['actor_id =', filter.actorId],
    ['action =', filter.action],
    ['object_id =', filter.objectId],
    ['at >=', instant(filter.sinceMs)],
    ['at <', instant(filter.untilMs)],
    ['seq <', filter.before],
  ])
  const rows = await database.query<EventRow>(
    `select seq, org_id, at, actor_kind, actor_id, action, object_kind, object_id, before, after, request_id, address
     from tenancy.audit_event ${where} order by seq desc limit $${values.length + 1}`,
    [...values, filter.limit],
  )
  return rows.map(eventOf)
}
