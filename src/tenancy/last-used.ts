import type { Database } from '../db/index.ts'
import { type Clock, errorText, isoTime, type Log, type Uuid } from '../kernel/index.ts'

/**
 * Remembers when keys and their secrets were used, off the way of the requests: at most once a minute a secret, many
 * secrets a statement.
 */

export interface LastUsed {
  touch(secretId: Uuid): void
  /** Writes what is pending now. */
  flush(): Promise<void>
  close(): Promise<void>
}

const AGAIN_AFTER_MS = 60_000
const GATHER_MS = 1_000
const SEEN_MAX = 50_000

// A row that another process marks at this moment is skipped: it is being marked.
const MARK_SQL = `with marked as (
    update tenancy.api_key_secret s set last_used_at = greatest(coalesce(s.last_used_at, u.at), u.at)
      from (select x.id, x.at from unnest($1::uuid[], $2::timestamptz[]) x(id, at)
            join tenancy.api_key_secret l on l.id = x.id order by x.id for no key update of l skip locked) u
      where s.id = u.id returning s.key_id, u.at),
  latest as (select key_id, max(at) as at from marked group by key_id)
  update tenancy.api_key k set last_used_at = greatest(coalesce(k.last_used_at, u.at), u.at)
    from (select m.key_id, m.at from latest m
          join tenancy.api_key l on l.id = m.key_id order by m.key_id for no key update of l skip locked) u
    where k.id = u.key_id`

export function createLastUsed(database: Database, clock: Clock, log: Log): LastUsed {
  const seenAtMs = new Map<Uuid, number>()
  let pending = new Map<Uuid, number>()
  let timer: NodeJS.Timeout | null = null

  async function flush(): Promise<void> {
    if (timer !== null) clearTimeout(timer)
    timer = null
    if (pending.size === 0) return
    const batch = pending
    pending = new Map()
    try {
      await database.query(MARK_SQL, [[...batch.keys()], [...batch.values()].map(isoTime)])
    } catch (thrown) {
      log.warn({ error: errorText(thrown), keys: batch.size }, 'the last use of API keys could not be noted')
    }
  }

  return {
    touch(secretId) {
      const nowMs = clock.monotonicMs()
      const last = seenAtMs.get(secretId)
      if (last !== undefined && nowMs - last < AGAIN_AFTER_MS) return
      if (seenAtMs.size >= SEEN_MAX) seenAtMs.clear()
      seenAtMs.set(secretId, nowMs)
      pending.set(secretId, clock.nowMs())
      timer ??= setTimeout(() => void flush(), GATHER_MS).unref()
    },
    flush,
    close: flush,
  }
}
