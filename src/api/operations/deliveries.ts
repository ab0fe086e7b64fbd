import { z } from 'zod'
import {
  type DeliveryView,
  deliveriesQuery,
  deliveryPageSchema,
  deliverySchema,
  FaultError,
  fault,
  listOf,
  replayedSchema,
  webhookReplaySchema,
} from '../../contract/index.ts'
import { formatId, isoTime } from '../../kernel/index.ts'
import type { Attempt, Delivery } from '../../webhooks/index.ts'
import type { ApiDeps } from '../deps.ts'
import { operation } from '../operation.ts'
import { idOf, instantOf, notFound, numberCursor, numberedPage } from '../scope.ts'

const nothing = z.strictObject({})
const byId = z.strictObject({ id: z.string() })
const byDelivery = z.strictObject({ id: z.string(), delivery: z.string() })

export function deliveryView(delivery: Delivery): DeliveryView {
  const { endpointId, state, doneAtMs } = delivery
  return {
    id: formatId('dlv', delivery.id),
    webhook: endpointId === null ? null : formatId('whk', endpointId),
    email: delivery.email,
    event: formatId('evt', delivery.eventId),
    type: delivery.type,
    state,
    attempts: delivery.attempts,
    status: delivery.status,
    error: delivery.error,
    next_attempt_at: state === 'pending' ? isoTime(delivery.nextAtMs) : null,
    created_at: isoTime(delivery.createdAtMs),
    done_at: doneAtMs === null ? null : isoTime(doneAtMs),
  }
}

function attemptView({ n, at, status, latencyMs, error, nextAt }: Attempt) {
  return {
    n,
    at: at.toISOString(),
    status,
    latency_ms: latencyMs,
    error,
    next_attempt_at: nextAt === null ? null : nextAt.toISOString(),
  }
}

export async function endpointOf(deps: ApiDeps, text: string) {
  const endpoint = await deps.webhooks.endpoints.get(idOf('whk', text))
  if (endpoint === null) throw notFound()
  return endpoint
}

/** Only where they would be sent. */
async function activeOf(deps: ApiDeps, text: string) {
  const endpoint = await endpointOf(deps, text)
  if (endpoint.state === 'active') return endpoint
  throw new FaultError(fault('conflict', `The webhook is ${endpoint.state}. Activate it, then replay.`))
}

export const listDeliveries = operation({
  id: 'listDeliveries',
  method: 'GET',
  path: '/api/v1/webhooks/{id}/deliveries',
  summary: 'What was sent to a webhook endpoint and what became of it, newest first',
  callers: ['operator'],
  permission: 'webhooks.read',
  params: byId,
  query: deliveriesQuery,
  body: null,
  response: listOf(deliverySchema),
  faults: ['not_found'],
  async run({ deps, params, query }) {
    const endpoint = await endpointOf(deps, params.id)
    const rows = await deps.webhooks.log.list({
      endpointId: endpoint.id,
      state: query.state ?? null,
      type: query.type ?? null,
      sinceMs: instantOf(query.since),
      untilMs: instantOf(query.until),
      before: numberCursor(query.cursor),
      limit: query.limit + 1,
    })
    return numberedPage(rows, query.limit, deliveryView)
  },
})

export const getDelivery = operation({
  id: 'getDelivery',
  method: 'GET',
  path: '/api/v1/webhooks/{id}/deliveries/{delivery}',
  summary: 'One delivery with each of its attempts',
  callers: ['operator'],
  permission: 'webhooks.read',
  params: byDelivery,
  query: nothing,
  body: null,
  response: deliveryPageSchema,
  faults: ['not_found'],
  async run({ deps, params }) {
    const endpoint = await endpointOf(deps, params.id)
    const found = await deps.webhooks.log.get(endpoint.id, idOf('dlv', params.delivery))
    if (found === null) throw notFound()
    return { ...deliveryView(found.delivery), log: found.attempts.map(attemptView) }
  },
})

export const replayDelivery = operation({
  id: 'replayDelivery',
  method: 'POST',
  path: '/api/v1/webhooks/{id}/deliveries/{delivery}/replay',
  summary: 'Sends a delivery again, whatever became of it; the webhook-id is the same',
  callers: ['operator'],
  permission: 'webhooks.write',
  params: byDelivery,
  query: nothing,
  body: null,
  response: deliverySchema,
  faults: ['not_found', 'conflict'],
  async run({ deps, params }) {
    const endpoint = await activeOf(deps, params.id)
    const id = idOf('dlv', params.delivery)
    if (!(await deps.webhooks.log.replay(endpoint.id, id, deps.clock.nowMs()))) throw notFound()
    const found = await deps.webhooks.log.get(endpoint.id, id)
    if (found === null) throw notFound()
    deps.webhooks.wake()
    return deliveryView(found.delivery)
  },
})

export const replayFailed = operation({
  id: 'replayFailed',
  method: 'POST',
  path: '/api/v1/webhooks/{id}/replay',
  summary: 'Sends again all deliveries that failed, of those made since a time',
  callers: ['operator'],
  permission: 'webhooks.write',
  params: byId,
  query: nothing,
  body: webhookReplaySchema,
  response: replayedSchema,
  faults: ['not_found', 'conflict'],
  async run({ deps, params, body }) {
    const endpoint = await activeOf(deps, params.id)
    const sinceMs = Date.parse(body.since)
    const replayed = await deps.webhooks.log.replayFailed(endpoint.id, sinceMs, deps.clock.nowMs())
    deps.webhooks.wake()
    return { replayed }
  },
})
