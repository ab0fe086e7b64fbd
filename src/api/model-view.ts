import {
  boundNano,
  type CatalogModel,
  type PriceSheet,
  type PriceVersion,
  priceVersionAt,
  type Rates,
  type Route,
  referenceSheetAt,
  type UnitPrice,
} from '../catalog/index.ts'
import type { ModelRouteView, ModelView, PriceView } from '../contract/index.ts'
import { formatId, formatNano, isoTime, type Nano } from '../kernel/index.ts'
import { type ApiKeyRecord, mayUseModel, type RouteAccess, routeAccess } from '../tenancy/index.ts'
import type { Caller } from './operation.ts'

/** The catalog as one caller may use it. Prices are shown as they were written, never computed. */

const MILLION = 1_000_000n

function unitView(unit: UnitPrice): string | { per: number; price: string } {
  return unit.per === MILLION ? unit.text : { per: Number.parseInt(String(unit.per), 10), price: unit.text }
}

function ratesView(rates: Rates): Record<string, ReturnType<typeof unitView>> {
  const view: Record<string, ReturnType<typeof unitView>> = {}
  for (const [meter, unit] of Object.entries(rates)) view[meter] = unitView(unit)
  return view
}

function clockText(minute: number): string {
  const two = (value: number): string => String(value).padStart(2, '0')
  return `${two(Math.floor(minute / 60))}:${two(minute % 60)}`
}

export function priceView(sheet: PriceSheet): PriceView {
  return {
    currency: sheet.currency,
    rates: ratesView(sheet.rates),
    above: Object.fromEntries(
      sheet.tiers.map((tier) => [String(tier.aboveInputTokens), ratesView(tier.rates)]),
    ),
    service_tiers: Object.fromEntries(
      Object.entries(sheet.serviceTiers).map(([name, rates]) => [name, ratesView(rates)]),
    ),
    windows: sheet.windows.map((window) => ({
      start: clockText(window.startMinute),
      end: clockText(window.endMinute),
      days: [...window.days],
      rates: ratesView(window.rates),
    })),
  }
}

const REFUSED = {
  allowed: () => null,
  key_excludes: (route) => `the API key may not use the route ${route.name}`,
  bucket_excluded: (route) => `the API key may not spend from ${route.bucket.name}`,
  policy_excludes: (route, key) => `the policy ${key.policy} of the API key excludes ${route.type} routes`,
} as const satisfies Record<RouteAccess, (route: Route, key: ApiKeyRecord) => string | null>

function refusal(
  caller: Caller,
  model: CatalogModel,
  route: Route,
  price: PriceVersion | null,
): string | null {
  if (price === null) return 'no price of the route is in force yet'
  if (caller.kind !== 'key') return null
  if (!mayUseModel(caller.key, model.name)) return `the API key may not use the model ${model.name}`
  return REFUSED[routeAccess(caller.key, route)](route, caller.key)
}

/** What the buckets of one organization have available; null where no organization is asked about. */
export type Available = (bucket: string) => Nano

/** The least a request can be: one token in, one token out. */
function smallestNano(price: PriceVersion, nowMs: number): Nano {
  return boundNano(price.sheet, {
    admittedAtMs: nowMs,
    serviceTier: null,
    inputTokensMax: 1,
    outputTokensMax: 1,
  })
}

function isAffordable(
  caller: Caller,
  route: Route,
  price: PriceVersion,
  availableNano: Nano,
  nowMs: number,
): boolean {
  const smallest = smallestNano(price, nowMs)
  const limit = caller.kind === 'key' ? caller.key.maxCharge?.get(route.bucket.id) : undefined
  return smallest <= availableNano && (limit === undefined || smallest <= limit)
}

export function roleOf(priority: number): string {
  return priority === 0 ? 'primary' : `backup ${priority}`
}

function routeView(
  caller: Caller,
  model: CatalogModel,
  route: Route,
  nowMs: number,
  available: Available | null,
): ModelRouteView {
  const availableNano = available === null ? null : available(route.bucket.id)
  const price = priceVersionAt(route.prices, nowMs)
  const reason = refusal(caller, model, route, price)
  return {
    route: route.name,
    route_type: route.type,
    bucket: route.bucket.id,
    currency: route.bucket.currency,
    price_version: price === null ? null : formatId('pv', price.id),
    price_since: price === null ? null : isoTime(price.effectiveFromMs),
    price: price === null ? null : priceView(price.sheet),
    callable: reason === null,
    reason,
    available: availableNano === null ? null : formatNano(availableNano),
    affordable:
      availableNano === null || price === null
        ? null
        : isAffordable(caller, route, price, availableNano, nowMs),
    channels: route.channels.map(({ channel, priority }) => ({
      channel: caller.kind === 'operator' ? channel.name : channel.publicName,
      role: roleOf(priority),
    })),
    sandbox: route.channels.some(({ channel }) => channel.sandbox),
  }
}

export function modelView(
  caller: Caller,
  model: CatalogModel,
  nowMs: number,
  available: Available | null,
): ModelView {
  const routes = model.routes.map((route) => routeView(caller, model, route, nowMs, available))
  const reference = referenceSheetAt(model, nowMs)
  const callable = routes.some((route) => route.callable)
  return {
    name: model.name,
    family: model.family,
    context: model.contextTokens,
    max_output: model.maxOutputTokens,
    capabilities: [...model.capabilities],
    reference_price: reference === null ? null : priceView(reference),
    retires: model.retires ?? null,
    callable,
    reason: callable ? null : (routes[0]?.reason ?? 'the model has no route'),
    routes,
  }
}
