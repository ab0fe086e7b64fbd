import type { RateMeasure } from '../contract/index.ts'
import type { Clock, Uuid } from '../kernel/index.ts'
import { Minute } from './minute.ts'
import type {
  RateAmounts,
  RateLimit,
  RateRefusal,
  RateVerdict,
  Reservation,
  RateUse as Use,
} from './records.ts'

/** The counts of this process. Everything is decided at once: no limit is taken before all of them have room. */

/** Nobody knows when a running request ends. */
export const CONCURRENCY_WAIT_MS = 1_000
const SWEEP_EVERY_S = 60

interface Counts {
  readonly requests: Minute
  readonly tokens: Minute
  running: number
}

/** A part of a limit: at least one, where there is any. */
function part(amount: number | null, share: number): number | null {
  return amount === null || share <= 1 ? amount : Math.max(Math.min(amount, 1), Math.floor(amount / share))
}

function partOf(amounts: RateAmounts, share: number): RateAmounts {
  if (share <= 1) return amounts
  return {
    requests_per_minute: part(amounts.requests_per_minute, share),
    tokens_per_minute: part(amounts.tokens_per_minute, share),
    concurrency: part(amounts.concurrency, share),
  }
}

export class LocalCounts {
  private readonly clock: Clock
  private readonly byLimit = new Map<Uuid, Counts>()
  private sweptAt = 0

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Limits with anything counted against them. */
  get size(): number {
    return this.byLimit.size
  }

  /** @param share among how many processes the limits are divided */
  admit(limits: readonly RateLimit[], tokens: number, lease: Uuid, share: number): RateVerdict {
    const nowMs = this.clock.monotonicMs()
    const second = Math.floor(nowMs / 1000)
    if (second - this.sweptAt >= SWEEP_EVERY_S) this.sweep(second)
    for (const limit of limits) {
      const refusal = this.refusal(limit, partOf(limit.amounts, share), tokens, nowMs)
      if (refusal !== null)
        return { ok: false, refusal, uses: limits.map((one) => this.use(one, share, nowMs)) }
    }
    const reservations: Reservation[] = []
    const uses: Use[] = []
    for (const limit of limits) {
      const counts = this.countsOf(limit.id, second)
      counts.requests.add(second, 1)
      counts.tokens.add(second, tokens)
      counts.running++
      reservations.push({ limit, tokens, second, shared: null, lease })
      uses.push(this.use(limit, share, nowMs))
    }
    return { ok: true, reservations, uses }
  }

  /** As if it had never been admitted. */
  undo(reservation: Reservation): void {
    const second = this.second()
    const counts = this.countsOf(reservation.limit.id, second)
    counts.requests.takeBack(second, reservation.second, 1)
    this.end(reservation, 0)
  }

  /** @param tokens what the request has really used */
  end(reservation: Reservation, tokens: number): void {
    const second = this.second()
    const counts = this.countsOf(reservation.limit.id, second)
    counts.running = Math.max(0, counts.running - 1)
    const more = tokens - reservation.tokens
    if (more > 0) counts.tokens.add(second, more)
    else if (more < 0) counts.tokens.takeBack(second, reservation.second, -more)
  }

  private second(): number {
    return Math.floor(this.clock.monotonicMs() / 1000)
  }

  private countsOf(id: Uuid, second: number): Counts {
    const known = this.byLimit.get(id)
    if (known !== undefined) return known
    const counts = { requests: new Minute(second), tokens: new Minute(second), running: 0 }
    this.byLimit.set(id, counts)
    return counts
  }

  private refusal(limit: RateLimit, amounts: RateAmounts, tokens: number, nowMs: number): RateRefusal | null {
    const counts = this.byLimit.get(limit.id)
    const second = Math.floor(nowMs / 1000)
    const refused = (
      measure: RateMeasure,
      amount: number,
      used: number,
      needed: number,
      waitMs: number,
    ): RateRefusal => ({ limit, measure, amount, used, needed, waitMs, never: needed > amount })
    const inMinute = (
      measure: RateMeasure,
      minute: Minute | undefined,
      most: number | null,
      needed: number,
    ) => {
      if (most === null) return null
      const used = minute?.used(second) ?? 0
      if (used + needed <= most) return null
      const seconds = minute?.secondsUntil(second, most - needed) ?? 0
      return refused(measure, most, used, needed, Math.max(0, (second + seconds) * 1000 - nowMs))
    }
    const { requests_per_minute, tokens_per_minute, concurrency } = amounts
    const running = counts?.running ?? 0
    return (
      inMinute('requests_per_minute', counts?.requests, requests_per_minute, 1) ??
      inMinute('tokens_per_minute', counts?.tokens, tokens_per_minute, tokens) ??
      (concurrency !== null && running + 1 > concurrency
        ? refused('concurrency', concurrency, running, 1, CONCURRENCY_WAIT_MS)
        : null)
    )
  }

  private use(limit: RateLimit, share: number, nowMs: number): Use {
    const counts = this.byLimit.get(limit.id)
    const second = Math.floor(nowMs / 1000)
    const empty = counts?.requests.secondsUntilEmpty(second) ?? 0
    return {
      limit,
      amounts: partOf(limit.amounts, share),
      requests: counts?.requests.used(second) ?? 0,
      tokens: counts?.tokens.used(second) ?? 0,
      resetMs: empty === 0 ? 0 : Math.max(0, (second + empty) * 1000 - nowMs),
    }
  }

  private sweep(second: number): void {
    this.sweptAt = second
    for (const [id, counts] of this.byLimit)
      if (counts.running === 0 && counts.requests.used(second) === 0 && counts.tokens.used(second) === 0)
        this.byLimit.delete(id)
  }
}
