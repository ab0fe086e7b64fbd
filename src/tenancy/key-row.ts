import { POLICIES, type Policy, PROJECT_STATES, type ProjectState } from '../contract/index.ts'
import { assert, formatNano, isoTime, type Json, type Nano } from '../kernel/index.ts'
import { networksOf } from './networks.ts'
import type { ApiKeyInfo, ApiKeyRecord, SecretInfo } from './records.ts'

/** Rows of API keys as records. A row that this version cannot understand is refused, not guessed at. */

export type StoredKeyState = 'active' | 'paused' | 'revoked'

export interface KeyRow {
  readonly id: string
  readonly org_id: string
  readonly org_name: string
  readonly project_id: string
  readonly project_name: string
  readonly project_state: string
  readonly project_replays: boolean
  readonly label: string
  readonly prefix: string
  readonly secret_id: string | null
  readonly policy: string
  readonly allow_cross_balance: boolean
  readonly models: readonly string[] | null
  readonly route_names: readonly string[] | null
  readonly buckets: readonly string[] | null
  readonly max_charge: Readonly<Record<string, string>> | null
  readonly allowed_networks: readonly string[] | null
  readonly max_attempts: number | null
  readonly state: string
  readonly expires_at: Date | null
  readonly created_at: Date
  readonly last_used_at: Date | null
}

export interface SecretRow {
  readonly id: string
  readonly key_id: string
  readonly prefix: string
  readonly created_at: Date
  readonly ends_at: Date | null
  readonly revoked_at: Date | null
  readonly last_used_at: Date | null
}

const OF_KEY = `k.id, k.org_id, o.name as org_name, k.project_id, p.name as project_name, p.state as project_state,
    p.replay_unkeyed_retries as project_replays, k.label, k.policy, k.allow_cross_balance, k.models, k.route_names, k.buckets, k.max_charge, k.allowed_networks, k.max_attempts,
    k.created_at, k.last_used_at`
const PLACES = `join tenancy.organization o on o.id = k.org_id
  join tenancy.project p on p.org_id = k.org_id and p.id = k.project_id`

export const KEY_FROM = `select ${OF_KEY}, k.prefix, k.state, k.expires_at,
    (select s.id from tenancy.api_key_secret s where s.key_id = k.id order by s.id desc limit 1) as secret_id
  from tenancy.api_key k ${PLACES}`

/** A secret that was revoked, or whose overlap ends, is as good as its key: one record says what it may do and how long. */
export const SECRET_FROM = `select ${OF_KEY}, s.prefix, s.id as secret_id,
    case when s.revoked_at is not null then 'revoked' else k.state end as state, least(k.expires_at, s.ends_at) as expires_at
  from tenancy.api_key_secret s join tenancy.api_key k on k.org_id = s.org_id and k.id = s.key_id ${PLACES}`

const STORED_STATES: readonly string[] = ['active', 'paused', 'revoked'] satisfies readonly StoredKeyState[]

function isStoredState(state: string): state is StoredKeyState {
  return STORED_STATES.includes(state)
}

function isPolicy(policy: string): policy is Policy {
  return (POLICIES as readonly string[]).includes(policy)
}

function isProjectState(state: string): state is ProjectState {
  return (PROJECT_STATES as readonly string[]).includes(state)
}

function chargesOf(stored: KeyRow['max_charge']): ReadonlyMap<string, Nano> | null {
  return stored === null
    ? null
    : new Map(Object.entries(stored).map(([bucket, nano]) => [bucket, BigInt(nano)]))
}

const msOf = (at: Date | null): number | null => (at === null ? null : at.getTime())

export function recordOf(row: KeyRow): ApiKeyRecord {
  const unknown = (what: string, value: string): string =>
    `the API key ${row.id} has a ${what} this version does not know: ${value}`
  assert(isPolicy(row.policy), unknown('policy', row.policy))
  assert(isStoredState(row.state), unknown('state', row.state))
  assert(isProjectState(row.project_state), unknown('project state', row.project_state))
  assert(row.secret_id !== null, `the API key ${row.id} has no secret`)
  return Object.freeze({
    id: row.id,
    orgId: row.org_id,
    orgName: row.org_name,
    projectId: row.project_id,
    projectName: row.project_name,
    projectState: row.project_state,
    replaysUnkeyedRetries: row.project_replays,
    label: row.label,
    prefix: row.prefix,
    secretId: row.secret_id,
    policy: row.policy,
    allowCrossBalance: row.allow_cross_balance,
    models: row.models === null ? null : new Set(row.models),
    routes: row.route_names === null ? null : new Set(row.route_names),
    buckets: row.buckets === null ? null : new Set(row.buckets),
    maxCharge: chargesOf(row.max_charge),
    networks: row.allowed_networks === null ? null : networksOf(row.allowed_networks),
    maxAttempts: row.max_attempts,
    state: row.state,
    expiresAtMs: msOf(row.expires_at),
  })
}

function secretOf(row: SecretRow, nowMs: number): SecretInfo {
  const endsAtMs = msOf(row.ends_at)
  const kept = endsAtMs === null ? 'active' : endsAtMs > nowMs ? 'ending' : 'ended'
  return {
    id: row.id,
    prefix: row.prefix,
    state: row.revoked_at === null ? kept : 'revoked',
    createdAtMs: row.created_at.getTime(),
    endsAtMs,
    lastUsedAtMs: msOf(row.last_used_at),
  }
}

export function infoOf(row: KeyRow, secrets: readonly SecretRow[], nowMs: number): ApiKeyInfo {
  const record = recordOf(row)
  const over = record.expiresAtMs !== null && nowMs >= record.expiresAtMs && record.state !== 'revoked'
  return Object.freeze({
    ...record,
    state: over ? 'expired' : record.state,
    createdAtMs: row.created_at.getTime(),
    lastUsedAtMs: msOf(row.last_used_at),
    secrets: secrets.map((secret) => secretOf(secret, nowMs)),
  })
}

/** What of a key can be changed, as the management API shows it and the audit log tells it. */
export function termsTold(key: ApiKeyRecord) {
  const names = (set: ReadonlySet<string> | null): string[] | null => (set === null ? null : [...set])
  return {
    label: key.label,
    policy: key.policy,
    allow_cross_balance: key.allowCrossBalance,
    models: names(key.models),
    routes: names(key.routes),
    buckets: names(key.buckets),
    max_charge:
      key.maxCharge === null
        ? null
        : Object.fromEntries([...key.maxCharge].map(([bucket, nano]) => [bucket, formatNano(nano)])),
    allowed_networks: key.networks === null ? null : [...key.networks.texts],
    max_attempts: key.maxAttempts,
    state: key.state,
    expires_at: key.expiresAtMs === null ? null : isoTime(key.expiresAtMs),
  }
}

/** The members that differ, as they were and as they are. */
export function difference(
  before: Record<string, Json>,
  after: Record<string, Json>,
): { before: Json; after: Json } {
  const changed = Object.keys(after).filter(
    (name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]),
  )
  const only = (from: Record<string, Json>): Json =>
    Object.fromEntries(changed.map((name) => [name, from[name] ?? null]))
  return { before: only(before), after: only(after) }
}
