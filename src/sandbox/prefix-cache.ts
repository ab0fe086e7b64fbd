import { countTokens } from './tokens.ts'

/** The providers' rule: a prefix counts from 1024 tokens on, in steps of 128. */
const LEAST_TOKENS = 1024
const STEP_TOKENS = 128
/** Prefixes remembered; the oldest is forgotten first. */
const KEPT_MAX = 20_000

export interface PrefixUse {
  readonly readTokens: number
  readonly writtenTokens: number
}

export const NO_PREFIX: PrefixUse = { readTokens: 0, writtenTokens: 0 }

export interface PrefixCache {
  /**
   * Looks up the longest known prefix of a prompt and remembers the prompt's own prefixes.
   * @param segments the prompt in order; a prefix may end inside a segment
   */
  use(model: string, segments: readonly string[]): PrefixUse
}

export function createPrefixCache(): PrefixCache {
  const known = new Set<string>()
  return {
    use(model, segments) {
      let readTokens = 0
      let lastTokens = 0
      for (const { tokens, key } of boundaries(model, segments)) {
        if (known.delete(key)) readTokens = tokens
        // Added again even when known: the set forgets in the order of adding.
        known.add(key)
        lastTokens = tokens
      }
      for (const key of known) {
        if (known.size <= KEPT_MAX) break
        known.delete(key)
      }
      return { readTokens, writtenTokens: lastTokens - readTokens }
    },
  }
}

/** Cuts the prompt where 1024, 1152, 1280 … tokens are full, and names each prefix by two hashes of it. */
function* boundaries(
  model: string,
  segments: readonly string[],
): Generator<{ readonly tokens: number; readonly key: string }> {
  let one = 0x811c9dc5
  let two = 0x9747b28c
  let tokens = 0
  let chunk = ''
  const prompt = segments.join('\u0000')
  for (let at = 0; at < prompt.length; at++) {
    const code = prompt.charCodeAt(at)
    one = Math.imul(one ^ code, 0x01000193)
    two = Math.imul(two ^ code, 0x5bd1e995) + 1
    // Counting needs the neighbours of a character, so it is done for short stretches rather than one by one.
    chunk += prompt[at]
    if (chunk.length < 64) continue
    const before = Math.floor(tokens / STEP_TOKENS)
    tokens += countTokens(chunk)
    chunk = ''
    const steps = Math.floor(tokens / STEP_TOKENS)
    if (steps > before && steps * STEP_TOKENS >= LEAST_TOKENS) {
      yield { tokens: steps * STEP_TOKENS, key: `${model}:${one >>> 0}:${two >>> 0}` }
    }
  }
}
