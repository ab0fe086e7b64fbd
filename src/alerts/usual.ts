/**
 * What is usual for an hour, by the hours there have been. Median and median deviation, since a mean would be moved by the
 * very peaks that are looked for.
 */

/** Fewer hours than this are no past. */
export const HOURS_MIN = 24
/** Deviations that the usual may be passed by; 1.4826 of them are a standard deviation where amounts are normal. */
const DEVIATIONS = 6n
const [SCALE, SCALE_OF] = [14_826n, 10_000n]

function median(sorted: readonly bigint[]): bigint {
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? 0n
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0n) + upper) / 2n
}

const ascending = (values: readonly bigint[]): bigint[] =>
  values.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))

export interface Usual {
  readonly median: bigint
  readonly deviation: bigint
  /** Above it an hour is unusual. */
  readonly limit: bigint
  readonly hours: number
}

/**
 * @param past amounts of whole hours, one for each, those without any as 0
 * @param percent of the median that must be passed as well
 * @param floor below it nothing is unusual
 * @returns null where there is too little past to judge
 */
export function usualOf(past: readonly bigint[], percent: number, floor: bigint): Usual | null {
  if (past.length < HOURS_MIN) return null
  const middle = median(ascending(past))
  const deviation = median(ascending(past.map((value) => (value < middle ? middle - value : value - middle))))
  const spread = middle + (DEVIATIONS * deviation * SCALE) / SCALE_OF
  const multiple = (middle * BigInt(percent)) / 100n
  const limit = [spread, multiple, floor].reduce((most, each) => (each > most ? each : most))
  return { median: middle, deviation, limit, hours: past.length }
}

const HOUR_MS = 3_600_000
const DAY_HOURS = 24
const DAYS = 14

/**
 * Hours to compare the running 60 minutes with: the same hour of day and those beside it on each of the last fourteen days,
 * or, until those are enough, every whole hour there has been.
 * @param firstMs the first whole hour that was counted
 * @param nowMs of the judgement
 */
export function hoursToCompare(firstMs: number, nowMs: number): readonly number[] {
  const currentMs = Math.floor(nowMs / HOUR_MS) * HOUR_MS
  const alike: number[] = []
  for (let day = 1; day <= DAYS; day++)
    for (const beside of [-1, 0, 1]) {
      const atMs = currentMs - (day * DAY_HOURS - beside) * HOUR_MS
      if (atMs >= firstMs && atMs < currentMs - HOUR_MS) alike.push(atMs)
    }
  if (alike.length >= HOURS_MIN) return alike
  const all: number[] = []
  // The hour before is partly in the running 60 minutes.
  for (let atMs = currentMs - 2 * HOUR_MS; atMs >= firstMs && all.length < DAYS * DAY_HOURS; atMs -= HOUR_MS)
    all.push(atMs)
  return all
}
