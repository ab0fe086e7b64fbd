import { type CatalogModel, priceVersionAt, type Route } from '../catalog/index.ts'
import { fault, type Policy } from '../contract/index.ts'
import type { CandidateReason, DecisionReason } from '../receipts/index.ts'
import type { ApiKeyRecord } from '../tenancy/index.ts'
import type { Pin } from './pins.ts'
import type { Admitted, Planned, PlannedChannel, RejectedRoute, RoutePlan, StageResult } from './types.ts'

/**
 * Which routes may serve the request, in which order, and why: a pure function of the catalog, the key and the
 * request. The route decides the bucket and nothing else does (rule `bucket.by_route`).
 */

/** Upstream calls a request may make when its key sets no limit. */
export const ATTEMPTS_MAX = 6

export interface PlanInput {
  readonly model: CatalogModel
  readonly key: Pick<ApiKeyRecord, 'policy' | 'routes' | 'buckets' | 'maxAttempts'>
  readonly askedRoute: string | null
  readonly askedBy: 'header' | 'suffix' | null
  /** Whether a fallback may be paid from another balance. */
  readonly mayCross: boolean
  readonly atMs: number
  /** Uniform in [0, 1): weights are drawn with it. */
  readonly random: () => number
}

export type RouteOrder =
  | { readonly ok: true; readonly routes: readonly RoutePlan[]; readonly rejected: readonly RejectedRoute[] }
  | {
      readonly ok: false
      readonly code: 'route_not_found' | 'route_not_allowed' | 'bucket_not_allowed'
      readonly message: string
      readonly rejected: readonly RejectedRoute[]
    }

/** Input and output price of a route, added up: enough to order routes that are priced in one currency. */
function priceWeight(route: Route, atMs: number): bigint {
  const rates = priceVersionAt(route.prices, atMs)?.sheet.rates
  const unit = (meter: 'input' | 'output'): bigint => {
    const price = rates?.[meter]
    return price === undefined ? 0n : (price.pico * 1_000_000n) / price.per
  }
  return unit('input') + unit('output')
}

type Ordering = (routes: readonly Route[], atMs: number) => readonly Route[]

const typeFirst =
  (first: Route['type']): Ordering =>
  (routes) => [
    ...routes.filter((route) => route.type === first),
    ...routes.filter((route) => route.type !== first),
  ]

/** Each policy declares its own order; what it leaves out it excludes. */
const ORDERINGS: Readonly<Record<Policy, Ordering>> = {
  ordinary_then_official: typeFirst('ordinary'),
  official_then_ordinary: typeFirst('official'),
  official_only: (routes) => routes.filter((route) => route.type === 'official'),
  ordinary_only: (routes) => routes.filter((route) => route.type === 'ordinary'),
  // Prices in different currencies are never compared: ordinary routes are the lower-cost ones by definition, and
  // among routes of one currency the cheaper comes first.
  cheapest: (routes, atMs) =>
    typeFirst('ordinary')(routes, atMs)
      .map((route, place) => ({ route, place, weight: priceWeight(route, atMs) }))
      .sort((a, b) =>
        a.route.bucket.currency === b.route.bucket.currency && a.weight !== b.weight
          ? a.weight < b.weight
            ? -1
            : 1
          : a.place - b.place,
      )
      .map(({ route }) => route),
}

function keyMayUse(key: PlanInput['key'], route: Route): boolean {
  return key.routes === null || key.routes.has(route.name) || key.routes.has(route.type)
}

function mayPayFrom(key: PlanInput['key'], route: Route): boolean {
  return key.buckets === null || key.buckets.has(route.bucket.id)
}

/** One weighted draw without replacement. */
function drawWeighted<T extends { readonly weight: number }>(items: readonly T[], random: () => number): T[] {
  const rest = [...items]
  const drawn: T[] = []
  while (rest.length > 1) {
    let point = random() * rest.reduce((sum, item) => sum + item.weight, 0)
    let index = rest.findIndex((item) => {
      point -= item.weight
      return point < 0
    })
    if (index === -1) index = rest.length - 1
    drawn.push(...rest.splice(index, 1))
  }
  return [...drawn, ...rest]
}

/** Channels by priority; among equals the weights draw the order. */
export function orderChannels(route: Route, random: () => number): readonly PlannedChannel[] {
  const only = route.channels[0]
  if (route.channels.length === 1 && only !== undefined) return [{ target: only, role: 'primary' }]
  const priorities = [...new Set(route.channels.map((channel) => channel.priority))].sort((a, b) => a - b)
  return priorities.flatMap((priority, rank) =>
    drawWeighted(
      route.channels.filter((channel) => channel.priority === priority),
      random,
    ).map((target) => ({ target, role: rank === 0 ? 'primary' : `backup ${rank}` })),
  )
}

function reasonOf(
  input: PlanInput,
  place: number,
  routes: readonly Route[],
  candidates: number,
): DecisionReason {
  const route = routes[place]
  const before = routes[0]
  if (place > 0 && route !== undefined && before !== undefined)
    return route.bucket.id === before.bucket.id ? 'next_route_after_failure' : 'crossed_after_failure'
  if (input.askedBy === 'header') return 'asked_by_header'
  if (input.askedBy === 'suffix') return 'asked_by_suffix'
  return candidates === 1 ? 'only_route' : 'policy'
}

/** Why a key has no route for a model, in the words of what it would have to be allowed. */
function noRoute(
  { model, key, askedRoute }: PlanInput,
  named: readonly Route[],
  allowed: readonly Route[],
): { code: 'route_not_allowed' | 'bucket_not_allowed'; message: string } {
  if (allowed.length === 0 && named.length > 0) {
    const buckets = [...new Set(named.map(({ bucket }) => bucket.name))].join(' or ')
    const message = `This key may not spend from ${buckets}, which would pay for ${model.name}.`
    return { code: 'bucket_not_allowed', message }
  }
  const message = `This key may not use ${askedRoute === null ? 'any route' : `the route "${askedRoute}"`} of ${model.name} (policy ${key.policy}).`
  return { code: 'route_not_allowed', message }
}

export function orderRoutes(input: PlanInput): RouteOrder {
  const { model, key, askedRoute } = input
  const rejected: RejectedRoute[] = []
  const reject = (routes: readonly Route[], reason: CandidateReason): void => {
    for (const route of routes) rejected.push({ route, reason })
  }
  const asked =
    askedRoute === null
      ? model.routes
      : model.routes.filter((route) => route.name === askedRoute || route.type === askedRoute)
  if (asked.length === 0)
    return {
      ok: false,
      code: 'route_not_found',
      message: `The model ${model.name} has no route "${askedRoute}"; it has ${model.routes.map((route) => route.name).join(', ')}.`,
      rejected,
    }
  const others = model.routes.filter((route) => !asked.includes(route))
  const named = asked.filter((route) => keyMayUse(key, route))
  const allowed = named.filter((route) => mayPayFrom(key, route))
  reject(
    asked.filter((route) => !named.includes(route)),
    'key_excludes',
  )
  reject(
    named.filter((route) => !allowed.includes(route)),
    'bucket_excluded',
  )
  const ordered = ORDERINGS[key.policy](allowed, input.atMs).filter(
    (route) => priceVersionAt(route.prices, input.atMs) !== null,
  )
  reject(
    allowed.filter((route) => !ordered.includes(route)),
    'policy_excludes',
  )
  // A route that was asked for is left only by an explicit permission on the request or key, to the policy's others.
  const further =
    askedRoute !== null && input.mayCross
      ? ORDERINGS[key.policy](
          others.filter((route) => keyMayUse(key, route) && mayPayFrom(key, route)),
          input.atMs,
        )
      : []
  reject(
    others.filter((route) => !further.includes(route)),
    'route_not_asked_for',
  )
  const first = ordered[0]
  if (first === undefined) return { ok: false, ...noRoute(input, named, allowed), rejected }
  const usable = [...ordered, ...further].filter(
    (route) => input.mayCross || route.bucket.id === first.bucket.id,
  )
  reject(
    [...ordered, ...further].filter((route) => !usable.includes(route)),
    'crossing_not_allowed',
  )
  const routes = usable.flatMap((route, place): RoutePlan[] => {
    const price = priceVersionAt(route.prices, input.atMs)
    return price === null
      ? []
      : [
          {
            route,
            price,
            channels: orderChannels(route, input.random),
            reason: reasonOf(input, place, usable, model.routes.length),
          },
        ]
  })
  return { ok: true, routes, rejected }
}

/** The last order that was made for a key and a model, while nothing it depends on has changed. */
interface KnownOrder {
  readonly input: PlanInput
  /** The first of a price's beginnings after it was made. */
  readonly untilMs: number
  readonly order: RouteOrder
}

const knownOrders = new WeakMap<CatalogModel, WeakMap<PlanInput['key'], KnownOrder>>()

function nextPriceMs(model: CatalogModel, atMs: number): number {
  let next = Number.POSITIVE_INFINITY
  for (const { prices } of model.routes)
    for (const { effectiveFromMs } of prices)
      if (effectiveFromMs > atMs && effectiveFromMs < next) next = effectiveFromMs
  return next
}

/**
 * As {@link orderRoutes}. Models and keys are replaced whole when they change, so that an order holds for as long as they
 * and the prices do; only where a route has several channels is it drawn anew for each request.
 */
export function orderOf(input: PlanInput): RouteOrder {
  const { model, key, atMs } = input
  const known = knownOrders.get(model)?.get(key)
  if (
    known !== undefined &&
    known.input.askedRoute === input.askedRoute &&
    known.input.askedBy === input.askedBy &&
    known.input.mayCross === input.mayCross &&
    atMs >= known.input.atMs &&
    atMs < known.untilMs
  )
    return known.order
  const order = orderRoutes(input)
  if (order.ok && model.routes.every(({ channels }) => channels.length <= 1)) {
    const byKey = knownOrders.get(model) ?? new WeakMap<PlanInput['key'], KnownOrder>()
    knownOrders.set(model, byKey.set(key, { input, untilMs: nextPriceMs(model, atMs), order }))
  }
  return order
}

/** Only the channel that keeps what the request continues. */
function pinned(routes: readonly RoutePlan[], pin: Pin): readonly RoutePlan[] {
  return routes.flatMap((plan) => {
    const channels = plan.channels.filter(({ target }) => target.channel.name === pin.channel)
    return plan.route.name === pin.route && channels.length > 0 ? [{ ...plan, channels }] : []
  })
}

export function plan(
  admitted: Admitted,
  random: () => number,
): StageResult<Planned> & { rejected: readonly RejectedRoute[] } {
  const { key } = admitted.inbound
  const order = orderOf({
    model: admitted.model,
    key,
    askedRoute: admitted.askedRoute,
    askedBy: admitted.askedBy,
    mayCross: admitted.mayCross,
    atMs: admitted.inbound.exchange.startedAtMs,
    random,
  })
  if (!order.ok) return { ok: false, fault: fault(order.code, order.message), rejected: order.rejected }
  const routes = admitted.pin === null ? order.routes : pinned(order.routes, admitted.pin)
  if (routes.length === 0)
    return {
      ok: false,
      fault: fault(
        'route_not_allowed',
        'The channel that keeps the response this request continues cannot be used now.',
      ),
      rejected: order.rejected,
    }
  return {
    ok: true,
    value: {
      admitted,
      routes,
      rejected: order.rejected,
      attemptsMax: key.maxAttempts ?? ATTEMPTS_MAX,
    },
    rejected: order.rejected,
  }
}
