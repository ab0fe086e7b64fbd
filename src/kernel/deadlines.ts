import type { Clock } from './clock.ts'

/**
 * Deadlines of many requests on one timer, which nearly never has to do with any of them: what ends in time costs a place
 * in a list and no timer. A deadline is noticed at most {@link LOOK_EVERY_MS} late.
 */

export interface Waiting {
  /** Monotonic milliseconds; may become later at any time, and after another `watch` also earlier. */
  dueMs(): number
  /** Called once, when that time has come; it is not watched any more. */
  overdue(): void
}

export interface Deadlines {
  watch(waiting: Waiting): void
  unwatch(waiting: Waiting): void
  close(): void
}

const LOOK_EVERY_MS = 50

export function createDeadlines(clock: Clock): Deadlines {
  const watched = new Set<Waiting>()
  let timer: NodeJS.Timeout | null = null
  let lookAtMs = Number.POSITIVE_INFINITY

  function lookBy(dueMs: number): void {
    const nowMs = clock.monotonicMs()
    const atMs = Math.max(dueMs, nowMs + LOOK_EVERY_MS)
    if (atMs >= lookAtMs) return
    if (timer !== null) clearTimeout(timer)
    lookAtMs = atMs
    timer = setTimeout(look, atMs - nowMs).unref()
  }

  function look(): void {
    timer = null
    lookAtMs = Number.POSITIVE_INFINITY
    // Timers may fire a fraction of a millisecond early.
    const untilMs = clock.monotonicMs() + 1
    const overdue: Waiting[] = []
    let nextMs = Number.POSITIVE_INFINITY
    for (const waiting of watched) {
      const dueMs = waiting.dueMs()
      if (dueMs <= untilMs) overdue.push(waiting)
      if (dueMs < nextMs) nextMs = dueMs
    }
    // Before anybody is told: whoever throws does so alone, and what is left is looked at again.
    if (watched.size > 0) lookBy(nextMs)
    // One that is told may end another, or give it more time.
    for (const waiting of overdue)
      if (waiting.dueMs() <= untilMs && watched.delete(waiting)) waiting.overdue()
  }

  return {
    watch(waiting) {
      watched.add(waiting)
      const dueMs = waiting.dueMs()
      if (dueMs < lookAtMs) lookBy(dueMs)
    },
    unwatch(waiting) {
      watched.delete(waiting)
    },
    close() {
      if (timer !== null) clearTimeout(timer)
      watched.clear()
    },
  }
}
