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
/** Ids are put together in a buffer: a text of many pieces would be made of as many texts. */
const HEX_CODES = Buffer.from('0123456789abcdef')
const CODES = Buffer.from(ALPHABET)
const SHOWN = Buffer.alloc(64)
const VALUE = new Map([...ALPHABET].map((char, value) => [char, value]))
const DASH = 0x2d
const UNDERSCORE = 0x5f
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
  const text = Buffer.from('00000000-0000-7000-0000-000000000000')
  // Ids of one millisecond begin alike.
  let writtenMs = -1
  const write = (place: number, byte: number): void => {
    text[place] = HEX_CODES[byte >> 4] ?? 0
    text[place + 1] = HEX_CODES[byte & 15] ?? 0
  }
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
        text.write(`${time.slice(0, 8)}-${time.slice(8)}-7`, 'latin1')
        writtenMs = lastMs
      }
      text[15] = HEX_CODES[counter >> 8] ?? 0
      write(16, counter & 0xff)
      write(19, ((b[at] ?? 0) & 0x3f) | 0x80)
      write(21, b[at + 1] ?? 0)
      for (let i = 2; i < 7; i++) write(20 + 2 * i, b[at + i] ?? 0)
      write(34, (b[at + 7] ?? 0) & 0xf0)
      return text.toString('latin1')
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
  let end = SHOWN.write(prefix, 'latin1')
  SHOWN[end++] = UNDERSCORE
  // 130 bits, five for each character: two leading zero bits, then 128.
  let bits = 0
  // Bits that the next character still wants; below zero, so many are left over for the one after it.
  let missing = 3
  for (let i = 0; i < uuid.length; i++) {
    const code = uuid.charCodeAt(i)
    if (code === DASH) continue
    bits = (bits << 4) | (code <= NINE ? code - DIGIT_ZERO : code - LETTER_A + 10)
    missing -= 4
    if (missing > 0) continue
    SHOWN[end++] = CODES[bits >> -missing] ?? 0
    bits &= (1 << -missing) - 1
    missing += 5
  }
  return SHOWN.toString('latin1', 0, end)
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
