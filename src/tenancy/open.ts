import { setTimeout as sleep } from 'node:timers/promises'
import type { Database, Listener, listen as listenFactory } from '../db/index.ts'
import type { Clock, IdSource, Log, Uuid } from '../kernel/index.ts'
import { hashApiKey, looksLikeApiKey } from './api-key.ts'
import { type Actor, type AuditEvent, type EventFilter, listEvents, recordEvent } from './audit-log.ts'
import { createDirectory, type Directory, type DirectoryParts } from './directory.ts'
import { createExposureLog, type ExposedAt } from './exposed.ts'
import { createInvitations, type Invitations } from './invitations.ts'
import { createKeyCache, type KeyCache, type KeyCacheOptions } from './key-cache.ts'
import type { StoredKeyState } from './key-row.ts'
import type { KeyChanged } from './keys.ts'
import { createLastUsed } from './last-used.ts'
import { createMemberBook, type MemberBook } from './members.ts'
import type { ApiKeyRecord } from './records.ts'
import { createRunBook, type RunBook } from './runs.ts'

export interface TenancyOptions {
  readonly database: Database
  readonly listen: typeof listenFactory
  readonly clock: Clock
  readonly ids: IdSource
  /** From a cryptographic source: keys are made of it. */
  readonly randomBytes: (length: number) => Uint8Array
  readonly log: Log
  readonly cache?: Pick<KeyCacheOptions, 'knownMax' | 'unknownMax' | 'unknownForMs' | 'refreshAfterMs'>
}

/** The tables as functions, with what this process remembers dropped on each change. */
export interface TenancyTables extends Omit<Directory, 'keyByDigest'>, MemberBook, Invitations {
  setKeyState(id: Uuid, state: StoredKeyState, by?: Actor): Promise<KeyChanged>
  /** Newest first. */
  listEvents(filter: EventFilter): Promise<readonly AuditEvent[]>
  /** For what is changed elsewhere: who asked for it, before it is done under the same id. */
  recordAsked(by: Actor, event: Parameters<typeof recordEvent>[2]): Promise<void>
  openRun: RunBook['open']
  getRun: RunBook['get']
  listRuns: RunBook['list']
}

export interface Tenancy extends TenancyTables {
  /** The same over another way to the tables: one that sees some organizations only. */
  within(database: Database): TenancyTables
  /**
   * The key of a secret, in whatever state it is: the caller judges `state`. Without a promise when it is in memory. What
   * is no valid key is answered at a time that does not tell whether it is malformed, unknown, revoked or expired.
   * @returns null when there is no such key
   */
  findKey(secret: string): ApiKeyRecord | null | Promise<ApiKeyRecord | null>
  /** Notes that a secret, and thereby its key, was used; written later, at most once a minute. */
  touch(secretId: Uuid): void
  /** A secret stood in a URL: writes `key.exposed` if it is one of a key. Never waits, never throws. */
  noteExposed(secret: string, at: ExposedAt): void
  /** Sizes of the key cache, for metrics and tests. */
  cacheSizes(): { readonly known: number; readonly unknown: number }
  close(): Promise<void>
}

/** Longer than any key, short enough that hashing what a stranger sent costs nothing. */
const SECRET_MAX = 128

/**
 * A malformed text is known to be none without a look-up, a revoked key is in memory, an unknown one may be: their times
 * would tell them apart. So bad news waits for the next of these steps, which a look-up fits into.
 */
const BAD_NEWS_STEP_MS = 50

const KEY_CHANNEL = 'forge_key'
const NAME_CHANNEL = 'forge_tenancy'

function tablesOf(
  parts: DirectoryParts,
  cache: Pick<KeyCache, 'dropKey' | 'dropWhere'>,
  dropped: <T>(id: Uuid, change: Promise<T>) => Promise<T>,
): TenancyTables {
  const { database } = parts
  const { keyByDigest: _, ...directory } = createDirectory(parts)
  const runs = createRunBook(database, parts.ids)
  return {
    ...directory,
    ...createMemberBook(database),
    ...createInvitations(parts),
    changeKey: (id, change, by) => dropped(id, directory.changeKey(id, change, by)),
    setKeyState: (id, state, by) => dropped(id, directory.changeKey(id, { state }, by)),
    rotateKey: (id, rotation, by) => dropped(id, directory.rotateKey(id, rotation, by)),
    revokeSecret: (id, secretId, by) => dropped(id, directory.revokeSecret(id, secretId, by)),
    async changeOrganization(id, change, by) {
      const changed = await directory.changeOrganization(id, change, by)
      cache.dropWhere((key) => key.orgId === id)
      return changed
    },
    async changeProject(id, change, by) {
      const changed = await directory.changeProject(id, change, by)
      cache.dropWhere((key) => key.projectId === id)
      return changed
    },
    async createKey(input, by) {
      const made = await directory.createKey(input, by)
      if (made !== null) cache.dropKey(made.key.id)
      return made
    },
    listEvents: (filter) => listEvents(database, filter),
    recordAsked: (by, event) => recordEvent(database, by, event),
    openRun: runs.open,
    getRun: runs.get,
    listRuns: runs.list,
  }
}

function isBadNews(key: ApiKeyRecord | null): boolean {
  return key === null || key.state === 'revoked' || key.state === 'expired'
}

/** What it looks for it finds as a request does, and at its own time: nobody waits for it. */
function exposureLog({ clock, log, database }: TenancyOptions, cache: KeyCache) {
  return createExposureLog({
    clock,
    log,
    find: (secret) => (looksLikeApiKey(secret) ? cache.load(hashApiKey(secret)) : null),
    record: (by, event) => recordEvent(database, by, event),
  })
}

/** Listens before it returns, so that a change of another process is never missed by what is cached from now on. */
export async function openTenancy(options: TenancyOptions): Promise<Tenancy> {
  const { database, clock, ids, log } = options
  const tables = { nowMs: clock.nowMs, ids, randomBytes: options.randomBytes }
  const { keyByDigest } = createDirectory({ database, ...tables })
  const cache = createKeyCache({ clock, log, lookUp: keyByDigest, ...options.cache })
  const lastUsed = createLastUsed(database, clock, log)
  const listening = Promise.withResolvers<void>()

  const listener: Listener = options.listen(database, [KEY_CHANNEL, NAME_CHANNEL], {
    log,
    onNotify(channel, payload) {
      if (channel === KEY_CHANNEL) cache.dropKey(payload)
      else {
        const id = payload.slice(payload.indexOf(':') + 1)
        cache.dropWhere((key) => key.orgId === id || key.projectId === id)
      }
    },
    onGap() {
      cache.flush()
      listening.resolve()
    },
  })
  await listening.promise

  /** Whoever was told "revoked" must not be served by this process while the notification is on its way. */
  async function dropped<T>(id: Uuid, change: Promise<T>): Promise<T> {
    const changed = await change
    cache.dropKey(id)
    return changed
  }

  async function unhurried(
    found: ApiKeyRecord | null | Promise<ApiKeyRecord | null>,
    startedMs: number,
  ): Promise<ApiKeyRecord | null> {
    const key = await found
    if (!isBadNews(key)) return key
    await sleep(BAD_NEWS_STEP_MS - ((clock.monotonicMs() - startedMs) % BAD_NEWS_STEP_MS))
    return key
  }

  const noteExposed = exposureLog(options, cache)
  const within = (on: Database): TenancyTables => tablesOf({ database: on, ...tables }, cache, dropped)

  return {
    ...within(database),
    within,
    findKey(secret) {
      const startedMs = clock.monotonicMs()
      if (secret.length > SECRET_MAX) return unhurried(null, startedMs)
      const digest = hashApiKey(secret)
      const known = cache.known(digest)
      if (known != null && !isBadNews(known)) return known
      if (known !== undefined) return unhurried(known, startedMs)
      return unhurried(looksLikeApiKey(secret) ? cache.load(digest) : null, startedMs)
    },
    noteExposed,
    touch: lastUsed.touch,
    cacheSizes: () => ({ known: cache.knownCount, unknown: cache.unknownCount }),
    async close() {
      await listener.close()
      await lastUsed.close()
    },
  }
}
