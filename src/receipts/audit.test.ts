import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatNano, lineAmount, parseNano, parsePico } from '../kernel/index.ts'
import { documentProblem } from './audit.ts'

test('the audit accepts a document exactly when its lines recompute and add up to what was charged', () => {
  const price = fc.bigInt({ min: 0n, max: 10n ** 15n })
  const lines = fc.array(
    fc.tuple(fc.constantFrom('input', 'cache_read', 'output'), fc.nat(5_000_000), price),
    { maxLength: 6 },
  )
  fc.assert(
    fc.property(
      lines,
      fc.bigInt({ min: 0n, max: 10n ** 12n }),
      fc.bigInt({ min: 1n, max: 10n ** 9n }),
      (drawn, lost, off) => {
        const facts = drawn.map(([meter, quantity, pico]) => {
          const text = unitText(pico)
          return [
            meter,
            quantity,
            text,
            1_000_000,
            formatNano(lineAmount(BigInt(quantity), parsePico(text) ?? -1n, 1_000_000n)),
          ] as const
        })
        const gross = facts.reduce((sum, line) => sum + (parseNano(line[4]) ?? 0n), 0n)
        const writtenOff = lost < gross ? lost : 0n
        const total = gross - writtenOff
        const all =
          writtenOff === 0n
            ? facts
            : [...facts, ['written_off', 1, formatNano(-writtenOff), 1, formatNano(-writtenOff)] as const]
        const doc = (amount: bigint, list: readonly unknown[]): string =>
          JSON.stringify({ v: 1, charge: { total: formatNano(amount), lines: list } })
        assert.equal(documentProblem(total, doc(total, all)), null)
        assert.equal(documentProblem(total + off, doc(total, all)), 'total')
        assert.equal(documentProblem(total + off, doc(total + off, all)), 'lines')
        const [first] = facts
        if (first !== undefined) {
          const wrong = [
            [...first.slice(0, 4), formatNano((parseNano(first[4]) ?? 0n) + off)],
            ...all.slice(1),
          ]
          assert.equal(documentProblem(total + off, doc(total + off, wrong)), 'arithmetic')
        }
      },
    ),
  )
  assert.equal(documentProblem(0n, '{'), 'unreadable')
  assert.equal(documentProblem(1n, JSON.stringify({ v: 1, noCharge: 'refused' })), 'total')
})

function unitText(pico: bigint): string {
  const digits = pico.toString().padStart(13, '0')
  return `${digits.slice(0, -12)}.${digits.slice(-12)}`
}
