/**
 * Reads the price package by exact ids and turns its floats into the exact decimal strings of a price. The package's own
 * calculator is never called: it matches names fuzzily and prices an unknown model as its nearest relative.
 */

import { type ConditionalPrice, findProvider, type ModelPrice } from '@pydantic/genai-prices'
import { formatDecimal, type Json, type JsonObject } from '../src/kernel/index.ts'
import { CATALOG_DATE, TIER_START_FIXES } from './seed-tables.ts'

const PRICE_DECIMALS = 6

/** Meter per price key of the package; `per` marks a price of that many calls. */
const METERS: Readonly<Record<string, { readonly meter: string; readonly per?: number }>> = {
  input_mtok: { meter: 'input' },
  cache_read_mtok: { meter: 'cache_read' },
  cache_write_mtok: { meter: 'cache_write_5m' },
  cache_write_1h_mtok: { meter: 'cache_write_1h' },
  output_mtok: { meter: 'output' },
  input_audio_mtok: { meter: 'input_audio' },
  output_audio_mtok: { meter: 'output_audio' },
  input_image_mtok: { meter: 'input_image' },
  web_searches_kcount: { meter: 'web_search', per: 1000 },
}

/** Known to the package, without a meter of ours: cached audio, and searches in a vendor-side file store. */
const LEFT_OUT: readonly string[] = ['cache_audio_read_mtok', 'storage_searches_kcount']

/** @returns the decimal a float stands for ("0.3" for 0.30000000000000004); throws where six decimals cannot say it. */
export function exactDecimal(value: number): string {
  const scaled = value * 10 ** PRICE_DECIMALS
  const rounded = Math.round(scaled)
  if (value < 0 || Math.abs(scaled - rounded) > 1e-4)
    throw new RangeError(`${value} is no price of at most ${PRICE_DECIMALS} decimals`)
  return formatDecimal(BigInt(rounded), PRICE_DECIMALS)
}

function rate(value: number, per: number | undefined): Json {
  return per === undefined ? exactDecimal(value) : { per, price: exactDecimal(value) }
}

/** One price of the package as rates and, where it has tiers, `above`. */
export function ratesOf(price: ModelPrice): JsonObject {
  const rates: Record<string, Json> = {}
  const above: Record<string, Record<string, Json>> = {}
  for (const [key, value] of Object.entries(price)) {
    if (value === undefined || LEFT_OUT.includes(key)) continue
    const target = METERS[key]
    // A key nobody has decided about may be money: stop, so that a person does.
    if (target === undefined) throw new Error(`the package prices ${key}, for which there is no meter yet`)
    if (typeof value === 'number') {
      rates[target.meter] = rate(value, target.per)
      continue
    }
    rates[target.meter] = rate(value.base, target.per)
    for (const tier of value.tiers) {
      const start = String(TIER_START_FIXES[tier.start] ?? tier.start)
      above[start] = { ...above[start], [target.meter]: rate(tier.price, target.per) }
    }
  }
  return Object.keys(above).length === 0 ? rates : { ...rates, above }
}

function startOf(price: ConditionalPrice): string {
  if (price.constraint === undefined) return ''
  if (price.constraint.type === 'start_date') return price.constraint.start_date
  // Their windows know no weekdays, and a wrong window overcharges: such a model is kept by hand instead.
  throw new Error('a price by time of day is kept in the list prices by hand')
}

/** The price in force on the catalog's date; followed by the scheduled ones, if there are any. */
export function pricesOf(prices: ModelPrice | readonly ConditionalPrice[]): readonly JsonObject[] {
  if (!Array.isArray(prices)) return [ratesOf(prices as ModelPrice)]
  const dated = (prices as readonly ConditionalPrice[]).map((price) => ({ start: startOf(price), price }))
  dated.sort((a, b) => (a.start < b.start ? -1 : a.start > b.start ? 1 : 0))
  const inForce = dated.filter(({ start }) => start <= CATALOG_DATE).at(-1)
  if (inForce === undefined) throw new Error('no price is in force on the date of the catalog')
  const scheduled = dated.filter(({ start }) => start > CATALOG_DATE)
  return [
    ratesOf(inForce.price.prices),
    ...scheduled.map(({ start, price }) => ({
      effective_from: `${start}T00:00:00Z`,
      ...ratesOf(price.prices),
    })),
  ]
}

/**
 * @param key `<provider id>/<model id>`, both compared letter by letter
 * @returns one price, or the current and the scheduled ones; throws when the package has no such entry
 */
export function packagePrices(key: string): readonly JsonObject[] {
  const slash = key.indexOf('/')
  const providerId = key.slice(0, slash)
  const modelId = key.slice(slash + 1)
  const provider = findProvider({ providerId })
  const model =
    provider?.id === providerId ? provider.models.find((candidate) => candidate.id === modelId) : undefined
  if (model === undefined) throw new Error(`the package has no entry ${key}`)
  return pricesOf(model.prices)
}
