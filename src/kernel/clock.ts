/** Time is injected: tests turn it, and nothing near money reads the machine's clock by itself. */
export interface Clock {
  /** Wall clock, milliseconds since 1970; may jump. For records only. */
  nowMs(): number
  /** Milliseconds that only grow; for durations and time-outs. */
  monotonicMs(): number
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
}

/** RFC 3339 in UTC with milliseconds. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}
