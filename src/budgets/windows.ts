import type { BudgetPeriod } from '../contract/index.ts'
import type { Window } from './records.ts'

/** Days, weeks (from Monday) and months of a time zone as moments. Pure. */

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** `total` has one window, which began before anything. */
const FOR_EVER: Window = { startMs: 0, endMs: null }

const formats = new Map<string, Intl.DateTimeFormat>()

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone)
  if (known !== undefined) return known
  const made = new Intl.DateTimeFormat('en-CA', {
    timeZone,
    calendar: 'iso8601',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
  })
  formats.set(timeZone, made)
  return made
}

/** The local date as a day number: whole days since 1970-01-01 of that calendar. */
function localDay(timeZone: string, atMs: number): number {
  const part = { year: 1970, month: 1, day: 1 }
  for (const { type, value } of formatOf(timeZone).formatToParts(atMs))
    if (type === 'year' || type === 'month' || type === 'day') part[type] = Number.parseInt(value, 10)
  return Date.UTC(part.year, part.month - 1, part.day) / DAY_MS
}

/** The first moment at which the local date is that day or a later one, by halving: no offset is ever computed. */
function firstMoment(timeZone: string, day: number, guess: number | null = null): number {
  if (guess !== null && localDay(timeZone, guess) === day && localDay(timeZone, guess - 1) < day) return guess
  // No zone is farther than 15 hours from UTC.
  let before = day * DAY_MS - 16 * HOUR_MS
  let after = day * DAY_MS + 16 * HOUR_MS
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2)
    if (localDay(timeZone, middle) >= day) after = middle
    else before = middle
  }
  return after
}

/** First day of the period that a day is in, and of the next one. */
type Days = (day: number) => readonly [first: number, next: number]

const DAYS: Readonly<Record<Exclude<BudgetPeriod, 'total'>, Days>> = {
  day: (day) => [day, day + 1],
  // 1970-01-01 was a Thursday.
  week: (day) => {
    const monday = day - ((((day + 3) % 7) + 7) % 7)
    return [monday, monday + 7]
  },
  month: (day) => {
    const date = new Date(day * DAY_MS)
    const first = (months: number): number =>
      Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1) / DAY_MS
    return [first(0), first(1)]
  },
}

/** A day or a month: `2026-03-08`, `2026-03`. */
export interface Period {
  readonly label: string
  readonly startMs: number
}

/**
 * The days or months that a span of time touches, oldest first. A day that a zone left out begins with the next one.
 * @returns null where they are more than `most`
 */
export function periodsOf(
  timeZone: string,
  period: 'day' | 'month',
  span: { readonly sinceMs: number; readonly untilMs: number },
  most: number,
): readonly Period[] | null {
  const periods: Period[] = []
  const last = localDay(timeZone, span.untilMs - 1)
  let [first, next] = DAYS[period](localDay(timeZone, span.sinceMs))
  let before: Period | null = null
  while (first <= last) {
    if (periods.length === most) return null
    const label = new Date(first * DAY_MS).toISOString().slice(0, period === 'day' ? 10 : 7)
    const guess: number | null = before === null ? null : before.startMs + DAY_MS
    before = { label, startMs: firstMoment(timeZone, first, guess) }
    periods.push(before)
    ;[first, next] = DAYS[period](next)
  }
  return periods
}

/** @param timeZone IANA name, known to be one */
export function windowOf(timeZone: string, period: BudgetPeriod, atMs: number): Window {
  if (period === 'total') return FOR_EVER
  const [first, next] = DAYS[period](localDay(timeZone, atMs))
  return { startMs: firstMoment(timeZone, first), endMs: firstMoment(timeZone, next) }
}
