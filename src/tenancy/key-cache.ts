import { type Clock, errorText, type Log, type Uuid } from '../kernel/index.ts'
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
  return { record, expired: ends ? Object.freeze({ ...record, state: 'expired' as const }) : null, askAgainAtMs }
}

function dropOldest(map: Map<string, unknown>): void {
  const oldest = map.keys().next()
  if (oldest.done !== true) map.delete(oldest.value)
}

export function createKeyCache(options: KeyCacheOptions): KeyCache {
  const { clock, log, lookUp } = options
  const knownMax = options.knownMax ?? 50_000
  const unknownMax = options.unknownMax ?? 10_000
  const unknownForMs = options.unknownForMs ?? 5_000
  // The notification is what counts; asking again in the background bounds what a connection that died silently hides.
  const refreshAfterMs = options.refreshAfterMs ?? 60_000
  const known = new Map<string, Entry>()
  const unknown = new Map<string, number>()
  const digestOf = new Map<Uuid, string>()
  let asking = new Map<string, Promise<ApiKeyRecord | null>>()
  let epoch = 0

  /** What is under way was asked before the change: its answer may not be kept, nor given to those who ask later. */
  function distrustQuestions(): void {
    epoch++
    if (asking.size > 0) asking = new Map()
  }

  function forget(digest: string): void {
    const entry = known.get(digest)
    if (entry === undefined) return
    known.delete(digest)
    digestOf.delete(entry.record.id)
  }

  function remember(digest: string, record: ApiKeyRecord | null): void {
    forget(digest)
    if (record === null) {
      if (unknown.size >= unknownMax) dropOldest(unknown)
      unknown.set(digest, clock.monotonicMs() + unknownForMs)
      return
    }
    if (known.size >= knownMax) {
      const oldest = known.keys().next()
      if (oldest.done !== true) forget(oldest.value)
    }
    known.set(digest, entryOf(record, clock.monotonicMs() + refreshAfterMs))
    digestOf.set(record.id, digest)
  }

  function judge(record: ApiKeyRecord, expired: ApiKeyRecord | null): ApiKeyRecord {
    return expired !== null && record.expiresAtMs !== null && clock.nowMs() >= record.expiresAtMs ? expired : record
  }

  async function ask(digest: string): Promise<ApiKeyRecord | null> {
    const asked = epoch
    const record = await lookUp(digest)
    if (asked === epoch) remember(digest, record)
    return record === null ? null : judge(record, entryOf(record, 0).expired)
  }

  function load(digest: string): Promise<ApiKeyRecord | null> {
    const underWay = asking.get(digest)
    if (underWay !== undefined) return underWay
    const mine = asking
    const answer = ask(digest).finally(() => mine.delete(digest))
    mine.set(digest, answer)
    return answer
  }

  function refresh(digest: string): void {
    load(digest).catch((thrown) => log.warn({ error: errorText(thrown) }, 'an API key could not be read again'))
  }

  return {
    load,
    known(digest) {
      const entry = known.get(digest)
      if (entry !== undefined) {
        const nowMs = clock.monotonicMs()
        if (nowMs >= entry.askAgainAtMs) {
          entry.askAgainAtMs = nowMs + refreshAfterMs
          refresh(digest)
        }
        return judge(entry.record, entry.expired)
      }
      const untilMs = unknown.get(digest)
      if (untilMs === undefined) return undefined
      if (clock.monotonicMs() < untilMs) return null
      unknown.delete(digest)
      return undefined
    },
    dropKey(id) {
      distrustQuestions()
      const digest = digestOf.get(id)
      // A key nobody knew is a new one: it may be among those just judged unknown, and its hash is not told.
      if (digest === undefined) unknown.clear()
      else forget(digest)
    },
    dropWhere(matches) {
      distrustQuestions()
      for (const [digest, entry] of known) if (matches(entry.record)) forget(digest)
    },
    flush() {
      distrustQuestions()
      known.clear()
      unknown.clear()
      digestOf.clear()
    },
    get knownCount() {
      return known.size
    },
    get unknownCount() {
      return unknown.size
    },
  }
}
