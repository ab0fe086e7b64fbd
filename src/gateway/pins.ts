import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '../db/index.ts'
import { errorText, type Log, type Uuid } from '../kernel/index.ts'

/**
 * Which channel made a stored response. Providers keep responses for 30 days; what continues, retrieves, cancels or
 * deletes one must reach the account that holds it.
 */

export interface Pin {
  readonly channel: string
  readonly route: string
  readonly model: string
}

export interface PinInput extends Pin {
  readonly orgId: Uuid
  readonly projectId: Uuid
  readonly responseId: string
}

export interface Pins {
  /** Never rejects: the caller has its answer. */
  remember(pin: PinInput): Promise<void>
  find(orgId: Uuid, projectId: Uuid, responseId: string): Promise<Pin | null>
  forget(orgId: Uuid, projectId: Uuid, responseId: string): Promise<void>
  close(): void
}

const RESPONSE_ID_MAX = 256
const ANOTHER_LOOK_MS = 100
const FORGET_EVERY_MS = 3_600_000

const REMEMBER_SQL = `insert into gateway.response_pin (org_id, project_id, response_id, channel, route, model)
  values ($1, $2, $3, $4, $5, $6) on conflict do nothing`
const FIND_SQL = `select channel, route, model from gateway.response_pin
  where org_id = $1 and project_id = $2 and response_id = $3`
const FORGET_SQL =
  'delete from gateway.response_pin where org_id = $1 and project_id = $2 and response_id = $3'
const FORGET_OLD_SQL = `delete from gateway.response_pin where created_at < clock_timestamp() - interval '30 days'`

export function createPins(database: Database, log: Log): Pins {
  const forgetOld = (): void => {
    database.query(FORGET_OLD_SQL).catch((thrown: unknown) => {
      log.warn({ error: errorText(thrown) }, 'old response pins could not be deleted')
    })
  }
  const timer = setInterval(forgetOld, FORGET_EVERY_MS)
  timer.unref()
  /** On their way to the database: whoever has an answer may continue it before they are there. */
  const writing = new Map<string, Pin>()
  const look = (orgId: Uuid, projectId: Uuid, responseId: string): Promise<Pin | null> =>
    database.maybeOne<Pin & Record<string, unknown>>(FIND_SQL, [orgId, projectId, responseId])
  return {
    async remember({ orgId, projectId, responseId, channel, route, model }) {
      if (responseId === '' || responseId.length > RESPONSE_ID_MAX) return
      const name = `${projectId} ${responseId}`
      writing.set(name, { channel, route, model })
      try {
        await database.query(REMEMBER_SQL, [orgId, projectId, responseId, channel, route, model])
      } catch (thrown) {
        log.error({ error: errorText(thrown) }, 'the channel of a stored response could not be kept')
      }
      writing.delete(name)
    },
    async find(orgId, projectId, responseId) {
      // What cannot be an id is none; the database would refuse some of it.
      if (!/^[\w-]+$/.test(responseId)) return null
      const name = `${projectId} ${responseId}`
      const pin = writing.get(name) ?? (await look(orgId, projectId, responseId))
      if (pin !== null) return pin
      // Another process may have made it a moment ago.
      await sleep(ANOTHER_LOOK_MS)
      return writing.get(name) ?? look(orgId, projectId, responseId)
    },
    async forget(orgId, projectId, responseId) {
      await database.query(FORGET_SQL, [orgId, projectId, responseId])
    },
    close: () => clearInterval(timer),
  }
}
