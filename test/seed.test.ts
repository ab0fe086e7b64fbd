import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { exactDecimal, packagePrices, pricesOf, ratesOf } from '../scripts/seed-package.ts'
import { driftReport, exampleDecimal, priceParts, readSeed, SEED_ROOT } from '../scripts/seed-prices.ts'
import { CATALOG_DATE, SEED_ENTRIES } from '../scripts/seed-tables.ts'
import { isArray, isObject, type Json, type JsonObject, parseDecimal } from '../src/kernel/index.ts'

const FAMILIES = ['GPT', 'Claude', 'Gemini', 'DeepSeek', 'Qwen', 'Kimi', 'GLM']

/** The closed vocabulary that seed/README.md explains. */
const CAPABILITIES = [
  'text',
  'image_input',
  'audio_input',
  'video_input',
  'file_input',
  'tools',
  'json_mode',
  'json_schema',
  'reasoning',
  'cache',
  'web_search',
]

const TOKEN_METERS = [
  'input',
  'cache_read',
  'cache_write_5m',
  'cache_write_1h',
  'output',
  'input_audio',
  'output_audio',
  'input_image',
]
const CALL_METERS = ['request', 'web_search']
const DATE = /^\d{4}-\d{2}-\d{2}$/
/** Written the shortest way, with at most six decimals. */
const DECIMAL = /^(0|[1-9]\d*)(\.\d{0,5}[1-9])?$/

const FILES = globSync('**/*.yaml', { cwd: SEED_ROOT }).map((name) => join(SEED_ROOT, name))
const MODELS = FILES.map((file) => ({ file, seed: readSeed(file) }))

function object(value: Json | undefined, what: string): JsonObject {
  assert.ok(isObject(value), `${what} is no mapping`)
  return value
}

function list(value: Json | undefined): readonly Json[] {
  return value === undefined ? [] : isArray(value) ? value : [value]
}

function money(value: Json | undefined, what: string): bigint {
  assert.equal(typeof value, 'string', `${what} is no decimal string`)
  assert.match(value as string, DECIMAL, what)
  const parsed = parseDecimal(value as string, 6)
  assert.ok(parsed !== null && parsed > 0n, `${what} is no price`)
  return parsed
}

/** Asserts the rates of a price, a tier or a window. */
function checkRates(rates: JsonObject, what: string): void {
  for (const [meter, value] of Object.entries(rates)) {
    if (CALL_METERS.includes(meter)) {
      const { per, price } = object(value, `${what} ${meter}`)
      assert.equal(per, 1000, what)
      money(price, `${what} ${meter}`)
      continue
    }
    assert.ok(TOKEN_METERS.includes(meter), `${what} names ${meter}, which is no meter`)
    money(value, `${what} ${meter}`)
  }
  const { input, cache_read } = rates
  if (input !== undefined && cache_read !== undefined)
    assert.ok(
      money(cache_read, what) <= money(input, what),
      `${what}: a cached token costs more than a new one`,
    )
}

function checkWindow(value: Json, what: string): void {
  const { utc, days, ...rates } = object(value, what)
  assert.match(String(utc), /^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$/, what)
  for (const day of list(days)) assert.match(String(day), /^(mon|tue|wed|thu|fri|sat|sun)$/, what)
  checkRates(rates, what)
}

function checkPrice(value: Json | undefined, what: string): void {
  let last = ''
  for (const [at, price] of list(value).entries()) {
    const {
      currency,
      effective_from,
      above,
      windows,
      service_tiers: services,
      ...rates
    } = object(price, what)
    if (currency !== undefined) assert.equal(currency, 'USD', what)
    if (at > 0) assert.match(String(effective_from), /^\d{4}-\d{2}-\d{2}T00:00:00Z$/, what)
    if (effective_from !== undefined) {
      assert.ok(String(effective_from) > last, `${what}: scheduled prices are not in order`)
      last = String(effective_from)
    }
    assert.ok('input' in rates && 'output' in rates, `${what} misses input or output`)
    checkRates(rates, what)
    for (const [start, tier] of Object.entries(above === undefined ? {} : object(above, what))) {
      assert.match(start, /^[1-9]\d*$/, what)
      checkRates(object(tier, what), `${what} above ${start}`)
    }
    for (const [name, tier] of Object.entries(services === undefined ? {} : object(services, what))) {
      const placed = object(tier, `${what} ${name}`)
      checkRates(placed, `${what} ${name}`)
      for (const meter of TOKEN_METERS.filter((meter) => meter in rates)) {
        const surcharged = money(placed[meter], `${what} ${name} ${meter}`)
        const off = surcharged * 100n - money(rates[meter], what) * 110n
        // Examples in CNY are rounded to four decimals, both the price and the dearer one.
        const most = what.includes('ordinary') ? 10_500n : 0n
        assert.ok(off <= most && -off <= most, `${what} ${name} ${meter}`)
      }
    }
    for (const window of list(windows)) checkWindow(window, `${what} window`)
  }
}

describe('the starter catalog', () => {
  it('has every family and no model twice', () => {
    const names = MODELS.map(({ seed }) => seed.model)
    assert.equal(new Set(names).size, names.length)
    assert.deepEqual(new Set(MODELS.map(({ seed }) => seed.family)), new Set(FAMILIES))
    assert.ok(names.length >= 25, `${names.length} models`)
  })

  it('keeps each model in the file of its name, with the context and capabilities of the vocabulary', () => {
    for (const { file, seed } of MODELS) {
      assert.equal(basename(file), `${seed.model}.yaml`)
      assert.ok(
        SEED_ENTRIES.some((entry) => entry.vendor === basename(dirname(file))),
        file,
      )
      assert.ok(Number.isSafeInteger(seed.context) && Number.isSafeInteger(seed.max_output), file)
      assert.ok(seed.context >= seed.max_output && seed.max_output > 0, file)
      assert.deepEqual(
        seed.capabilities.filter((word) => !CAPABILITIES.includes(word)),
        [],
        file,
      )
      assert.equal(new Set(seed.capabilities).size, seed.capabilities.length, file)
    }
  })

  it('states every price as exact decimals, and never a cached token above a new one', () => {
    for (const { file, seed } of MODELS) {
      checkPrice(seed.reference_price, `${file} reference_price`)
      checkPrice(seed.routes.official.price, `${file} official`)
      checkPrice(seed.routes.ordinary.price, `${file} ordinary`)
      for (const price of list(seed.reference_price)) {
        const { currency } = object(price, file)
        assert.equal(currency, 'USD', file)
      }
    }
  })

  it('charges credit for every official route and rmb for every ordinary one', () => {
    for (const { file, seed } of MODELS) {
      const { official, ordinary } = seed.routes
      assert.deepEqual([official.type, official.bucket], ['official', 'credit'], file)
      assert.deepEqual([ordinary.type, ordinary.bucket], ['ordinary', 'rmb'], file)
      assert.ok(official.upstream_model.length > 0 && ordinary.upstream_model.length > 0, file)
    }
  })

  it('charges the reference price on the official route', () => {
    for (const { file, seed } of MODELS) {
      const reference = list(seed.reference_price).map((price) => {
        const { currency: _usd, ...rates } = object(price, file)
        return rates
      })
      assert.deepEqual(list(seed.routes.official.price), reference, file)
    }
  })

  it('names a source and a date for every price, and an address for all but the example', () => {
    for (const { file, seed } of MODELS) {
      const { reference_price, ordinary_price, ...others } = seed.sources
      assert.equal('retires' in others, seed.retires !== undefined, file)
      if (seed.retires !== undefined) assert.match(seed.retires, DATE, file)
      for (const value of [reference_price, ordinary_price, ...Object.values(others)]) {
        const { from, date, url, example } = object(value, file)
        assert.ok(typeof from === 'string' && from.length > 0, file)
        assert.match(String(date), DATE, file)
        assert.ok(String(date) <= CATALOG_DATE, `${file}: a source from the future`)
        if (example !== true) assert.match(String(url), /^https:\/\//, file)
      }
    }
  })

  it('offers web search exactly where a search has a price', () => {
    for (const { file, seed } of MODELS) {
      const [price] = list(seed.reference_price)
      assert.equal(seed.capabilities.includes('web_search'), 'web_search' in object(price, file), file)
    }
  })
})

describe('the ordinary prices', () => {
  const isExample = ({ ordinary_price }: JsonObject): boolean => {
    const { example } = object(ordinary_price, 'ordinary_price')
    return example === true
  }

  it('are examples for the families without a list price in CNY, and list prices for the others', () => {
    for (const { file, seed } of MODELS) {
      assert.equal(isExample(seed.sources), ['GPT', 'Claude', 'Gemini'].includes(seed.family), file)
      const { ordinary_price } = seed.sources
      const { list_price_cny, from } = object(ordinary_price, file)
      if (isExample(seed.sources)) assert.match(String(from), /not a vendor price.*7\.1.*0\.5/, file)
      else assert.equal(list_price_cny, true, file)
    }
  })

  it('recompute from the reference price by the stated rule wherever they are examples', () => {
    // Worked out the long way, with decimals shifted by hand, so that it shares nothing with the script.
    const byHand = (usd: string): bigint => {
      const millionths = parseDecimal(usd, 6)
      assert.ok(millionths !== null)
      const exact = millionths * 71n * 5n // 10⁻⁶ × 10⁻¹ × 10⁻¹
      const kept = exact / 10_000n
      const left = exact % 10_000n
      if (left > 5000n || (left === 5000n && kept % 2n === 1n)) return kept + 1n
      return kept
    }
    const compare = (usd: Json | undefined, cny: Json | undefined, what: string): void => {
      if (isObject(usd)) {
        for (const [key, value] of Object.entries(usd)) {
          if (['currency', 'effective_from', 'per'].includes(key)) continue
          compare(value, object(cny, what)[key], `${what} ${key}`)
        }
        return
      }
      assert.equal(parseDecimal(String(cny), 4), byHand(String(usd)), what)
    }
    for (const { file, seed } of MODELS.filter(({ seed: { sources } }) => isExample(sources))) {
      const usd = list(seed.reference_price)
      const cny = list(seed.routes.ordinary.price)
      assert.equal(cny.length, usd.length, file)
      for (const [at, price] of usd.entries()) compare(price, cny[at], file)
    }
  })

  it('round a half to the even neighbour', () => {
    assert.equal(exampleDecimal('0.25'), '0.8875')
    assert.equal(exampleDecimal('0.005'), '0.0178') // 0.01775
    assert.equal(exampleDecimal('0.075'), '0.2662') // 0.26625
  })
})

describe('the drift check', () => {
  it('is green: the files say what the package and the list prices say', () => {
    assert.deepEqual(driftReport(), [])
  })

  it('names the file, the meter and both figures when the package changes', () => {
    const dearer = (key: string): readonly JsonObject[] =>
      packagePrices(key).map((price) => (key === 'openai/gpt-5-mini' ? { ...price, output: '2.5' } : price))
    assert.deepEqual(driftReport(SEED_ROOT, dearer), [
      'openai/gpt-5-mini reference_price.output: seed "2", source "2.5"',
      'openai/gpt-5-mini official.output: seed "2", source "2.5"',
      'openai/gpt-5-mini ordinary.output: seed "7.1", source "8.875"',
    ])
  })

  it('reports a missing file for every entry of an empty folder', () => {
    const lines = driftReport(join(SEED_ROOT, 'nowhere'))
    assert.equal(lines.length, SEED_ENTRIES.length)
  })
})

describe('reading the package', () => {
  it('takes an entry by its exact id only', () => {
    assert.throws(() => packagePrices('openai/gpt-5-mini-turbo'), /no entry/)
    assert.throws(() => packagePrices('anthropic/claude-sonnet-5-5'), /no entry/)
    assert.throws(() => packagePrices('openai-compatible/gpt-5-mini'), /no entry/)
  })

  it('writes a float as the decimal it stands for, and refuses one that six decimals cannot hold', () => {
    assert.equal(exactDecimal(0.1 + 0.2), '0.3')
    assert.equal(exactDecimal(0.003625), '0.003625')
    assert.equal(exactDecimal(2.8699999999999997), '2.87')
    assert.throws(() => exactDecimal(0.0000005), RangeError)
    assert.throws(() => exactDecimal(-1), RangeError)
  })

  it('stops at a price key nobody has decided about, and at a price by time of day', () => {
    assert.throws(() => ratesOf({ input_mtok: 1, output_hologram_mtok: 2 }), /no meter/)
    const constraint = { type: 'time_of_date', start_time: '01:00:00Z', end_time: '04:00:00Z' } as const
    assert.throws(() => pricesOf([{ prices: { input_mtok: 1 } }, { constraint, prices: { input_mtok: 2 } }]))
  })

  it('keeps the price in force and the scheduled ones, and drops those of the past', () => {
    const on = (start_date: string, input_mtok: number) => ({
      constraint: { type: 'start_date', start_date } as const,
      prices: { input_mtok },
    })
    assert.deepEqual(pricesOf([{ prices: { input_mtok: 3 } }, on('2027-01-01', 1), on('2026-07-30', 2)]), [
      { input: '2' },
      { effective_from: '2027-01-01T00:00:00Z', input: '1' },
    ])
  })

  it('moves the upper OpenAI tier to the threshold of the vendor page', () => {
    const [price] = packagePrices('openai/gpt-5.5')
    const { above } = object(price, 'price')
    assert.deepEqual(Object.keys(object(above, 'above')), ['272000'])
  })

  it('lays the extra meters over every tier of a price', () => {
    const entry = SEED_ENTRIES.find(({ model }) => model === 'gpt-6-sol')
    assert.ok(entry !== undefined)
    const { above, cache_write_1h } = object(priceParts(entry).official, 'official')
    assert.equal(cache_write_1h, '5')
    const { cache_write_1h: longContext } = object(object(above, 'above')['272000'], 'tier')
    assert.equal(longContext, '10')
  })
})
