import type { Language } from '../contract/index.ts'
import type { Queryable } from '../db/index.ts'
import type { Publish } from '../events/index.ts'
import { formatId, isoTime, type Log, type Uuid } from '../kernel/index.ts'
import { DISABLED_AFTER_MS } from './backoff.ts'
import { type Due, queueMails } from './queue.ts'
import type { SendResult } from './sender.ts'

/** How an endpoint has been doing, and its end when it does not come back. */
export type NoteHealth = (
  tx: Queryable,
  due: Due,
  endpointId: Uuid,
  result: SendResult,
  nowMs: number,
) => Promise<void>

const FAILED_SQL = `update webhooks.endpoint set failing_since = coalesce(failing_since, $3)
  where org_id = $1 and id = $2 returning url, emails, language, failing_since, project_id`
const WELL_SQL = `update webhooks.endpoint set failing_since = null
  where org_id = $1 and id = $2 and failing_since is not null`
const DISABLE_SQL = `update webhooks.endpoint set state = 'disabled'
  where org_id = $1 and id = $2 and state = 'active' returning id`
const GIVE_UP_SQL = `update webhooks.delivery set state = 'failed', last_error = 'endpoint_disabled', done_at = $3
  where org_id = $1 and endpoint_id = $2 and state = 'pending'`
/** Gone, in the words of HTTP: whoever says so wants no more of it. */
const GONE = 410

interface FailingRow {
  readonly url: string
  readonly emails: string[]
  readonly language: Language
  readonly failing_since: Date
  readonly project_id: Uuid | null
}

export function createHealth(parts: { readonly publish: Publish; readonly log: Log }): NoteHealth {
  async function disable(
    tx: Queryable,
    due: Due,
    endpointId: Uuid,
    endpoint: FailingRow,
    reason: string,
    nowMs: number,
  ): Promise<void> {
    const { orgId } = due
    if ((await tx.maybeOne(DISABLE_SQL, [orgId, endpointId])) === null) return
    await tx.query(GIVE_UP_SQL, [orgId, endpointId, isoTime(nowMs)])
    const webhook = formatId('whk', endpointId)
    const [event] = await parts.publish(tx, [
      {
        type: 'webhook.disabled',
        orgId,
        projectId: endpoint.project_id,
        cause: `${endpointId} ${due.id} ${due.attempts}`,
        atMs: nowMs,
        data: {
          webhook,
          url: new URL(endpoint.url).origin,
          reason,
          failing_since: endpoint.failing_since.toISOString(),
        },
      },
    ])
    const { emails, language } = endpoint
    if (event !== undefined) await queueMails(tx, { orgId, eventId: event.id, emails, language }, nowMs)
    parts.log.warn({ webhook, reason }, 'a webhook was disabled')
  }

  return async (tx, due, endpointId, result, nowMs) => {
    const place = [due.orgId, endpointId]
    if (result.error === null) {
      await tx.query(WELL_SQL, place)
      return
    }
    const endpoint = await tx.one<FailingRow>(FAILED_SQL, [...place, isoTime(nowMs)])
    if (result.status === GONE)
      await disable(tx, due, endpointId, endpoint, 'The receiver says that it is gone (410).', nowMs)
    else if (nowMs - endpoint.failing_since.getTime() >= DISABLED_AFTER_MS)
      await disable(tx, due, endpointId, endpoint, 'Every attempt of five days failed.', nowMs)
  }
}
