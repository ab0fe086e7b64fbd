import { BUILT_IN_BUCKETS, type Policy, type RouteType } from '../contract/index.ts'
import { platformBaseUrl } from './platform-address.ts'
import type { WrittenPrice } from './price-schema.ts'
import type { Bucket, Channel, DatedSheet, PriceSheet } from './types.ts'
import type { WrittenFile, WrittenModelBase, WrittenRouteBase } from './yaml-schema.ts'

/** A forge.yaml without faults: every reference in it leads somewhere. Prices have no version id yet. */
export interface ForgeConfig {
  readonly buckets: readonly Bucket[]
  readonly channels: readonly Channel[]
  readonly models: readonly ConfigModel[]
}

export interface ConfigModel {
  readonly name: string
  readonly contextTokens: number
  readonly maxOutputTokens: number
  readonly family: string | null
  readonly capabilities: readonly string[]
  readonly policy: Policy | null
  /** A date, as it is written. */
  readonly retires: string | null
  /** Ascending by effective time. */
  readonly referencePrices: readonly DatedSheet[]
  readonly routes: readonly ConfigRoute[]
}

export interface ConfigRoute {
  readonly name: string
  readonly type: RouteType
  /** The bucket's id. */
  readonly bucket: string
  readonly holdWindowTokens: number | null
  /** Ascending by effective time. */
  readonly prices: readonly DatedSheet[]
  readonly channels: readonly ConfigRouteChannel[]
}

export interface ConfigRouteChannel {
  /** The channel's name. */
  readonly channel: string
  readonly upstreamModel: string
  readonly priority: number
  readonly weight: number
}

/** The two built-in buckets, with the file's further ones and its names for the two. */
export function bucketsOf(written: WrittenFile['buckets']): Bucket[] {
  const all = { ...BUILT_IN_BUCKETS, ...written }
  return Object.entries(all).map(([id, { currency, name }]) => ({ id, currency, name: name ?? id }))
}

/** Others speak its formats too, and a strict one refuses members that it does not know. */
function isOpenAi(baseUrl: string): boolean {
  return /^https:\/\/(?:[a-z]{2}\.)?api\.openai\.com(?:\/|:443|$)/i.test(baseUrl)
}

export function configOf(written: WrittenFile): ForgeConfig {
  const buckets = bucketsOf(written.buckets)
  const currencies = new Map(buckets.map(({ id, currency }) => [id, currency]))
  return {
    buckets,
    channels: Object.entries(written.channels ?? {}).map(([name, channel]) => ({
      name,
      publicName: channel.public_name ?? name,
      protocol: channel.protocol,
      baseUrl:
        channel.base_url ??
        (channel.platform == null ? '' : platformBaseUrl(channel.platform, channel.protocol)),
      apiKey: channel.api_key ?? '',
      timeouts: channel.timeouts,
      sandbox: channel.sandbox ?? false,
      namesCaches: channel.add_prompt_cache_key ?? isOpenAi(channel.base_url ?? ''),
      ...(channel.platform == null ? {} : { platform: channel.platform }),
    })),
    models: Object.entries(written.models ?? {}).map(([name, model]) => ({
      ...modelOf(name, model),
      routes: Object.entries(model.routes).map(([routeName, route]) => ({
        ...routeOf(routeName, route, currencies.get(route.bucket) ?? ''),
        channels: route.channels.map((entry) => ({
          channel: entry.channel,
          upstreamModel: entry.upstream_model ?? name,
          priority: entry.priority ?? 0,
          weight: entry.weight ?? 1,
        })),
      })),
    })),
  }
}

/** What a model of forge.yaml and one of the starter catalog have in common. */
export function modelOf(name: string, model: WrittenModelBase): Omit<ConfigModel, 'routes'> {
  return {
    name,
    contextTokens: model.context,
    maxOutputTokens: model.max_output,
    family: model.family ?? null,
    capabilities: model.capabilities ?? [],
    policy: model.policy ?? null,
    retires: model.retires ?? null,
    referencePrices: datedSheets(model.reference_price ?? [], null),
  }
}

export function routeOf(
  name: string,
  route: WrittenRouteBase,
  currency: string,
): Omit<ConfigRoute, 'channels'> {
  return {
    name,
    type: route.type,
    bucket: route.bucket,
    holdWindowTokens: route.hold_window ?? null,
    prices: datedSheets(route.price, currency),
  }
}

function datedSheets(prices: readonly WrittenPrice[], bucketCurrency: string | null): DatedSheet[] {
  return prices
    .map(({ currency, effectiveFromMs, sheet }) => ({
      effectiveFromMs,
      sheet: { currency: bucketCurrency ?? currency ?? '', ...sheet } satisfies PriceSheet,
    }))
    .sort((a, b) => a.effectiveFromMs - b.effectiveFromMs)
}
