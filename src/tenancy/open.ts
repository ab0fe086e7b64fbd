import type { Database, Listener, listen as listenFactory } from '../db/index.ts'
import type { Clock, IdSource, Log, Uuid } from '../kernel/index.ts'
import { hashApiKey, looksLikeApiKey } from './api-key.ts'
import { createDirectory, type Directory, type KeyChanged, type StoredKeyState } from './directory.ts'
import { createKeyCache, type KeyCacheOptions } from './key-cache.ts'
import { createLastUsed } from './last-used.ts'
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

export interface Tenancy extends Omit<Directory, 'keyByDigest'> {
  setKeyState(id: Uuid, state: StoredKeyState): Promise<KeyChanged>
  /**
   * The key of a secret, in whatever state it is: the caller judges `state`. Without a promise when it is in memory.
   * @returns null when there is no such key
   */
  findKey(secret: string): ApiKeyRecord | null | Promise<ApiKeyRecord | null>
  /** Notes that the key was used; written later, at most once a minute. */
  touch(keyId: Uuid): void
  openRun: RunBook['open']
  getRun: RunBook['get']
  listRuns: RunBook['list']
  /** Sizes of the key cache, for metrics and tests. */
  cacheSizes(): { readonly known: number; readonly unknown: number }
  close(): Promise<void>
}

/** Longer than any key, short enough that hashing what a stranger sent costs nothing. */
const SECRET_MAX = 128

const KEY_CHANNEL = 'forge_key'
const NAME_CHANNEL = 'forge_tenancy'

/** Listens before it returns, so that a change of another process is never missed by what is cached from now on. */
export async function openTenancy(options: TenancyOptions): Promise<Tenancy> {
  const { database, clock, ids, log } = options
  const directory = createDirectory({ database, nowMs: clock.nowMs, ids, randomBytes: options.randomBytes })
  const cache = createKeyCache({ clock, log, lookUp: directory.keyByDigest, ...options.cache })
  const lastUsed = createLastUsed(database, clock, log)
  const runs = createRunBook(database, ids)
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

  async function changeKey(...change: Parameters<Directory['changeKey']>): Promise<KeyChanged> {
    const changed = await directory.changeKey(...change)
    // Whoever was told "revoked" must not be served by this process while the notification is on its way.
    cache.dropKey(change[0])
    return changed
  }

  const { keyByDigest: _, ...listed } = directory
  return {
    ...listed,
    changeKey,
    setKeyState: (id, state) => changeKey(id, { state }),
    async createKey(input) {
      const made = await directory.createKey(input)
      if (made !== null) cache.dropKey(made.key.id)
      return made
    },
    findKey(secret) {
      if (secret.length > SECRET_MAX) return null
      const digest = hashApiKey(secret)
      const known = cache.known(digest)
      if (known !== undefined) return known
      return looksLikeApiKey(secret) ? cache.load(digest) : null
    },
    touch: lastUsed.touch,
    openRun: runs.open,
    getRun: runs.get,
    listRuns: runs.list,
    cacheSizes: () => ({ known: cache.knownCount, unknown: cache.unknownCount }),
    async close() {
      await listener.close()
      await lastUsed.close()
    },
  }
}
