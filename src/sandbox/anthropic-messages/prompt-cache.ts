import { hashText } from '../tokens.ts'
import type { Ttl } from './blocks.ts'
import type { PromptPiece } from './request.ts'

export interface InputCounts {
  /** Neither read from the cache nor written to it. */
  readonly plain: number
  readonly read: number
  readonly written5m: number
  readonly written1h: number
}

/** Shorter prefixes are not cached. */
const LEAST_TOKENS = 1024
const KEPT_MAX = 20_000
const TTL_MS: Readonly<Record<Ttl, number>> = { '5m': 300_000, '1h': 3_600_000 }

/** Caches prefixes where the caller marks their end; a prefix stays for its time after it was last used. */
export class PromptCache {
  /** Key of a prefix → when it is forgotten, and how long a use of it prolongs that. */
  #known = new Map<string, { readonly untilMs: number; readonly ttl: Ttl }>()

  /** @param extraTokens tokens of the prompt that no prefix has */
  use(model: string, pieces: readonly PromptPiece[], extraTokens: number, nowMs: number): InputCounts {
    const ends = prefixEnds(model, pieces)
    const total = ends.at(-1)?.tokens ?? 0
    const lastMark = ends.findLastIndex(({ ttl }) => ttl !== null)
    const usable = ends.slice(0, lastMark + 1).filter(({ tokens }) => tokens >= LEAST_TOKENS)
    // Any known prefix before the last mark counts: so does the one an earlier turn marked.
    const hit = usable.findLast(({ key }) => (this.#known.get(key)?.untilMs ?? 0) > nowMs)
    if (hit !== undefined) this.#keep(hit.key, this.#known.get(hit.key)?.ttl ?? '5m', nowMs)
    const read = hit?.tokens ?? 0
    const written = { '5m': 0, '1h': 0 }
    let at = read
    for (const { key, tokens, ttl } of usable) {
      if (ttl === null || tokens <= at) continue
      written[ttl] += tokens - at
      at = tokens
      this.#keep(key, ttl, nowMs)
    }
    return { plain: total + extraTokens - at, read, written5m: written['5m'], written1h: written['1h'] }
  }

  #keep(key: string, ttl: Ttl, nowMs: number): void {
    this.#known.delete(key)
    this.#known.set(key, { untilMs: nowMs + TTL_MS[ttl], ttl })
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= KEPT_MAX) return
      this.#known.delete(oldest)
    }
  }
}

interface PrefixEnd {
  readonly key: string
  readonly tokens: number
  readonly ttl: Ttl | null
}

function prefixEnds(model: string, pieces: readonly PromptPiece[]): readonly PrefixEnd[] {
  let one = hashText(model)
  let two = hashText(model, 1)
  let tokens = 0
  return pieces.map((piece) => {
    one = hashText(piece.text, one)
    two = hashText(piece.text, two ^ 0x5bd1e995)
    tokens += piece.tokens
    return { key: `${one}:${two}`, tokens, ttl: piece.ttl }
  })
}
