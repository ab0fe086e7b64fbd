import type { Database, Queryable } from '../db/index.ts'
import type { IdSource, Uuid } from '../kernel/index.ts'
import type { Keyring } from '../secrets/index.ts'

/** The secrets of endpoints: sealed where they are stored, opened to sign, told once. */

export interface WebhookSecret {
  readonly id: Uuid
  readonly createdAtMs: number
  /** When the overlap of its rotation ends. */
  readonly endsAtMs: number | null
}

export interface SecretBook {
  /** @returns the secret, for this once */
  make(
    tx: Queryable,
    endpoint: { readonly orgId: Uuid; readonly id: Uuid; readonly secretId?: Uuid },
  ): Promise<string>
  /** Those before the newest sign until the overlap ends. */
  endOthers(
    tx: Queryable,
    endpoint: { readonly orgId: Uuid; readonly id: Uuid },
    keep: Uuid,
    overlapSeconds: number,
  ): Promise<void>
  /** Those that sign now, newest first. */
  signing(orgId: Uuid, endpointId: Uuid): Promise<readonly string[]>
  list(endpointIds: readonly Uuid[]): Promise<ReadonlyMap<Uuid, readonly WebhookSecret[]>>
  exists(id: Uuid): Promise<boolean>
}

/** As many bits as the hash has; Standard Webhooks wants 24 to 64 bytes. */
const SECRET_BYTES = 32

const placeOf = (id: Uuid): string => `webhooks.secret:${id}`
const GOOD = '(ends_at is null or ends_at > clock_timestamp())'

export function createSecretBook(parts: {
  readonly database: Database
  readonly keyring: Pick<Keyring, 'seal' | 'open'>
  readonly ids: IdSource
  readonly randomBytes: (length: number) => Uint8Array
}): SecretBook {
  const { database, keyring, ids, randomBytes } = parts
  return {
    async make(tx, endpoint) {
      const id = endpoint.secretId ?? ids.uuid()
      const secret = `whsec_${Buffer.from(randomBytes(SECRET_BYTES)).toString('base64')}`
      await tx.query(
        'insert into webhooks.secret (org_id, id, endpoint_id, sealed) values ($1, $2, $3, $4)',
        [endpoint.orgId, id, endpoint.id, keyring.seal('webhook_secret', placeOf(id), secret)],
      )
      return secret
    },
    async endOthers(tx, endpoint, keep, overlapSeconds) {
      await tx.query(
        `update webhooks.secret set ends_at = least(ends_at, clock_timestamp() + make_interval(secs => $4))
         where org_id = $1 and endpoint_id = $2 and id <> $3 and ${GOOD}`,
        [endpoint.orgId, endpoint.id, keep, overlapSeconds],
      )
    },
    async signing(orgId, endpointId) {
      const rows = await database.query<{ id: Uuid; sealed: Buffer }>(
        `select id, sealed from webhooks.secret where org_id = $1 and endpoint_id = $2 and ${GOOD} order by created_at desc, id desc`,
        [orgId, endpointId],
      )
      return rows.map(({ id, sealed }) => keyring.open('webhook_secret', placeOf(id), sealed))
    },
    async list(endpointIds) {
      const rows = await database.query<{
        id: Uuid
        endpoint_id: Uuid
        created_at: Date
        ends_at: Date | null
      }>(
        `select id, endpoint_id, created_at, ends_at from webhooks.secret
         where endpoint_id = any($1) and ${GOOD} order by created_at, id`,
        [endpointIds],
      )
      const secrets = rows.map((row) => ({
        endpointId: row.endpoint_id,
        id: row.id,
        createdAtMs: row.created_at.getTime(),
        endsAtMs: row.ends_at === null ? null : row.ends_at.getTime(),
      }))
      return Map.groupBy(secrets, ({ endpointId }) => endpointId)
    },
    exists: async (id) =>
      (await database.maybeOne('select from webhooks.secret where id = $1', [id])) !== null,
  }
}
