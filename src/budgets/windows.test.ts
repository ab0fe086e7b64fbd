import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BUDGET_PERIODS } from '../contract/index.ts'
import { windowOf } from './index.ts'

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString())

function window(timeZone: string, period: 'day' | 'week' | 'month' | 'total', at: string) {
  const { startMs, endMs } = windowOf(timeZone, period, Date.parse(at))
  return [iso(startMs), iso(endMs)]
}

const H = 3_600_000

test('days, weeks from Monday and months begin at midnight of the zone', () => {
  assert.deepEqual(window('UTC', 'day', '2026-11-30T08:00:00Z'), [
    '2026-11-30T00:00:00.000Z',
    '2026-12-01T00:00:00.000Z',
  ])
  assert.deepEqual(window('Asia/Shanghai', 'day', '2026-11-30T17:00:00Z'), [
    '2026-11-30T16:00:00.000Z',
    '2026-12-01T16:00:00.000Z',
  ])
  // A Monday, and the Sunday before it.
  assert.deepEqual(window('UTC', 'week', '2026-11-30T00:00:00Z')[0], '2026-11-30T00:00:00.000Z')
  assert.deepEqual(window('UTC', 'week', '2026-11-29T23:59:59.999Z'), [
    '2026-11-23T00:00:00.000Z',
    '2026-11-30T00:00:00.000Z',
  ])
  assert.deepEqual(window('UTC', 'month', '2024-02-29T12:00:00Z'), [
    '2024-02-01T00:00:00.000Z',
    '2024-03-01T00:00:00.000Z',
  ])
  assert.deepEqual(window('America/New_York', 'month', '2026-01-01T04:59:59Z'), [
    '2025-12-01T05:00:00.000Z',
    '2026-01-01T05:00:00.000Z',
  ])
  assert.deepEqual(window('Asia/Tokyo', 'total', '2026-01-01T00:00:00Z'), ['1970-01-01T00:00:00.000Z', null])
})

test('the days on which clocks change are 23 and 25 hours long, and their week and month with them', () => {
  const length = (zone: string, period: 'day' | 'week' | 'month', at: string): number => {
    const { startMs, endMs } = windowOf(zone, period, Date.parse(at))
    return ((endMs ?? 0) - startMs) / H
  }
  assert.equal(length('Europe/Berlin', 'day', '2026-03-29T10:00:00Z'), 23)
  assert.equal(length('Europe/Berlin', 'day', '2026-10-25T10:00:00Z'), 25)
  assert.equal(length('Europe/Berlin', 'week', '2026-10-25T10:00:00Z'), 7 * 24 + 1)
  assert.equal(length('America/New_York', 'month', '2026-03-08T10:00:00Z'), 31 * 24 - 1)
  // Half an hour.
  assert.equal(length('Australia/Lord_Howe', 'day', '2026-04-05T01:00:00Z'), 24.5)
})

test('a midnight that does not exist, one that comes twice, and a day that was left out', () => {
  // Clocks went from 24:00 to 01:00: the day began at 01:00.
  assert.deepEqual(window('America/Sao_Paulo', 'day', '2018-11-04T12:00:00Z'), [
    '2018-11-04T03:00:00.000Z',
    '2018-11-05T02:00:00.000Z',
  ])
  // In Havana clocks go from 01:00 back to 00:00: the day begins at the first of the two midnights.
  assert.deepEqual(window('America/Havana', 'day', '2026-11-01T12:00:00Z'), [
    '2026-11-01T04:00:00.000Z',
    '2026-11-02T05:00:00.000Z',
  ])
  // Samoa had no 30 December 2011.
  assert.deepEqual(window('Pacific/Apia', 'day', '2011-12-30T09:59:59Z')[1], '2011-12-30T10:00:00.000Z')
  assert.deepEqual(window('Pacific/Apia', 'day', '2011-12-30T10:00:00Z')[0], '2011-12-30T10:00:00.000Z')
})

test('windows of any zone and moment hold the moment and follow each other without a gap', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...Intl.supportedValuesOf('timeZone')),
      fc.constantFrom(...BUDGET_PERIODS),
      fc.integer({ min: Date.parse('1990-01-01'), max: Date.parse('2040-01-01') }),
      (zone, period, atMs) => {
        const { startMs, endMs } = windowOf(zone, period, atMs)
        assert.ok(startMs <= atMs)
        if (endMs === null) return assert.equal(period, 'total')
        assert.ok(atMs < endMs)
        assert.deepEqual(windowOf(zone, period, startMs), { startMs, endMs })
        assert.deepEqual(windowOf(zone, period, endMs - 1), { startMs, endMs })
        assert.equal(windowOf(zone, period, endMs).startMs, endMs)
      },
    ),
    { numRuns: 300 },
  )
})
