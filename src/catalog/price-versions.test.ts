import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, test } from 'node:test'
import { testDatabase } from '../../test/database.ts'
import { openDatabase, sqlState } from '../db/index.ts'
import { createIdSource, formatId, parseId, silentLog, systemClock } from '../kernel/index.ts'
import {
  loadPriceVersion,
  type PriceVersionIds,
  priceHistory,
  priceKey,
  storePriceVersions,
  type WantedPrice,
} from './price-versions.ts'
import { sheetContent, sheetFromContent } from './sheet-content.ts'
import type { PriceSheet, UnitPrice } from './types.ts'

const NEW_YEAR = Date.parse('2027-01-01T00:00:00.123Z')
const ids = createIdSource(systemClock.nowMs, randomBytes)
const db = await testDatabase({ after })

function unit(text: string, per = 1_000_000n): UnitPrice {
  return {
    pico: (BigInt(text.replace('.', '')) * 10n ** 12n) / 10n ** BigInt(text.split('.')[1]?.length ?? 0),
    per,
    text,
  }
}

function sheetOf(input: string): PriceSheet {
  return {
    currency: 'CNY',
    rates: { input: unit(input), output: unit('7.20'), web_search: unit('10', 1000n) },
    tiers: [{ aboveInputTokens: 200_000, rates: { input: unit('1.80') } }],
    serviceTiers: { flex: { input: unit('0.45') } },
    windows: [{ startMinute: 30, endMinute: 510, days: [1, 2], rates: { output: unit('3.60') } }],
  }
}

function wanted(model: string, input: string, effectiveFromMs = 0, route = 'ordinary'): WantedPrice {
  return { model, route, bucket: 'rmb', effectiveFromMs, sheet: sheetOf(input) }
}

async function store(...prices: WantedPrice[]): Promise<string[]> {
  const found = await storePriceVersions(db.app, prices, ids)
  return prices.map(
    (price) => found.get(priceKey(price.model, price.route, price.effectiveFromMs)) ?? 'missing',
  )
}

test('a sheet survives its stored form, and every difference in price gives another text', () => {
  const sheet = sheetOf('0.90')
  assert.deepEqual(sheetFromContent(sheetContent(sheet)), sheet)
  const texts = new Set(
    [
      sheet,
      sheetOf('0.91'),
      { ...sheet, tiers: [] },
      { ...sheet, windows: [] },
      { ...sheet, serviceTiers: {} },
    ].map(sheetContent),
  )
  assert.equal(texts.size, 5)
  assert.throws(() => sheetFromContent('{}'), RangeError)
  assert.throws(() => sheetFromContent('no'), RangeError)
})

test('an identical price keeps its version; another price, time or route has its own', async () => {
  const first = await store(
    wanted('a', '0.90'),
    wanted('a', '0.95', NEW_YEAR),
    wanted('a', '0.90', 0, 'pool'),
  )
  assert.equal(new Set(first).size, 3)
  assert.deepEqual(
    await store(wanted('a', '0.90'), wanted('a', '0.95', NEW_YEAR), wanted('a', '0.90', 0, 'pool')),
    first,
  )
  const [raised] = await store(wanted('a', '1.00'))
  assert.ok(!first.includes(raised ?? ''))
  // Back to the old price: the old version is in force again, history is not written twice.
  assert.deepEqual(await store(wanted('a', '0.90')), [first[0]])
})

test('a version is found by the id a charge names, with the exact sheet, and history lists every price', async () => {
  const [now, later] = await store(wanted('h', '0.90'), wanted('h', '1.10', NEW_YEAR))
  const loaded = await loadPriceVersion(db.app, later ?? '')
  assert.ok(loaded !== null)
  assert.deepEqual(loaded.sheet, sheetOf('1.10'))
  assert.deepEqual(
    [loaded.model, loaded.route, loaded.bucket, loaded.effectiveFromMs],
    ['h', 'ordinary', 'rmb', NEW_YEAR],
  )
  assert.ok(Math.abs(loaded.createdAtMs - systemClock.nowMs()) < 60_000)
  assert.equal(parseId('pv', formatId('pv', loaded.id)), later)
  assert.deepEqual(
    (await priceHistory(db.app, 'h')).map(({ id }) => id),
    [now, later],
  )
  assert.deepEqual(await priceHistory(db.app, 'nothing'), [])
  assert.equal(await loadPriceVersion(db.app, ids.uuid()), null)
})

test('processes that store the same prices at once agree on every id', async (t) => {
  const prices = Array.from({ length: 300 }, (_, i) =>
    wanted(`race-${i % 100}`, `0.${10 + Math.floor(i / 100)}`, Math.floor(i / 100)),
  )
  const pools = Array.from({ length: 6 }, () => openDatabase({ connection: db.url, log: silentLog, max: 1 }))
  t.after(() => Promise.all(pools.map((pool) => pool.close())))
  const stores = pools.map((pool, i) =>
    // Everybody in another order.
    storePriceVersions(
      pool,
      [...prices.slice(i * 50), ...prices.slice(0, i * 50)],
      createIdSource(systemClock.nowMs, randomBytes),
    ),
  )
  const [first, ...others] = await Promise.all(stores)
  assert.equal(first?.size, 300)
  for (const other of others) assert.deepEqual(other, first)
  const { n } = await db.database.one<{ n: bigint }>(
    `select count(*) as n from catalog.price_version where model like 'race-%'`,
  )
  assert.equal(n, 300n)
})

test('two processes that want the same prices in opposite orders never lock each other out', async (t) => {
  const prices = Array.from({ length: 9 }, (_, i) => wanted(`order-${i}`, '0.90'))
  const pools = [0, 1].map(() => openDatabase({ connection: db.url, log: silentLog, max: 1 }))
  t.after(() => Promise.all(pools.map((pool) => pool.close())))
  let stores: Promise<PriceVersionIds>[] = []
  // A third one has the middle row and has not committed: both get half way, and would then want each other's half.
  const held = await db.database.tx(async (tx) => {
    const middle = await storePriceVersions(tx, prices.slice(4, 5), ids)
    stores = pools.map((pool, i) => storePriceVersions(pool, i === 0 ? prices : prices.toReversed(), ids))
    for (let waiting = 0n; waiting < 2n; ) {
      // Outside the transaction, which would see the same activity for ever.
      ;({ waiting } = await db.database.one<{ waiting: bigint }>(
        `select count(*) as waiting from pg_stat_activity
           where datname = current_database() and wait_event_type = 'Lock'`,
      ))
    }
    return middle
  })
  const [first, second] = await Promise.all(stores)
  assert.equal(first?.size, 9)
  assert.deepEqual(second, first)
  assert.deepEqual([...held.values()], [first?.get(priceKey('order-4', 'ordinary', 0))])
})

test('more prices than fit into one statement are all stored', async () => {
  const prices = Array.from({ length: 2345 }, (_, i) => wanted(`many-${i}`, '0.90'))
  assert.equal(new Set(await store(...prices)).size, 2345)
})

test('nobody changes or removes a version, not even the owner of the table', async () => {
  await store(wanted('immutable', '0.90'))
  for (const statement of [
    `update catalog.price_version set content = content where model = 'immutable'`,
    `delete from catalog.price_version where model = 'nobody'`,
    'truncate catalog.price_version',
  ]) {
    await assert.rejects(db.database.query(statement), (thrown) => sqlState(thrown) === '23001', statement)
    if (db.appRole !== undefined)
      await assert.rejects(db.app.query(statement), (thrown) => sqlState(thrown) === '42501', statement)
  }
})

test('a content that is not what its hash or its currency says is refused by the database', async () => {
  const insert = (content: string, hashOf: string, currency: string) =>
    db.app.query(
      `insert into catalog.price_version (id, model, route, bucket, currency, effective_from, content, content_sha256)
       values ($1, 'm', 'r', 'rmb', $2, now(), $3, $4)`,
      [ids.uuid(), currency, content, createHash('sha256').update(hashOf).digest()],
    )
  const content = sheetContent(sheetOf('0.90'))
  await assert.rejects(insert(content, `${content} `, 'CNY'), /content_matches_hash/)
  await assert.rejects(insert(content, content, 'USD'), /content_matches_currency/)
  await insert(content, content, 'CNY')
})
