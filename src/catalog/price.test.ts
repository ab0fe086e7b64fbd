import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseNano, parsePico, type Usage, type UsageCounts } from '../kernel/index.ts'
import { priceUsage, priceVersionAt, ratesFor } from './price.ts'
import type { PriceSheet, Rates, UnitPrice } from './types.ts'

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

function texts(rates: Rates): Record<string, string> {
  return Object.fromEntries(Object.entries(rates).map(([meter, { text }]) => [meter, text]))
}

const AT_NOON = { admittedAtMs: MON_NOON, serviceTier: null }

test('the version in force is the latest whose time has come', () => {
  const version = (id: string, effectiveFromMs: number) => ({ id, effectiveFromMs, sheet: sheetOf({}) })
  const versions = [version('a', 100), version('b', 200), version('c', 300)]
  assert.equal(priceVersionAt(versions, 99), null)
  assert.equal(priceVersionAt(versions, 100)?.id, 'a')
  assert.equal(priceVersionAt(versions, 299)?.id, 'b')
  assert.equal(priceVersionAt(versions.toReversed(), 299)?.id, 'b')
  assert.equal(priceVersionAt(versions, 1e15)?.id, 'c')
  assert.equal(priceVersionAt([], 0), null)
})

test('base, window, tier and service tier override one another in that order, meter by meter', () => {
  const sheet = sheetOf({
    rates: { input: unit('1'), cache_read: unit('1.1'), output: unit('1.2'), request: unit('1.3', 1n) },
    windows: [
      {
        startMinute: 0,
        endMinute: 1440,
        days: [],
        rates: { cache_read: unit('2.1'), output: unit('2.2'), request: unit('2.3', 1n) },
      },
    ],
    tiers: [{ aboveInputTokens: 10, rates: { output: unit('3.2'), request: unit('3.3', 1n) } }],
    serviceTiers: { flex: { request: unit('4.3', 1n) } },
  })
  const rates = (serviceTier: string | null, totalInputTokens: number) =>
    texts(ratesFor(sheet, { admittedAtMs: MON_NOON, serviceTier, totalInputTokens }))
  assert.deepEqual(rates('flex', 11), { input: '1', cache_read: '2.1', output: '3.2', request: '4.3' })
  assert.deepEqual(rates(null, 11), { input: '1', cache_read: '2.1', output: '3.2', request: '3.3' })
  assert.deepEqual(rates('flex', 10), { input: '1', cache_read: '2.1', output: '2.2', request: '4.3' })
})

test('a tier applies to the whole request, from the first token above its limit; the highest that is exceeded wins', () => {
  const sheet = sheetOf({
    tiers: [
      { aboveInputTokens: 200, rates: { input: unit('4') } },
      { aboveInputTokens: 100, rates: { input: unit('2') } },
    ],
  })
  const input = (totalInputTokens: number) => ratesFor(sheet, { ...AT_NOON, totalInputTokens }).input?.text
  assert.deepEqual([0, 100, 101, 200, 201].map(input), ['1', '1', '2', '2', '4'])
  // Cached tokens count towards the limit.
  assert.equal(priceUsage(sheet, usageOf({ input: 1, cache_read: 200 }), AT_NOON).lines[0]?.unit.text, '4')
})

test('a service tier without a price of its own, whatever its name, is billed at base rates', () => {
  const sheet = sheetOf({ serviceTiers: { priority: { input: unit('9') } } })
  const input = (serviceTier: string | null) =>
    ratesFor(sheet, { admittedAtMs: 0, serviceTier, totalInputTokens: 1 }).input?.text
  assert.equal(input('priority'), '9')
  for (const tier of [null, 'default', 'standard', 'flex', '', '__proto__', 'constructor', 'toString'])
    assert.equal(input(tier), '1', String(tier))
})

test('a window holds from its first minute to the minute before its end, on the UTC days it opens on', () => {
  const at = (text: string, days: number[], [startMinute, endMinute]: [number, number]) =>
    ratesFor(sheetOf({ windows: [{ startMinute, endMinute, days, rates: { input: unit('5') } }] }), {
      admittedAtMs: Date.parse(text),
      serviceTier: null,
      totalInputTokens: 1,
    }).input?.text === '5'
  const day: [number, number] = [30, 510]
  assert.equal(at('2026-11-23T00:29:59.999Z', [], day), false)
  assert.equal(at('2026-11-23T00:30:00Z', [], day), true)
  assert.equal(at('2026-11-23T08:29:59.999Z', [1], day), true)
  assert.equal(at('2026-11-23T08:30:00Z', [1], day), false)
  assert.equal(at('2026-11-23T08:00:00Z', [0, 2, 3, 4, 5, 6], day), false)
  const night: [number, number] = [1320, 360]
  assert.equal(at('2026-11-23T22:00:00Z', [1], night), true)
  // Tuesday's small hours belong to the window that opened on Monday, Monday's to Sunday's.
  assert.equal(at('2026-11-24T05:59:59Z', [1], night), true)
  assert.equal(at('2026-11-23T05:59:59Z', [1], night), false)
  assert.equal(at('2026-11-29T23:00:00Z', [0], night), true)
  assert.equal(at('2026-11-30T01:00:00Z', [0], night), true)
  assert.equal(at('2026-11-30T12:00:00Z', [0, 1, 2, 3, 4, 5, 6], night), false)
  assert.equal(at('1969-12-31T23:00:00Z', [3], night), true)
})

test('the receipt of the contract is priced to the last digit', () => {
  const sheet = sheetOf({
    currency: 'CNY',
    rates: { input: unit('0.90'), cache_read: unit('0.09'), output: unit('7.20') },
  })
  const { lines, totalNano } = priceUsage(sheet, usageOf({ input: 1200, output: 85 }), AT_NOON)
  assert.equal(totalNano, parseNano('0.001692'))
  assert.deepEqual(
    lines.map(({ meter, quantity, unit: { text, per }, amountNano }) => ({
      meter,
      quantity,
      text,
      per,
      amountNano,
    })),
    [
      { meter: 'input', quantity: 1200, text: '0.90', per: 1_000_000n, amountNano: 1_080_000n },
      { meter: 'output', quantity: 85, text: '7.20', per: 1_000_000n, amountNano: 612_000n },
    ],
  )
})

test('a class without a price of its own costs what covers it, under its own name', () => {
  const counts = {
    input: 1,
    cache_read: 2,
    cache_write_5m: 3,
    cache_write_1h: 4,
    input_audio: 5,
    input_image: 6,
    output: 7,
    output_audio: 8,
  }
  const bare = priceUsage(sheetOf({}), usageOf(counts, 5), AT_NOON)
  assert.deepEqual(
    bare.lines.map(({ meter, quantity, unit: { text } }) => [meter, quantity, text]),
    [
      ['input', 1, '1'],
      ['cache_read', 2, '1'],
      ['cache_write_5m', 3, '1'],
      ['cache_write_1h', 4, '1'],
      ['output', 7, '2'],
      ['input_audio', 5, '1'],
      ['output_audio', 8, '2'],
      ['input_image', 6, '1'],
    ],
  )
  const writes = sheetOf({ rates: { input: unit('1'), cache_write_5m: unit('1.25'), output: unit('2') } })
  assert.equal(priceUsage(writes, usageOf({ cache_write_1h: 1 }), AT_NOON).lines[0]?.unit.text, '1.25')
})

test('reasoning is inside output and is never priced again', () => {
  const output = (reasoning: number | null) =>
    priceUsage(sheetOf({}), usageOf({ output: 100 }, reasoning), AT_NOON).totalNano
  assert.equal(output(90), output(null))
})

test('a request is priced once, searches by their number, and calls without a price are free', () => {
  const sheet = sheetOf({
    rates: { input: unit('1'), output: unit('2'), request: unit('10', 1000n), web_search: unit('35', 1000n) },
  })
  const priced = priceUsage(sheet, usageOf({}, null, 3), AT_NOON)
  assert.deepEqual(
    priced.lines.map(({ meter, quantity, amountNano }) => [meter, quantity, amountNano]),
    [
      ['request', 1, 10_000_000n],
      ['web_search', 3, 105_000_000n],
    ],
  )
  assert.deepEqual(priceUsage(sheetOf({}), usageOf({}, null, 3), AT_NOON), { lines: [], totalNano: 0n })
})

test('a count that is no count is refused, never priced', () => {
  for (const count of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])
    assert.throws(() => priceUsage(sheetOf({}), usageOf({ output: count }), AT_NOON), String(count))
  assert.throws(
    () => priceUsage(sheetOf({ rates: { input: unit('1') } }), usageOf({ output: 1 }), AT_NOON),
    /no rate that covers output/,
  )
})

test('a million calls of one token stay within half a nano each of the exact sum', () => {
  const oddPrices = ['0.0001', '0.0005', '0.0015', '0.123456789012', '3.333333333333', '0.000000000001']
  for (const text of oddPrices) {
    const sheet = sheetOf({ rates: { input: unit('0'), output: unit(text) } })
    const one = priceUsage(sheet, usageOf({ output: 1 }), AT_NOON).totalNano
    let charged = 0n
    for (let i = 0; i < 1_000_000; i++) charged += one
    // One token costs pico / 10⁶ pico, so a million cost exactly `pico` pico; in half-nanos the error is below 10⁶.
    const errorPico = charged * 1000n - unit(text).pico
    assert.ok((errorPico < 0n ? -errorPico : errorPico) <= 500n * 1_000_000n, text)
  }
})
