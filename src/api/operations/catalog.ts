import { z } from 'zod'
import {
  type CatalogModel,
  type CatalogSnapshot,
  type Channel,
  listModels,
  listPriceVersions,
  priceVersionAt,
  type Route,
  type StoredPriceVersion,
} from '../../catalog/index.ts'
import {
  type ChannelView,
  channelSchema,
  listOf,
  type PriceVersionView,
  pageQuery,
  pricesQuery,
  priceVersionSchema,
  type RouteView,
  routeSchema,
  routesQuery,
} from '../../contract/index.ts'
import { formatId, isoTime } from '../../kernel/index.ts'
import { priceView, roleOf } from '../model-view.ts'
import { type Caller, operation } from '../operation.ts'
import { badCursor, cursorOf, notFound, pageOf } from '../scope.ts'

/** A page of what the snapshot holds, by a text that is different for each. */
function pageBy<T, V>(
  all: readonly T[],
  keyOf: (one: T) => string,
  asked: { readonly limit: number; readonly cursor?: string | undefined },
  view: (one: T) => V,
): { data: V[]; next_cursor: string | null } {
  const sorted = all.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
  const after = asked.cursor === undefined ? null : Buffer.from(asked.cursor, 'base64url').toString()
  if (after !== null && Buffer.from(after).toString('base64url') !== asked.cursor) throw badCursor()
  const rest = after === null ? sorted : sorted.filter((one) => keyOf(one) > after)
  const shown = rest.slice(0, asked.limit)
  const last = shown.at(-1)
  const further = rest.length > asked.limit && last !== undefined
  return {
    data: shown.map(view),
    next_cursor: further ? Buffer.from(keyOf(last)).toString('base64url') : null,
  }
}

interface Served {
  readonly model: CatalogModel
  readonly route: Route
}

const routesOf = (snapshot: CatalogSnapshot): readonly Served[] =>
  listModels(snapshot).flatMap((model) => model.routes.map((route) => ({ model, route })))

function placeOf({ platform }: Channel): ChannelView['platform'] {
  if (platform === undefined) return null
  return { kind: platform.kind, place: platform.kind === 'bedrock' ? platform.region : platform.location }
}

function channelView(snapshot: CatalogSnapshot, channel: Channel): ChannelView {
  const { connectMs, firstTokenMs, idleMs, totalMs } = channel.timeouts
  return {
    name: channel.name,
    public_name: channel.publicName,
    protocol: channel.protocol,
    host: new URL(channel.baseUrl).host,
    platform: placeOf(channel),
    timeouts: { connect_ms: connectMs, first_token_ms: firstTokenMs, idle_ms: idleMs, total_ms: totalMs },
    sandbox: channel.sandbox,
    used_by: routesOf(snapshot).flatMap(({ model, route }) =>
      route.channels
        .filter((one) => one.channel.name === channel.name)
        .map(({ priority, upstreamModel, weight }) => ({
          model: model.name,
          route: route.name,
          role: roleOf(priority),
          upstream_model: upstreamModel,
          weight,
        })),
    ),
  }
}

export const listChannels = operation({
  id: 'listChannels',
  method: 'GET',
  path: '/api/v1/channels',
  summary: 'Channels by name, with the routes that use them',
  callers: ['operator'],
  params: z.strictObject({}),
  query: pageQuery,
  body: null,
  response: listOf(channelSchema),
  faults: [],
  run({ deps, query }) {
    const snapshot = deps.catalog.snapshot()
    const view = (channel: Channel) => channelView(snapshot, channel)
    return pageBy([...snapshot.channels.values()], ({ name }) => name, query, view)
  },
})

export const getChannel = operation({
  id: 'getChannel',
  method: 'GET',
  path: '/api/v1/channels/{id}',
  summary: 'One channel, by its name',
  callers: ['operator'],
  params: z.strictObject({ id: z.string() }),
  query: z.strictObject({}),
  body: null,
  response: channelSchema,
  faults: ['not_found'],
  run({ deps, params }) {
    const snapshot = deps.catalog.snapshot()
    const channel = snapshot.channels.get(params.id)
    if (channel === undefined) throw notFound()
    return channelView(snapshot, channel)
  },
})

function routeView(caller: Caller, { model, route }: Served, nowMs: number): RouteView {
  const price = priceVersionAt(route.prices, nowMs)
  return {
    model: model.name,
    route: route.name,
    route_type: route.type,
    bucket: route.bucket.id,
    currency: route.bucket.currency,
    policy: model.policy ?? null,
    price_version: price === null ? null : formatId('pv', price.id),
    channels: route.channels.map(({ channel, priority, upstreamModel }) =>
      caller.kind === 'operator'
        ? { channel: channel.name, role: roleOf(priority), upstream_model: upstreamModel }
        : { channel: channel.publicName, role: roleOf(priority) },
    ),
  }
}

export const listRoutes = operation({
  id: 'listRoutes',
  method: 'GET',
  path: '/api/v1/routes',
  summary: 'The routes of every model: what kind, paid from which bucket, over which channels',
  callers: ['operator', 'key'],
  permission: 'models.read',
  params: z.strictObject({}),
  query: routesQuery,
  body: null,
  response: listOf(routeSchema),
  faults: [],
  run({ deps, caller, query }) {
    const nowMs = deps.clock.nowMs()
    const asked = routesOf(deps.catalog.snapshot()).filter(
      ({ model, route }) =>
        (query.model === undefined || model.name === query.model) &&
        (query.type === undefined || route.type === query.type) &&
        (query.bucket === undefined || route.bucket.id === query.bucket),
    )
    // No name holds a line feed.
    const keyOf = ({ model, route }: Served) => `${model.name}\n${route.name}`
    return pageBy(asked, keyOf, query, (served) => routeView(caller, served, nowMs))
  },
})

/** By id: what is in force of each route, and what will be. */
function statesAt(snapshot: CatalogSnapshot, nowMs: number): ReadonlyMap<string, 'current' | 'scheduled'> {
  const states = new Map<string, 'current' | 'scheduled'>()
  for (const { route } of routesOf(snapshot)) {
    const current = priceVersionAt(route.prices, nowMs)
    if (current !== null) states.set(current.id, 'current')
    for (const { id, effectiveFromMs } of route.prices)
      if (effectiveFromMs > nowMs) states.set(id, 'scheduled')
  }
  return states
}

export const listPrices = operation({
  id: 'listPrices',
  method: 'GET',
  path: '/api/v1/prices',
  summary: 'Every price that ever was in force, by model and route, oldest first',
  callers: ['operator', 'key'],
  permission: 'models.read',
  params: z.strictObject({}),
  query: pricesQuery,
  body: null,
  response: listOf(priceVersionSchema),
  faults: [],
  async run({ deps, query }) {
    const states = statesAt(deps.catalog.snapshot(), deps.clock.nowMs())
    const known = query.state === undefined ? null : [...states.keys()]
    const rows = await listPriceVersions(deps.database, {
      model: query.model ?? null,
      route: query.route ?? null,
      among:
        known === null || query.state === 'past'
          ? null
          : known.filter((id) => states.get(id) === query.state),
      except: query.state === 'past' ? known : null,
      after: cursorOf('pv', query.cursor),
      limit: query.limit + 1,
    })
    const view = (version: StoredPriceVersion): PriceVersionView => ({
      id: formatId('pv', version.id),
      model: version.model,
      route: version.route,
      bucket: version.bucket,
      currency: version.sheet.currency,
      state: states.get(version.id) ?? 'past',
      effective_from: version.effectiveFromMs === 0 ? null : isoTime(version.effectiveFromMs),
      created_at: isoTime(version.createdAtMs),
      price: priceView(version.sheet),
    })
    return pageOf('pv', rows, query.limit, view)
  },
})
