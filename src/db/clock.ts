import { type Clock, errorText, type Log } from '../kernel/index.ts'
import type { Queryable } from './connection.ts'

/**
 * One time for all processes of an installation: the database's. A machine whose clock is off would let expired keys in,
 * count a request in another day's budget, and put receipts into another order than they came in.
 */

export interface DatabaseClock extends Clock {
  close(): void
}

export interface DatabaseClockOptions {
  readonly database: Queryable
  /** The machine's own. */
  readonly clock: Clock
  readonly log: Log
  readonly askEveryMs?: number
}

const ASK_EVERY_MS = 30_000
/** What clocks that are kept in step differ by. */
const TOLERATED_MS = 250
const WORTH_TELLING_MS = 2_000

interface Anchor {
  readonly databaseMs: number
  readonly monotonicMs: number
  /** Half of the way there and back: where in it the answer was made is not known. */
  readonly uncertainMs: number
}

async function ask({ database, clock }: DatabaseClockOptions): Promise<Anchor> {
  const sentMs = clock.monotonicMs()
  const { ms } = await database.one<{ ms: number }>(
    'select (extract(epoch from clock_timestamp()) * 1000)::float8 as ms',
  )
  const uncertainMs = (clock.monotonicMs() - sentMs) / 2
  return { databaseMs: ms, monotonicMs: sentMs + uncertainMs, uncertainMs }
}

/**
 * The machine's clock as long as it agrees with the database's, else the database's carried on by what only grows: also
 * between two questions, when the machine's is set anew.
 */
export async function openDatabaseClock(options: DatabaseClockOptions): Promise<DatabaseClock> {
  const { clock, log } = options
  let anchor = await ask(options)
  let told = false

  function nowMs(): number {
    const ownMs = clock.nowMs()
    const carriedMs = anchor.databaseMs + clock.monotonicMs() - anchor.monotonicMs
    return Math.abs(ownMs - carriedMs) <= TOLERATED_MS + anchor.uncertainMs ? ownMs : Math.round(carriedMs)
  }

  function tell(): void {
    const offMs = Math.round(clock.nowMs() - nowMs())
    if (Math.abs(offMs) < WORTH_TELLING_MS) told = false
    else if (!told) {
      told = true
      log.warn({ offMs }, 'the clock of this machine is not that of the database, which is kept to')
    }
  }

  tell()
  const timer = setInterval(() => {
    ask(options).then(
      (found) => {
        anchor = found
        tell()
      },
      (thrown) => log.debug({ error: errorText(thrown) }, 'the database was not asked for its time'),
    )
  }, options.askEveryMs ?? ASK_EVERY_MS)
  timer.unref()
  return { nowMs, monotonicMs: clock.monotonicMs, close: () => clearInterval(timer) }
}
