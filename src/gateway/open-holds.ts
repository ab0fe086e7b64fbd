import type { Uuid } from '../kernel/index.ts'
import type { LedgerWriter } from '../ledger/index.ts'
import { HOLD_TTL_MS } from './hold.ts'

/**
 * Holds of requests that run in this process. They are renewed while it lives, each time with what was delivered by
 * then, so that a crash later can still charge what is provable.
 */

export interface OpenHold {
  readonly orgId: Uuid
  readonly id: Uuid
  readonly accountId: bigint
  /** JSON of what is delivered so far. */
  readonly progress: () => string
}

export interface OpenHolds {
  add(hold: OpenHold): void
  remove(id: Uuid): void
  has(id: Uuid): boolean
  readonly size: number
  close(): void
}

const RENEW_EVERY_MS = HOLD_TTL_MS / 3

export function createOpenHolds(writer: LedgerWriter, onLost: (id: Uuid) => void): OpenHolds {
  const holds = new Map<Uuid, OpenHold>()
  let young = new Set<Uuid>()
  // Holds of the last interval are left out: most requests end before they ever need a renewal.
  const timer = setInterval(() => {
    const fresh = young
    young = new Set()
    for (const hold of holds.values()) {
      if (fresh.has(hold.id)) continue
      writer.enqueue(
        {
          kind: 'renew',
          orgId: hold.orgId,
          id: hold.id,
          accountId: hold.accountId,
          ttlMs: HOLD_TTL_MS,
          progress: hold.progress(),
        },
        false,
        (result) => {
          if (result.verdict === 'no_hold' && holds.has(hold.id)) onLost(hold.id)
        },
        () => {},
      )
    }
  }, RENEW_EVERY_MS)
  timer.unref()
  return {
    add(hold) {
      holds.set(hold.id, hold)
      young.add(hold.id)
    },
    remove(id) {
      holds.delete(id)
      young.delete(id)
    },
    has: (id) => holds.has(id),
    get size() {
      return holds.size
    },
    close() {
      clearInterval(timer)
    },
  }
}
