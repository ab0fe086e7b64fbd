import { setTimeout as sleep } from 'node:timers/promises'
import { RATE_MEASURES } from '../contract/index.ts'
import { type Clock, errorText, type Log, type Uuid } from '../kernel/index.ts'
import type { Limiter } from './limiter.ts'
import { CONCURRENCY_WAIT_MS, type LocalCounts } from './local.ts'
import type { RateLimit, RateUse, RateVerdict, Reservation } from './records.ts'
import type { RedisScripts } from './redis.ts'
import { ADMIT, END, LEAVE, RENEW, SIGN } from './scripts.ts'

/**
 * Counts that all processes share, in Redis. This process counts what it admits as well: what is over the limit by its own
 * count alone is refused without asking, and when Redis is away its share of the limit goes on from there. Money is
 * decided elsewhere; nothing here can lose any.
 */

/** A lease ends so long after its process died. */
const LEASE_MS = 15_000
const SIGN_EVERY_MS = 5_000
/** How often Redis is looked for when it is away; requests never wait for that. */
const LOOK_EVERY_MS = 500
const FIRST_LOOK_MS = 1_000
/** So many looks without an answer over a connection that seems fine. */
const LOOKS_BEFORE_RECONNECT = 6
const RENEWED_AT_ONCE = 200
/** Older ones end by themselves. */
const OWED_MAX = 10_000

const PROCESSES = 'tf:rate:processes'

/** One organization's keys lie together. Ids only: a name or a secret is never in one. */
function keysOf({ orgId, id }: RateLimit): readonly [minute: string, leases: string] {
  return [`tf:rate:{${orgId}}:${id}:m`, `tf:rate:{${orgId}}:${id}:c`]
}

interface Answer {
  readonly admitted: boolean
  readonly second: number
  readonly verdictOf: (limits: readonly RateLimit[], tokens: number) => RateVerdict | null
  readonly uses: readonly RateUse[]
}

function integers(answer: unknown): readonly number[] {
  if (!Array.isArray(answer) || !answer.every((value) => typeof value === 'number'))
    throw new Error('Redis answered something else than numbers')
  return answer
}

function readAnswer(raw: unknown, limits: readonly RateLimit[]): Answer {
  const [admitted = 0, second = 0, refused = 0, measure = 0, wait = 0, ...rest] = integers(raw)
  const at = (i: number, field: number): number => rest[4 * i + field] ?? 0
  const uses = limits.map(
    (limit, i): RateUse => ({
      limit,
      amounts: limit.amounts,
      requests: at(i, 0),
      tokens: at(i, 1),
      resetMs: at(i, 3),
    }),
  )
  return {
    admitted: admitted === 1,
    second,
    uses,
    verdictOf(all, tokens) {
      const limit = all[refused - 1]
      const name = RATE_MEASURES[measure - 1]
      if (limit === undefined || name === undefined) return null
      const amount = limit.amounts[name] ?? 0
      const needed = name === 'tokens_per_minute' ? tokens : 1
      const waitMs = wait < 0 ? CONCURRENCY_WAIT_MS : wait
      const used = at(refused - 1, measure - 1)
      return {
        ok: false,
        refusal: { limit, measure: name, amount, used, needed, waitMs, never: needed > amount },
        uses,
      }
    },
  }
}

export interface SharedOptions {
  readonly redis: RedisScripts
  readonly processId: Uuid
  /** How many processes there are as long as Redis has not said. */
  readonly processes: number
  readonly local: LocalCounts
  readonly clock: Clock
  readonly log: Log
}

export class SharedLimiter implements Limiter {
  private readonly options: SharedOptions
  private readonly running = new Map<string, Reservation>()
  private readonly stopped = new AbortController()
  private readonly signing: Promise<void>
  private processes: number
  /** Leases that ended and could not be given back: whether the word of it arrived is not known. */
  private readonly owed: Array<{
    readonly keys: readonly string[]
    readonly lease: Uuid
    readonly atMs: number
  }> = []
  private isAway = true
  private looks = 0

  constructor(options: SharedOptions) {
    this.options = options
    this.processes = options.processes
    this.signing = this.sign()
  }

  get state(): 'shared' | 'away' {
    return this.isAway ? 'away' : 'shared'
  }

  /** Resolves when Redis was found, or was not within a moment. */
  async ready(): Promise<void> {
    const until = this.options.clock.monotonicMs() + FIRST_LOOK_MS
    while (this.isAway && this.options.clock.monotonicMs() < until) await sleep(10)
  }

  admit(limits: readonly RateLimit[], tokens: number, lease: Uuid): RateVerdict | Promise<RateVerdict> {
    const { local } = this.options
    if (this.isAway) return this.alone(limits, tokens, lease)
    const mine = local.admit(limits, tokens, lease, 1)
    return mine.ok ? this.ask(limits, tokens, lease, mine.reservations) : mine
  }

  /** Its lease is made when Redis is back; what Redis may have counted all the same leaves by itself. */
  private alone(limits: readonly RateLimit[], tokens: number, lease: Uuid): RateVerdict {
    const verdict = this.options.local.admit(limits, tokens, lease, this.processes)
    if (!verdict.ok) return verdict
    const reservations = verdict.reservations.map((one) => ({ ...one, shared: 'unsure' as const }))
    for (const one of reservations) this.follow(one)
    return { ...verdict, reservations }
  }

  private async ask(
    limits: readonly RateLimit[],
    tokens: number,
    lease: Uuid,
    mine: readonly Reservation[],
  ): Promise<RateVerdict> {
    const { local, redis } = this.options
    try {
      const raw = await redis.run(ADMIT, limits.flatMap(keysOf), [
        lease,
        LEASE_MS,
        tokens,
        ...limits.flatMap(({ amounts }) => RATE_MEASURES.map((measure) => amounts[measure] ?? -1)),
      ])
      const answer = readAnswer(raw, limits)
      const refused = answer.admitted ? null : answer.verdictOf(limits, tokens)
      if (!answer.admitted) for (const reservation of mine) local.undo(reservation)
      if (refused !== null) return refused
      if (!answer.admitted) throw new Error('Redis refused, and named no limit')
      const reservations = mine.map((one) => ({ ...one, shared: answer.second }))
      for (const one of reservations) this.follow(one)
      return { ok: true, reservations, uses: answer.uses }
    } catch (thrown) {
      this.lose(thrown)
      for (const reservation of mine) local.undo(reservation)
      return this.alone(limits, tokens, lease)
    }
  }

  end(reservations: readonly Reservation[], tokens: number): void {
    const { local, redis } = this.options
    for (const one of reservations) {
      local.end(one, tokens)
      this.running.delete(`${one.limit.id}/${one.lease}`)
    }
    const there = reservations.filter(({ shared }) => shared !== null)
    const lease = there[0]?.lease
    if (lease === undefined) return
    if (this.isAway) {
      this.owe(there, lease)
      return
    }
    redis
      .run(
        END,
        there.flatMap(({ limit }) => keysOf(limit)),
        [
          lease,
          tokens,
          ...there.flatMap((one) => [one.shared === 'unsure' ? -1 : (one.shared ?? -1), one.tokens]),
        ],
      )
      .catch((thrown) => {
        this.lose(thrown)
        this.owe(there, lease)
      })
  }

  private owe(there: readonly Reservation[], lease: Uuid): void {
    const keys = there.flatMap(({ limit }) => keysOf(limit))
    this.owed.push({ keys, lease, atMs: this.options.clock.monotonicMs() })
    if (this.owed.length > OWED_MAX) this.owed.shift()
  }

  /** The leases alone: tokens that were corrected already must not be so twice, and those of a minute are soon no matter. */
  private async giveBack(): Promise<void> {
    const { clock, redis } = this.options
    while (this.owed.length > 0) {
      const some = this.owed.slice(0, RENEWED_AT_ONCE)
      const alive = some.filter(({ atMs }) => clock.monotonicMs() - atMs < LEASE_MS)
      await Promise.all(
        alive.map(({ keys, lease }) =>
          redis.run(END, keys, [lease, 0, ...keys.map((_, i) => (i % 2 === 0 ? -1 : 0))]),
        ),
      )
      this.owed.splice(0, some.length)
    }
  }

  async close(): Promise<void> {
    this.stopped.abort()
    await this.signing
    const { redis, processId } = this.options
    // The others' shares are larger without it. If it cannot say so, its sign ends by itself.
    if (!this.isAway) await redis.run(LEAVE, [PROCESSES], [processId]).catch((thrown) => this.lose(thrown))
    redis.close()
  }

  private follow(reservation: Reservation): void {
    if (reservation.limit.amounts.concurrency !== null)
      this.running.set(`${reservation.limit.id}/${reservation.lease}`, reservation)
  }

  private lose(thrown: unknown): void {
    if (!this.isAway)
      this.options.log.warn(
        { error: errorText(thrown), processes: this.processes },
        'Redis does not answer: this process keeps to its share of the rate limits',
      )
    this.isAway = true
  }

  /** Tells Redis that this process is there, and finds out whether Redis is. */
  private async sign(): Promise<void> {
    const { signal } = this.stopped
    while (!signal.aborted) {
      await this.look()
      await sleep(this.isAway ? LOOK_EVERY_MS : SIGN_EVERY_MS, undefined, { signal, ref: false }).catch(
        () => undefined,
      )
    }
  }

  private async look(): Promise<void> {
    const { redis, processId, log } = this.options
    try {
      const [count = 1] = integers([await redis.run(SIGN, [PROCESSES], [processId, 3 * SIGN_EVERY_MS])])
      await this.giveBack()
      await this.renew()
      this.looks = 0
      this.processes = Math.max(1, count)
      if (this.isAway) log.info({ processes: count }, 'Redis answers: rate limits are shared')
      this.isAway = false
    } catch (thrown) {
      this.lose(thrown)
      if (++this.looks % LOOKS_BEFORE_RECONNECT === 0) redis.reconnect()
    }
  }

  /** Also what a Redis that was emptied meanwhile has lost. */
  private async renew(): Promise<void> {
    const byOrg = Map.groupBy(this.running.values(), ({ limit }) => limit.orgId)
    for (const all of byOrg.values())
      for (let at = 0; at < all.length; at += RENEWED_AT_ONCE) {
        const some = all.slice(at, at + RENEWED_AT_ONCE)
        const keys = some.map(({ limit }) => keysOf(limit)[1])
        await this.options.redis.run(RENEW, keys, [LEASE_MS, ...some.map(({ lease }) => lease)])
      }
  }
}
