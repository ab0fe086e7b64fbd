import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Clock } from '../kernel/index.ts'
import { LocalCounts } from './local.ts'
import type { RateAmounts, RateLimit, Reservation } from './records.ts'

const ORG = '00000000-0000-7000-8000-000000000001'

function limitOf(id: number, amounts: Partial<RateAmounts>): RateLimit {
  return {
    id: `00000000-0000-7000-8000-0000000001${String(id).padStart(2, '0')}`,
    orgId: ORG,
    scope: 'key',
    scopeId: String(id),
    amounts: { requests_per_minute: null, tokens_per_minute: null, concurrency: null, ...amounts },
    setBy: 'operator',
    createdAtMs: 0,
    endedAtMs: null,
  }
}

function turnable(): Clock & { ms: number } {
  return {
    ms: 0,
    nowMs() {
      return this.ms
    },
    monotonicMs() {
      return this.ms
    },
  }
}

const amount = (max: number) => fc.option(fc.integer({ min: 0, max }), { nil: null })
const limits = fc.array(
  fc.record({
    requests_per_minute: amount(8),
    tokens_per_minute: amount(300),
    concurrency: amount(4),
  }),
  { minLength: 1, maxLength: 4 },
)
const turns = fc.array(
  fc.record({
    afterMs: fc.oneof(fc.integer({ min: 0, max: 500 }), fc.integer({ min: 0, max: 70_000 })),
    does: fc.constantFrom('admit', 'admit', 'end', 'end exactly'),
    tokens: fc.integer({ min: 0, max: 200 }),
    which: fc.nat(20),
  }),
  { maxLength: 120 },
)

test('no sliding minute holds more than a limit, nothing more than its concurrency runs, and everything comes back', () => {
  fc.assert(
    fc.property(limits, turns, (amounts, all) => {
      const clock = turnable()
      const counts = new LocalCounts(clock)
      const under = amounts.map((one, i) => limitOf(i, one))
      const running: Array<readonly Reservation[]> = []
      const admitted: Array<{ at: number; tokens: number }> = []
      for (const { afterMs, does, tokens, which } of all) {
        clock.ms += afterMs
        if (does === 'admit') {
          const verdict = counts.admit(under, tokens, ORG, 1)
          if (verdict.ok) {
            running.push(verdict.reservations)
            admitted.push({ at: clock.ms, tokens })
          } else {
            const { measure, limit, needed, waitMs, used } = verdict.refusal
            assert.ok(used + needed > (limit.amounts[measure] ?? Number.POSITIVE_INFINITY))
            assert.ok(waitMs >= 0 && waitMs <= 61_000)
          }
        } else if (running.length > 0) {
          const [ended] = running.splice(which % running.length, 1)
          // What is corrected upwards is not let in under the limit: it is no part of what this promises.
          for (const one of ended ?? [])
            if (does === 'end') counts.end(one, Math.min(tokens, one.tokens))
            else counts.end(one, one.tokens)
        }
        // Whatever was admitted in the minute before now, reservations as they were made.
        const last = admitted.filter(({ at }) => clock.ms - at < 60_000)
        for (const { amounts: most } of under) {
          if (most.requests_per_minute !== null) assert.ok(last.length <= most.requests_per_minute)
          if (most.concurrency !== null) assert.ok(running.length <= most.concurrency)
        }
      }
      for (const ended of running.splice(0)) for (const one of ended) counts.end(one, 0)
      clock.ms += 61_000
      const first = counts.admit(under, 0, ORG, 1)
      const open = amounts.every((one) => one.requests_per_minute !== 0 && one.concurrency !== 0)
      assert.equal(first.ok, open, 'a minute later everything is there again')
    }),
    { numRuns: 400 },
  )
})

test('without corrections no sliding minute holds more tokens than the limit', () => {
  const gaps = fc.array(
    fc.record({ afterMs: fc.integer({ min: 0, max: 20_000 }), tokens: fc.integer({ min: 0, max: 120 }) }),
    { maxLength: 150 },
  )
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 300 }), gaps, (most, all) => {
      const clock = turnable()
      const counts = new LocalCounts(clock)
      const limit = limitOf(1, { tokens_per_minute: most })
      const admitted: Array<{ at: number; tokens: number }> = []
      for (const { afterMs, tokens } of all) {
        clock.ms += afterMs
        if (counts.admit([limit], tokens, ORG, 1).ok) admitted.push({ at: clock.ms, tokens })
        const sum = admitted
          .filter(({ at }) => clock.ms - at < 60_000)
          .reduce((total, one) => total + one.tokens, 0)
        assert.ok(sum <= most, `${sum} of ${most}`)
      }
    }),
    { numRuns: 300 },
  )
})

test('tokens beyond the reservation are counted when they are known, and stop what comes next', () => {
  const clock = turnable()
  const counts = new LocalCounts(clock)
  const limit = limitOf(1, { tokens_per_minute: 100 })
  const first = counts.admit([limit], 40, ORG, 1)
  assert.ok(first.ok)
  clock.ms = 90_000
  for (const one of first.reservations) counts.end(one, 150)
  const next = counts.admit([limit], 1, ORG, 1)
  assert.ok(!next.ok)
  assert.equal(next.refusal.used, 110, 'the reservation has left the minute; what came on top has not')
  clock.ms += 61_000
  assert.ok(counts.admit([limit], 1, ORG, 1).ok)
})

test('a share of a limit is at least one, and none where the limit is none', () => {
  const clock = turnable()
  for (const [most, share, allowed] of [
    [10, 3, 3],
    [2, 5, 1],
    [0, 5, 0],
  ] as const) {
    const counts = new LocalCounts(clock)
    const limit = limitOf(1, { requests_per_minute: most })
    const served = Array.from({ length: 12 }, () => counts.admit([limit], 0, ORG, share)).filter(
      ({ ok }) => ok,
    )
    assert.equal(served.length, allowed)
  }
})

test('what is no longer used is forgotten', () => {
  const clock = turnable()
  const counts = new LocalCounts(clock)
  for (let i = 0; i < 50; i++) {
    const verdict = counts.admit([limitOf(i, { concurrency: 5 })], 10, ORG, 1)
    assert.ok(verdict.ok)
    if (i > 0) for (const one of verdict.reservations) counts.end(one, 10)
  }
  clock.ms += 200_000
  counts.admit([limitOf(0, { concurrency: 5 })], 0, ORG, 1)
  assert.equal(counts.size, 1, 'only what still runs')
})
