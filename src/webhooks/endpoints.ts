import type { EventType, Language, WebhookState } from '../contract/index.ts'
import { conditions, type Database, type Queryable } from '../db/index.ts'
import type { Publish } from '../events/index.ts'
import { assert, type Clock, formatId, type IdSource, isoTime, type Uuid } from '../kernel/index.ts'
import type { SecretBook, WebhookSecret } from './secrets.ts'

/** Who is told of what. */

export interface EndpointTerms {
  readonly url: string
  readonly types: readonly EventType[]
  readonly projectId: Uuid | null
  readonly description: string
  readonly emails: readonly string[]
  readonly language: Language
}

export interface Endpoint extends EndpointTerms {
  readonly id: Uuid
  readonly orgId: Uuid
  readonly state: WebhookState
  readonly failingSinceMs: number | null
  readonly createdAtMs: number
  readonly secrets: readonly WebhookSecret[]
}

export interface EndpointQuery {
  readonly orgId: Uuid | null
  readonly ended: boolean
  readonly before: Uuid | null
  readonly limit: number
}

/** Runs in the transaction of a change, for the log of changes. */
export type Told = (tx: Queryable, before: Endpoint | null, after: Endpoint) => Promise<void>

export interface EndpointBook {
  /** @returns null when the id is in use */
  make(
    input: EndpointTerms & { readonly orgId: Uuid; readonly id: Uuid },
    told: Told,
  ): Promise<{ readonly endpoint: Endpoint; readonly secret: string } | null>
  get(id: Uuid): Promise<Endpoint | null>
  /** Newest first. */
  list(query: EndpointQuery): Promise<readonly Endpoint[]>
  /** `null`: there is none, or it has ended. */
  change(
    id: Uuid,
    to: Partial<EndpointTerms> & { readonly state?: WebhookState },
    told: Told,
  ): Promise<Endpoint | null>
  /** @returns the new secret; null when there is no endpoint, `made` when that secret was made before */
  rotate(
    id: Uuid,
    secretId: Uuid,
    overlapSeconds: number,
    told: Told,
  ): Promise<{ readonly endpoint: Endpoint; readonly secret: string } | 'made' | null>
  /** Queues one event for this endpoint alone. @returns the delivery */
  test(endpoint: Endpoint): Promise<Uuid>
}

interface Row {
  readonly id: Uuid
  readonly org_id: Uuid
  readonly project_id: Uuid | null
  readonly url: string
  readonly description: string
  readonly types: EventType[]
  readonly emails: string[]
  readonly language: Language
  readonly state: WebhookState
  readonly failing_since: Date | null
  readonly created_at: Date
}

const FROM = `select id, org_id, project_id, url, description, types, emails, language, state, failing_since, created_at
  from webhooks.endpoint`
const INSERT_SQL = `insert into webhooks.endpoint (org_id, id, project_id, url, description, types, emails, language)
  values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (id) do nothing returning id`
const UPDATE_SQL = `update webhooks.endpoint set project_id = $2, url = $3, description = $4, types = $5, emails = $6, language = $7,
  state = $8, failing_since = case when $9 then null else failing_since end where id = $1`
const END_SQL = `update webhooks.delivery set state = 'failed', last_error = 'endpoint_ended', done_at = $2
  where endpoint_id = $1 and state = 'pending'`
const QUEUE_SQL = `insert into webhooks.delivery (org_id, event_id, endpoint_id, next_at) values ($1, $2, $3, $4) returning id`

const TEST_TEXT = 'If you can read this and the signature is right, the webhook works.'

function endpointOf(row: Row, secrets: readonly WebhookSecret[]): Endpoint {
  return {
    id: row.id,
    orgId: row.org_id,
    projectId: row.project_id,
    url: row.url,
    description: row.description,
    types: row.types,
    emails: row.emails,
    language: row.language,
    state: row.state,
    failingSinceMs: row.failing_since === null ? null : row.failing_since.getTime(),
    createdAtMs: row.created_at.getTime(),
    secrets,
  }
}

export interface EndpointParts {
  readonly database: Database
  readonly secrets: SecretBook
  readonly publish: Publish
  readonly ids: IdSource
  readonly clock: Clock
}

async function locked(tx: Queryable, id: Uuid): Promise<Endpoint | null> {
  const row = await tx.maybeOne<Row>(`${FROM} where id = $1 and state <> 'ended' for no key update`, [id])
  return row === null ? null : endpointOf(row, [])
}

function reading({ database, secrets }: EndpointParts) {
  async function withSecrets(rows: readonly Row[]): Promise<readonly Endpoint[]> {
    if (rows.length === 0) return []
    const known = await secrets.list(rows.map(({ id }) => id))
    return rows.map((row) => endpointOf(row, known.get(row.id) ?? []))
  }
  async function get(id: Uuid): Promise<Endpoint | null> {
    return (await withSecrets(await database.query<Row>(`${FROM} where id = $1`, [id])))[0] ?? null
  }
  return {
    get,
    async mustGet(id: Uuid): Promise<Endpoint> {
      const endpoint = await get(id)
      assert(endpoint !== null, 'a webhook that was just written is there')
      return endpoint
    },
    async list({ orgId, ended, before, limit }: EndpointQuery): Promise<readonly Endpoint[]> {
      const { where, values } = conditions([
        ['org_id =', orgId],
        ['state <>', ended ? null : 'ended'],
        ['id <', before],
      ])
      const sql = `${FROM} ${where} order by id desc limit $${values.length + 1}`
      return withSecrets(await database.query<Row>(sql, [...values, limit]))
    },
  }
}

function changing({ database, clock }: EndpointParts, mustGet: (id: Uuid) => Promise<Endpoint>) {
  return {
    async change(
      id: Uuid,
      to: Partial<EndpointTerms> & { readonly state?: WebhookState },
      told: Told,
    ): Promise<Endpoint | null> {
      const changed = await database.tx(async (tx) => {
        const now = await locked(tx, id)
        if (now === null) return false
        const next = { ...now, ...to }
        // Whoever brings one back begins a new count of days.
        const again = next.state === 'active' && now.state !== 'active'
        const terms = [next.projectId, next.url, next.description, next.types, next.emails, next.language]
        await tx.query(UPDATE_SQL, [id, ...terms, next.state, again])
        if (next.state === 'ended') await tx.query(END_SQL, [id, isoTime(clock.nowMs())])
        await told(tx, now, next)
        return true
      })
      return changed ? await mustGet(id) : null
    },
  }
}

export function createEndpointBook(parts: EndpointParts): EndpointBook {
  const { database, secrets, publish, clock, ids } = parts
  const { get, mustGet, list } = reading(parts)
  return {
    get,
    list,
    ...changing(parts, mustGet),
    async make(input, told) {
      const { orgId, id, projectId, url, description, types, emails, language } = input
      const secret = await database.tx(async (tx) => {
        const values = [orgId, id, projectId, url, description, types, emails, language]
        if ((await tx.maybeOne(INSERT_SQL, values)) === null) return null
        const made = await secrets.make(tx, { orgId, id })
        await told(tx, null, endpointOf(await tx.one<Row>(`${FROM} where id = $1`, [id]), []))
        return made
      })
      return secret === null ? null : { endpoint: await mustGet(id), secret }
    },
    async rotate(id, secretId, overlapSeconds, told) {
      const made = await database.tx(async (tx) => {
        const endpoint = await locked(tx, id)
        if (endpoint === null) return null
        if (await secrets.exists(secretId)) return 'made'
        const secret = await secrets.make(tx, { ...endpoint, secretId })
        await secrets.endOthers(tx, endpoint, secretId, overlapSeconds)
        await told(tx, endpoint, endpoint)
        return { secret }
      })
      return made === null || made === 'made' ? made : { endpoint: await mustGet(id), ...made }
    },
    test: ({ id, orgId, projectId }) =>
      database.tx(async (tx) => {
        const [event] = await publish(tx, [
          {
            type: 'webhook.test',
            orgId,
            projectId,
            cause: ids.uuid(),
            atMs: clock.nowMs(),
            data: { webhook: formatId('whk', id), text: TEST_TEXT },
          },
        ])
        assert(event !== undefined, 'a test is a new event')
        const values = [orgId, event.id, id, isoTime(clock.nowMs())]
        return (await tx.one<{ id: Uuid }>(QUEUE_SQL, values)).id
      }),
  }
}
