/**
 * Money is an integer of 10⁻⁹ of a currency unit ("nano") in a bigint, a decimal string in JSON, and never a float.
 * Unit prices are exact decimals per `per` units, kept as integers of 10⁻¹² ("pico").
 */

/** 10⁻⁹ of the bucket's currency. */
export type Nano = bigint

const NANO_DIGITS = 9
const PICO_DIGITS = 12
/** The largest amount the ledger's 64-bit columns hold. */
export const NANO_MAX = 2n ** 63n - 1n

const ZERO = 0x30
const DECIMAL = /^(-)?(\d{1,18})(?:\.(\d{1,18}))?$/

/**
 * Reads a plain decimal ("12", "-0.25") exactly as an integer of 10^-digits.
 * @returns null when the text is no plain decimal, or has more significant decimals than `digits` can keep.
 */
export function parseDecimal(text: string, digits: number): bigint | null {
  const match = DECIMAL.exec(text)
  if (match === null) return null
  const fraction = (match[3] ?? '').replace(/0+$/, '')
  if (fraction.length > digits) return null
  const magnitude =
    BigInt(match[2] ?? '0') * 10n ** BigInt(digits) + BigInt(fraction.padEnd(digits, '0') || '0')
  return match[1] === '-' ? -magnitude : magnitude
}

/** Writes an integer of 10^-digits as the shortest exact decimal. */
export function formatDecimal(value: bigint, digits: number): string {
  if (value === 0n) return '0'
  const negative = value < 0n
  const text = (negative ? -value : value).toString().padStart(digits + 1, '0')
  const point = text.length - digits
  let end = text.length
  while (end > point && text.charCodeAt(end - 1) === ZERO) end--
  const shown = end === point ? text.slice(0, point) : `${text.slice(0, point)}.${text.slice(point, end)}`
  return negative ? `-${shown}` : shown
}

/** @returns nano, or null when the text is not a decimal of at most nine decimals within the ledger's range. */
export function parseNano(text: string): Nano | null {
  const value = parseDecimal(text, NANO_DIGITS)
  return value === null || value > NANO_MAX || value < -NANO_MAX ? null : value
}

export function formatNano(value: Nano): string {
  return formatDecimal(value, NANO_DIGITS)
}

/** A unit price in 10⁻¹² of a currency unit. */
export function parsePico(text: string): bigint | null {
  return parseDecimal(text, PICO_DIGITS)
}

export function formatPico(value: bigint): string {
  return formatDecimal(value, PICO_DIGITS)
}

/** Division of a non-negative numerator, half to even: the one rounding there is near money. */
export function divideHalfEven(numerator: bigint, denominator: bigint): bigint {
  if (denominator <= 0n || numerator < 0n)
    throw new RangeError('divideHalfEven wants numerator ≥ 0 and denominator > 0')
  const quotient = numerator / denominator
  const twice = (numerator % denominator) * 2n
  if (twice < denominator) return quotient
  if (twice > denominator) return quotient + 1n
  return quotient % 2n === 0n ? quotient : quotient + 1n
}

/** The next integer at or above the quotient: holds round up, so that a hold never falls short of its own estimate. */
export function divideUp(numerator: bigint, denominator: bigint): bigint {
  return (numerator + denominator - 1n) / denominator
}

/**
 * One line item: quantity × unit price, rounded once.
 * @param quantity units (tokens, calls), a non-negative integer
 * @param unitPricePico price of `per` units in 10⁻¹²
 * @returns nano
 */
export function lineAmount(quantity: bigint, unitPricePico: bigint, per: bigint): Nano {
  return divideHalfEven(quantity * unitPricePico, per * 1000n)
}

/** As {@link lineAmount}, rounded up; used for bounds. */
export function lineAmountUp(quantity: bigint, unitPricePico: bigint, per: bigint): Nano {
  return divideUp(quantity * unitPricePico, per * 1000n)
}

export function minNano(a: Nano, b: Nano): Nano {
  return a < b ? a : b
}
