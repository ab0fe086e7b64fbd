import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Minute } from './minute.ts'

/** What a list of additions says, without any cleverness. */
class Plain {
  readonly added: Array<{ at: number; amount: number }> = []

  used(second: number): number {
    return this.added.filter(({ at }) => second - at <= 60).reduce((sum, { amount }) => sum + amount, 0)
  }
}

const steps = fc.array(
  fc.record({
    after: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 130 })),
    amount: fc.integer({ min: 0, max: 1_000 }),
    kind: fc.constantFrom('add', 'take back', 'look'),
  }),
  { maxLength: 80 },
)

test('the minute agrees with a list of what was added, at any second', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 10_000 }), steps, (start, all) => {
      const [minute, plain] = [new Minute(start), new Plain()]
      let second = start
      for (const { after, amount, kind } of all) {
        second += after
        if (kind === 'add') {
          minute.add(second, amount)
          plain.added.push({ at: second, amount })
        }
        if (kind === 'take back') {
          const last = plain.added.at(-1)
          const back = Math.min(amount, last?.amount ?? 0)
          if (last !== undefined) {
            minute.takeBack(second, last.at, back)
            // What has left the minute is no longer there to be taken back.
            last.amount -= back
          }
        }
        assert.equal(minute.used(second), plain.used(second))
        const most = amount
        const wait = minute.secondsUntil(second, most)
        assert.ok(plain.used(second + wait) <= most, 'there is room when it says so')
        assert.ok(wait === 0 || plain.used(second + wait - 1) > most, 'and not a second before')
        assert.equal(plain.used(second + minute.secondsUntilEmpty(second)), 0)
      }
    }),
    { numRuns: 500 },
  )
})
