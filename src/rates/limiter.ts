import type { Clock, Log, Uuid } from '../kernel/index.ts'
import { LocalCounts } from './local.ts'
import type { RateLimit, RateVerdict, Reservation } from './records.ts'
import { connectRedis } from './redis.ts'
import { SharedLimiter } from './redis-limiter.ts'

/** Lets requests in under their limits: counted in this process, or in Redis where there is one. */

export interface Limiter {
  /** All limits or none are taken. Without a promise where nobody has to be asked. */
  admit(limits: readonly RateLimit[], tokens: number, lease: Uuid): RateVerdict | Promise<RateVerdict>
  /** Gives concurrency back and puts what was really used in the place of what was reserved. Once a reservation. */
  end(reservations: readonly Reservation[], tokens: number): void
  /** `local`: there is no Redis. `away`: there is one, and it does not answer. */
  readonly state: 'local' | 'shared' | 'away'
  close(): Promise<void>
}

export interface LimiterOptions {
  /** Null counts in this process alone. */
  readonly redisUrl: string | null
  readonly processId: Uuid
  /** Of this installation; without Redis each keeps to its part of the limits. */
  readonly processes: number
  readonly clock: Clock
  readonly log: Log
}

export async function openLimiter(options: LimiterOptions): Promise<Limiter> {
  const { clock, log, redisUrl, processId, processes } = options
  const local = new LocalCounts(clock)
  if (redisUrl !== null) {
    // What is wrong with the connection is told by whoever needed it.
    const redis = connectRedis(redisUrl, () => {})
    const shared = new SharedLimiter({ redis, processId, processes, local, clock, log })
    await shared.ready()
    return shared
  }
  return {
    state: 'local',
    admit: (limits, tokens, lease) => local.admit(limits, tokens, lease, processes),
    end(reservations, tokens) {
      for (const one of reservations) local.end(one, tokens)
    },
    close: () => Promise.resolve(),
  }
}
