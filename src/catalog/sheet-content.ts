import { METERS, type Meter } from '../contract/index.ts'
import { canonicalJson, isArray, isObject, type Json, parseJson, parsePico } from '../kernel/index.ts'
import type { PriceSheet, Rates, UnitPrice } from './types.ts'

/**
 * The stored form of a price sheet: canonical JSON, prices as the decimals they were written as. One sheet has one
 * text, so its hash tells whether a price has changed.
 */
export function sheetContent(sheet: PriceSheet): string {
  return canonicalJson({
    currency: sheet.currency,
    rates: writtenRates(sheet.rates),
    service_tiers: Object.fromEntries(
      Object.entries(sheet.serviceTiers).map(([name, rates]) => [name, writtenRates(rates)]),
    ),
    tiers: sheet.tiers.map((tier) => ({ above: tier.aboveInputTokens, rates: writtenRates(tier.rates) })),
    windows: sheet.windows.map((window) => ({
      days: window.days,
      end_minute: window.endMinute,
      rates: writtenRates(window.rates),
      start_minute: window.startMinute,
    })),
  })
}

function writtenRates(rates: Rates): Record<string, { per: string; price: string }> {
  return Object.fromEntries(
    Object.entries(rates).map(([meter, unit]) => [meter, { per: unit.per.toString(), price: unit.text }]),
  )
}

/** @throws RangeError for a text that {@link sheetContent} has not written; the hash in the table rules that out. */
export function sheetFromContent(content: string): PriceSheet {
  const parsed = parseJson(content)
  const sheet = object(parsed.ok ? parsed.value : undefined)
  return {
    currency: string(sheet['currency']),
    rates: ratesFrom(sheet['rates']),
    serviceTiers: Object.fromEntries(
      Object.entries(object(sheet['service_tiers'])).map(([name, rates]) => [name, ratesFrom(rates)]),
    ),
    tiers: array(sheet['tiers'])
      .map(object)
      .map((tier) => ({ aboveInputTokens: count(tier['above']), rates: ratesFrom(tier['rates']) })),
    windows: array(sheet['windows'])
      .map(object)
      .map((window) => ({
        startMinute: count(window['start_minute']),
        endMinute: count(window['end_minute']),
        days: array(window['days']).map(count),
        rates: ratesFrom(window['rates']),
      })),
  }
}

function ratesFrom(value: Json | undefined): Rates {
  const rates: Partial<Record<Meter, UnitPrice>> = {}
  const written = object(value)
  for (const meter of METERS) {
    if (written[meter] === undefined) continue
    const { per, price } = object(written[meter])
    const text = string(price)
    const pico = parsePico(text)
    if (pico === null) throw notContent()
    rates[meter] = { pico, per: BigInt(string(per)), text }
  }
  return rates
}

function notContent(): RangeError {
  return new RangeError('this is not the content of a price version')
}

function object(value: Json | undefined): { readonly [key: string]: Json } {
  if (!isObject(value)) throw notContent()
  return value
}

function array(value: Json | undefined): readonly Json[] {
  if (!isArray(value)) throw notContent()
  return value
}

function string(value: Json | undefined): string {
  if (typeof value !== 'string') throw notContent()
  return value
}

function count(value: Json | undefined): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw notContent()
  return value
}
