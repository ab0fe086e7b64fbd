/** When a delivery that failed is tried again. */

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** After the first, second, … failed attempt; then it is given up. As Standard Webhooks recommends. */
export const WAITS_MS: readonly number[] = [
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
]
/** An endpoint that has only failed for so long is disabled. */
export const DISABLED_AFTER_MS = 5 * 24 * HOUR
/** Longer than one attempt takes: who takes a delivery up and dies has it tried again after this. */
export const LEASE_MS = MINUTE
const RETRY_AFTER_MAX_MS = 24 * HOUR

/**
 * @param tries failed so far, this one included
 * @param random 0 … 1; a tenth is added at most, so that what failed together does not come back together
 * @returns null when it is given up
 */
export function waitAfter(tries: number, retryAfterMs: number | null, random: number): number | null {
  const wait = WAITS_MS[tries - 1]
  if (wait === undefined) return null
  const asked = Math.min(retryAfterMs ?? 0, RETRY_AFTER_MAX_MS)
  return Math.max(Math.round(wait * (1 + random / 10)), asked)
}
