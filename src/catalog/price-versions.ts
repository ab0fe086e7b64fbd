import { createHash } from 'node:crypto'
import type { Queryable } from '../db/index.ts'
import { assert, type IdSource, isoTime, type Uuid } from '../kernel/index.ts'
import type { ConfigModel } from './forge-config.ts'
import { sheetContent, sheetFromContent } from './sheet-content.ts'
import type { PriceSheet, PriceVersion } from './types.ts'

/** A price that must have a version before anything can be charged at it. */
export interface WantedPrice {
  readonly model: string
  readonly route: string
  readonly bucket: string
  readonly effectiveFromMs: number
  readonly sheet: PriceSheet
}

/** By {@link priceKey}. */
export type PriceVersionIds = ReadonlyMap<string, Uuid>

/** A version with what it is the price of, for audits and the price history. */
export interface StoredPriceVersion extends PriceVersion {
  readonly model: string
  readonly route: string
  readonly bucket: string
  readonly createdAtMs: number
}

interface VersionRow {
  readonly id: Uuid
  readonly model: string
  readonly route: string
  readonly bucket: string
  readonly effective_ms: bigint
  readonly content: string
  readonly created_ms: bigint
}

interface Keyed {
  readonly key: string
  readonly wanted: WantedPrice
  readonly content: string
  readonly sha256: string
}

/** Rows a statement: its time-out is for one statement, and a catalog may have tens of thousands of prices. */
const ROWS_AT_ONCE = 1000

const COLUMNS = `id, model, route, bucket, content,
  (extract(epoch from effective_from) * 1000)::bigint as effective_ms,
  floor(extract(epoch from created_at) * 1000)::bigint as created_ms`

export function priceKey(model: string, route: string, effectiveFromMs: number): string {
  return JSON.stringify([model, route, effectiveFromMs])
}

export function wantedPrices(models: readonly ConfigModel[]): WantedPrice[] {
  return models.flatMap((model) =>
    model.routes.flatMap((route) =>
      route.prices.map((price) => ({ model: model.name, route: route.name, bucket: route.bucket, ...price })),
    ),
  )
}

/**
 * Makes sure that every wanted price has a stored version, and reuses the version of an identical one. Safe when
 * several processes start at once: whoever inserts second waits for the first, inserts nothing and reads its id.
 */
export async function storePriceVersions(
  database: Queryable,
  wanted: readonly WantedPrice[],
  ids: IdSource,
): Promise<PriceVersionIds> {
  const keyed = wanted.map(keyedPrice)
  const found = new Map<string, Uuid>()
  await find(database, keyed, found)
  const missing = keyed.filter(({ key }) => !found.has(key))
  if (missing.length === 0) return found
  // One order for everybody: two processes that insert the same rows in different orders would lock each other out.
  missing.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
  for (const chunk of chunks(missing)) await insert(database, chunk, ids)
  // A statement of its own, so that it sees what another process has committed meanwhile.
  await find(database, missing, found)
  for (const { key } of missing)
    assert(found.has(key), `the price version of ${key} is not there after its insert`)
  return found
}

/** The version a charge names. */
export async function loadPriceVersion(database: Queryable, id: Uuid): Promise<StoredPriceVersion | null> {
  const row = await database.maybeOne<VersionRow>({
    text: `select ${COLUMNS} from catalog.price_version where id = $1`,
    values: [id],
  })
  return row === null ? null : stored(row)
}

/** Every price the model ever had here, by route, then by the time from which it held, then as they were stored. */
export async function priceHistory(
  database: Queryable,
  model: string,
): Promise<readonly StoredPriceVersion[]> {
  const rows = await database.query<VersionRow>({
    text: `select ${COLUMNS} from catalog.price_version where model = $1
      order by route, effective_from, created_at, id`,
    values: [model],
  })
  return rows.map(stored)
}

interface PriceVersionFilter {
  readonly model: string | null
  readonly route: string | null
  /** Only these, and none of those; null for no such limit. */
  readonly among: readonly Uuid[] | null
  readonly except: readonly Uuid[] | null
  /** The last version of the page before. */
  readonly after: Uuid | null
  readonly limit: number
}

/** By model and route, oldest first. A cursor of no version finds nothing behind it. */
export async function listPriceVersions(
  database: Queryable,
  filter: PriceVersionFilter,
): Promise<readonly StoredPriceVersion[]> {
  const { model, route, among, except, after, limit } = filter
  const rows = await database.query<VersionRow>({
    text: `select ${COLUMNS} from catalog.price_version
      where ($1::text is null or model = $1) and ($2::text is null or route = $2)
        and ($3::uuid[] is null or id = any($3)) and ($4::uuid[] is null or id <> all($4))
        and ($5::uuid is null or (model, route, effective_from, id) >
          (select p.model, p.route, p.effective_from, p.id from catalog.price_version p where p.id = $5))
      order by model, route, effective_from, id limit $6`,
    values: [model, route, among, except, after, limit],
  })
  return rows.map(stored)
}

function stored(row: VersionRow): StoredPriceVersion {
  return {
    id: row.id,
    model: row.model,
    route: row.route,
    bucket: row.bucket,
    effectiveFromMs: milliseconds(row.effective_ms),
    createdAtMs: milliseconds(row.created_ms),
    sheet: sheetFromContent(row.content),
  }
}

function milliseconds(value: bigint): number {
  return Number.parseInt(value.toString(), 10)
}

function keyedPrice(wanted: WantedPrice): Keyed {
  const content = sheetContent(wanted.sheet)
  return {
    key: priceKey(wanted.model, wanted.route, wanted.effectiveFromMs),
    wanted,
    content,
    sha256: createHash('sha256').update(content).digest('hex'),
  }
}

function* chunks(prices: readonly Keyed[]): Generator<readonly Keyed[]> {
  for (let i = 0; i < prices.length; i += ROWS_AT_ONCE) yield prices.slice(i, i + ROWS_AT_ONCE)
}

function columnsOf(prices: readonly Keyed[]): unknown[] {
  return [
    prices.map(({ wanted }) => wanted.model),
    prices.map(({ wanted }) => wanted.route),
    prices.map(({ wanted }) => wanted.bucket),
    prices.map(({ wanted }) => isoTime(wanted.effectiveFromMs)),
    prices.map(({ sha256 }) => sha256),
  ]
}

async function find(database: Queryable, prices: readonly Keyed[], found: Map<string, Uuid>): Promise<void> {
  for (const chunk of chunks(prices)) {
    const rows = await database.query<{ id: Uuid; n: number }>({
      text: `select v.id, w.n::int as n
        from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
          with ordinality as w (model, route, bucket, effective_from, sha256, n)
        join catalog.price_version v on v.model = w.model and v.route = w.route and v.bucket = w.bucket
          and v.effective_from = w.effective_from and v.content_sha256 = decode(w.sha256, 'hex')`,
      values: columnsOf(chunk),
    })
    for (const { id, n } of rows) {
      const price = chunk[n - 1]
      if (price !== undefined) found.set(price.key, id)
    }
  }
}

async function insert(database: Queryable, chunk: readonly Keyed[], ids: IdSource): Promise<void> {
  await database.query({
    text: `insert into catalog.price_version
        (model, route, bucket, effective_from, content_sha256, id, currency, content)
      select model, route, bucket, effective_from, decode(sha256, 'hex'), id, currency, content
        from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::uuid[], $7::text[], $8::text[])
          as w (model, route, bucket, effective_from, sha256, id, currency, content)
      on conflict (model, route, bucket, effective_from, content_sha256) do nothing`,
    values: [
      ...columnsOf(chunk),
      chunk.map(() => ids.uuid()),
      chunk.map(({ wanted }) => wanted.sheet.currency),
      chunk.map(({ content }) => content),
    ],
  })
}
