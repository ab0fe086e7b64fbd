import type { ChannelTimeouts } from '../catalog/index.ts'
import type { Clock, Deadlines, Waiting } from '../kernel/index.ts'

/** Which limit was passed. */
export type TimeoutKind = 'first_token_timeout' | 'idle_timeout' | 'total_timeout' | 'slow_reader'

/** A caller that does not read for so long is gone, whatever its socket says. */
const SLOW_READER_MS = 60_000

/** The deadlines of one attempt. A chunk that arrives only moves one of them away: it costs no timer. */
export class Timekeeper implements Waiting {
  private readonly clock: Clock
  private readonly deadlines: Deadlines
  private readonly startedMs: number
  private readonly timeouts: ChannelTimeouts
  private readonly onTimeout: (kind: TimeoutKind) => void
  private lastMs: number
  private begun = false
  private pausedMs: number | null = null
  private readonly streamed: boolean

  constructor(
    { clock, deadlines }: { readonly clock: Clock; readonly deadlines: Deadlines },
    timeouts: ChannelTimeouts,
    streamed: boolean,
    onTimeout: (kind: TimeoutKind) => void,
  ) {
    this.clock = clock
    this.deadlines = deadlines
    this.timeouts = timeouts
    this.onTimeout = onTimeout
    this.streamed = streamed
    this.startedMs = clock.monotonicMs()
    this.lastMs = this.startedMs
    deadlines.watch(this)
  }

  /** What there is besides the total. A whole answer has no first token: it has until the total. */
  private near(): { readonly atMs: number; readonly kind: TimeoutKind } | null {
    if (this.pausedMs !== null) return { atMs: this.pausedMs + SLOW_READER_MS, kind: 'slow_reader' }
    if (!this.streamed) return null
    return this.begun
      ? { atMs: this.lastMs + this.timeouts.idleMs, kind: 'idle_timeout' }
      : { atMs: this.startedMs + this.timeouts.firstTokenMs, kind: 'first_token_timeout' }
  }

  private get totalMs(): number {
    return this.startedMs + this.timeouts.totalMs
  }

  dueMs(): number {
    return Math.min(this.near()?.atMs ?? Number.POSITIVE_INFINITY, this.totalMs)
  }

  overdue(): void {
    const near = this.near()
    this.onTimeout(near !== null && near.atMs < this.totalMs ? near.kind : 'total_timeout')
  }

  /** The first output arrived: from now on the gap between chunks counts. */
  begin(): void {
    this.begun = true
    this.touch()
    this.deadlines.watch(this)
  }

  touch(): void {
    this.lastMs = this.clock.monotonicMs()
  }

  pause(): void {
    this.pausedMs = this.clock.monotonicMs()
    this.deadlines.watch(this)
  }

  /** A slow reader has much longer than the next idle deadline. */
  resume(): void {
    this.pausedMs = null
    this.touch()
    this.deadlines.watch(this)
  }

  elapsedMs(): number {
    return this.clock.monotonicMs() - this.startedMs
  }

  stop(): void {
    this.deadlines.unwatch(this)
  }
}
