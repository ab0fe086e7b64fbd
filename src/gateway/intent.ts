import { storableJson } from '../kernel/index.ts'
import type { HoldWanted, HoldWindow } from './hold.ts'
import { baseDocument } from './receipt.ts'
import type { Planned, RoutePlan } from './types.ts'

/** What is stored with a hold: all that recovery and a pending receipt need, and no more, since every request writes it. */

export function intentOf(
  planned: Planned,
  plan: RoutePlan,
  choice: Pick<HoldWanted, 'reason' | 'crossed'>,
  window: HoldWindow,
): string {
  const { inbound, model, run } = planned.admitted
  const { exchange, key, facts, idempotencyKey } = inbound
  const base = baseDocument(
    {
      exchange,
      key,
      endpoint: exchange.call.endpoint,
      streamed: facts.stream,
      idempotencyKey,
      requestedModel: facts.model,
      catalogModel: model.name,
      run,
      planned,
      rejected: planned.rejected,
      plan,
      decisionReason: choice.reason,
      crossed: choice.crossed,
      attempts: [],
      skipped: [],
      dropped: [],
      hold: null,
      maxOutputTokens: null,
      lowered: false,
    },
    false,
  )
  return storableJson({
    projectId: key.projectId,
    apiKeyId: key.id,
    runId: run?.id ?? null,
    route: plan.route.name,
    model: model.name,
    priceVersion: plan.price.id,
    serviceTier: facts.serviceTier,
    inputTokensMax: window.inputTokensMax,
    doc: { ...base, status: 'pending', ended: 0, latency: 0, attempts: [], settlement: 'recovered' },
  })
}
