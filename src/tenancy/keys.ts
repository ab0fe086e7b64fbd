import type { Policy } from '../contract/index.ts'
import type { Database, Queryable } from '../db/index.ts'
import { assert, type IdSource, isoTime, type Nano, type Uuid } from '../kernel/index.ts'
import { hashApiKey, keyPrefix, makeApiKey } from './api-key.ts'
import { type Actor, recordEvent, SYSTEM } from './audit-log.ts'
import {
  difference,
  infoOf,
  KEY_FROM,
  type KeyRow,
  recordOf,
  SECRET_FROM,
  type SecretRow,
  type StoredKeyState,
  termsTold,
} from './key-row.ts'
import type { ApiKeyInfo, ApiKeyRecord, Page } from './records.ts'

/** API keys and their secrets: made, changed, rotated, revoked, each together with its event in the audit log. */

/** What a key may do; null stands for no limit. */
export interface KeyTerms {
  readonly label: string
  readonly policy: Policy
  readonly allowCrossBalance: boolean
  readonly models: readonly string[] | null
  readonly routes: readonly string[] | null
  readonly buckets?: readonly string[] | null
  readonly maxCharge?: ReadonlyMap<string, Nano> | null
  readonly networks?: readonly string[] | null
  readonly maxAttempts?: number | null
  readonly expiresAtMs: number | null
}

export interface NewKey extends KeyTerms {
  /** Chosen by the caller where a repeat shall find that the key was made. */
  readonly id?: Uuid
  readonly projectId: Uuid
}

export type KeyChange = Partial<KeyTerms> & { readonly state?: StoredKeyState }

export type KeyChanged =
  | { readonly ok: true; readonly key: ApiKeyInfo }
  | { readonly ok: false; readonly reason: 'unknown' | 'revoked' }

export type KeyRotated =
  | { readonly ok: true; readonly key: ApiKeyInfo; readonly secret: string }
  | { readonly ok: false; readonly reason: 'unknown' | 'revoked' | 'done_before' }

export interface KeyQuery extends Page {
  readonly orgId: Uuid | null
  readonly projectId: Uuid | null
  readonly state?: ApiKeyInfo['state'] | null
  /** The first characters of a secret, as lists and scanners show them. */
  readonly prefix?: string | null
  /** How the label begins. */
  readonly labelPrefix?: string | null
}

export interface KeyBook {
  /**
   * The only moment the secret exists here. Null when there is no such project, or the id was used before.
   */
  createKey(input: NewKey, by?: Actor): Promise<{ readonly secret: string; readonly key: ApiKeyInfo } | null>
  getKey(id: Uuid): Promise<ApiKeyInfo | null>
  listKeys(query: KeyQuery): Promise<readonly ApiKeyInfo[]>
  changeKey(id: Uuid, change: KeyChange, by?: Actor): Promise<KeyChanged>
  /**
   * A new secret; those before it are good for the overlap, or end now when it is 0.
   * @param secretId of the new secret; one that exists makes none again
   */
  rotateKey(
    id: Uuid,
    rotation: { readonly overlapSeconds: number; readonly secretId?: Uuid },
    by?: Actor,
  ): Promise<KeyRotated>
  revokeSecret(id: Uuid, secretId: Uuid, by?: Actor): Promise<KeyChanged>
  /** @param digest SHA-256 of the secret, base64 */
  keyByDigest(digest: string): Promise<ApiKeyRecord | null>
}

export interface KeyBookParts {
  readonly database: Database
  readonly nowMs: () => number
  readonly ids: IdSource
  readonly randomBytes: (length: number) => Uint8Array
}

const SECRETS_SQL = `select id, key_id, prefix, created_at, ends_at, revoked_at, last_used_at from tenancy.api_key_secret
  where key_id = any($1) order by id`

const INSERT_SQL = `insert into tenancy.api_key (org_id, id, project_id, prefix, label, policy, allow_cross_balance, models,
    route_names, buckets, max_charge, allowed_networks, max_attempts, expires_at)
  select p.org_id, $2, p.id, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11, $12, $13 from tenancy.project p where p.id = $1
  on conflict (id) do nothing returning org_id`

const UPDATE_SQL = `update tenancy.api_key set label = $2, policy = $3, allow_cross_balance = $4, models = $5, route_names = $6,
    buckets = $7, max_charge = $8::jsonb, allowed_networks = $9, max_attempts = $10, expires_at = $11, state = $12
  where id = $1`

const INSERT_SECRET_SQL = `insert into tenancy.api_key_secret (org_id, id, key_id, prefix, key_sha256)
  values ($1, $2, $3, $4, decode($5, 'base64')) on conflict (id) do nothing returning id`

// A secret that ends earlier than the overlap of this rotation keeps its end.
const END_SECRETS_SQL = `update tenancy.api_key_secret set
    revoked_at = case when $3::int = 0 then clock_timestamp() end,
    ends_at = least(ends_at, clock_timestamp() + make_interval(secs => $3))
  where key_id = $1 and id <> $2 and revoked_at is null and (ends_at is null or ends_at > clock_timestamp())`

function termValues(terms: KeyTerms): unknown[] {
  const { maxCharge, expiresAtMs } = terms
  return [
    terms.label,
    terms.policy,
    terms.allowCrossBalance,
    terms.models,
    terms.routes,
    terms.buckets ?? null,
    maxCharge == null
      ? null
      : JSON.stringify(Object.fromEntries([...maxCharge].map(([b, n]) => [b, String(n)]))),
    terms.networks ?? null,
    terms.maxAttempts ?? null,
    expiresAtMs === null ? null : isoTime(expiresAtMs),
  ]
}

function termsOf(key: ApiKeyInfo): KeyTerms {
  const names = (set: ReadonlySet<string> | null) => (set === null ? null : [...set])
  return {
    label: key.label,
    policy: key.policy,
    allowCrossBalance: key.allowCrossBalance,
    models: names(key.models),
    routes: names(key.routes),
    buckets: names(key.buckets),
    maxCharge: key.maxCharge,
    networks: key.networks?.texts ?? null,
    maxAttempts: key.maxAttempts,
    expiresAtMs: key.expiresAtMs,
  }
}

/** Pausing, resuming and revoking are what a reader of the log looks for; the rest is a change. */
function actionOf(change: KeyChange): string {
  const actions = { active: 'key.resume', paused: 'key.pause', revoked: 'key.revoke' } as const
  return change.state === undefined ? 'key.change' : actions[change.state]
}

const UNKNOWN = { ok: false, reason: 'unknown' } as const

/** The rows of keys, and what belongs to them. */
function reader({ nowMs }: KeyBookParts) {
  async function infos(from: Queryable, rows: readonly KeyRow[]): Promise<readonly ApiKeyInfo[]> {
    if (rows.length === 0) return []
    const secrets = await from.query<SecretRow>(SECRETS_SQL, [rows.map((row) => row.id)])
    const byKey = Map.groupBy(secrets, (secret) => secret.key_id)
    return rows.map((row) => infoOf(row, byKey.get(row.id) ?? [], nowMs()))
  }
  return {
    infos,
    async read(from: Queryable, id: Uuid): Promise<ApiKeyInfo | null> {
      return (await infos(from, await from.query<KeyRow>(`${KEY_FROM} where k.id = $1`, [id])))[0] ?? null
    },
    /** Locked: what is decided on stays as it was read. */
    async readForChange(tx: Queryable, id: Uuid): Promise<ApiKeyInfo | null> {
      const rows = await tx.query<KeyRow>(`${KEY_FROM} where k.id = $1 for no key update of k`, [id])
      return (await infos(tx, rows))[0] ?? null
    },
    async mustRead(from: Queryable, id: Uuid): Promise<ApiKeyInfo> {
      const [key] = await infos(from, await from.query<KeyRow>(`${KEY_FROM} where k.id = $1`, [id]))
      assert(key !== undefined, 'an API key that was just written is there')
      return key
    },
  }
}

/** `expired` is judged and never stored; what is below it counts when the expiry is moved. */
async function storedState(tx: Queryable, id: Uuid): Promise<StoredKeyState> {
  const sql = 'select state from tenancy.api_key where id = $1'
  return (await tx.one<{ state: StoredKeyState }>(sql, [id])).state
}

const keyEvent = (orgId: Uuid, id: Uuid, action: string) =>
  ({ orgId, action, objectKind: 'key', objectId: id }) as const

type Reader = ReturnType<typeof reader>

function making(
  { database, ids, randomBytes }: KeyBookParts,
  { mustRead }: Reader,
): Pick<KeyBook, 'createKey'> {
  return {
    createKey(input, by = SYSTEM) {
      const id = input.id ?? ids.uuid()
      const secret = makeApiKey(randomBytes)
      return database.tx(async (tx) => {
        const values = [input.projectId, id, keyPrefix(secret), ...termValues(input)]
        const made = await tx.maybeOne<{ org_id: Uuid }>(INSERT_SQL, values)
        if (made === null) return null
        const orgId = made.org_id
        await tx.query(INSERT_SECRET_SQL, [orgId, id, id, keyPrefix(secret), hashApiKey(secret)])
        const key = await mustRead(tx, id)
        const after = { project: key.projectName, prefix: key.prefix, ...termsTold(key) }
        await recordEvent(tx, by, { ...keyEvent(orgId, id, 'key.create'), after })
        return { secret, key }
      })
    },
  }
}

function changing(
  { database }: KeyBookParts,
  { readForChange, mustRead }: Reader,
): Pick<KeyBook, 'changeKey'> {
  return {
    changeKey(id, change, by = SYSTEM) {
      return database.tx(async (tx): Promise<KeyChanged> => {
        const old = await readForChange(tx, id)
        if (old === null) return UNKNOWN
        const was = old.state === 'expired' ? await storedState(tx, id) : old.state
        const { state = was, ...terms } = change
        // A revoked key stays revoked: its owner was told that it is dead.
        if (was === 'revoked' && state !== 'revoked') return { ok: false, reason: 'revoked' }
        await tx.query(UPDATE_SQL, [id, ...termValues({ ...termsOf(old), ...terms }), state])
        const key = await mustRead(tx, id)
        const changed = difference({ ...termsTold(old), state: was }, { ...termsTold(key), state })
        await recordEvent(tx, by, { ...keyEvent(key.orgId, id, actionOf(change)), ...changed })
        return { ok: true, key }
      })
    },
  }
}

function rotating(
  { database, ids, randomBytes }: KeyBookParts,
  { readForChange, mustRead }: Reader,
): Pick<KeyBook, 'rotateKey' | 'revokeSecret'> {
  return {
    rotateKey(id, { overlapSeconds, secretId = ids.uuid() }, by = SYSTEM) {
      const secret = makeApiKey(randomBytes)
      const prefix = keyPrefix(secret)
      return database.tx(async (tx): Promise<KeyRotated> => {
        const old = await readForChange(tx, id)
        if (old === null) return UNKNOWN
        if (old.state === 'revoked') return { ok: false, reason: 'revoked' }
        const values = [old.orgId, secretId, id, prefix, hashApiKey(secret)]
        const made = await tx.maybeOne(INSERT_SECRET_SQL, values)
        if (made === null) return { ok: false, reason: 'done_before' }
        await tx.query(END_SECRETS_SQL, [id, secretId, overlapSeconds])
        await tx.query('update tenancy.api_key set prefix = $2 where id = $1', [id, prefix])
        await recordEvent(tx, by, {
          ...keyEvent(old.orgId, id, 'key.rotate'),
          before: { prefix: old.prefix },
          after: { prefix, overlap_seconds: overlapSeconds },
        })
        return { ok: true, key: await mustRead(tx, id), secret }
      })
    },
    revokeSecret(id, secretId, by = SYSTEM) {
      return database.tx(async (tx): Promise<KeyChanged> => {
        const old = await readForChange(tx, id)
        const secret = old?.secrets.find((one) => one.id === secretId)
        if (old === null || secret === undefined) return UNKNOWN
        if (secret.state === 'revoked') return { ok: true, key: old }
        const sql = 'update tenancy.api_key_secret set revoked_at = clock_timestamp() where id = $1'
        await tx.query(sql, [secretId])
        const { prefix, state } = secret
        await recordEvent(tx, by, {
          ...keyEvent(old.orgId, id, 'key.secret_revoke'),
          before: { prefix, state },
          after: { prefix, state: 'revoked' },
        })
        return { ok: true, key: await mustRead(tx, id) }
      })
    },
  }
}

function listing({ database }: KeyBookParts, { infos }: Reader): Pick<KeyBook, 'listKeys'> {
  return {
    async listKeys({ state, prefix, labelPrefix, orgId, projectId, before, limit }) {
      const asked: ReadonlyArray<readonly [sql: string, value: unknown]> = [
        ['k.org_id = $', orgId],
        ['k.project_id = $', projectId],
        [
          `(case when k.state <> 'revoked' and k.expires_at <= clock_timestamp() then 'expired' else k.state end) = $`,
          state ?? null,
        ],
        [
          'exists (select from tenancy.api_key_secret s where s.key_id = k.id and s.prefix = $)',
          prefix ?? null,
        ],
        ['k.label ^@ $', labelPrefix ?? null],
        ['k.id < $', before],
      ]
      const given = asked.filter(([, value]) => value !== null)
      const where = given.map(([sql], i) => sql.replace('$', `$$${i + 1}`)).join(' and ')
      const rows = await database.query<KeyRow>(
        `${KEY_FROM} ${where === '' ? '' : `where ${where}`} order by k.id desc limit $${given.length + 1}`,
        [...given.map(([, value]) => value), limit],
      )
      return infos(database, rows)
    },
  }
}

export function createKeyBook(parts: KeyBookParts): KeyBook {
  const { database } = parts
  const rows = reader(parts)
  return {
    ...making(parts, rows),
    ...changing(parts, rows),
    ...rotating(parts, rows),
    ...listing(parts, rows),
    getKey: (id) => rows.read(database, id),
    async keyByDigest(digest) {
      const row = await database.maybeOne<KeyRow>({
        name: 'tenancy_key_by_secret',
        text: `${SECRET_FROM} where s.key_sha256 = decode($1, 'base64')`,
        values: [digest],
      })
      return row === null ? null : recordOf(row)
    },
  }
}
