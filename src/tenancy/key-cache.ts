import { type Clock, createAsking, errorText, type Log, type Uuid } from '../kernel/index.ts'
import type { ApiKeyRecord } from './records.ts'

/**
 * API keys in memory, by the hash of their secret. Every request asks here, so a hit is answered without a promise.
 * What is not known is asked of the database once and remembered for a moment, also when there is no such key.
 */

export interface KeyCache {
  /** @param digest SHA-256 of the secret, base64 */
  known(digest: string): ApiKeyRecord | null | undefined
  /** Asks the database; askers of the same digest share one question. */
  load(digest: string): Promise<ApiKeyRecord | null>
  dropKey(id: Uuid): void
  dropWhere(matches: (record: ApiKeyRecord) => boolean): void
  /** After a gap in the notifications nothing remembered can be trusted. */
  flush(): void
  readonly knownCount: number
  readonly unknownCount: number
}

export interface KeyCacheOptions {
  readonly clock: Clock
  readonly log: Log
  readonly lookUp: (digest: string) => Promise<ApiKeyRecord | null>
  readonly knownMax?: number
  readonly unknownMax?: number
  readonly unknownForMs?: number
  readonly refreshAfterMs?: number
}

interface Entry {
  readonly record: ApiKeyRecord
  /** The same key as it is judged after its expiry; made once, so that a hit allocates nothing. */
  readonly expired: ApiKeyRecord | null
  askAgainAtMs: number
}

function entryOf(record: ApiKeyRecord, askAgainAtMs: number): Entry {
  const ends = record.expiresAtMs !== null && record.state !== 'revoked'
  return {
    record,
    expired: ends ? Object.freeze({ ...record, state: 'expired' as const }) : null,
    askAgainAtMs,
  }
}

/** What is remembered, each kind bounded: the oldest goes first. */
function createMemory(knownMax: number, unknownMax: number) {
  const known = new Map<string, Entry>()
  const unknown = new Map<string, number>()
  // A key that is being rotated has several secrets.
  const digestsOf = new Map<Uuid, Set<string>>()

  function forget(digest: string): void {
    const entry = known.get(digest)
    if (entry === undefined) return
    known.delete(digest)
    const digests = digestsOf.get(entry.record.id)
    digests?.delete(digest)
    if (digests?.size === 0) digestsOf.delete(entry.record.id)
  }

  return {
    known,
    unknown,
    forget,
    forgetKey(id: Uuid): void {
      for (const digest of [...(digestsOf.get(id) ?? [])]) forget(digest)
    },
    keep(digest: string, entry: Entry): void {
      forget(digest)
      const oldest = known.size < knownMax ? undefined : known.keys().next().value
      if (oldest !== undefined) forget(oldest)
      known.set(digest, entry)
      digestsOf.set(entry.record.id, (digestsOf.get(entry.record.id) ?? new Set()).add(digest))
    },
    keepUnknown(digest: string, untilMs: number): void {
      forget(digest)
      const oldest = unknown.size < unknownMax ? undefined : unknown.keys().next().value
      if (oldest !== undefined) unknown.delete(oldest)
      unknown.set(digest, untilMs)
    },
    clear(): void {
      known.clear()
      unknown.clear()
      digestsOf.clear()
    },
  }
}

export function createKeyCache(options: KeyCacheOptions): KeyCache {
  const { clock, log, lookUp } = options
  const unknownForMs = options.unknownForMs ?? 5_000
  // The notification is what counts; asking again in the background bounds what a connection that died silently hides.
  const refreshAfterMs = options.refreshAfterMs ?? 60_000
  const memory = createMemory(options.knownMax ?? 50_000, options.unknownMax ?? 10_000)
  const asking = createAsking(lookUpEntry, (digest, entry) => {
    if (entry === null) memory.keepUnknown(digest, clock.monotonicMs() + unknownForMs)
    else memory.keep(digest, entry)
  })

  function judge({ record, expired }: Entry): ApiKeyRecord {
    return expired !== null && record.expiresAtMs !== null && clock.nowMs() >= record.expiresAtMs
      ? expired
      : record
  }

  async function lookUpEntry(digest: string): Promise<Entry | null> {
    const record = await lookUp(digest)
    return record === null ? null : entryOf(record, clock.monotonicMs() + refreshAfterMs)
  }

  async function load(digest: string): Promise<ApiKeyRecord | null> {
    const entry = await asking.ask(digest)
    return entry === null ? null : judge(entry)
  }

  function refreshWhenDue(digest: string, entry: Entry): void {
    const nowMs = clock.monotonicMs()
    if (nowMs < entry.askAgainAtMs) return
    entry.askAgainAtMs = nowMs + refreshAfterMs
    load(digest).catch((thrown) =>
      log.warn({ error: errorText(thrown) }, 'an API key could not be read again'),
    )
  }

  return {
    load,
    known(digest) {
      const entry = memory.known.get(digest)
      if (entry !== undefined) {
        refreshWhenDue(digest, entry)
        return judge(entry)
      }
      const untilMs = memory.unknown.get(digest)
      if (untilMs === undefined) return undefined
      if (clock.monotonicMs() < untilMs) return null
      memory.unknown.delete(digest)
      return undefined
    },
    ...forgetting(memory, asking.distrust),
    get knownCount() {
      return memory.known.size
    },
    get unknownCount() {
      return memory.unknown.size
    },
  }
}

function forgetting(memory: ReturnType<typeof createMemory>, distrustQuestions: () => void) {
  return {
    dropKey(id: Uuid): void {
      distrustQuestions()
      memory.forgetKey(id)
      // It may be new, or have a new secret: that may be among those just judged unknown, and its hash is not told.
      memory.unknown.clear()
    },
    dropWhere(matches: (record: ApiKeyRecord) => boolean): void {
      distrustQuestions()
      for (const [digest, entry] of memory.known) if (matches(entry.record)) memory.forget(digest)
    },
    flush(): void {
      distrustQuestions()
      memory.clear()
    },
  }
}
