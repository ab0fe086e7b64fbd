import { z } from 'zod'
import { type Alert, alertFacts } from '../../alerts/index.ts'
import { type AlertView, alertSchema, alertsQuery, listOf } from '../../contract/index.ts'
import { formatId, isoTime } from '../../kernel/index.ts'
import { operation } from '../operation.ts'
import { idOf, instantOf, notFound, numberCursor, numberedPage, scopeOf } from '../scope.ts'

const nothing = z.strictObject({})
const byId = z.strictObject({ id: z.string() })

function alertView(alert: Alert): AlertView {
  const { alert: id, ...facts } = alertFacts(alert)
  return {
    id,
    organization: formatId('org', alert.orgId),
    ...facts,
    state: alert.resolvedAtMs === null ? 'raised' : 'resolved',
    acknowledged_at: alert.acknowledgedAtMs === null ? null : isoTime(alert.acknowledgedAtMs),
    acknowledged_by: alert.acknowledgedBy,
  }
}

const flag = (text: 'true' | 'false' | undefined): boolean | null =>
  text === undefined ? null : text === 'true'

export const listAlerts = operation({
  id: 'listAlerts',
  method: 'GET',
  path: '/api/v1/alerts',
  summary: 'Alerts with their figures and what to do, newest first',
  callers: ['operator'],
  permission: 'alerts.read',
  params: nothing,
  query: alertsQuery,
  body: null,
  response: listOf(alertSchema),
  faults: ['not_found'],
  async run({ deps, caller, query }) {
    const { orgId } = await scopeOf(deps, caller, { organization: query.organization })
    const rows = await deps.alerts.list.list({
      orgId,
      ruleId: query.rule === undefined ? null : idOf('alr', query.rule),
      open: flag(query.open),
      acknowledged: flag(query.acknowledged),
      sinceMs: instantOf(query.since),
      untilMs: instantOf(query.until),
      before: numberCursor(query.cursor),
      limit: query.limit + 1,
    })
    return numberedPage(rows, query.limit, alertView)
  },
})

export const getAlert = operation({
  id: 'getAlert',
  method: 'GET',
  path: '/api/v1/alerts/{id}',
  summary: 'One alert',
  callers: ['operator'],
  permission: 'alerts.read',
  params: byId,
  query: nothing,
  body: null,
  response: alertSchema,
  faults: ['not_found'],
  async run({ deps, params }) {
    const alert = await deps.alerts.list.get(idOf('alt', params.id))
    if (alert === null) throw notFound()
    return alertView(alert)
  },
})

export const acknowledgeAlert = operation({
  id: 'acknowledgeAlert',
  method: 'POST',
  path: '/api/v1/alerts/{id}/acknowledge',
  summary: 'Says that somebody has seen an alert; the first who says so is named',
  callers: ['operator'],
  permission: 'alerts.write',
  params: byId,
  query: nothing,
  body: null,
  response: alertSchema,
  faults: ['not_found'],
  async run({ deps, by, params }) {
    const who = by.id === null ? by.kind : `${by.kind} ${by.id}`
    const alert = await deps.alerts.list.acknowledge(idOf('alt', params.id), who, deps.clock.nowMs())
    if (alert === null) throw notFound()
    return alertView(alert)
  },
})
