import { outputTokensAffordable } from '../catalog/index.ts'
import { type Fault, fault, type ReceiptLimit } from '../contract/index.ts'
import { formatId, formatNano, type Nano } from '../kernel/index.ts'
import type { ApiKeyRecord } from '../tenancy/index.ts'
import type { RoutePlan } from './types.ts'

/** The most that one request of a key may cost (`max_charge`): no hold and no charge goes above it. */

export function chargeLimit(key: Pick<ApiKeyRecord, 'maxCharge'>, plan: RoutePlan): Nano | null {
  return key.maxCharge?.get(plan.route.bucket.id) ?? null
}

/** As the receipt names it. */
export function limitOfCharge(
  key: Pick<ApiKeyRecord, 'id'>,
  plan: RoutePlan,
  limitNano: Nano,
  neededNano: Nano,
): ReceiptLimit {
  const { bucket } = plan.route
  return {
    scope: 'key',
    scope_id: formatId('key', key.id),
    budget: null,
    bucket: bucket.id,
    currency: bucket.currency,
    period: 'request',
    amount: formatNano(limitNano),
    used: formatNano(0n),
    held: formatNano(0n),
    needed: formatNano(neededNano),
    resets_at: null,
  }
}

/**
 * @param outputTokens of one choice, as caller and model allow them
 * @param least of one choice that is worth a request
 * @param budgetNano what is left of the limit for input and output
 * @returns the output tokens of one choice that fit; `least` where fewer would, which is then too dear
 */
export function tokensWithinLimit(
  plan: RoutePlan,
  context: Parameters<typeof outputTokensAffordable>[1],
  window: { readonly inputTokensMax: number; readonly outputTokens: number; readonly choices: number },
  least: number,
  budgetNano: Nano,
): number {
  const { sheet } = plan.price
  const affordable = outputTokensAffordable(sheet, context, window.inputTokensMax, budgetNano)
  return Math.min(window.outputTokens, Math.max(least, Math.floor(affordable / window.choices)))
}

export function overLimit(
  key: Pick<ApiKeyRecord, 'id'>,
  plan: RoutePlan,
  limitNano: Nano,
  neededNano: Nano,
): Fault {
  const { currency, id } = plan.route.bucket
  const message = `This key allows ${currency} ${formatNano(limitNano)} for one request; this one may cost ${currency} ${formatNano(neededNano)} at the least that is worth sending.`
  const facts = {
    bucket: id,
    currency,
    needed: formatNano(neededNano),
    max_charge: formatNano(limitNano),
  }
  return fault('charge_limit_exceeded', message, {
    facts,
    limit: limitOfCharge(key, plan, limitNano, neededNano),
  })
}
