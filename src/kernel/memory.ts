import { createAsking } from './asking.ts'
import type { Clock } from './clock.ts'
import { errorText, type Log } from './log.ts'

/**
 * What was read of the database, by its key, until it is dropped. A hit is answered without a promise; who asks for what
 * is under way shares the question.
 */

export interface Memory<T> {
  known(key: string): T | undefined
  load(key: string): Promise<T>
  drop(matches: (key: string, value: T) => boolean): void
  readonly size: number
}

export interface MemoryOptions<T> {
  readonly clock: Clock
  readonly log: Log
  /** What is remembered, for the log. */
  readonly what: string
  readonly read: (key: string) => Promise<T>
  readonly max: number
}

/** The notification is what counts; reading again bounds what a connection that died silently hides. */
const REFRESH_AFTER_MS = 60_000

export function createMemory<T>({ clock, log, what, read, max }: MemoryOptions<T>): Memory<T> {
  const entries = new Map<string, { readonly value: T; againAtMs: number }>()
  const asking = createAsking(read, keep)

  function keep(key: string, value: T): void {
    entries.delete(key)
    const oldest = entries.size < max ? undefined : entries.keys().next().value
    if (oldest !== undefined) entries.delete(oldest)
    entries.set(key, { value, againAtMs: clock.monotonicMs() + REFRESH_AFTER_MS })
  }

  return {
    load: asking.ask,
    known(key) {
      const entry = entries.get(key)
      if (entry === undefined) return undefined
      const nowMs = clock.monotonicMs()
      if (nowMs >= entry.againAtMs) {
        entry.againAtMs = nowMs + REFRESH_AFTER_MS
        asking
          .ask(key)
          .catch((thrown) => log.warn({ error: errorText(thrown) }, `${what} could not be read again`))
      }
      return entry.value
    },
    drop(matches) {
      asking.distrust()
      for (const [key, { value }] of entries) if (matches(key, value)) entries.delete(key)
    },
    get size() {
      return entries.size
    },
  }
}
