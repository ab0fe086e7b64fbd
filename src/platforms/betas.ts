import { isArray, type JsonObject } from '../kernel/index.ts'

/** Betas a caller asks for; a cloud refuses the whole request for one that it does not know. */

export interface Betas {
  readonly taken: readonly string[]
  /** For the list of what the channel could not carry. */
  readonly dropped: readonly string[]
}

/** Told in a header. */
const PLAIN = /^[\w.-]{1,64}$/

/** Of header and body, each once. @param known null for all */
export function betasOf(
  headers: Readonly<Record<string, string>>,
  body: JsonObject,
  known: readonly string[] | null,
): Betas {
  const own = isArray(body['anthropic_beta']) ? body['anthropic_beta'] : []
  const named = (headers['anthropic-beta'] ?? '').split(',').map((name) => name.trim())
  const asked = [...new Set([...own, ...named])].filter((name) => typeof name === 'string' && name !== '')
  const isKnown = (name: string): boolean => known === null || known.includes(name)
  const all = asked as string[]
  return {
    taken: all.filter(isKnown),
    dropped: all
      .filter((name) => !isKnown(name))
      .map((name) => (PLAIN.test(name) ? `anthropic-beta:${name}` : 'anthropic-beta')),
  }
}
