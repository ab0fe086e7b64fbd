import { createPicker, hashText } from './tokens.ts'

const STEPS = 2_000_001

/** A vector of length 1 that follows from the text; numbers have eight digits, as a 32-bit float is printed. */
export function vectorOf(text: string, dimensions: number): readonly number[] {
  const pick = createPicker(hashText(text, 1))
  const raw = Array.from({ length: dimensions }, () => pick(STEPS) / 1_000_000 - 1)
  const length = Math.hypot(...raw) || 1
  return raw.map((value) => Number((value / length).toPrecision(8)))
}
