import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { binOf, upperMs } from './usage.ts'
import { HOURS_MIN, hoursToCompare, usualOf } from './usual.ts'

const HOUR = 3_600_000
const at = (text: string): number => Date.parse(text)

test('with less than a day of past nothing is judged', () => {
  assert.equal(
    usualOf(
      Array.from({ length: HOURS_MIN - 1 }, () => 5n),
      300,
      0n,
    ),
    null,
  )
  assert.notEqual(
    usualOf(
      Array.from({ length: HOURS_MIN }, () => 5n),
      300,
      0n,
    ),
    null,
  )
})

test('the limit is the largest of the spread, the multiple of the median, and the minimum', () => {
  const flat = Array.from({ length: 24 }, () => 100n)
  assert.deepEqual(usualOf(flat, 300, 0n), { median: 100n, deviation: 0n, limit: 300n, hours: 24 })
  assert.equal(usualOf(flat, 300, 1_000n)?.limit, 1_000n)
  const noisy = flat.map((value, i) => (i % 2 === 0 ? value : value * 3n))
  // The median is 200, and so far from it is every hour: 200 + 6 × 1.4826 × 100.
  assert.deepEqual(usualOf(noisy, 110, 0n), { median: 200n, deviation: 100n, limit: 1_089n, hours: 24 })
})

test('a few peaks in the past do not make a peak usual', () => {
  const past = [...Array.from({ length: 40 }, () => 100n), 90_000n, 80_000n]
  assert.ok((usualOf(past, 300, 0n)?.limit ?? 0n) <= 300n)
})

test('the order of the past does not matter, and more of everything raises the limit alike', () => {
  fc.assert(
    fc.property(fc.array(fc.bigInt(0n, 10n ** 15n), { minLength: 24, maxLength: 60 }), (past) => {
      const limit = usualOf(past, 300, 0n)?.limit ?? 0n
      assert.equal(usualOf(past.toReversed(), 300, 0n)?.limit, limit)
      assert.ok(
        (usualOf(
          past.map((value) => value * 10n),
          300,
          0n,
        )?.limit ?? 0n) >= limit,
      )
    }),
  )
})

test('hours are compared with the same time of day and those beside it, once there are enough of them', () => {
  const now = at('2026-11-30T15:20:00Z')
  const all = hoursToCompare(at('2026-01-01T00:00:00Z'), now)
  assert.equal(all.length, 42)
  assert.deepEqual([...new Set(all.map((ms) => new Date(ms).getUTCHours()))].sort(), [14, 15, 16])
  assert.ok(all.every((ms) => ms < now - HOUR))
  const young = hoursToCompare(now - 30 * HOUR, now)
  assert.equal(young.length, 28)
  assert.equal(young[0], at('2026-11-30T13:00:00Z'), 'the hour before overlaps the running sixty minutes')
  assert.equal(hoursToCompare(now, now).length, 0)
})

test('a latency is counted at most ten per cent above what it was', () => {
  for (const ms of [1, 2, 17, 250, 999, 30_000, 600_000]) {
    const upper = upperMs(binOf(ms))
    assert.ok(upper >= ms && upper <= Math.ceil(ms * 1.1), `${ms}: ${upper}`)
  }
  assert.equal(binOf(0), 0)
})
