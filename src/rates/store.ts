import type { RateScope } from '../contract/index.ts'
import { type Database, isUniqueViolation, type Queryable } from '../db/index.ts'
import type { IdSource, Json, Uuid } from '../kernel/index.ts'
import { type Actor, recordEvent } from '../tenancy/index.ts'
import {
  RATE_COLUMNS,
  type RateAmounts,
  type RateLimit,
  type RateRow,
  rateOf,
  shownScopeId,
} from './records.ts'

/** Rate limits as rows; each change is written together with its event in the log of changes. */

export interface NewRateLimit {
  /** Chosen by the caller where a repeat shall find what was made. */
  readonly id?: Uuid
  readonly orgId: Uuid
  readonly scope: RateScope
  readonly scopeId: string
  readonly amounts: RateAmounts
}

export interface RateFilter {
  readonly orgId: Uuid | null
  readonly scope: RateScope | null
  readonly scopeId: string | null
  /** Only what a key of this project falls under. */
  readonly seenBy: { readonly projectId: Uuid; readonly apiKeyId: Uuid } | null
  readonly ended: boolean
  readonly limit: number
  readonly before: Uuid | null
}

export type RateChanged =
  | { readonly ok: true; readonly limit: RateLimit }
  | { readonly ok: false; readonly reason: 'unknown' | 'ended' | 'empty' }

export interface RateStore {
  /** Null when one is in force for that scope. */
  make(input: NewRateLimit, by: Actor): Promise<RateLimit | null>
  /** `empty`: nothing would be limited any more; end it instead. */
  change(id: Uuid, to: Partial<RateAmounts>, by: Actor): Promise<RateChanged>
  end(id: Uuid, by: Actor): Promise<RateChanged>
  get(id: Uuid, seenBy?: RateFilter['seenBy']): Promise<RateLimit | null>
  /** Newest first. */
  list(filter: RateFilter): Promise<readonly RateLimit[]>
}

export interface RateStoreOptions {
  readonly database: Database
  readonly ids: IdSource
  /** Called when limits of an organization have changed. */
  readonly changed: (orgId: Uuid) => void
}

/** @param at the place of the project's id among the parameters; the key's is behind it */
const seen = (at: number): string => `($${at}::uuid is null or scope in ('organization', 'route')
    or scope = 'project' and scope_id = $${at}::text or scope = 'key' and scope_id = $${at + 1}::text)`

const told = (limit: RateLimit): Json => ({
  scope: limit.scope,
  scope_id: shownScopeId(limit),
  ...limit.amounts,
})

async function locked(tx: Queryable, id: Uuid): Promise<RateLimit | null> {
  const row = await tx.maybeOne<RateRow>(
    `select ${RATE_COLUMNS} from tenancy.rate_limit where id = $1 for update`,
    [id],
  )
  return row === null ? null : rateOf(row)
}

async function insert(tx: Queryable, input: NewRateLimit & { id: Uuid }, by: Actor): Promise<RateLimit> {
  const { orgId, id, scope, scopeId, amounts } = input
  const { requests_per_minute, tokens_per_minute, concurrency } = amounts
  const row = await tx.one<RateRow>(
    `insert into tenancy.rate_limit (org_id, id, scope, scope_id, requests_per_minute, tokens_per_minute, concurrency, set_by)
     values ($1, $2, $3, $4, $5, $6, $7, $8) returning ${RATE_COLUMNS}`,
    [orgId, id, scope, scopeId, requests_per_minute, tokens_per_minute, concurrency, by.kind],
  )
  const limit = rateOf(row)
  const object = { objectKind: 'rate_limit', objectId: id }
  await recordEvent(tx, by, { orgId, action: 'rate_limit.create', ...object, after: told(limit) })
  return limit
}

async function write(tx: Queryable, limit: RateLimit, end: boolean): Promise<RateLimit> {
  const { requests_per_minute, tokens_per_minute, concurrency } = limit.amounts
  return rateOf(
    await tx.one<RateRow>(
      `update tenancy.rate_limit set requests_per_minute = $3, tokens_per_minute = $4, concurrency = $5,
         ended_at = case when $6 then clock_timestamp() end
       where org_id = $1 and id = $2 returning ${RATE_COLUMNS}`,
      [limit.orgId, limit.id, requests_per_minute, tokens_per_minute, concurrency, end],
    ),
  )
}

export function createRateStore({ database, ids, changed }: RateStoreOptions): RateStore {
  async function altered(
    id: Uuid,
    by: Actor,
    alter: (limit: RateLimit) => { readonly to: RateLimit; readonly end: boolean } | 'empty',
  ): Promise<RateChanged> {
    const result = await database.tx<RateChanged>(async (tx) => {
      const limit = await locked(tx, id)
      if (limit === null) return { ok: false, reason: 'unknown' }
      if (limit.endedAtMs !== null) return { ok: false, reason: 'ended' }
      const next = alter(limit)
      if (next === 'empty') return { ok: false, reason: 'empty' }
      const now = await write(tx, next.to, next.end)
      await recordEvent(tx, by, {
        orgId: limit.orgId,
        action: next.end ? 'rate_limit.end' : 'rate_limit.change',
        objectKind: 'rate_limit',
        objectId: id,
        before: told(limit),
        ...(next.end ? {} : { after: told(now) }),
      })
      return { ok: true, limit: now }
    })
    if (result.ok) changed(result.limit.orgId)
    return result
  }

  return {
    async make(input, by) {
      const id = input.id ?? ids.uuid()
      try {
        const made = await database.tx((tx) => insert(tx, { ...input, id }, by))
        changed(made.orgId)
        return made
      } catch (thrown) {
        if (isUniqueViolation(thrown)) return null
        throw thrown
      }
    },
    change: (id, to, by) =>
      altered(id, by, (limit) => {
        const amounts: RateAmounts = { ...limit.amounts, ...to }
        return Object.values(amounts).every((amount) => amount === null)
          ? 'empty'
          : { to: { ...limit, amounts }, end: false }
      }),
    end: (id, by) => altered(id, by, (limit) => ({ to: limit, end: true })),
    async get(id, seenBy = null) {
      const row = await database.maybeOne<RateRow>(
        `select ${RATE_COLUMNS} from tenancy.rate_limit where id = $1 and ${seen(2)}`,
        [id, seenBy?.projectId ?? null, seenBy?.apiKeyId ?? null],
      )
      return row === null ? null : rateOf(row)
    },
    async list(filter) {
      const rows = await database.query<RateRow>(
        `select ${RATE_COLUMNS} from tenancy.rate_limit
         where ($1::uuid is null or org_id = $1) and ($2::text is null or scope = $2)
           and ($3::text is null or scope_id = $3) and ${seen(4)} and (ended_at is null or $6)
           and ($7::uuid is null or id < $7) order by id desc limit $8`,
        [
          filter.orgId,
          filter.scope,
          filter.scopeId,
          filter.seenBy?.projectId ?? null,
          filter.seenBy?.apiKeyId ?? null,
          filter.ended,
          filter.before,
          filter.limit,
        ],
      )
      return rows.map(rateOf)
    },
  }
}
