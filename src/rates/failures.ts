import { isIPv6 } from 'node:net'
import { type Fault, fault } from '../contract/index.ts'
import type { Clock } from '../kernel/index.ts'

/**
 * Requests without a valid key, by the address they come from: a bucket of so many, which fills again by as many a
 * minute. One number an address, and of a bounded number of addresses the ones that failed last.
 */

export interface FailureWatch {
  /** Counts one more. @returns the refusal where there were too many, else null */
  failed(address: string | null): Fault | null
  readonly size: number
}

export interface FailureWatchOptions {
  readonly clock: Clock
  readonly perMinute?: number
  readonly addressesMax?: number
}

const PER_MINUTE = 30
const ADDRESSES_MAX = 10_000
const MINUTE_MS = 60_000

/** Whoever has one IPv6 address has its whole /64. */
function neighbourhood(address: string): string {
  if (!isIPv6(address)) return address
  const [head = '', tail] = address.split('::')
  const groups = head === '' ? [] : head.split(':')
  const behind = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups.length - behind.length)
  const whole = [...groups, ...new Array<string>(zeros).fill('0'), ...behind]
  return `${whole
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}

export function createFailureWatch(options: FailureWatchOptions): FailureWatch {
  const { clock, perMinute = PER_MINUTE, addressesMax = ADDRESSES_MAX } = options
  const eachMs = MINUTE_MS / perMinute
  /** By address: when its bucket will be full again. */
  const fullAt = new Map<string, number>()
  return {
    failed(address) {
      const place = address === null ? 'unknown' : neighbourhood(address)
      const nowMs = clock.monotonicMs()
      const next = Math.max(nowMs, fullAt.get(place) ?? 0) + eachMs
      const over = next - nowMs - MINUTE_MS
      fullAt.delete(place)
      const oldest = fullAt.size < addressesMax ? undefined : fullAt.keys().next().value
      if (oldest !== undefined) fullAt.delete(oldest)
      // What is refused does not make it longer.
      fullAt.set(place, over > 0 ? next - eachMs : next)
      if (over <= 0) return null
      const message = 'Too many requests without a valid API key came from this address.'
      return fault('too_many_failures', message, { retryAfterMs: over })
    },
    get size() {
      return fullAt.size
    },
  }
}
