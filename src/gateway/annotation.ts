import type { JsonObject, Nano } from '../kernel/index.ts'
import type { StreamCut } from '../protocols/index.ts'
import { meterRequest, priceRequest } from './settle.ts'
import type { Ending, Held, Planned, Reading, RoutePlan } from './types.ts'

/** `tf` in the last usage object of an answer: which balance pays, and what. */
export function annotation(
  planned: Planned,
  plan: RoutePlan,
  held: Held,
  heldNano: Nano,
  reading: Reading,
  tokenFactor: number,
): JsonObject {
  const ending: Ending = { kind: 'attempt', outcome: { kind: 'served', reading }, tokenFactor }
  const priced = priceRequest(planned, plan, meterRequest(planned, held, ending), reading)
  return {
    request_id: planned.admitted.inbound.exchange.publicId,
    bucket: plan.route.bucket.id,
    currency: plan.route.bucket.currency,
    // Above the hold the balance decides at the very end; until then nothing certain can be said.
    charge: priced.totalNano <= heldNano ? (priced.charge?.total ?? '0') : null,
    route: plan.route.name,
  }
}

/** What a stream that is cut here says of its usage: what is charged for it. */
export function cutUsage(
  planned: Planned,
  held: Held,
  reading: Reading,
  tokenFactor: number,
  note: JsonObject,
): StreamCut['usage'] {
  const { usage, others } = meterRequest(planned, held, {
    kind: 'attempt',
    outcome: { kind: 'cut', reading },
    tokenFactor,
  })
  if (usage === null) return null
  const { counts, reasoning, calls } = usage
  return { read: { counts, reasoning, calls, others, exact: false, flags: [] }, note }
}
