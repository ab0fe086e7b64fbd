import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseNano, parsePico, type Usage, type UsageCounts } from '../kernel/index.ts'
import { boundNano, outputTokensAffordable } from './bound.ts'
import { type PricedLine, priceUsage } from './price.ts'
import type { PriceSheet, UnitPrice } from './types.ts'

const MON_NOON = Date.parse('2026-11-23T12:00:00Z')

function unit(text: string, per = 1_000_000n): UnitPrice {
  const pico = parsePico(text)
  assert.ok(pico !== null)
  return { pico, per, text }
}

function sheetOf(parts: Partial<PriceSheet>): PriceSheet {
  return {
    currency: 'USD',
    rates: { input: unit('1'), output: unit('2') },
    tiers: [],
    serviceTiers: {},
    windows: [],
    ...parts,
  }
}

function usageOf(counts: UsageCounts, reasoning: number | null = null, searches = 0): Usage {
  return { counts, reasoning, calls: searches === 0 ? {} : { web_search: searches }, source: 'reported' }
}

const AT_NOON = { admittedAtMs: MON_NOON, serviceTier: null }

const price = fc
  .tuple(
    fc.oneof(
      fc.bigInt({ min: 0n, max: 10n ** 21n }),
      fc.bigInt({ min: 0n, max: 10n ** 7n }),
      fc.constant(0n),
      fc.bigInt({ min: 0n, max: 50_000n }).map((milli) => milli * 10n ** 9n),
    ),
  )
  .map(([pico]): UnitPrice => ({ pico, per: 1_000_000n, text: '' }))
const callPrice = fc
  .tuple(fc.bigInt({ min: 0n, max: 10n ** 15n }), fc.constantFrom(1n, 3n, 1000n))
  .map(([pico, per]): UnitPrice => ({ pico, per, text: '' }))

const METER_PRICES = {
  input: price,
  cache_read: price,
  cache_write_5m: price,
  cache_write_1h: price,
  output: price,
  input_audio: price,
  output_audio: price,
  input_image: price,
  request: callPrice,
  web_search: callPrice,
}
const someRates = fc.record(METER_PRICES, { requiredKeys: [] })
const LIMITS = [1, 2, 5, 100, 1000, 200_000]
const sheets: fc.Arbitrary<PriceSheet> = fc.record({
  currency: fc.constant('USD'),
  rates: fc.record(METER_PRICES, { requiredKeys: ['input', 'output'] }),
  tiers: fc
    .uniqueArray(fc.record({ aboveInputTokens: fc.constantFrom(...LIMITS), rates: someRates }), {
      maxLength: 3,
      selector: ({ aboveInputTokens }) => aboveInputTokens,
    })
    .map((tiers) => tiers.sort((a, b) => a.aboveInputTokens - b.aboveInputTokens)),
  serviceTiers: fc.dictionary(fc.constantFrom('flex', 'priority'), someRates, { noNullPrototype: true }),
  windows: fc.array(
    fc.record({
      startMinute: fc.nat({ max: 1439 }),
      endMinute: fc.integer({ min: 1, max: 1440 }),
      days: fc.uniqueArray(fc.nat({ max: 6 })),
      rates: someRates,
    }),
    { maxLength: 2 },
  ),
})
const count = fc.oneof(fc.nat({ max: 3 }), fc.nat({ max: 2000 }), fc.nat({ max: 400_000 }))
const usages = fc
  .record({
    counts: fc.record(
      {
        input: count,
        cache_read: count,
        cache_write_5m: count,
        cache_write_1h: count,
        input_audio: count,
        input_image: count,
        output: count,
        output_audio: count,
      },
      { requiredKeys: [] },
    ),
    searches: fc.nat({ max: 5 }),
  })
  .map(({ counts, searches }) => usageOf(counts as UsageCounts, null, searches))
const contexts = fc.record({
  admittedAtMs: fc.integer({ min: MON_NOON, max: MON_NOON + 7 * 86_400_000 }),
  serviceTier: fc.constantFrom(null, 'default', 'flex', 'priority', 'scale'),
})

const sum = (values: readonly (number | undefined)[]): number =>
  values.reduce<number>((total, value) => total + (value ?? 0), 0)
const inputOf = ({ counts: c }: Usage): number =>
  sum([c.input, c.cache_read, c.cache_write_5m, c.cache_write_1h, c.input_audio, c.input_image])
const outputOf = ({ counts: c }: Usage): number => sum([c.output, c.output_audio])

/** Half to even by its definition: the nearest integer, and of two equally near the even one. Checked on rationals. */
function assertRounded({ quantity, unit: { pico, per }, amountNano }: PricedLine): void {
  const numerator = BigInt(quantity) * pico
  const denominator = per * 1000n
  const twiceError = (amountNano * denominator - numerator) * 2n
  const distance = twiceError < 0n ? -twiceError : twiceError
  assert.ok(distance <= denominator, 'more than half a nano away')
  if (distance === denominator) assert.equal(amountNano % 2n, 0n, 'a tie goes to the even side')
}

test('the total is the sum of its lines, each the exact rational rounded once, half to even', () => {
  fc.assert(
    fc.property(sheets, usages, contexts, (sheet, usage, context) => {
      const { lines, totalNano } = priceUsage(sheet, usage, context)
      for (const line of lines) assertRounded(line)
      assert.equal(
        lines.reduce((total, { amountNano }) => total + amountNano, 0n),
        totalNano,
      )
      const billed = (meters: readonly string[]) =>
        sum(lines.filter(({ meter }) => meters.includes(meter)).map(({ quantity }) => quantity))
      assert.equal(billed(['output', 'output_audio']), outputOf(usage))
      assert.equal(
        billed(['input', 'cache_read', 'cache_write_5m', 'cache_write_1h', 'input_audio', 'input_image']),
        inputOf(usage),
      )
      assert.ok(lines.every(({ quantity }) => quantity > 0))
    }),
    { numRuns: 2000 },
  )
})

test('no usage within its totals costs more than the bound, at the tier asked for or the default one', () => {
  fc.assert(
    fc.property(sheets, usages, contexts, count, count, (sheet, usage, context, moreInput, moreOutput) => {
      const bound = boundNano(sheet, {
        ...context,
        inputTokensMax: inputOf(usage) + moreInput,
        outputTokensMax: outputOf(usage) + moreOutput,
        webSearchCallsMax: usage.calls.web_search ?? 0,
      })
      for (const serviceTier of [context.serviceTier, null])
        assert.ok(priceUsage(sheet, usage, { ...context, serviceTier }).totalNano <= bound)
    }),
    { numRuns: 4000 },
  )
})

test('the bound is reached but for rounding: some usage within it costs almost as much', () => {
  fc.assert(
    fc.property(sheets, contexts, count, count, (sheet, context, inputTokens, outputTokens) => {
      const bound = boundNano(sheet, {
        ...context,
        inputTokensMax: inputTokens,
        outputTokensMax: outputTokens,
      })
      const totals = [inputTokens, ...LIMITS.filter((limit) => limit < inputTokens)]
      let dearest = 0n
      for (const serviceTier of [context.serviceTier, null])
        for (const total of totals)
          for (const input of [
            'input',
            'cache_read',
            'cache_write_5m',
            'cache_write_1h',
            'input_audio',
            'input_image',
          ])
            for (const output of ['output', 'output_audio']) {
              const { totalNano } = priceUsage(sheet, usageOf({ [input]: total, [output]: outputTokens }), {
                ...context,
                serviceTier,
              })
              if (totalNano > dearest) dearest = totalNano
            }
      assert.ok(bound - dearest <= 10n, `${bound} against ${dearest}`)
    }),
    { numRuns: 500 },
  )
})

test('what is affordable is the largest output whose bound fits, and one token more does not', () => {
  const amounts = fc.oneof(
    fc.bigInt({ min: 0n, max: 100n }),
    fc.bigInt({ min: 0n, max: 10n ** 12n }),
    fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
  )
  fc.assert(
    fc.property(
      sheets,
      contexts,
      count,
      amounts,
      fc.nat({ max: 3 }),
      (sheet, context, inputTokensMax, amountNano, searches) => {
        const limits = { ...context, webSearchCallsMax: searches }
        const tokens = outputTokensAffordable(sheet, limits, inputTokensMax, amountNano)
        const bound = (outputTokensMax: number) =>
          boundNano(sheet, { ...limits, inputTokensMax, outputTokensMax })
        if (tokens > 0) assert.ok(bound(tokens) <= amountNano)
        if (tokens < Number.MAX_SAFE_INTEGER) assert.ok(bound(tokens + 1) > amountNano)
      },
    ),
    { numRuns: 4000 },
  )
})

test('a bound near every small amount is solved to the token', () => {
  const rounding = sheetOf({
    rates: { input: unit('0.0007'), output: unit('0.0009'), output_audio: unit('0.0011') },
  })
  for (let amount = 0n; amount <= 60n; amount++) {
    const tokens = outputTokensAffordable(rounding, AT_NOON, 2, amount)
    const bound = (outputTokensMax: number) =>
      boundNano(rounding, { ...AT_NOON, inputTokensMax: 2, outputTokensMax })
    assert.ok(tokens === 0 || bound(tokens) <= amount)
    assert.ok(bound(tokens + 1) > amount)
  }
})

test('the bound covers every line that is rounded up, at the fewest tokens for which all of them can be', () => {
  for (const text of ['0.0006', '0.0007', '0.0015', '0.0035', '0.000501']) {
    const sheet = sheetOf({ rates: { input: unit(text), output: unit(text) } })
    const inputs = {
      input: 1,
      cache_read: 1,
      cache_write_5m: 1,
      cache_write_1h: 1,
      input_audio: 1,
      input_image: 1,
    }
    const { totalNano } = priceUsage(sheet, usageOf({ ...inputs, output: 1, output_audio: 1 }), AT_NOON)
    assert.ok(totalNano <= boundNano(sheet, { ...AT_NOON, inputTokensMax: 6, outputTokensMax: 2 }), text)
  }
})

test('a free sheet is bounded by nothing and affords everything', () => {
  const free = sheetOf({ rates: { input: unit('0'), output: unit('0') } })
  assert.equal(boundNano(free, { ...AT_NOON, inputTokensMax: 1e6, outputTokensMax: 1e6 }), 0n)
  assert.equal(outputTokensAffordable(free, AT_NOON, 1e6, 0n), Number.MAX_SAFE_INTEGER)
})

test('a price of whole nanos a token is bounded without any allowance', () => {
  const sheet = sheetOf({ rates: { input: unit('0.90'), cache_read: unit('0.09'), output: unit('7.20') } })
  assert.equal(
    boundNano(sheet, { ...AT_NOON, inputTokensMax: 1200, outputTokensMax: 85 }),
    parseNano('0.001692'),
  )
})
