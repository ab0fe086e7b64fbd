/**
 * Ids are UUIDv7 (time-ordered, so that indexes grow at one end) made before the call they name, and shown as
 * `prefix_` + 26 characters of Crockford base 32, the TypeID form.
 */

export type IdPrefix = 'org' | 'prj' | 'key' | 'req' | 'run' | 'pv' | 'ord' | 'prc' | 'qt'

/** A lower-case UUID with dashes, as PostgreSQL prints it. */
export type Uuid = string

export interface IdSource {
  /** A fresh UUIDv7; unique across processes, growing within one. */
  uuid(): Uuid
}

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const VALUE = new Map([...ALPHABET].map((char, value) => [char, value]))
const DASHES = /^([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export function isUuid(text: string): boolean {
  return UUID.test(text)
}

/**
 * UUIDv7 from the wall clock, a 12-bit counter and randomness. The lowest four bits are zero: a request's id leaves
 * room for its holds (see `childUuid`), which therefore need no randomness of their own.
 * @param nowMs wall clock in milliseconds
 * @param randomBytes fills and returns a buffer of the length asked for
 */
export function createIdSource(nowMs: () => number, randomBytes: (length: number) => Uint8Array): IdSource {
  let lastMs = 0
  let counter = 0
  let pool = randomBytes(2048)
  let offset = 0
  return {
    uuid() {
      const ms = nowMs()
      if (ms > lastMs) {
        lastMs = ms
        counter = 0
      } else if (++counter > 0xfff) {
        lastMs += 1
        counter = 0
      }
      if (offset + 8 > pool.length) {
        pool = randomBytes(2048)
        offset = 0
      }
      const b = (i: number): number => pool[offset + i] ?? 0
      const time = lastMs.toString(16).padStart(12, '0')
      const middle = `7${counter.toString(16).padStart(3, '0')}-${HEX[(b(0) & 0x3f) | 0x80]}${HEX[b(1)]}`
      const tail = `${HEX[b(2)]}${HEX[b(3)]}${HEX[b(4)]}${HEX[b(5)]}${HEX[b(6)]}${HEX[b(7) & 0xf0]}`
      offset += 8
      return `${time.slice(0, 8)}-${time.slice(8)}-${middle}-${tail}`
    },
  }
}

/** The n-th id that belongs to a request: 0 is the request itself, 1 … 15 its further holds. */
export function childUuid(parent: Uuid, n: number): Uuid {
  if (!Number.isInteger(n) || n < 0 || n > 15) throw new RangeError('a request has at most 15 further ids')
  return n === 0 ? parent : parent.slice(0, -1) + n.toString(16)
}

/** The request a hold or transfer id belongs to. */
export function parentUuid(child: Uuid): Uuid {
  return `${child.slice(0, -1)}0`
}

export function formatId(prefix: IdPrefix, uuid: Uuid): string {
  const hex = uuid.replaceAll('-', '')
  let out = ''
  // 130 bits: two leading zero bits, then 128, five at a time. Taken in 20-bit groups (5 hex digits, 4 characters).
  let group = Number.parseInt(hex.slice(0, 2), 16)
  out += `${ALPHABET[group >> 5]}${ALPHABET[group & 31]}`
  for (let i = 2; i < 32; i += 5) {
    group = Number.parseInt(hex.slice(i, i + 5), 16)
    out += `${ALPHABET[(group >> 15) & 31]}${ALPHABET[(group >> 10) & 31]}${ALPHABET[(group >> 5) & 31]}${ALPHABET[group & 31]}`
  }
  return `${prefix}_${out}`
}

/** @returns the UUID, or null when the text is not an id of that prefix. */
export function parseId(prefix: IdPrefix, text: string): Uuid | null {
  if (text.length !== prefix.length + 27 || !text.startsWith(`${prefix}_`)) return null
  let bits = 0n
  for (const char of text.slice(prefix.length + 1)) {
    const value = VALUE.get(char)
    if (value === undefined) return null
    bits = (bits << 5n) | BigInt(value)
  }
  if (bits >> 128n !== 0n) return null
  const uuid = bits.toString(16).padStart(32, '0').replace(DASHES, '$1-$2-$3-$4-$5')
  return isUuid(uuid) ? uuid : null
}
