import {
  type PriceSheet,
  type PriceVersion,
  priceUsage,
  type RateSelector,
  type UnitPrice,
} from '../catalog/index.ts'
import { assert, formatId, formatNano, type Nano, type Usage } from '../kernel/index.ts'
import type { ChargeFacts } from '../receipts/index.ts'
import type { Metered, Priced, RoutePlan } from './types.ts'

/** Line items of metered usage at the price version that was frozen at admission. Pure. */

export interface ChargeContext {
  readonly plan: RoutePlan
  readonly admittedAtMs: number
  /** What the answer says of its tier and place: a provider bills what it served, not what was asked for. */
  readonly served: RateSelector
  readonly referencePrice: PriceSheet | null
  /** The price of another model on a route of the same type and bucket; null when the catalog has none. */
  readonly priceOf: (model: string) => PriceVersion | null
}

/** As receipts show it; sheets are few and live long. */
const pers = new WeakMap<UnitPrice, number>()

function perOf(unit: UnitPrice): number {
  const known = pers.get(unit) ?? Number.parseInt(String(unit.per), 10)
  pers.set(unit, known)
  return known
}

function lineFacts(lines: ReturnType<typeof priceUsage>['lines']): ChargeFacts['lines'] {
  return lines.map(
    (line) =>
      [line.meter, line.quantity, line.unit.text, perOf(line.unit), formatNano(line.amountNano)] as const,
  )
}

function referenceOf(
  sheet: PriceSheet | null,
  usage: Usage,
  context: ChargeContext,
): ChargeFacts['reference'] {
  if (sheet === null) return undefined
  const { totalNano } = priceUsage(sheet, usage, {
    admittedAtMs: context.admittedAtMs,
    ...context.served,
  })
  return { currency: sheet.currency, total: formatNano(totalNano) }
}

/** As receipts show it; versions are few and live long. */
const versionIds = new WeakMap<PriceVersion, string>()

function versionId(version: PriceVersion): string {
  const known = versionIds.get(version) ?? formatId('pv', version.id)
  versionIds.set(version, known)
  return known
}

interface OtherLines {
  readonly lines: ChargeFacts['lines']
  readonly nano: Nano
  readonly versions: NonNullable<ChargeFacts['others']>
}

const NO_OTHERS: OtherLines = { lines: [], nano: 0n, versions: [] }

/** What ran on other models: at their own price, or at the route's when the catalog does not know them. */
function chargeOthers(metered: Metered, context: ChargeContext): OtherLines {
  if (metered.others.length === 0) return NO_OTHERS
  let nano = 0n
  const lines: Array<ChargeFacts['lines'][number]> = []
  const versions: Array<NonNullable<ChargeFacts['others']>[number]> = []
  for (const { model, counts } of metered.others) {
    const version = context.priceOf(model)
    const { sheet } = version ?? context.plan.price
    const usage: Usage = { counts, reasoning: null, calls: {}, source: 'reported' }
    const priced = priceUsage(sheet, usage, { admittedAtMs: context.admittedAtMs, serviceTier: null })
    // The fixed price of a request is charged once, with the model that was asked for.
    const own = priced.lines.filter((line) => line.meter !== 'request')
    nano += own.reduce((sum, line) => sum + line.amountNano, 0n)
    for (const [meter, ...rest] of lineFacts(own)) lines.push([`${meter} (${model})`, ...rest])
    versions.push({ model, version: version === null ? null : versionId(version) })
  }
  return { lines, nano, versions }
}

export function charge(metered: Metered, context: ChargeContext): Priced {
  const { usage } = metered
  if (usage === null || metered.noCharge !== null) return { ...metered, totalNano: 0n, charge: null }
  const { plan, admittedAtMs } = context
  const priced = priceUsage(plan.price.sheet, usage, { admittedAtMs, ...context.served })
  const others = chargeOthers(metered, context)
  const totalNano = priced.totalNano + others.nano
  if (totalNano === 0n) return { ...metered, noCharge: 'price_is_zero', totalNano: 0n, charge: null }
  const reference = referenceOf(context.referencePrice, usage, context)
  return {
    ...metered,
    totalNano,
    charge: {
      bucket: plan.route.bucket.id,
      currency: plan.route.bucket.currency,
      total: formatNano(totalNano),
      version: versionId(plan.price),
      ...(others.versions.length === 0 ? {} : { others: others.versions }),
      lines: [...lineFacts(priced.lines), ...others.lines],
      ...(reference === undefined ? {} : { reference }),
    },
  }
}

/**
 * The same charge, limited to what the customer can pay: the rest is a line of its own, so that the lines still add up
 * to the total.
 */
export function writeOff(priced: Priced, paidNano: Nano): Priced {
  assert(priced.charge !== null && paidNano <= priced.totalNano, 'a write-off lowers a charge')
  if (paidNano === priced.totalNano) return priced
  const lost = formatNano(paidNano - priced.totalNano)
  return {
    ...priced,
    flags: [...priced.flags, 'written_off'],
    charge: {
      ...priced.charge,
      total: formatNano(paidNano),
      lines: [...priced.charge.lines, ['written_off', 1, lost, 1, lost]],
    },
  }
}
