import type { EventType } from '../contract/index.ts'
import { conditions, type Database, instant } from '../db/index.ts'
import type { Uuid } from '../kernel/index.ts'

export interface EventRecord {
  readonly seq: bigint
  readonly payload: string
}

export interface EventQuery {
  readonly orgId: Uuid | null
  readonly projectId: Uuid | null
  readonly type: EventType | null
  readonly sinceMs: number | null
  readonly untilMs: number | null
  /** The number of the last event of the page before. */
  readonly before: bigint | null
  readonly limit: number
}

export interface EventStore {
  /** Newest first. */
  list(query: EventQuery): Promise<readonly EventRecord[]>
}

export function createEventStore(database: Database): EventStore {
  return {
    list(query) {
      const { where, values } = conditions([
        ['org_id =', query.orgId],
        ['project_id =', query.projectId],
        ['type =', query.type],
        ['at >=', instant(query.sinceMs)],
        ['at <', instant(query.untilMs)],
        ['seq <', query.before],
      ])
      return database.query<{ seq: bigint; payload: string }>(
        `select seq, payload from events.event ${where} order by seq desc limit $${values.length + 1}`,
        [...values, query.limit],
      )
    },
  }
}
