import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseForgeYaml } from './forge-yaml.ts'
import { priceUsage, priceVersionAt } from './price.ts'
import { priceKey, wantedPrices } from './price-versions.ts'
import { loadSeed, parseSeed, sandboxChannel } from './seed.ts'
import { buildSnapshot, type CatalogWarning, listModels, referenceSheetAt } from './snapshot.ts'

const SEED = join(import.meta.dirname, '..', '..', 'seed', 'models')
const NOW = Date.parse('2026-11-24T00:00:00Z')

const route = (bucket: string, input: string): string =>
  `{type: official, bucket: ${bucket}, price: {input: "${input}", output: "1"}, channels: [{channel: b, priority: 1}, {channel: a}, {channel: c}]}`
const TEXT = `
channels:
  a: {protocol: openai, base_url: http://a}
  b: {protocol: openai, base_url: http://b}
  c: {protocol: openai, base_url: http://c}
models:
  z:
    context: 10
    max_output: 5
    policy: cheapest
    reference_price:
      - {currency: USD, input: "1", output: "1"}
      - {currency: USD, effective_from: 2027-01-01T00:00:00Z, input: "2", output: "2"}
    routes: {official: ${route('credit', '1')}, pool: ${route('credit', '2')}}
  y: {context: 10, max_output: 5, routes: {official: ${route('credit', '1')}}}
`

function built(without: readonly string[] = []) {
  const read = parseForgeYaml(TEXT, {})
  assert.ok(read.ok)
  const versions = new Map(
    wantedPrices(read.config.models)
      .map(
        ({ model, route: name, effectiveFromMs }) =>
          [priceKey(model, name, effectiveFromMs), `${model}/${name}`] as const,
      )
      .filter(([, id]) => !without.includes(id)),
  )
  const warnings: CatalogWarning[] = []
  const snapshot = buildSnapshot(read.config, versions, 7, {
    nowMs: NOW,
    onWarning: (warning) => warnings.push(warning),
  })
  return { snapshot, warnings }
}

test('a snapshot has every route with its stored price and its channels by priority', () => {
  const { snapshot, warnings } = built()
  assert.equal(snapshot.revision, 7)
  assert.deepEqual(
    listModels(snapshot).map(({ name }) => name),
    ['y', 'z'],
  )
  const [official, pool] = snapshot.models.get('z')?.routes ?? []
  assert.deepEqual([official?.name, pool?.name], ['official', 'pool'])
  assert.equal(official?.prices[0]?.id, 'z/official')
  assert.deepEqual(
    official?.channels.map(({ channel, priority }) => [channel.name, priority]),
    [
      ['a', 0],
      ['c', 0],
      ['b', 1],
    ],
  )
  assert.equal(official?.bucket, snapshot.buckets.get('credit'))
  assert.equal(snapshot.models.get('z')?.policy, 'cheapest')
  assert.deepEqual(warnings, [])
})

test('what has no stored price is not served, and the warning names it', () => {
  const { snapshot, warnings } = built(['z/pool', 'y/official'])
  assert.deepEqual(
    snapshot.models.get('z')?.routes.map(({ name }) => name),
    ['official'],
  )
  assert.equal(snapshot.models.has('y'), false)
  assert.deepEqual(warnings, [
    { model: 'z', route: 'pool', problem: 'has a price without a stored version' },
    { model: 'y', route: 'official', problem: 'has a price without a stored version' },
    { model: 'y', route: null, problem: 'has no route that can be served' },
  ])
})

test('nothing in a snapshot can be changed', () => {
  const { snapshot } = built()
  const model = snapshot.models.get('z')
  assert.throws(() => (snapshot.models as Map<string, unknown>).set('x', 1), TypeError)
  assert.throws(() => (snapshot.buckets as Map<string, unknown>).clear(), TypeError)
  for (const part of [
    snapshot,
    model,
    model?.routes,
    model?.routes[0]?.prices[0]?.sheet.rates.input,
    model?.routes[0]?.bucket,
    snapshot.channels.get('a')?.timeouts,
  ])
    assert.ok(part !== undefined && Object.isFrozen(part))
})

test('a list price that changes on a date is the one of the time that is asked for', () => {
  const model = built().snapshot.models.get('z')
  assert.ok(model !== undefined)
  assert.equal(model.referencePrice?.rates.input?.text, '1')
  assert.equal(referenceSheetAt(model, Date.parse('2026-12-31T23:59:59Z'))?.rates.input?.text, '1')
  assert.equal(referenceSheetAt(model, Date.parse('2027-01-01T00:00:00Z'))?.rates.input?.text, '2')
})

test('every file of the starter catalog is served by the sandbox at a price that can be charged', async () => {
  const read = parseForgeYaml('', {})
  assert.ok(read.ok)
  const { models, warnings } = await loadSeed(SEED, read.config.buckets)
  assert.deepEqual(warnings, [])
  assert.equal(models.length, globSync('**/*.yaml', { cwd: SEED }).length)
  const versions = new Map(
    wantedPrices(models).map((price, i) => [
      priceKey(price.model, price.route, price.effectiveFromMs),
      String(i),
    ]),
  )
  const config = { ...read.config, models, channels: [sandboxChannel('http://127.0.0.1:1/v1/')] }
  const snapshot = buildSnapshot(config, versions, 1, { nowMs: NOW })
  for (const model of listModels(snapshot)) {
    for (const { prices, channels } of model.routes) {
      assert.ok(channels.every(({ channel, upstreamModel }) => channel.sandbox && upstreamModel !== ''))
      const sheet = priceVersionAt(prices, NOW)?.sheet
      assert.ok(sheet !== undefined, model.name)
      const usage = {
        counts: { input: 1000, output: 1000 },
        reasoning: null,
        calls: {},
        source: 'reported',
      } as const
      assert.ok(priceUsage(sheet, usage, { admittedAtMs: NOW, serviceTier: null }).totalNano > 0n)
    }
  }
  assert.equal(snapshot.channels.get('sandbox')?.baseUrl, 'http://127.0.0.1:1/v1')
  assert.equal(snapshot.channels.get('sandbox')?.publicName, 'Sandbox (no real model)')
})

test('a seed file with a fault says which, and its bucket’s currency counts', () => {
  const usd = [{ id: 'credit', currency: 'USD', name: 'Credit' }]
  const text =
    'model: m\ncontext: 1\nmax_output: 2\nroutes: {r: {type: official, bucket: credit, price: {currency: CNY, input: "1"}}}'
  const read = parseSeed(text, usd)
  assert.deepEqual(read.faults, [
    { path: 'routes.r.price.output', problem: 'is missing' },
    { path: 'models.m.max_output', problem: 'is larger than the context of 1 tokens' },
    { path: 'models.m.routes.r.price.currency', problem: 'is CNY, but the bucket "credit" holds USD' },
  ])
})
