import type { ConfigModel, ConfigRoute, ForgeConfig } from './forge-config.ts'
import { latestAt } from './price.ts'
import { type PriceVersionIds, priceKey } from './price-versions.ts'
import type {
  Bucket,
  CatalogModel,
  CatalogSnapshot,
  Channel,
  PriceSheet,
  PriceVersion,
  Route,
} from './types.ts'

/** A model or route that is not served, and why. */
export interface CatalogWarning {
  readonly model: string
  readonly route: string | null
  readonly problem: string
}

export interface SnapshotOptions {
  /** Decides which list price is the current one. */
  readonly nowMs: number
  readonly onWarning?: (warning: CatalogWarning) => void
}

/**
 * Puts a checked configuration and the ids of its stored prices together, frozen through and through. A route without
 * an exact, stored price is left out with a warning, and a model without any route as well: nothing that cannot be
 * charged is ever served.
 */
export function buildSnapshot(
  config: ForgeConfig,
  versionIds: PriceVersionIds,
  revision: number,
  options: SnapshotOptions,
): CatalogSnapshot {
  const buckets = new Map(config.buckets.map((bucket) => [bucket.id, Object.freeze(bucket)]))
  const channels = new Map(config.channels.map((channel) => [channel.name, deepFreeze(channel)]))
  const models = new Map<string, CatalogModel>()
  for (const model of config.models) {
    const routes = model.routes.flatMap((route) => {
      const built = routeOf(model, route, buckets, channels, versionIds)
      if (typeof built !== 'string') return [built]
      options.onWarning?.({ model: model.name, route: route.name, problem: built })
      return []
    })
    if (routes.length > 0) models.set(model.name, deepFreeze(catalogModel(model, routes, options.nowMs)))
    else options.onWarning?.({ model: model.name, route: null, problem: 'has no route that can be served' })
  }
  return Object.freeze({
    revision,
    buckets: frozenMap(buckets),
    channels: frozenMap(channels),
    models: frozenMap(models),
  })
}

/** The list price at a time; null before the first, or where the model has none. */
export function referenceSheetAt(model: CatalogModel, atMs: number): PriceSheet | null {
  if (model.referencePrices === undefined) return model.referencePrice
  return latestAt(model.referencePrices, atMs)?.sheet ?? null
}

/** The models by name, for lists. */
export function listModels(snapshot: CatalogSnapshot): readonly CatalogModel[] {
  return [...snapshot.models.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function catalogModel(model: ConfigModel, routes: readonly Route[], nowMs: number): CatalogModel {
  const { referencePrices } = model
  return {
    name: model.name,
    contextTokens: model.contextTokens,
    maxOutputTokens: model.maxOutputTokens,
    family: model.family,
    capabilities: model.capabilities,
    referencePrice: latestAt(referencePrices, nowMs)?.sheet ?? null,
    routes,
    ...(referencePrices.length === 0 ? {} : { referencePrices }),
    ...(model.policy === null ? {} : { policy: model.policy }),
    ...(model.retires === null ? {} : { retires: model.retires }),
  }
}

/** @returns the route, or why it cannot be served. */
function routeOf(
  model: ConfigModel,
  route: ConfigRoute,
  buckets: ReadonlyMap<string, Bucket>,
  channels: ReadonlyMap<string, Channel>,
  versionIds: PriceVersionIds,
): Route | string {
  const bucket = buckets.get(route.bucket)
  if (bucket === undefined) return `there is no bucket "${route.bucket}"`
  const prices: PriceVersion[] = []
  for (const { effectiveFromMs, sheet } of route.prices) {
    const id = versionIds.get(priceKey(model.name, route.name, effectiveFromMs))
    if (id === undefined) return 'has a price without a stored version'
    if (sheet.currency !== bucket.currency)
      return `has a price in ${sheet.currency}, but "${bucket.id}" holds ${bucket.currency}`
    prices.push({ id, sheet, effectiveFromMs })
  }
  if (prices.length === 0) return 'has no exact price'
  const routeChannels = route.channels.flatMap(({ channel: name, ...entry }) => {
    const channel = channels.get(name)
    return channel === undefined ? [] : [{ channel, ...entry }]
  })
  if (routeChannels.length === 0) return 'has no channel'
  return {
    name: route.name,
    type: route.type,
    bucket,
    prices,
    channels: routeChannels.sort((a, b) => a.priority - b.priority),
    holdWindowTokens: route.holdWindowTokens,
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const member of Object.values(value)) deepFreeze(member)
  return value
}

/** Object.freeze leaves a map's entries open. */
function frozenMap<K, V>(entries: ReadonlyMap<K, V>): ReadonlyMap<K, V> {
  const refuse = (): never => {
    throw new TypeError('a catalog snapshot is never edited; it is replaced')
  }
  return Object.freeze(Object.assign(new Map(entries), { set: refuse, delete: refuse, clear: refuse }))
}
