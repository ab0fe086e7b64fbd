import { createHash } from 'node:crypto'
import type { Database } from '../db/index.ts'

/** Counts attempts in the database, so that several processes count together. */

export interface Limit {
  /** What is counted, e.g. `address:192.0.2.1`. Only its hash is stored. */
  readonly what: string
  readonly max: number
  readonly windowSeconds: number
}

const keyOf = (what: string): Buffer => createHash('sha256').update(what).digest()

const COUNT_SQL = `insert into identity.attempt as a (key, count) values ($1, 1)
  on conflict (key) do update set
    count = case when a.started_at <= clock_timestamp() - make_interval(secs => $2) then 1 else least(a.count, 1000000) + 1 end,
    started_at = case when a.started_at <= clock_timestamp() - make_interval(secs => $2) then clock_timestamp()
      else a.started_at end
  returning count, ceil(extract(epoch from a.started_at + make_interval(secs => $2) - clock_timestamp()))::int as left`

/**
 * Counts one attempt for each limit; counted first and tried then, so that attempts at the same time count too. What one
 * limit refuses is not counted for those after it: guesses that were never made shut nobody else out.
 * @param limits the narrow ones first
 * @returns seconds until the next one may be tried, or null when this one may
 */
export async function countAttempt(database: Database, limits: readonly Limit[]): Promise<number | null> {
  for (const { what, max, windowSeconds } of limits) {
    const row = await database.one<{ count: number; left: number }>(COUNT_SQL, [keyOf(what), windowSeconds])
    if (row.count > max) return Math.max(1, row.left)
  }
  return null
}

export async function forgetAttempts(database: Database, what: string): Promise<void> {
  await database.query('delete from identity.attempt where key = $1', [keyOf(what)])
}

/** Remembers something for a day, which is how long the sweep leaves it. */
export async function remember(database: Database, what: string): Promise<void> {
  await database.query(
    `insert into identity.attempt (key, count) values ($1, 0) on conflict (key) do update set started_at = clock_timestamp()`,
    [keyOf(what)],
  )
}

export async function isRemembered(database: Database, what: string): Promise<boolean> {
  const row = await database.maybeOne(
    `select from identity.attempt where key = $1 and started_at > clock_timestamp() - interval '1 day'`,
    [keyOf(what)],
  )
  return row !== null
}

/** What is over: nothing else would ever remove it. */
export async function sweep(database: Database): Promise<void> {
  await database.query(`delete from identity.attempt where started_at < clock_timestamp() - interval '1 day'`)
  await database.query('delete from identity.session where expires_at < clock_timestamp()')
  await database.query('delete from identity.verification where expires_at < clock_timestamp()')
}
