/**
 * Token counts from text when nobody reports them: linear in the text, by classes of characters (no tokenizer; a
 * byte-pair encoder is quadratic on long unbroken runs). Figures of research on recorded answers: about 3.6 ASCII
 * characters a token, 0.85 tokens a CJK character, 0.6 a character of other scripts.
 */

/** Fractional tokens of UTF-8 text inside a JSON string (escapes are read as the characters they stand for). */
export function estimateJsonStringTokens(bytes: Buffer, start: number, end: number): number {
  let ascii = 0
  let cjk = 0
  let other = 0
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0
    if (byte === 0x5c) {
      if (bytes[at + 1] === 0x75) {
        // \uXXXX: below U+0800 counts as another script, above as CJK; the exact split does not matter to an estimate.
        if (bytes[at + 2] === 0x30 && (bytes[at + 3] ?? 0) < 0x38) other++
        else cjk++
        at += 5
      } else {
        ascii++
        at++
      }
    } else if (byte < 0x80) ascii++
    else if (byte >= 0xe0) cjk++
    else if (byte >= 0xc0) other++
  }
  return ascii / 3.6 + cjk * 0.85 + other * 0.6
}

/** Whole tokens of plain text; 0 only for no text. */
export function estimateTextTokens(text: string): number {
  let ascii = 0
  let cjk = 0
  let other = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x80) ascii++
    else if (code >= 0x800) cjk++
    else other++
  }
  return Math.ceil(ascii / 3.6 + cjk * 0.85 + other * 0.6)
}
