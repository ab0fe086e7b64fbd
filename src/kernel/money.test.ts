import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  divideHalfEven,
  divideUp,
  formatDecimal,
  formatNano,
  formatPico,
  lineAmount,
  lineAmountUp,
  minNano,
  NANO_MAX,
  parseDecimal,
  parseNano,
  parsePico,
} from './index.ts'

const nano = fc.bigInt({ min: -NANO_MAX, max: NANO_MAX })

test('what is written as an amount is read as the same amount', () => {
  fc.assert(fc.property(nano, (value) => parseNano(formatNano(value)) === value))
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 10n ** 30n - 1n }),
      (value) => parsePico(formatPico(value)) === value,
    ),
  )
})

test('the written form is the shortest: no exponent, no trailing zero, no sign of zero', () => {
  fc.assert(
    fc.property(nano, (value) => {
      const text = formatNano(value)
      assert.match(text, /^-?(?:0|[1-9]\d*)(?:\.\d*[1-9])?$/)
      assert.ok(text !== '-0')
    }),
  )
  assert.deepEqual([0n, 1n, -1n, 10n ** 9n, 1_500_000_000n, NANO_MAX].map(formatNano), [
    '0',
    '0.000000001',
    '-0.000000001',
    '1',
    '1.5',
    '9223372036.854775807',
  ])
})

test('only plain decimals that can be kept exactly are read', () => {
  for (const text of [
    '',
    ' ',
    '1 ',
    ' 1',
    '+1',
    '1.',
    '.5',
    '1e3',
    '1E3',
    '0x1',
    '1,5',
    '1_0',
    'NaN',
    'Infinity',
    '--1',
    '-',
    '１',
    '1.0000000001',
    '9223372036.854775808',
    `${'9'.repeat(19)}`,
    '1\n',
    '1.2.3',
  ])
    assert.equal(parseNano(text), null, JSON.stringify(text))
  assert.deepEqual(['0', '-0', '007', '1.50', '1.000000000000', '0.000000001'].map(parseNano), [
    0n,
    0n,
    7_000_000_000n,
    1_500_000_000n,
    1_000_000_000n,
    1n,
  ])
  assert.equal(parseDecimal('-0.25', 2), -25n)
  assert.equal(formatDecimal(-25n, 2), '-0.25')
})

test('half to even is the nearest integer, and of two the even one, by rational arithmetic', () => {
  const numerator = fc.bigInt({ min: 0n, max: 10n ** 24n })
  const denominator = fc.bigInt({ min: 1n, max: 10n ** 12n })
  fc.assert(
    fc.property(numerator, denominator, (n, d) => {
      const rounded = divideHalfEven(n, d)
      const twiceOff = 2n * (n - rounded * d)
      const off = twiceOff < 0n ? -twiceOff : twiceOff
      assert.ok(off < d || (off === d && rounded % 2n === 0n))
    }),
    { numRuns: 2_000 },
  )
  // Halves themselves, which random numbers hardly ever hit.
  for (let i = 0n; i < 100n; i++) assert.equal(divideHalfEven(2n * i + 1n, 2n), i % 2n === 0n ? i : i + 1n)
  assert.throws(() => divideHalfEven(1n, 0n), RangeError)
  assert.throws(() => divideHalfEven(-1n, 2n), RangeError)
})

test('rounding up never falls short and never adds a whole unit', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 10n ** 24n }), fc.bigInt({ min: 1n, max: 10n ** 12n }), (n, d) => {
      const up = divideUp(n, d)
      assert.ok(up * d >= n && (up - 1n) * d < n)
    }),
  )
})

test('a million one-token calls stay within a thousandth of a unit of the exact sum each way', () => {
  const price = parsePico('0.333333333333') ?? 0n
  const one = lineAmount(1n, price, 1_000_000n)
  const exact = (price * 1_000_000n) / (1_000_000n * 1_000n)
  const sum = one * 1_000_000n
  assert.ok(sum - exact < 10n ** 6n && exact - sum < 10n ** 6n)
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 10n ** 9n }),
      fc.bigInt({ min: 0n, max: 10n ** 18n }),
      fc.constantFrom(1n, 1_000n, 1_000_000n),
      (quantity, pico, per) => {
        const amount = lineAmount(quantity, pico, per)
        const up = lineAmountUp(quantity, pico, per)
        assert.ok(up === amount || up === amount + 1n, 'a bound is at most one nano above the amount')
      },
    ),
  )
})

test('the smaller of two amounts', () => {
  assert.equal(minNano(1n, 2n), 1n)
  assert.equal(minNano(2n, -1n), -1n)
})
