import { type PriceSheet, type PriceVersion, priceUsage } from '../catalog/index.ts'
import { assert, formatId, formatNano, type Nano, type Usage } from '../kernel/index.ts'
import type { ChargeFacts } from '../receipts/index.ts'
import type { Metered, Priced, RoutePlan } from './types.ts'

/** Line items of metered usage at the price version that was frozen at admission. Pure. */

export interface ChargeContext {
  readonly plan: RoutePlan
  readonly admittedAtMs: number
  /** What the caller asked for; the answer's tier counts only when it is this one, since only this one was held for. */
  readonly serviceTierAsked: string | null
  readonly serviceTierServed: string | null
  readonly referencePrice: PriceSheet | null
}

function billedTier(context: ChargeContext): string | null {
  const { serviceTierAsked: asked, serviceTierServed: served } = context
  return served === null || served === asked ? served : null
}

function lineFacts(lines: ReturnType<typeof priceUsage>['lines']): ChargeFacts['lines'] {
  return lines.map(
    (line) =>
      [
        line.meter,
        line.quantity,
        line.unit.text,
        Number.parseInt(String(line.unit.per), 10),
        formatNano(line.amountNano),
      ] as const,
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
    serviceTier: billedTier(context),
  })
  return { currency: sheet.currency, total: formatNano(totalNano) }
}

export function charge(metered: Metered, context: ChargeContext): Priced {
  const { usage } = metered
  if (usage === null || metered.noCharge !== null) return { ...metered, totalNano: 0n, charge: null }
  const { plan } = context
  const version: PriceVersion = plan.price
  const priced = priceUsage(version.sheet, usage, {
    admittedAtMs: context.admittedAtMs,
    serviceTier: billedTier(context),
  })
  if (priced.totalNano === 0n) return { ...metered, noCharge: 'price_is_zero', totalNano: 0n, charge: null }
  const reference = referenceOf(context.referencePrice, usage, context)
  return {
    ...metered,
    totalNano: priced.totalNano,
    charge: {
      bucket: plan.route.bucket.id,
      currency: plan.route.bucket.currency,
      total: formatNano(priced.totalNano),
      version: formatId('pv', version.id),
      lines: lineFacts(priced.lines),
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
