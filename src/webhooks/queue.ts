import type { DeliveryState, EventType, Language } from '../contract/index.ts'
import type { Database, Queryable } from '../db/index.ts'
import type { Follower, OnEvents } from '../events/index.ts'
import { isoTime, type Uuid } from '../kernel/index.ts'
import { LEASE_MS } from './backoff.ts'

/** What is to be delivered, and what became of it. Every write of it is here. */

/** A delivery that this process has taken up. */
export interface Due {
  readonly orgId: Uuid
  readonly id: Uuid
  readonly eventId: Uuid
  readonly type: EventType
  readonly payload: string
  readonly language: Language
  readonly attempts: number
  readonly tries: number
  readonly to: { readonly endpointId: Uuid; readonly url: string } | { readonly email: string }
}

export interface AttemptResult {
  readonly atMs: number
  readonly status: number | null
  readonly latencyMs: number
  readonly error: string | null
  /** Null: delivered, or given up. */
  readonly nextMs: number | null
}

export interface Queue {
  /** @param room how many this process may have under way more: in all, and for each receiver. */
  take(
    nowMs: number,
    room: { readonly all: number; readonly each: number; readonly busy: readonly Uuid[] },
  ): Promise<readonly Due[]>
  takeMails(nowMs: number, room: number): Promise<readonly Due[]>
  /** @returns false when it had been decided meanwhile */
  note(tx: Queryable, due: Due, result: AttemptResult): Promise<boolean>
}

const QUEUE_SQL = `insert into webhooks.delivery (org_id, event_id, endpoint_id, next_at)
  select u.org, u.id, w.id, u.now
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::timestamptz[]) with ordinality u(org, id, type, project, now, n)
    join webhooks.endpoint w on w.org_id = u.org and w.state in ('active', 'paused') and u.type = any(w.types)
      and (w.project_id is null or w.project_id = u.project)
    order by u.n on conflict do nothing`

/** Queues what endpoints subscribe to, in the transaction of the events. */
export function createQueueing(nowMs: () => number): OnEvents {
  return async (tx, events) => {
    const now = isoTime(nowMs())
    await tx.query(QUEUE_SQL, [
      events.map((event) => event.orgId),
      events.map((event) => event.id),
      events.map((event) => event.type),
      events.map((event) => event.projectId),
      events.map(() => now),
    ])
  }
}

/** In 24 hours, of one organization: they go to addresses of its choice. What is beyond is told by webhooks and lists alone. */
const MAILS_A_DAY_MAX = 1_000

const MAIL_SQL = `insert into webhooks.delivery (org_id, event_id, email, language, next_at)
  select $1, $2, u.email, $4, $5 from unnest($3::text[]) u(email)
  limit greatest(0, ${MAILS_A_DAY_MAX} - (select count(*) from webhooks.delivery d
    where d.org_id = $1 and d.email is not null and d.created_at > clock_timestamp() - interval '24 hours'))
  on conflict do nothing`

/** Mails go through the same queue, with the same waits and the same log. */
export async function queueMails(
  tx: Queryable,
  mail: {
    readonly orgId: Uuid
    readonly eventId: Uuid
    readonly emails: readonly string[]
    readonly language: Language
  },
  nowMs: number,
): Promise<void> {
  if (mail.emails.length === 0) return
  await tx.query(MAIL_SQL, [mail.orgId, mail.eventId, mail.emails, mail.language, isoTime(nowMs)])
}

const FOLLOWS_SQL = `select org_id, array_agg(distinct t.type) as types from webhooks.endpoint w, unnest(w.types) t(type)
  where w.state in ('active', 'paused') group by org_id`

export const webhookFollower: Follower = {
  async follows(tx) {
    const rows = await tx.query<{ org_id: Uuid; types: EventType[] }>(FOLLOWS_SQL)
    return rows.map(({ org_id, types }) => ({ orgId: org_id, types }))
  },
  onReceipts: null,
}

interface DueRow {
  readonly org_id: Uuid
  readonly id: Uuid
  readonly event_id: Uuid
  readonly endpoint_id: Uuid | null
  readonly url: string | null
  readonly email: string | null
  readonly language: Language
  readonly type: EventType
  readonly payload: string
  readonly attempts: number
  readonly tries: number
}

function dueOf(row: DueRow): Due {
  const { endpoint_id, url, email } = row
  if (email === null && (endpoint_id === null || url === null)) throw new Error('a delivery to nobody')
  return {
    orgId: row.org_id,
    id: row.id,
    eventId: row.event_id,
    type: row.type,
    payload: row.payload,
    language: row.language,
    attempts: row.attempts,
    tries: row.tries,
    to: email === null ? { endpointId: endpoint_id ?? '', url: url ?? '' } : { email },
  }
}

// One look at the index for each endpoint: thousands that wait for one receiver are not in the way of another's. Those that
// do well come first and those that fail get one place each, or a few that hang would keep everybody else waiting.
const TAKE_SQL = `with due as (
    select d.org_id, d.id from (
      select e.id, case when e.failing_since is null then $3::int else 1 end as room from webhooks.endpoint e
      where e.state = 'active' and e.id <> all($4::uuid[]) and exists (select from webhooks.delivery p
        where p.endpoint_id = e.id and p.state = 'pending' and p.next_at <= $1)
      order by e.failing_since is not null, random() limit $2) w
    cross join lateral (select d.org_id, d.id, d.next_at from webhooks.delivery d
      where d.endpoint_id = w.id and d.state = 'pending' and d.next_at <= $1
      order by d.next_at limit w.room for no key update skip locked) d
    limit $2)
  update webhooks.delivery d set next_at = $5 from due, webhooks.endpoint w, events.event e
    where d.org_id = due.org_id and d.id = due.id and w.org_id = d.org_id and w.id = d.endpoint_id
      and e.org_id = d.org_id and e.id = d.event_id
    returning d.org_id, d.id, d.event_id, d.endpoint_id, w.url, d.email, d.language, e.type, e.payload, d.attempts, d.tries`
const TAKE_MAILS_SQL = `with due as (
    select d.org_id, d.id from webhooks.delivery d where d.endpoint_id is null and d.state = 'pending' and d.next_at <= $1
    order by d.next_at limit $2 for no key update skip locked)
  update webhooks.delivery d set next_at = $3 from due, events.event e
    where d.org_id = due.org_id and d.id = due.id and e.org_id = d.org_id and e.id = d.event_id
    returning d.org_id, d.id, d.event_id, d.endpoint_id, null as url, d.email, d.language, e.type, e.payload, d.attempts, d.tries`

// Whoever came second after a lease ran out changes nothing that was decided.
const NOTE_SQL = `update webhooks.delivery set state = $3, attempts = attempts + 1, tries = tries + 1, next_at = coalesce($4, next_at),
    last_status = $5, last_error = $6, done_at = case when $3 = 'pending' then null else $7::timestamptz end
  where org_id = $1 and id = $2 and state = 'pending' returning attempts`
const LOG_SQL = `insert into webhooks.attempt (org_id, delivery_id, n, at, status, latency_ms, error, next_at)
  values ($1, $2, $3, $4, $5, $6, $7, $8)`

export function createQueue(database: Database): Queue {
  return {
    async take(nowMs, { all, each, busy }) {
      const values = [isoTime(nowMs), all, each, busy, isoTime(nowMs + LEASE_MS)]
      return (await database.query<DueRow>(TAKE_SQL, values)).map(dueOf)
    },
    async takeMails(nowMs, room) {
      const values = [isoTime(nowMs), room, isoTime(nowMs + LEASE_MS)]
      return (await database.query<DueRow>(TAKE_MAILS_SQL, values)).map(dueOf)
    },
    async note(tx, due, { atMs, status, latencyMs, error, nextMs }) {
      const state: DeliveryState = error === null ? 'delivered' : nextMs === null ? 'failed' : 'pending'
      const [at, next] = [isoTime(atMs), nextMs === null ? null : isoTime(nextMs)]
      const noted = await tx.maybeOne<{ attempts: number }>(NOTE_SQL, [
        due.orgId,
        due.id,
        state,
        next,
        status,
        error,
        at,
      ])
      if (noted === null) return false
      await tx.query(LOG_SQL, [due.orgId, due.id, noted.attempts, at, status, latencyMs, error, next])
      return true
    },
  }
}
