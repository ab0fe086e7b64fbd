import { z } from 'zod'
import { METERS, type Meter } from '../contract/index.ts'
import { isoTime, parsePico } from '../kernel/index.ts'
import type { PriceSheet, PriceTier, PriceWindow, Rates, UnitPrice } from './types.ts'
import { closed, integer, NAMES, oneOrList, PARSE } from './yaml-schema-parts.ts'
import { NumberLiteral } from './yaml-tree.ts'

/** A price as the file gives it: when it begins, and the sheet without the currency that its bucket decides. */
export interface WrittenPrice {
  readonly currency: string | null
  /** 0 when the file gives no date: in force since ever. */
  readonly effectiveFromMs: number
  readonly sheet: Omit<PriceSheet, 'currency'>
}

const PLAIN_DECIMAL = /^\d{1,18}(?:\.\d{1,18})?$/
const PRICE_MAX_PICO = 1_000_000_000n * 10n ** 12n
const TOKENS_PER = 1_000_000n
const CALLS_PER_MAX = 1_000_000
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const
const RFC3339 =
  /^(\d{4}-\d{2}-\d{2})[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/
const UTC_RANGE = /^([01]\d|2[0-3]):([0-5]\d)-(?:([01]\d|2[0-3]):([0-5]\d)|24:00)$/

/**
 * A decimal, exactly as it is written. An unquoted number is taken from the text of the file, never from the float that
 * YAML makes of it; where that text is no plain decimal the number is refused.
 */
function readDecimal(value: unknown): { readonly text: string; readonly pico: bigint } | string {
  const unquoted = value instanceof NumberLiteral
  const text = unquoted ? value.source : value
  if (text === undefined || text === null) return 'is missing'
  if (typeof text !== 'string') return 'must be a price: a decimal in quotes, such as "0.25"'
  if (/^-/.test(text)) return 'a price cannot be negative'
  if (!PLAIN_DECIMAL.test(text)) {
    if (unquoted)
      return 'this number cannot be read exactly; put it in quotes as a plain decimal, such as "0.25"'
    return 'is not a plain decimal, such as "0.25"'
  }
  const pico = parsePico(text)
  if (pico === null) return 'a price has at most 12 decimals'
  if (pico > PRICE_MAX_PICO) return 'a price above 1,000,000,000 cannot be right'
  return { text, pico }
}

const decimal = z.unknown().transform((value, context) => {
  const read = readDecimal(value)
  if (typeof read !== 'string') return read
  context.addIssue({ code: 'custom', message: read })
  return z.NEVER
})

const perTokens = decimal.transform((read): UnitPrice => ({ ...read, per: TOKENS_PER }))

/** Plain text is refused: "per request" and "per 1,000 requests" are a thousandfold apart. */
const perCalls = z.unknown().transform((value, context): UnitPrice => {
  if (typeof value === 'string' || value instanceof NumberLiteral) {
    context.addIssue({
      code: 'custom',
      message: 'must say how many calls the price is for: {per: 1000, price: "10"}',
    })
    return z.NEVER
  }
  const read = calls.safeParse(value, PARSE)
  if (read.success) return { ...read.data.price, per: BigInt(read.data.per) }
  for (const issue of read.error.issues) context.addIssue({ ...issue } as never)
  return z.NEVER
})

const calls = closed({ per: integer(1, CALLS_PER_MAX), price: decimal })

const optionalRates = {
  input: perTokens.nullish(),
  cache_read: perTokens.nullish(),
  cache_write_5m: perTokens.nullish(),
  cache_write_1h: perTokens.nullish(),
  output: perTokens.nullish(),
  input_audio: perTokens.nullish(),
  output_audio: perTokens.nullish(),
  input_image: perTokens.nullish(),
  request: perCalls.nullish(),
  web_search: perCalls.nullish(),
} satisfies Record<Meter, z.ZodType>

function ratesOf(read: Readonly<Partial<Record<Meter, UnitPrice | null | undefined>>>): Rates {
  const rates: Partial<Record<Meter, UnitPrice>> = {}
  for (const meter of METERS) {
    const unit = read[meter]
    if (unit !== null && unit !== undefined) rates[meter] = unit
  }
  return rates
}

const someRates = closed(optionalRates)
  .transform(ratesOf)
  .refine((rates) => Object.keys(rates).length > 0, 'names no price')

const tiers = z.record(z.string(), someRates).transform((read, context): PriceTier[] => {
  const list: PriceTier[] = []
  for (const [limit, rates] of Object.entries(read)) {
    const aboveInputTokens = /^[1-9]\d{0,11}$/.test(limit) ? Number.parseInt(limit, 10) : null
    if (aboveInputTokens === null)
      context.addIssue({
        code: 'custom',
        path: [limit],
        message: 'must be a number of input tokens, such as "200000"',
      })
    else list.push({ aboveInputTokens, rates })
  }
  return list.sort((a, b) => a.aboveInputTokens - b.aboveInputTokens)
})

const serviceTiers = z.record(z.string(), someRates).superRefine((read, context) => {
  for (const name of Object.keys(read)) {
    if (name === 'default' || name === 'standard')
      context.addIssue({
        code: 'custom',
        path: [name],
        message: 'the prices outside service_tiers are the ones of this tier',
      })
    else if (!NAMES.serviceTier.test(name))
      context.addIssue({
        code: 'custom',
        path: [name],
        message: 'is no name of a service tier (a-z, 0-9, _ and -)',
      })
  }
})

const utcRange = z.string().transform((text, context) => {
  const match = UTC_RANGE.exec(text)
  const minute = (hours: string | undefined, minutes: string | undefined): number =>
    hours === undefined ? 1440 : Number.parseInt(hours, 10) * 60 + Number.parseInt(minutes ?? '', 10)
  const startMinute = minute(match?.[1], match?.[2])
  const endMinute = minute(match?.[3], match?.[4])
  if (match !== null && startMinute !== endMinute) return { startMinute, endMinute }
  context.addIssue({
    code: 'custom',
    message: 'must be two different times of the UTC day, such as "00:30-08:30"',
  })
  return z.NEVER
})

const window = closed({ utc: utcRange, days: z.array(z.enum(DAYS)).min(1).nullish(), ...optionalRates })
  .transform(
    ({ utc, days, ...rates }): PriceWindow => ({
      ...utc,
      days: [...new Set((days ?? []).map((day) => DAYS.indexOf(day)))].sort((a, b) => a - b),
      rates: ratesOf(rates),
    }),
  )
  .refine(({ rates }) => Object.keys(rates).length > 0, 'names no price')

const time = z.string().transform((text, context) => {
  const date = RFC3339.exec(text)?.[1]
  const atMs = Date.parse(text)
  // The engine rolls 30 February over to March; the date alone must come back as it was.
  const real =
    date !== undefined && !Number.isNaN(atMs) && isoTime(Date.parse(`${date}T00:00:00Z`)).startsWith(date)
  if (real && atMs > 0) return atMs
  context.addIssue({
    code: 'custom',
    message: 'must be a time with its offset, such as 2027-01-01T00:00:00Z',
  })
  return z.NEVER
})

const currency = z.string().regex(/^[A-Z]{3}$/, 'must be a currency of three letters, such as USD')

const priceShape = {
  currency: currency.nullish(),
  effective_from: time.nullish(),
  ...optionalRates,
  input: perTokens,
  output: perTokens,
  above: tiers.nullish(),
  service_tiers: serviceTiers.nullish(),
  windows: z.array(window).nullish(),
}

function writtenPrice(read: z.output<z.ZodObject<typeof priceShape>>): WrittenPrice {
  const { currency: code, effective_from: fromMs, above, service_tiers: services, windows, ...rates } = read
  return {
    currency: code ?? null,
    effectiveFromMs: fromMs ?? 0,
    sheet: {
      rates: ratesOf(rates),
      tiers: above ?? [],
      serviceTiers: services ?? {},
      windows: windows ?? [],
    },
  }
}

/** What a route's tokens cost: one price, or several with the times from which they hold. */
export const routePrice = oneOrList(closed(priceShape).transform(writtenPrice), dated)

/** The official list price, which belongs to no bucket and so names its currency. */
export const referencePrice = oneOrList(closed({ ...priceShape, currency }).transform(writtenPrice), dated)

export { currency as currencyCode }

/** @returns the faults of a list as [index, problem]; the list is sorted by time afterwards. */
function dated(prices: readonly WrittenPrice[]): [number, string][] {
  const faults: [number, string][] = []
  const seen = new Set<number>()
  prices.forEach(({ effectiveFromMs }, i) => {
    if (seen.has(effectiveFromMs))
      faults.push([
        i,
        effectiveFromMs === 0
          ? 'only one price may be without effective_from'
          : 'begins at the same time as another price',
      ])
    seen.add(effectiveFromMs)
  })
  return faults
}
