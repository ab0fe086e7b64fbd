import type { IdSource } from '../kernel/index.ts'

/** Letters and digits from a fresh UUID, its random end first. */
export function freshName(ids: IdSource, length: number): string {
  const text = [...BigInt(`0x${ids.uuid().replaceAll('-', '')}`).toString(36)].reverse().join('')
  return (text + text).slice(0, length)
}

/** `length` hexadecimal digits, at most 64, of which the first half differs between any two. */
export function freshHex(ids: IdSource, length: number): string {
  return (reversedHex(ids) + reversedHex(ids)).slice(0, length)
}

function reversedHex(ids: IdSource): string {
  return [...ids.uuid().replaceAll('-', '')].reverse().join('')
}
