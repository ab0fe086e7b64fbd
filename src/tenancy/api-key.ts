import { hash } from 'node:crypto'
import { crc32 } from 'node:zlib'

/**
 * The form of an API key: `sk-tf-`, 43 base-62 characters of 32 random bytes, 6 base-62 characters of the CRC-32 of all
 * that precedes. The checksum lets a scanner, or this gateway, tell a typo from a key without asking anyone; it is
 * no secret and proves nothing. Base 62 has no dash or underline: a double click selects the whole key.
 */

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const MARK = 'sk-tf-'
const BODY_LENGTH = 43
const CHECKSUM_LENGTH = 6
const FORM = /^sk-tf-[0-9A-Za-z]{49}$/
const SHOWN_LENGTH = MARK.length + 4

function base62(value: bigint, length: number): string {
  let text = ''
  for (let rest = value; text.length < length; rest /= 62n)
    text = `${ALPHABET[Number.parseInt(String(rest % 62n), 10)]}${text}`
  return text
}

function checksum(text: string): string {
  return base62(BigInt(crc32(text)), CHECKSUM_LENGTH)
}

/** @param randomBytes fills and returns a buffer of the length asked for, from a cryptographic source */
export function makeApiKey(randomBytes: (length: number) => Uint8Array): string {
  const value = BigInt(`0x${Buffer.from(randomBytes(32)).toString('hex')}`)
  const text = `${MARK}${base62(value, BODY_LENGTH)}`
  return `${text}${checksum(text)}`
}

/** True when the text has the form of a key and its checksum fits; says nothing about whether the key exists. */
export function looksLikeApiKey(text: string): boolean {
  if (!FORM.test(text)) return false
  const end = MARK.length + BODY_LENGTH
  return text.slice(end) === checksum(text.slice(0, end))
}

/** What is kept and shown of a key (`sk-tf-ab12`). */
export function keyPrefix(key: string): string {
  return key.slice(0, SHOWN_LENGTH)
}

/**
 * SHA-256 in base64, the only form in which a key is kept. No salt and no slow hash: 256 random bits cannot be guessed
 * from it, and a slow hash on every request would be an attack on ourselves.
 */
export function hashApiKey(key: string): string {
  return hash('sha256', key, 'base64')
}
