import { createHash } from 'node:crypto'
import type { EventData, EventType } from '../contract/index.ts'
import type { Queryable } from '../db/index.ts'
import { formatId, isoTime, storableJson, type Uuid } from '../kernel/index.ts'

/** Something that happened, before it is an event. */
export type NewEvent = {
  readonly [T in EventType]: {
    readonly type: T
    readonly orgId: Uuid
    readonly projectId: Uuid | null
    /** What names the cause among all of the type; it makes the id, so one cause is one event. */
    readonly cause: string
    readonly atMs: number
    readonly data: EventData<T>
  }
}[EventType]

export interface StoredEvent {
  readonly orgId: Uuid
  readonly id: Uuid
  readonly type: EventType
  readonly projectId: Uuid | null
  readonly atMs: number
  /** The body of its deliveries. */
  readonly payload: string
}

/** Called in the transaction that writes the events. */
export type OnEvents = (tx: Queryable, events: readonly StoredEvent[]) => Promise<void>

/** @returns those that are new; the others had been told before */
export type Publish = (tx: Queryable, events: readonly NewEvent[]) => Promise<readonly StoredEvent[]>

/** A UUID of version 8: the digest of what it stands for. */
export function uuidOf(...parts: readonly string[]): Uuid {
  const hex = createHash('sha256').update(JSON.stringify(parts)).digest('hex')
  const variant = '89ab'[Number.parseInt(hex[16] ?? '0', 16) & 3]
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

function stored(event: NewEvent): StoredEvent {
  const { orgId, type, projectId, atMs } = event
  const id = uuidOf('event', orgId, type, event.cause)
  const payload = storableJson({
    id: formatId('evt', id),
    type,
    timestamp: isoTime(atMs),
    organization: formatId('org', orgId),
    project: projectId === null ? null : formatId('prj', projectId),
    data: event.data,
  })
  return { orgId, id, type, projectId, atMs, payload }
}

/** Any constant. Held to the end of the transaction, so that numbers of events are in the order of commits. */
const LOCK_SQL = 'select pg_advisory_xact_lock(8215330780)'
const INSERT_SQL = `insert into events.event (org_id, id, type, project_id, at, payload)
  select u.org, u.id, u.type, u.project, u.at, u.payload
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::timestamptz[], $6::text[]) with ordinality
      u(org, id, type, project, at, payload, n) order by u.n
  on conflict do nothing returning org_id, id`

/** @param listeners are told of new events in the same transaction, each once */
export function createPublish(listeners: readonly OnEvents[]): Publish {
  return async (tx, events) => {
    if (events.length === 0) return []
    const rows = [...new Map(events.map(stored).map((row) => [`${row.orgId} ${row.id}`, row])).values()]
    await tx.query(LOCK_SQL)
    const inserted = await tx.query<{ org_id: Uuid; id: Uuid }>(INSERT_SQL, [
      rows.map((row) => row.orgId),
      rows.map((row) => row.id),
      rows.map((row) => row.type),
      rows.map((row) => row.projectId),
      rows.map((row) => isoTime(row.atMs)),
      rows.map((row) => row.payload),
    ])
    const fresh = new Set(inserted.map(({ org_id, id }) => `${org_id} ${id}`))
    const added = rows.filter((row) => fresh.has(`${row.orgId} ${row.id}`))
    if (added.length > 0) for (const listener of listeners) await listener(tx, added)
    return added
  }
}
