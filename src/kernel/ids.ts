/**
 * Ids are UUIDv7 (time-ordered, so that indexes grow at one end) made before the call they name, and shown as
 * `prefix_` + 26 characters of Crockford base 32, the TypeID form.
 */

export type IdPrefix =
  | 'org'
  | 'prj'
  | 'key'
  | 'sec'
  | 'req'
  | 'run'
  | 'pv'
  | 'ord'
  | 'prc'
  | 'qt'
  | 'bud'
  | 'usr'
  | 'inv'
  | 'rl'
  | 'evt'
  | 'whk'
  | 'dlv'
  | 'alr'
  | 'alt'

/** A lower-case UUID with dashes, as PostgreSQL prints it. */
export type Uuid = string

export interface IdSource {
  /** A fresh UUIDv7; unique across processes, growing within one. */
  uuid(): Uuid
}

const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const HEX_DIGITS = '0123456789abcdef'
/** Ten bits as two characters. */
const PAIRS = Array.from({ length: 1024 }, (_, bits) => `${ALPHABET[bits >> 5]}${ALPHABET[bits & 31]}`)
const VALUE = new Map([...ALPHABET].map((char, value) => [char, value]))
const DASH = 0x2d
const DIGIT_ZERO = 0x30
const NINE = 0x39
const LETTER_A = 0x61
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
  // Ids of one millisecond begin alike.
  let written = ''
  let writtenMs = -1
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
      const at = offset
      offset += 8
      const b = pool
      if (lastMs !== writtenMs) {
        const time = lastMs.toString(16).padStart(12, '0')
        written = `${time.slice(0, 8)}-${time.slice(8)}-7`
        writtenMs = lastMs
      }
      const count = `${HEX_DIGITS[counter >> 8]}${HEX[counter & 0xff]}`
      const middle = `${HEX[((b[at] ?? 0) & 0x3f) | 0x80]}${HEX[b[at + 1] ?? 0]}`
      const tail = `${HEX[b[at + 2] ?? 0]}${HEX[b[at + 3] ?? 0]}${HEX[b[at + 4] ?? 0]}${HEX[b[at + 5] ?? 0]}`
      return `${written}${count}-${middle}-${tail}${HEX[b[at + 6] ?? 0]}${HEX[(b[at + 7] ?? 0) & 0xf0]}`
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
  let out = `${prefix}_`
  // 130 bits: two leading zero bits, then 128; taken in groups of 20 bits (5 hex digits, 4 characters) but the first.
  let group = 0
  let missing = 2
  let first = true
  for (let i = 0; i < uuid.length; i++) {
    const code = uuid.charCodeAt(i)
    if (code === DASH) continue
    group = (group << 4) | (code <= NINE ? code - DIGIT_ZERO : code - LETTER_A + 10)
    if (--missing > 0) continue
    out += first ? PAIRS[group] : `${PAIRS[group >> 10]}${PAIRS[group & 1023]}`
    group = 0
    missing = 5
    first = false
  }
  return out
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
