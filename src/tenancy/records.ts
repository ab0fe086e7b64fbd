import type { KeyState, Policy, ProjectState } from '../contract/index.ts'
import type { Nano, Uuid } from '../kernel/index.ts'
import type { NetworkSet } from './networks.ts'

export interface Organization {
  readonly id: Uuid
  readonly name: string
  /** IANA name; days and months of the organization are counted in it. */
  readonly timeZone: string
  readonly createdAtMs: number
}

export interface Project {
  readonly id: Uuid
  readonly orgId: Uuid
  readonly name: string
  /** While it is paused, none of its keys is served. */
  readonly state: ProjectState
  readonly replayUnkeyedRetries: boolean
  readonly createdAtMs: number
}

/** What the gateway knows of a key. Frozen: a change of the key makes a new record. */
export interface ApiKeyRecord {
  readonly id: Uuid
  readonly orgId: Uuid
  readonly orgName: string
  readonly projectId: Uuid
  readonly projectName: string
  readonly projectState: ProjectState
  /** Answers are kept for a minute, so that the retry of a client that sends no Idempotency-Key gets the same one. */
  readonly replaysUnkeyedRetries: boolean
  readonly label: string
  /** Of the secret that was sent; in lists of the newest one. */
  readonly prefix: string
  readonly secretId: Uuid
  readonly policy: Policy
  readonly allowCrossBalance: boolean
  /** Null: every model of the catalog. */
  readonly models: ReadonlySet<string> | null
  /** Route names or route types; null: every route. */
  readonly routes: ReadonlySet<string> | null
  /** Balances that may pay; null: every one. */
  readonly buckets: ReadonlySet<string> | null
  /** The most one request may cost, by bucket; a bucket that is not named has no such limit. */
  readonly maxCharge: ReadonlyMap<string, Nano> | null
  /** Null: from anywhere. */
  readonly networks: NetworkSet | null
  /** Upstream calls a request may make; null: the gateway's own limit. */
  readonly maxAttempts: number | null
  /** Judged at the moment of the look-up: `expired` is never stored. */
  readonly state: KeyState
  /** Of the key, or of the secret that was sent where that ends before. */
  readonly expiresAtMs: number | null
}

/** One of the secrets of a key, without what is secret of it. */
export interface SecretInfo {
  readonly id: Uuid
  readonly prefix: string
  readonly state: 'active' | 'ending' | 'ended' | 'revoked'
  readonly createdAtMs: number
  readonly endsAtMs: number | null
  readonly lastUsedAtMs: number | null
}

/** A key as its owner sees it. */
export interface ApiKeyInfo extends ApiKeyRecord {
  readonly createdAtMs: number
  readonly lastUsedAtMs: number | null
  /** Oldest first. */
  readonly secrets: readonly SecretInfo[]
}

export interface Run {
  readonly id: Uuid
  readonly orgId: Uuid
  readonly projectId: Uuid
  readonly name: string
  readonly createdAtMs: number
}

/** Newest first; `before` is the id of the last row of the page before. */
export interface Page {
  readonly limit: number
  readonly before: Uuid | null
}
