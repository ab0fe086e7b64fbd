import { METERS, type Meter } from '../contract/index.ts'
import {
  assertCount,
  lineAmount,
  type Nano,
  totalInput,
  type Usage,
  type UsageClass,
} from '../kernel/index.ts'
import type { PriceSheet, PriceTier, PriceVersion, PriceWindow, Rates, UnitPrice } from './types.ts'

/** When and at which of the provider's service tiers a request is priced. */
export interface PriceContext {
  /** Wall clock of the admission: the price is frozen then, however long the request runs. */
  readonly admittedAtMs: number
  /** As the provider names it; `default`, `standard` and null are the sheet's own prices. */
  readonly serviceTier: string | null
  /** Where the provider computes, when that has a price of its own (`us`); left out or null: anywhere. */
  readonly geography?: string | null
}

/** quantity × unit, rounded once, half to even. `meter` is the usage class; `unit` may be the rate that covers it. */
export interface PricedLine {
  readonly meter: Meter
  readonly quantity: number
  readonly unit: UnitPrice
  readonly amountNano: Nano
}

/** Lines in the order of METERS; they add up to the total exactly, because the total is their sum. */
export interface PricedUsage {
  readonly lines: readonly PricedLine[]
  readonly totalNano: Nano
}

/**
 * The rates that may price a class; the first that the sheet names wins. A class without its own price is never free:
 * it costs what the plain class costs, so an operator who buys it dearer must list it.
 */
const COVERED_BY: Readonly<Record<UsageClass, readonly Meter[]>> = {
  input: ['input'],
  cache_read: ['cache_read', 'input'],
  cache_write_5m: ['cache_write_5m', 'input'],
  cache_write_1h: ['cache_write_1h', 'cache_write_5m', 'input'],
  input_audio: ['input_audio', 'input'],
  input_image: ['input_image', 'input'],
  output: ['output'],
  output_audio: ['output_audio', 'output'],
}

const MINUTES_A_DAY = 1440

/** @returns the version in force at that time, or null when the first begins later. */
export function priceVersionAt(versions: readonly PriceVersion[], atMs: number): PriceVersion | null {
  return latestAt(versions, atMs)
}

/** The last entry whose `effectiveFromMs` has come; of two at one time the later in the list. */
export function latestAt<T extends { readonly effectiveFromMs: number }>(
  entries: readonly T[],
  atMs: number,
): T | null {
  let latest: T | null = null
  for (const entry of entries) {
    if (entry.effectiveFromMs > atMs) continue
    if (latest === null || entry.effectiveFromMs >= latest.effectiveFromMs) latest = entry
  }
  return latest
}

/** `days` names the day on which a window opens, so a window over midnight keeps its day until it closes. */
function windowCovers(window: PriceWindow, atMs: number): boolean {
  const minutes = Math.floor(atMs / 60_000)
  const minute = ((minutes % MINUTES_A_DAY) + MINUTES_A_DAY) % MINUTES_A_DAY
  const day = Math.floor(minutes / MINUTES_A_DAY)
  const opensOn = (offset: number): boolean =>
    // 1970-01-01 was a Thursday.
    window.days.length === 0 || window.days.includes((((day + offset + 4) % 7) + 7) % 7)
  if (window.startMinute < window.endMinute)
    return minute >= window.startMinute && minute < window.endMinute && opensOn(0)
  return (minute >= window.startMinute && opensOn(0)) || (minute < window.endMinute && opensOn(-1))
}

/** What selects the rates of a sheet's `service_tiers`; both names come from a provider's answer. */
export type RateSelector = Pick<PriceContext, 'serviceTier' | 'geography'>

function isBaseTier(serviceTier: string | null): serviceTier is null | 'default' | 'standard' {
  return serviceTier === null || serviceTier === 'default' || serviceTier === 'standard'
}

/**
 * The sheet's own prices for a tier and a place; null where the request uses base rates. `priority-us` is the price of
 * both together; a sheet without it has the tier's, and without that the place's.
 */
export function serviceTierRates(sheet: PriceSheet, { serviceTier, geography }: RateSelector): Rates | null {
  const tier = isBaseTier(serviceTier) ? null : serviceTier
  const place = geography ?? null
  if (tier === null && place === null) return null
  for (const name of [tier === null || place === null ? null : `${tier}-${place}`, tier, place])
    if (name !== null && Object.hasOwn(sheet.serviceTiers, name)) return sheet.serviceTiers[name] ?? null
  return null
}

/** Every rate that a request with these wishes may be billed at; `auto` leaves the choice to the provider. */
export function serviceTiersPossible(sheet: PriceSheet, asked: RateSelector): ReadonlyArray<Rates | null> {
  if (asked.serviceTier === 'auto') return [null, ...Object.values(sheet.serviceTiers)]
  const requested = serviceTierRates(sheet, asked)
  const placed = serviceTierRates(sheet, { ...asked, serviceTier: null })
  return [...new Set([null, requested, placed])]
}

/** The highest tier that the total input exceeds; a total equal to the limit is still below it. */
export function tierFor(sheet: PriceSheet, totalInputTokens: number): PriceTier | null {
  let applies: PriceTier | null = null
  for (const tier of sheet.tiers) {
    if (tier.aboveInputTokens >= totalInputTokens) continue
    if (applies === null || tier.aboveInputTokens > applies.aboveInputTokens) applies = tier
  }
  return applies
}

/**
 * Base, then each time window that covers the admission in the sheet's order, then the tier, then the service tier;
 * each overrides the meters it names and leaves the rest. The service tier is last since it is what was bought
 * explicitly; the tier is after the window since a long request costs more at any hour.
 */
export function mergeRates(
  sheet: PriceSheet,
  admittedAtMs: number,
  tier: PriceTier | null,
  service: Rates | null,
): Rates {
  if (sheet.windows.length === 0 && tier === null && service === null) return sheet.rates
  const windows = sheet.windows.filter((window) => windowCovers(window, admittedAtMs))
  if (windows.length === 0 && tier === null && service === null) return sheet.rates
  return Object.assign(
    {},
    sheet.rates,
    ...windows.map((window) => window.rates),
    tier?.rates,
    service,
  ) as Rates
}

/** The rates one request is billed at; see {@link mergeRates} for the order. */
export function ratesFor(
  sheet: PriceSheet,
  context: PriceContext & { readonly totalInputTokens: number },
): Rates {
  const tier = tierFor(sheet, context.totalInputTokens)
  return mergeRates(sheet, context.admittedAtMs, tier, serviceTierRates(sheet, context))
}

/** The unit price of a usage class. A sheet without input or output price never gets past the configuration. */
export function unitFor(rates: Rates, usageClass: UsageClass): UnitPrice {
  for (const meter of COVERED_BY[usageClass]) {
    const unit = rates[meter]
    if (unit !== undefined) return unit
  }
  throw new RangeError(`the price sheet has no rate that covers ${usageClass}`)
}

/** What each meter of the request counts and costs a unit; undefined where the request does not use the meter. */
function unitOf(rates: Rates, meter: Meter): UnitPrice | undefined {
  return meter === 'request' || meter === 'web_search' ? rates[meter] : unitFor(rates, meter)
}

function quantityOf(usage: Usage, meter: Meter): number {
  if (meter === 'request') return 1
  return (meter === 'web_search' ? usage.calls.web_search : usage.counts[meter]) ?? 0
}

/**
 * Prices usage exactly. Reasoning tokens are inside output and are not priced again; a call the sheet has no price for
 * is free.
 * @throws RangeError for a sheet without a covering rate; AssertionFailed for a count that is no non-negative safe integer
 */
export function priceUsage(sheet: PriceSheet, usage: Usage, context: PriceContext): PricedUsage {
  const { admittedAtMs, serviceTier, geography } = context
  const totalInputTokens = totalInput(usage.counts)
  const rates = ratesFor(sheet, { admittedAtMs, serviceTier, geography: geography ?? null, totalInputTokens })
  const lines: PricedLine[] = []
  let totalNano = 0n
  for (const meter of METERS) {
    const quantity = quantityOf(usage, meter)
    if (quantity === 0) continue
    assertCount(quantity, meter)
    const unit = unitOf(rates, meter)
    if (unit === undefined) continue
    const amountNano = lineAmount(BigInt(quantity), unit.pico, unit.per)
    lines.push({ meter, quantity, unit, amountNano })
    totalNano += amountNano
  }
  return { lines, totalNano }
}
