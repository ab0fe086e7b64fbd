/**
 * Names come from people and headers and are shown to other people: control characters and marks that turn the
 * direction of text would let one name pass for another, or break the line of a log.
 */

export const NAME_MAX = 128

const HOSTILE = /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]+/gu
const SPACES = /\s+/gu

/** @returns the name in one line of NFC, or null when nothing is left of it or it is longer than 128 characters. */
export function cleanName(text: string): string | null {
  const name = text.toWellFormed().normalize('NFC').replace(HOSTILE, ' ').replace(SPACES, ' ').trim()
  return name === '' || [...name].length > NAME_MAX ? null : name
}
