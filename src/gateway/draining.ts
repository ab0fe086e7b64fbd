import { type Fault, fault } from '../contract/index.ts'
import type { Uuid } from '../kernel/index.ts'

/**
 * Answers that are read to their end although their caller has left, by organization. Each keeps a connection of the
 * channel busy for up to the grace period: whoever leaves in crowds would take all of them.
 */

export interface Draining {
  /** False when there are too many already: the call is to be cancelled at once. */
  enter(orgId: Uuid): boolean
  leave(orgId: Uuid): void
  /** What speaks against another request of the organization now. */
  problem(orgId: Uuid): Fault | null
  /** Answers under way to nobody. */
  readonly size: number
  /** Answers that were cancelled for it. */
  readonly cancelled: number
}

export const DRAINING_MAX = 64
const WAIT_MS = 1_000

export function createDraining(most = DRAINING_MAX): Draining {
  const counts = new Map<Uuid, number>()
  let size = 0
  let cancelled = 0
  return {
    enter(orgId) {
      const count = counts.get(orgId) ?? 0
      if (count >= most) {
        cancelled++
        return false
      }
      counts.set(orgId, count + 1)
      size++
      return true
    },
    leave(orgId) {
      const count = (counts.get(orgId) ?? 1) - 1
      if (count === 0) counts.delete(orgId)
      else counts.set(orgId, count)
      size--
    },
    problem: (orgId) =>
      (counts.get(orgId) ?? 0) < most
        ? null
        : fault(
            'too_many_draining',
            `${most} answers of this organization are still being read for callers who have left.`,
            { retryAfterMs: WAIT_MS },
          ),
    get size() {
      return size
    },
    get cancelled() {
      return cancelled
    },
  }
}
