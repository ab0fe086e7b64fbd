import { z } from 'zod'
import { type EventView, eventSchema, eventsQuery, listOf } from '../../contract/index.ts'
import type { EventRecord } from '../../events/index.ts'
import { assert, parseJson } from '../../kernel/index.ts'
import { operation } from '../operation.ts'
import { instantOf, numberCursor, numberedPage, scopeOf } from '../scope.ts'

function eventView({ payload }: EventRecord): EventView {
  const parsed = parseJson(payload)
  assert(parsed.ok, 'an event is stored as JSON')
  return parsed.value as unknown as EventView
}

export const listEvents = operation({
  id: 'listEvents',
  method: 'GET',
  path: '/api/v1/events',
  summary: 'What happened, newest first, where a webhook or an alert rule asks for it',
  callers: ['operator', 'key'],
  permission: 'alerts.read',
  params: z.strictObject({}),
  query: eventsQuery,
  body: null,
  response: listOf(eventSchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    // A key sees what concerns its project; what concerns the whole organization is for its people.
    const { orgId, projectId } = await scopeOf(deps, caller, query)
    const rows = await deps.events.list({
      orgId,
      projectId,
      type: query.type ?? null,
      sinceMs: instantOf(query.since),
      untilMs: instantOf(query.until),
      before: numberCursor(query.cursor),
      limit: query.limit + 1,
    })
    return numberedPage(rows, query.limit, eventView)
  },
})
