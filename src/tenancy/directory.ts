import { POLICIES, type Policy } from '../contract/index.ts'
import type { Database } from '../db/index.ts'
import { assert, type IdSource, isoTime, type Uuid } from '../kernel/index.ts'
import { hashApiKey, keyPrefix, makeApiKey } from './api-key.ts'
import type { ApiKeyInfo, ApiKeyRecord, Organization, Page, Project } from './records.ts'

/** The tables of the tenancy schema as functions. Every read goes to the database; the hot path has its own cache. */

export type StoredKeyState = 'active' | 'paused' | 'revoked'

export interface NewKey {
  readonly projectId: Uuid
  readonly label: string
  readonly policy: Policy
  readonly allowCrossBalance: boolean
  readonly models: readonly string[] | null
  readonly routes: readonly string[] | null
  readonly maxAttempts?: number | null
  readonly expiresAtMs: number | null
}

export interface KeyChange {
  readonly state?: StoredKeyState
  readonly label?: string
}

export type KeyChanged =
  | { readonly ok: true; readonly key: ApiKeyInfo }
  | { readonly ok: false; readonly reason: 'unknown' | 'revoked' }

export interface Directory {
  createOrganization(input: { readonly name: string; readonly timeZone?: string }): Promise<Organization>
  /** Null when there is no such organization. */
  createProject(input: { readonly orgId: Uuid; readonly name: string }): Promise<Project | null>
  /** The only moment the secret exists here. Null when there is no such project. */
  createKey(input: NewKey): Promise<{ readonly secret: string; readonly key: ApiKeyInfo } | null>
  getOrganization(id: Uuid): Promise<Organization | null>
  getProject(id: Uuid): Promise<Project | null>
  getKey(id: Uuid): Promise<ApiKeyInfo | null>
  listOrganizations(page: Page): Promise<readonly Organization[]>
  listProjects(query: { readonly orgId: Uuid | null } & Page): Promise<readonly Project[]>
  listKeys(
    query: { readonly orgId: Uuid | null; readonly projectId: Uuid | null } & Page,
  ): Promise<readonly ApiKeyInfo[]>
  changeKey(id: Uuid, change: KeyChange): Promise<KeyChanged>
  /** @param digest SHA-256 of the secret, base64 */
  keyByDigest(digest: string): Promise<ApiKeyRecord | null>
}

interface OrganizationRow {
  readonly id: string
  readonly name: string
  readonly time_zone: string
  readonly created_at: Date
}

interface ProjectRow {
  readonly id: string
  readonly org_id: string
  readonly name: string
  readonly created_at: Date
}

interface KeyRow {
  readonly id: string
  readonly org_id: string
  readonly org_name: string
  readonly project_id: string
  readonly project_name: string
  readonly label: string
  readonly prefix: string
  readonly policy: string
  readonly allow_cross_balance: boolean
  readonly models: readonly string[] | null
  readonly route_names: readonly string[] | null
  readonly max_attempts: number | null
  readonly state: string
  readonly expires_at: Date | null
  readonly created_at: Date
  readonly last_used_at: Date | null
}

const ORGANIZATION = 'id, name, time_zone, created_at'
const PROJECT = 'id, org_id, name, created_at'
const KEY_FROM = `select k.id, k.org_id, o.name as org_name, k.project_id, p.name as project_name, k.label, k.prefix, k.policy,
    k.allow_cross_balance, k.models, k.route_names, k.max_attempts, k.state, k.expires_at, k.created_at, k.last_used_at
  from tenancy.api_key k
  join tenancy.organization o on o.id = k.org_id
  join tenancy.project p on p.org_id = k.org_id and p.id = k.project_id`

const STORED_STATES: readonly string[] = ['active', 'paused', 'revoked'] satisfies readonly StoredKeyState[]

function isStoredState(state: string): state is StoredKeyState {
  return STORED_STATES.includes(state)
}

function isPolicy(policy: string): policy is Policy {
  return (POLICIES as readonly string[]).includes(policy)
}

function organizationOf(row: OrganizationRow): Organization {
  return { id: row.id, name: row.name, timeZone: row.time_zone, createdAtMs: row.created_at.getTime() }
}

function projectOf(row: ProjectRow): Project {
  return { id: row.id, orgId: row.org_id, name: row.name, createdAtMs: row.created_at.getTime() }
}

function recordOf(row: KeyRow): ApiKeyRecord {
  assert(isPolicy(row.policy), `the API key ${row.id} has a policy this version does not know: ${row.policy}`)
  assert(
    isStoredState(row.state),
    `the API key ${row.id} has a state this version does not know: ${row.state}`,
  )
  return Object.freeze({
    id: row.id,
    orgId: row.org_id,
    orgName: row.org_name,
    projectId: row.project_id,
    projectName: row.project_name,
    label: row.label,
    prefix: row.prefix,
    policy: row.policy,
    allowCrossBalance: row.allow_cross_balance,
    models: row.models === null ? null : new Set(row.models),
    routes: row.route_names === null ? null : new Set(row.route_names),
    maxAttempts: row.max_attempts,
    state: row.state,
    expiresAtMs: row.expires_at === null ? null : row.expires_at.getTime(),
  })
}

function infoOf(row: KeyRow, nowMs: number): ApiKeyInfo {
  const record = recordOf(row)
  const over = record.expiresAtMs !== null && nowMs >= record.expiresAtMs && record.state !== 'revoked'
  return Object.freeze({
    ...record,
    state: over ? 'expired' : record.state,
    createdAtMs: row.created_at.getTime(),
    lastUsedAtMs: row.last_used_at === null ? null : row.last_used_at.getTime(),
  })
}

export interface DirectoryParts {
  readonly database: Database
  readonly nowMs: () => number
  readonly ids: IdSource
  readonly randomBytes: (length: number) => Uint8Array
}

export function createDirectory(parts: DirectoryParts): Directory {
  return { ...organizations(parts), ...projects(parts), ...keys(parts) }
}

function organizations({ database, ids }: DirectoryParts) {
  return {
    async createOrganization(input: { readonly name: string; readonly timeZone?: string }) {
      const row = await database.one<OrganizationRow>(
        `insert into tenancy.organization (id, name, time_zone) values ($1, $2, $3) returning ${ORGANIZATION}`,
        [ids.uuid(), input.name, input.timeZone ?? 'UTC'],
      )
      return organizationOf(row)
    },
    async getOrganization(id: Uuid) {
      const row = await database.maybeOne<OrganizationRow>(
        `select ${ORGANIZATION} from tenancy.organization where id = $1`,
        [id],
      )
      return row === null ? null : organizationOf(row)
    },
    async listOrganizations(page: Page) {
      const rows = await database.query<OrganizationRow>(
        `select ${ORGANIZATION} from tenancy.organization where ($1::uuid is null or id < $1) order by id desc limit $2`,
        [page.before, page.limit],
      )
      return rows.map(organizationOf)
    },
  }
}

function projects({ database, ids }: DirectoryParts) {
  return {
    async createProject(input: { readonly orgId: Uuid; readonly name: string }) {
      const row = await database.maybeOne<ProjectRow>(
        `insert into tenancy.project (org_id, id, name)
         select o.id, $2, $3 from tenancy.organization o where o.id = $1 returning ${PROJECT}`,
        [input.orgId, ids.uuid(), input.name],
      )
      return row === null ? null : projectOf(row)
    },
    async getProject(id: Uuid) {
      const row = await database.maybeOne<ProjectRow>(
        `select ${PROJECT} from tenancy.project where id = $1`,
        [id],
      )
      return row === null ? null : projectOf(row)
    },
    async listProjects(query: { readonly orgId: Uuid | null } & Page) {
      const rows = await database.query<ProjectRow>(
        `select ${PROJECT} from tenancy.project
         where ($1::uuid is null or org_id = $1) and ($2::uuid is null or id < $2) order by id desc limit $3`,
        [query.orgId, query.before, query.limit],
      )
      return rows.map(projectOf)
    },
  }
}

function keys({ database, ids, nowMs, randomBytes }: DirectoryParts) {
  async function getKey(id: Uuid): Promise<ApiKeyInfo | null> {
    const row = await database.maybeOne<KeyRow>(`${KEY_FROM} where k.id = $1`, [id])
    return row === null ? null : infoOf(row, nowMs())
  }

  return {
    getKey,
    async createKey(input: NewKey) {
      const secret = makeApiKey(randomBytes)
      const id = ids.uuid()
      const made = await database.maybeOne<{ id: string }>(
        `insert into tenancy.api_key (org_id, id, project_id, label, prefix, key_sha256, policy, allow_cross_balance, models,
           route_names, max_attempts, expires_at)
         select p.org_id, $2, p.id, $3, $4, decode($5, 'base64'), $6, $7, $8, $9, $10, $11
         from tenancy.project p where p.id = $1 returning id`,
        [
          input.projectId,
          id,
          input.label,
          keyPrefix(secret),
          hashApiKey(secret),
          input.policy,
          input.allowCrossBalance,
          input.models,
          input.routes,
          input.maxAttempts ?? null,
          input.expiresAtMs === null ? null : isoTime(input.expiresAtMs),
        ],
      )
      if (made === null) return null
      const key = await getKey(id)
      assert(key !== null, 'an API key that was just made is there')
      return { secret, key }
    },
    async listKeys(query: { readonly orgId: Uuid | null; readonly projectId: Uuid | null } & Page) {
      const rows = await database.query<KeyRow>(
        `${KEY_FROM} where ($1::uuid is null or k.org_id = $1) and ($2::uuid is null or k.project_id = $2)
           and ($3::uuid is null or k.id < $3) order by k.id desc limit $4`,
        [query.orgId, query.projectId, query.before, query.limit],
      )
      return rows.map((row) => infoOf(row, nowMs()))
    },
    async changeKey(id: Uuid, change: KeyChange): Promise<KeyChanged> {
      // A revoked key stays revoked: its owner was told that it is dead.
      const done = await database.maybeOne<{ id: string }>(
        `update tenancy.api_key set state = coalesce($2, state), label = coalesce($3, label)
         where id = $1 and (state <> 'revoked' or coalesce($2, 'revoked') = 'revoked') returning id`,
        [id, change.state ?? null, change.label ?? null],
      )
      const key = await getKey(id)
      if (key === null) return { ok: false, reason: 'unknown' }
      return done === null ? { ok: false, reason: 'revoked' } : { ok: true, key }
    },
    async keyByDigest(digest: string) {
      const row = await database.maybeOne<KeyRow>({
        name: 'tenancy_key',
        text: `${KEY_FROM} where k.key_sha256 = decode($1, 'base64')`,
        values: [digest],
      })
      return row === null ? null : recordOf(row)
    },
  }
}
