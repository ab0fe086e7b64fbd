/**
 * Keeps the price parts of seed/models in step with their sources.
 *
 *   node scripts/seed-prices.ts --check   exit 1 and a line per meter where a file and its source differ
 *   node scripts/seed-prices.ts --write   writes the price parts anew; everything else in a file stays
 */

import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Document, parse, visit } from 'yaml'
import {
  divideHalfEven,
  formatDecimal,
  isArray,
  isObject,
  type Json,
  type JsonObject,
  parseDecimal,
} from '../src/kernel/index.ts'
import { packagePrices } from './seed-package.ts'
import {
  CATALOG_DATE,
  EXAMPLE_RULE,
  PACKAGE,
  PRICING_PAGES,
  SEED_ENTRIES,
  type SeedEntry,
} from './seed-tables.ts'

export const SEED_ROOT = fileURLToPath(new URL('../seed/models', import.meta.url))

/** Reads the prices of one package entry; a test passes its own to prove that a difference is seen. */
export type PackageReader = (key: string) => readonly JsonObject[]

interface SeedRoute {
  readonly type: string
  readonly bucket: string
  readonly upstream_model: string
  readonly price?: Json
}

/** One file of seed/models. The price members are absent until the first `--write`. */
export interface SeedFile {
  readonly model: string
  readonly family: string
  readonly context: number
  readonly max_output: number
  readonly capabilities: readonly string[]
  /** The day on which the vendor switches the model off, where it has said so. */
  readonly retires?: string
  readonly reference_price?: Json
  readonly sources: JsonObject
  readonly routes: { readonly official: SeedRoute; readonly ordinary: SeedRoute }
}

/** The parts of a seed file that this script owns. */
export interface PriceParts {
  readonly reference_price: Json
  readonly official: Json
  readonly ordinary: Json
  readonly sources: JsonObject
}

const NOT_MONEY: readonly string[] = ['currency', 'effective_from', 'utc', 'days', 'per']

/** Applies `change` to every decimal of a price, however deep: tiers, windows, prices per call. */
function mapDecimals(value: Json, change: (decimal: string) => string): Json {
  if (typeof value === 'string') return change(value)
  if (isArray(value)) return value.map((item) => mapDecimals(item, change))
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, member]) => [
      key,
      NOT_MONEY.includes(key) ? member : mapDecimals(member, change),
    ]),
  )
}

/** The example settlement price in CNY of a reference price in USD. */
export function exampleDecimal(usd: string): string {
  const micro = parseDecimal(usd, 6)
  if (micro === null) throw new RangeError(`${usd} is no price of at most six decimals`)
  // micro × hundredths is 10⁻⁸ of a yuan; the price keeps four decimals.
  return formatDecimal(divideHalfEven(micro * EXAMPLE_RULE.factorHundredths, 10_000n), EXAMPLE_RULE.decimals)
}

function withExtra(price: JsonObject, entry: SeedEntry): JsonObject {
  if (entry.extra === undefined) return price
  const { above, ...rates } = price
  const merged = { ...rates, ...entry.extra.rates }
  if (!isObject(above)) return merged
  const tiers = Object.entries(above).map(([start, tier]) => [
    start,
    { ...(isObject(tier) ? tier : {}), ...entry.extra?.above?.[start] },
  ])
  return { ...merged, above: Object.fromEntries(tiers) as JsonObject }
}

/** Tokens cost more there; a search does not. */
function withPlace(price: JsonObject, entry: SeedEntry): JsonObject {
  const { placed } = entry
  if (placed === undefined) return price
  const tokens = Object.entries(price).filter(([, unit]) => typeof unit === 'string')
  const rates = Object.fromEntries(
    tokens
      .filter(([name]) => !NOT_MONEY.includes(name))
      .map(([name, unit]) => [name, placedDecimal(String(unit), placed.percent)]),
  )
  return { ...price, service_tiers: { [placed.place]: rates } }
}

/** Exact: a price of six decimals times a percentage has eight. */
function placedDecimal(usd: string, percent: bigint): string {
  const micro = parseDecimal(usd, 6)
  if (micro === null) throw new RangeError(`${usd} is no price of at most six decimals`)
  return formatDecimal(micro * percent, 8)
}

/** The order in which a price is read; tiers and windows come last. */
const MEMBER_ORDER: readonly string[] = [
  'currency',
  'effective_from',
  'utc',
  'days',
  'input',
  'cache_read',
  'cache_write_5m',
  'cache_write_1h',
  'output',
  'input_audio',
  'output_audio',
  'input_image',
  'request',
  'web_search',
  'per',
  'price',
]

function rank(member: string): number {
  const at = MEMBER_ORDER.indexOf(member)
  return at === -1 ? MEMBER_ORDER.length : at
}

function inOrder(value: Json): Json {
  if (isArray(value)) return value.map(inOrder)
  if (!isObject(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => rank(a) - rank(b))
      .map(([key, member]) => [key, inOrder(member)]),
  )
}

function oneOrList(prices: readonly JsonObject[]): Json {
  const [only] = prices
  return prices.length === 1 && only !== undefined ? only : prices
}

function usdSource(entry: SeedEntry): JsonObject {
  if ('list' in entry.usd) return { list_price_usd: true, ...entry.usd.list.source }
  const provider = entry.usd.package.slice(0, entry.usd.package.indexOf('/'))
  const url = PRICING_PAGES[provider]
  if (url === undefined) throw new Error(`no pricing page is noted for ${provider}`)
  return { from: `${PACKAGE.name} ${PACKAGE.version} (${entry.usd.package})`, date: PACKAGE.date, url }
}

/** What the file of an entry has to say about prices, worked out from its sources. */
export function priceParts(entry: SeedEntry, readPackage: PackageReader = packagePrices): PriceParts {
  const usd = ('list' in entry.usd ? [entry.usd.list.price] : readPackage(entry.usd.package)).map((price) =>
    withPlace(withExtra(price, entry), entry),
  )
  const extra = entry.extra
  return {
    reference_price: inOrder(oneOrList(usd.map((price) => ({ currency: 'USD', ...price })))),
    official: inOrder(oneOrList(usd)),
    ordinary: inOrder(
      entry.cny === 'example' ? mapDecimals(oneOrList(usd), exampleDecimal) : entry.cny.list.price,
    ),
    sources: {
      reference_price: usdSource(entry),
      ...(entry.placed === undefined ? {} : { service_tiers: { ...entry.placed.source } }),
      ...(extra === undefined ? {} : { extra_meters: { meters: Object.keys(extra.rates), ...extra.source } }),
      ordinary_price:
        entry.cny === 'example'
          ? { example: true, from: EXAMPLE_RULE.words, date: CATALOG_DATE }
          : { list_price_cny: true, ...entry.cny.list.source },
    },
  }
}

function fileOf(root: string, entry: SeedEntry): string {
  return join(root, entry.vendor, `${entry.model}.yaml`)
}

/** @returns the parsed file; its shape is what test/seed.test.ts asserts */
export function readSeed(file: string): SeedFile {
  return parse(readFileSync(file, 'utf8')) as SeedFile
}

/** Every leaf with its path, so that a difference names one meter. */
function leaves(value: Json | undefined, path: string): readonly (readonly [string, string])[] {
  if (value === undefined) return []
  if (typeof value !== 'object' || value === null) return [[path, JSON.stringify(value)]]
  return Object.entries(value).flatMap(([key, member]) => leaves(member as Json, `${path}.${key}`))
}

function differences(name: string, seed: Json | undefined, source: Json): readonly string[] {
  const have = new Map(leaves(seed, name))
  const want = new Map(leaves(source, name))
  const paths = [...new Set([...want.keys(), ...have.keys()])]
  return paths
    .filter((path) => have.get(path) !== want.get(path))
    .map((path) => `${path}: seed ${have.get(path) ?? 'nothing'}, source ${want.get(path) ?? 'nothing'}`)
}

/** @returns one line per difference between the files and their sources; empty when they agree */
export function driftReport(root: string = SEED_ROOT, readPackage: PackageReader = packagePrices): string[] {
  const known = new Set(SEED_ENTRIES.map((entry) => fileOf(root, entry)))
  const lines = globSync('**/*.yaml', { cwd: root })
    .map((name) => join(root, name))
    .filter((file) => !known.has(file))
    .map((file) => `${file}: no entry in the tables takes this model`)
  for (const entry of SEED_ENTRIES) {
    const file = fileOf(root, entry)
    if (!existsSync(file)) {
      lines.push(`${entry.vendor}/${entry.model}: the file is missing`)
      continue
    }
    const seed = readSeed(file)
    const parts = priceParts(entry, readPackage)
    const found = [
      ...differences('reference_price', seed.reference_price, parts.reference_price),
      ...differences('official', seed.routes.official.price, parts.official),
      ...differences('ordinary', seed.routes.ordinary.price, parts.ordinary),
      ...differences('sources', withoutRetirement(seed.sources), parts.sources),
    ]
    lines.push(...found.map((line) => `${entry.vendor}/${entry.model} ${line}`))
  }
  return lines
}

/** The source of a retirement date is kept by hand and never rewritten. */
function withoutRetirement(sources: JsonObject): JsonObject {
  const { retires: _kept, ...rest } = sources
  return rest
}

const FLOW_MAX_CHARS = 100

/** Block style, but a price, tier or window of a line's length stands on one line: it is read and compared as one. */
function seedText(seed: SeedFile): string {
  const document = new Document(seed, { aliasDuplicateObjects: false })
  visit(document, {
    Collection(_key, node) {
      const flat = JSON.stringify(node.toJSON())
      node.flow = flat.length <= FLOW_MAX_CHARS && !flat.slice(1).includes('{') && !flat.includes('"url"')
    },
  })
  return document.toString({ lineWidth: 0, flowCollectionPadding: false })
}

function writeEntry(entry: SeedEntry): void {
  const file = fileOf(SEED_ROOT, entry)
  const { reference_price: _price, sources, routes, ...kept } = readSeed(file)
  const { retires } = sources
  const parts = priceParts(entry)
  const text = seedText({
    ...kept,
    reference_price: parts.reference_price,
    sources: { ...parts.sources, ...(retires === undefined ? {} : { retires }) },
    routes: {
      official: { ...routes.official, price: parts.official },
      ordinary: { ...routes.ordinary, price: parts.ordinary },
    },
  })
  writeFileSync(file, text)
}

function main(mode: string | undefined): number {
  if (mode === '--write') {
    for (const entry of SEED_ENTRIES) writeEntry(entry)
    console.log(`wrote the prices of ${SEED_ENTRIES.length} models`)
    return 0
  }
  if (mode !== '--check') {
    console.error('usage: node scripts/seed-prices.ts --check | --write')
    return 2
  }
  const lines = driftReport()
  for (const line of lines) console.log(line)
  console.log(
    lines.length === 0
      ? `${SEED_ENTRIES.length} models agree with ${PACKAGE.name} ${PACKAGE.version} and the list prices`
      : `${lines.length} differences`,
  )
  return lines.length === 0 ? 0 : 1
}

if (import.meta.main) process.exitCode = main(process.argv[2])
