import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto'
import { PURPOSES, type Purpose } from './purposes.ts'

/** Keys of the installation, all derived from its one master key, and what they seal. */
export interface Keyring {
  /** 32 bytes, the same at every start with the same master key. */
  keyOf(purpose: Purpose): Buffer
  /**
   * Encrypts a value that must be read again, bound to its place.
   * @param place where it is stored, e.g. `alerts.webhook:<id>`; opened elsewhere it is refused
   */
  seal(purpose: Purpose, place: string, text: string): Buffer
  /** @throws SealBroken: changed, moved, or sealed with another master key */
  open(purpose: Purpose, place: string, sealed: Uint8Array): string
}

export class SealBroken extends Error {
  override name = 'SealBroken'
}

const CIPHER = 'aes-256-gcm'
const VERSION = 1
const KEY_ID_BYTES = 4
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEAD_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES

/**
 * Sealed: version, id of the key, nonce, ciphertext, tag. The id tells an exchanged master key from a forgery.
 * @param randomBytes from a cryptographic source
 */
export function createKeyring(masterKey: string, randomBytes: (length: number) => Uint8Array): Keyring {
  const keys = new Map<Purpose, Buffer>()
  const keyOf = (purpose: Purpose): Buffer => {
    const known = keys.get(purpose)
    if (known !== undefined) return known
    const made = Buffer.from(hkdfSync('sha256', masterKey, 'tokens-forge', PURPOSES[purpose], 32))
    keys.set(purpose, made)
    return made
  }
  const idOf = (key: Buffer): Buffer => createHash('sha256').update(key).digest().subarray(0, KEY_ID_BYTES)
  const bound = (purpose: Purpose, place: string): Buffer => Buffer.from(`${PURPOSES[purpose]}\n${place}`)

  return {
    keyOf,
    seal(purpose, place, text) {
      const key = keyOf(purpose)
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
      cipher.setAAD(bound(purpose, place))
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([Buffer.of(VERSION), idOf(key), nonce, body, cipher.getAuthTag()])
    },
    open(purpose, place, sealed) {
      const key = keyOf(purpose)
      const bytes = Buffer.from(sealed)
      if (bytes.length < HEAD_BYTES + TAG_BYTES || bytes[0] !== VERSION)
        throw new SealBroken(`what is stored at ${place} was not sealed here`)
      if (!bytes.subarray(1, 1 + KEY_ID_BYTES).equals(idOf(key)))
        throw new SealBroken(`what is stored at ${place} was sealed with another master key`)
      // Without authTagLength a tag cut to four bytes would be accepted, which can be guessed.
      const decipher = createDecipheriv(CIPHER, key, bytes.subarray(1 + KEY_ID_BYTES, HEAD_BYTES), {
        authTagLength: TAG_BYTES,
      })
      decipher.setAAD(bound(purpose, place))
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
      try {
        return Buffer.concat([
          decipher.update(bytes.subarray(HEAD_BYTES, -TAG_BYTES)),
          decipher.final(),
        ]).toString('utf8')
      } catch (thrown) {
        throw new SealBroken(`what is stored at ${place} was changed, or belongs elsewhere`, {
          cause: thrown,
        })
      }
    },
  }
}
