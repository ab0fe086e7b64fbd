import type { KeyState, Policy } from '../contract/index.ts'
import type { Uuid } from '../kernel/index.ts'

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
  readonly createdAtMs: number
}

/** What the gateway knows of a key. Frozen: a change of the key makes a new record. */
export interface ApiKeyRecord {
  readonly id: Uuid
  readonly orgId: Uuid
  readonly orgName: string
  readonly projectId: Uuid
  readonly projectName: string
  readonly label: string
  readonly prefix: string
  readonly policy: Policy
  readonly allowCrossBalance: boolean
  /** Null: every model of the catalog. */
  readonly models: ReadonlySet<string> | null
  /** Route names or route types; null: every route. */
  readonly routes: ReadonlySet<string> | null
  /** Upstream calls a request may make; null: the gateway's own limit. */
  readonly maxAttempts: number | null
  /** Judged at the moment of the look-up: `expired` is never stored. */
  readonly state: KeyState
  readonly expiresAtMs: number | null
}

/** A key as its owner sees it. */
export interface ApiKeyInfo extends ApiKeyRecord {
  readonly createdAtMs: number
  readonly lastUsedAtMs: number | null
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
