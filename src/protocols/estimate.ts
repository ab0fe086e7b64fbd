/**
 * Token counts from text when nobody reports them. No tokenizer: a byte-pair encoder is quadratic on long unbroken runs,
 * and one request of 30,000 characters without a space would stop the process for seconds. The count is a sum over
 * characters, so it is linear in every text and the same however the text is cut.
 *
 * Rates are those of OpenAI's o200k on documentation, code, JSON, recorded answers and Chinese (`bench/estimate.ts` says
 * how far off they are); what other families make of the same text is in `model-family.ts`.
 */

const ASCII = 1 / 4.2
/** For each byte that UTF-8 needs above one for each UTF-16 unit: none for ASCII, 2 for a Chinese character. */
const EXTRA_BYTE = 0.256
/** Cyrillic, Arabic, accented Latin: two bytes; and each half of a surrogate pair. */
const TWO_BYTES = ASCII + EXTRA_BYTE
const THREE_BYTES = ASCII + 2 * EXTRA_BYTE

const BACKSLASH = 0x5c
const LETTER_U = 0x75
const DIGIT_0 = 0x30
const DIGIT_8 = 0x38

/** A `\uXXXX` whose digits begin at `at`: a control character, a two-byte one, half of a pair, or any other. */
function escapeTokens(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0
  const second = bytes[at + 1] ?? 0
  if (first === DIGIT_0 && second < DIGIT_8) return TWO_BYTES
  const isHalf = (first === 0x64 || first === 0x44) && second >= DIGIT_8
  return isHalf ? TWO_BYTES : THREE_BYTES
}

/** Fractional tokens of UTF-8 text inside a JSON string (escapes are read as the characters they stand for). */
export function estimateJsonStringTokens(bytes: Buffer, start: number, end: number): number {
  let ascii = 0
  let tokens = 0
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0
    if (byte === BACKSLASH) {
      if (bytes[at + 1] === LETTER_U) {
        tokens += escapeTokens(bytes, at + 2)
        at += 5
      } else {
        ascii++
        at++
      }
    } else if (byte < 0x80) ascii++
    else if (byte >= 0xf0) tokens += 2 * TWO_BYTES
    else if (byte >= 0xe0) tokens += THREE_BYTES
    else if (byte >= 0xc0) tokens += TWO_BYTES
  }
  return tokens + ascii * ASCII
}

/** Whole tokens of plain text; 0 only for no text. Two lengths are all it takes, and both are native. */
export function estimateTextTokens(text: string): number {
  const units = text.length
  return Math.ceil(units * ASCII + (Buffer.byteLength(text) - units) * EXTRA_BYTE)
}
