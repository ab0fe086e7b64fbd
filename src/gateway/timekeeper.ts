import type { ChannelTimeouts } from '../catalog/index.ts'
import type { Clock } from '../kernel/index.ts'

/** Which limit was passed. */
export type TimeoutKind = 'first_token_timeout' | 'idle_timeout' | 'total_timeout' | 'slow_reader'

/** A caller that does not read for so long is gone, whatever its socket says. */
const SLOW_READER_MS = 60_000

/**
 * The deadlines of one attempt on a single timer that is armed again only when it fires: a stream of thousands of
 * chunks costs no timer work.
 */
export class Timekeeper {
  private readonly clock: Clock
  private readonly startedMs: number
  private readonly timeouts: ChannelTimeouts
  private readonly onTimeout: (kind: TimeoutKind) => void
  private lastMs: number
  private begun = false
  private pausedMs: number | null = null
  private timer: NodeJS.Timeout | null = null
  private readonly streamed: boolean

  constructor(
    clock: Clock,
    timeouts: ChannelTimeouts,
    streamed: boolean,
    onTimeout: (kind: TimeoutKind) => void,
  ) {
    this.clock = clock
    this.timeouts = timeouts
    this.onTimeout = onTimeout
    this.streamed = streamed
    this.startedMs = clock.monotonicMs()
    this.lastMs = this.startedMs
    this.arm()
  }

  /** The nearest deadline and what it would mean. A whole answer has no first token: it has until the total. */
  private deadline(): { atMs: number; kind: TimeoutKind } {
    const total = { atMs: this.startedMs + this.timeouts.totalMs, kind: 'total_timeout' as const }
    if (this.pausedMs !== null) {
      const slow = { atMs: this.pausedMs + SLOW_READER_MS, kind: 'slow_reader' as const }
      return slow.atMs < total.atMs ? slow : total
    }
    if (!this.streamed) return total
    const near = this.begun
      ? { atMs: this.lastMs + this.timeouts.idleMs, kind: 'idle_timeout' as const }
      : { atMs: this.startedMs + this.timeouts.firstTokenMs, kind: 'first_token_timeout' as const }
    return near.atMs < total.atMs ? near : total
  }

  private arm(): void {
    const now = this.clock.monotonicMs()
    this.timer = setTimeout(() => this.fire(), Math.max(1, this.deadline().atMs - now))
  }

  private fire(): void {
    const { atMs, kind } = this.deadline()
    if (this.clock.monotonicMs() >= atMs - 1) {
      this.timer = null
      this.onTimeout(kind)
    } else this.arm()
  }

  /** The first output arrived: from now on the gap between chunks counts. The timer may have been set for later. */
  begin(): void {
    this.begun = true
    this.lastMs = this.clock.monotonicMs()
    this.stop()
    this.arm()
  }

  touch(): void {
    this.lastMs = this.clock.monotonicMs()
  }

  pause(): void {
    this.pausedMs = this.clock.monotonicMs()
    this.stop()
    this.arm()
  }

  /** The timer was set for a slow reader, much later than the next idle deadline. */
  resume(): void {
    this.pausedMs = null
    this.touch()
    this.stop()
    this.arm()
  }

  elapsedMs(): number {
    return this.clock.monotonicMs() - this.startedMs
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer)
    this.timer = null
  }
}
