/**
 * The sandbox's own token rule: one Chinese, Japanese or Korean character is one token; any other text is cut into
 * pieces of four characters. It is simple so that a test can work out a count by hand; it is no real tokenizer.
 */

const PIECE_CHARS = 4

function isCjk(code: number): boolean {
  return (
    (code >= 0x2e80 && code <= 0x9fff) ||
    (code >= 0xac00 && code <= 0xd7af) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0xff00 && code <= 0xffef)
  )
}

export function hasCjk(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (isCjk(text.charCodeAt(at))) return true
  return false
}

/** @returns tokens by the sandbox's rule; linear in the length of the text */
export function countTokens(text: string): number {
  let tokens = 0
  let run = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    // The second half of a surrogate pair belongs to the character before it.
    if (code >= 0xdc00 && code <= 0xdfff) continue
    if (isCjk(code)) {
      tokens += 1
      run = 0
    } else if (run++ % PIECE_CHARS === 0) tokens += 1
  }
  return tokens
}

/** The pieces a stream sends, one a token: `splitTokens(text).length === countTokens(text)`, and joined they are the text. */
export function splitTokens(text: string): string[] {
  const pieces: string[] = []
  let start = 0
  let run = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    // A pair must not be torn: half a character is no valid UTF-8.
    if (code >= 0xdc00 && code <= 0xdfff) continue
    const cjk = isCjk(code)
    if (at > start && (cjk || run === 0 || run === PIECE_CHARS)) {
      pieces.push(text.slice(start, at))
      start = at
      run = 0
    }
    run = cjk ? 0 : run + 1
  }
  if (start < text.length) pieces.push(text.slice(start))
  return pieces
}

/** A 32-bit hash that is the same in every process: answers that follow from the prompt must not change between runs. */
export function hashText(text: string, seed = 0): number {
  let hash = (0x811c9dc5 ^ seed) | 0
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  hash ^= hash >>> 15
  return hash >>> 0
}

/** A small deterministic generator (xorshift32). @returns a function that gives a whole number from 0 below `limit` */
export function createPicker(seed: number): (limit: number) => number {
  let state = (seed | 0) === 0 ? 0x9e3779b9 : seed | 0
  return (limit) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
}
