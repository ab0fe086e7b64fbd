import { hashText } from './tokens.ts'

/**
 * Opaque texts such as providers attach to reasoning and demand back unchanged. Ours can be checked, so that a gateway
 * which alters, mixes up or invents one is refused here as it would be there.
 */

const MARK = 'tokens-forge-sandbox'

export type SealKind = 'thinking' | 'redacted' | 'reasoning' | 'compaction' | 'thought' | 'search'

/** A seal of `text` in base64, longer for a longer text, the same for the same text. */
export function sealOf(kind: SealKind, text: string): string {
  const hash = hashText(text, 7).toString(16).padStart(8, '0')
  let filler = ''
  for (let part = 0; part * 8 < 48 + text.length / 2; part++) {
    filler += hashText(`${kind}${hash}`, part).toString(16).padStart(8, '0')
  }
  const head = `${MARK}:${kind}:${hash}:${filler}`
  return Buffer.from(`${head}:${hashText(head).toString(16)}`).toString('base64')
}

/** @param text what the seal must be of; null where the caller no longer has it */
export function isSealOf(kind: SealKind, seal: string, text: string | null): boolean {
  const plain = Buffer.from(seal, 'base64').toString('utf8')
  const at = plain.lastIndexOf(':')
  const head = plain.slice(0, at)
  const [mark, sealed, hash] = head.split(':')
  if (mark !== MARK || sealed !== kind || plain.slice(at + 1) !== hashText(head).toString(16)) return false
  return text === null || hash === hashText(text, 7).toString(16).padStart(8, '0')
}
