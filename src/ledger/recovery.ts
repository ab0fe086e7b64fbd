import type { Database } from '../db/index.ts'
import { errorText, type Log, type Nano, type Uuid } from '../kernel/index.ts'

/**
 * Holds whose process died, or that nobody renewed, must come back. Liveness is by the database's clock alone: every
 * process beats, and one that has beaten steadily for a while looks for holds whose owner has not. Steady is also
 * measured by that clock: after an outage, a suspended machine or a clock that jumped, every beat and every renewal
 * looks old, and the living need time to show themselves before anybody may judge them.
 */

export interface AbandonedHold {
  readonly orgId: Uuid
  readonly id: Uuid
  readonly accountId: bigint
  readonly bucket: string
  readonly currency: string
  readonly amountNano: Nano
  readonly openedAt: Date
  readonly intent: string
  readonly progress: string | null
  /** True when the hold's own time has passed; false when only its process is gone. */
  readonly expired: boolean
  /** True when this very process made it. */
  readonly own: boolean
}

export interface RecoveryOptions {
  readonly database: Database
  readonly processId: Uuid
  readonly log: Log
  /** Ends one hold: composes the receipt and submits the op. Its failure is logged and tried again next time. */
  readonly recover: (hold: AbandonedHold) => Promise<void>
  readonly beatEveryMs?: number
  /** No beat for so long: dead. Also how long this process must have beaten steadily before it judges others. */
  readonly deadAfterMs?: number
  /**
   * Holds of living processes (also of this one) whose own time has passed are ended only by a process that was steady
   * for so long; must be well above the interval of renewals.
   */
  readonly orphanAfterMs?: number
}

export interface Recovery {
  /** Looks once, now, orphans included. @returns how many holds were ended */
  sweep(): Promise<number>
  close(): Promise<void>
}

const FIND_SQL = `select h.org_id, h.id, h.account_id, a.bucket, a.currency, h.amount, h.opened_at, h.intent, h.progress,
    h.expires_at < clock_timestamp() as expired, h.process_id = $1 as own
  from ledger.hold h
  join ledger.account a on a.org_id = h.org_id and a.id = h.account_id
  left join ledger.process p on p.id = h.process_id
  -- A process that has not beaten yet, because it has just started, counts from its hold.
  where h.process_id <> $1 and coalesce(p.beat_at, h.opened_at) < clock_timestamp() - $2 * interval '1 millisecond'
    or $3 and h.expires_at < clock_timestamp() - $2 * interval '1 millisecond'
  order by h.opened_at limit 1000`

/** @param orphans also those of living processes whose own time has passed by `deadAfterMs` */
export async function findAbandoned(
  database: Database,
  processId: Uuid,
  deadAfterMs: number,
  orphans = true,
): Promise<readonly AbandonedHold[]> {
  const rows = await database.query<{
    org_id: string
    id: string
    account_id: bigint
    bucket: string
    currency: string
    amount: bigint
    opened_at: Date
    intent: string
    progress: string | null
    expired: boolean
    own: boolean
  }>(FIND_SQL, [processId, deadAfterMs, orphans])
  return rows.map((row) => ({
    orgId: row.org_id,
    id: row.id,
    accountId: row.account_id,
    bucket: row.bucket,
    currency: row.currency,
    amountNano: row.amount,
    openedAt: row.opened_at,
    intent: row.intent,
    progress: row.progress,
    expired: row.expired,
    own: row.own,
  }))
}

const BEAT_SQL = `select (extract(epoch from clock_timestamp()) * 1000)::bigint as at from ledger.beat($1)`

/** How long beats have followed each other without a gap, by the database's clock. */
function createSteadiness(gapMaxMs: number) {
  let sinceMs = 0n
  let lastMs: bigint | null = null
  return {
    beat(atMs: bigint): bigint {
      if (lastMs === null || atMs < lastMs || atMs - lastMs > BigInt(gapMaxMs)) sinceMs = atMs
      lastMs = atMs
      return atMs - sinceMs
    },
    lose(): void {
      lastMs = null
    },
  }
}

export function startRecovery(options: RecoveryOptions): Recovery {
  const { database, processId, log } = options
  const beatEveryMs = options.beatEveryMs ?? 3_000
  const deadAfterMs = options.deadAfterMs ?? 15_000
  const orphanAfterMs = options.orphanAfterMs ?? deadAfterMs * 4
  const steady = createSteadiness(deadAfterMs)
  let closed = false
  let turn: Promise<void>
  let sweeping: Promise<unknown> | null = null

  async function sweep(orphans: boolean): Promise<number> {
    const holds = await findAbandoned(database, processId, deadAfterMs, orphans)
    let ended = 0
    for (const hold of holds) {
      if (closed) break
      try {
        await options.recover(hold)
        ended++
      } catch (thrown) {
        log.error(
          { error: errorText(thrown), hold: hold.id },
          'a hold could not be recovered; it is tried again',
        )
      }
    }
    if (ended > 0) log.warn({ holds: ended }, 'recovered holds of a process that died')
    return ended
  }

  async function beat(): Promise<void> {
    try {
      const { at } = await database.one<{ at: bigint }>(BEAT_SQL, [processId])
      const steadyMs = steady.beat(at)
      // Beside the beats: a sweep that takes long must not make this process look dead itself.
      if (steadyMs > deadAfterMs && sweeping === null && !closed)
        sweeping = sweep(steadyMs > orphanAfterMs)
          .catch((thrown) => log.warn({ error: errorText(thrown) }, 'a look for abandoned holds failed'))
          .finally(() => {
            sweeping = null
          })
    } catch (thrown) {
      steady.lose()
      if (!closed) log.warn({ error: errorText(thrown) }, 'the ledger did not take the beat of this process')
    }
  }

  turn = beat()
  const timer = setInterval(() => {
    turn = turn.then(beat)
  }, beatEveryMs)
  timer.unref()

  return {
    sweep: () => sweep(true),
    async close() {
      closed = true
      clearInterval(timer)
      await turn
      await sweeping
      await database.query('select ledger.leave($1)', [processId]).catch((thrown) => {
        log.warn({ error: errorText(thrown) }, 'the ledger did not take the farewell of this process')
      })
    },
  }
}
