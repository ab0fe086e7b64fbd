export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
export type JsonObject = { readonly [key: string]: Json }

export type ParsedJson =
  | { readonly ok: true; readonly value: Json }
  | { readonly ok: false; readonly reason: string }

const ESCAPE = /\\(?:u([0-9a-fA-F]{4})|[^u])/g

/** The same JSON with `\u0061` and `\/` as the characters they stand for; what must be escaped stays so. */
function plainEscapes(text: string): string {
  return text.replace(ESCAPE, (match: string, hex: string | undefined) => {
    if (match === '\\/') return '/'
    const code = hex === undefined ? 0 : Number.parseInt(hex, 16)
    return code < 0x20 || code === 0x22 || code === 0x5c ? match : String.fromCharCode(code)
  })
}

/**
 * The only caller of JSON.parse: a fault is a value, never a throw.
 *
 * V8 13.6 (Node 24) may take a name that is spelt with escapes for another one that it saw at that place in an earlier
 * text: after `{"a":1,"\\":2}` it reads `{"a":1,"\u006e":8}` as `{"a":1,"\\":8}`. A caller could so hide `"n":8` from us,
 * and not from the provider. So the text is judged as it came, and read with such escapes written out.
 */
export function parseJson(text: string): ParsedJson {
  try {
    const value = JSON.parse(text) as Json
    return {
      ok: true,
      value: text.includes('\\u') || text.includes('\\/') ? (JSON.parse(plainEscapes(text)) as Json) : value,
    }
  } catch (thrown) {
    return { ok: false, reason: thrown instanceof Error ? thrown.message : 'not JSON' }
  }
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function isArray(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value)
}

/** JSON with sorted keys and no spaces: one byte form for one value, fit to be hashed. Bigints are not allowed in. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value as Record<string, unknown>)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`)
    return `{${members.join(',')}}`
  }
  return JSON.stringify(value)
}

/** Escapes of NUL and of halves of a surrogate pair; an escaped backslash is matched so that it is passed over whole. */
const UNSTORABLE = /\\\\|\\u(?:0000|d[89a-f][0-9a-f]{2})/g

/**
 * JSON that PostgreSQL can look into, whatever text a stranger put in: it keeps `\u0000` and lone surrogates as text but
 * fails on them for ever as soon as a query reads any member of the document.
 */
export function storableJson(value: unknown): string {
  const text = JSON.stringify(value)
  return text.includes('\\u')
    ? text.replace(UNSTORABLE, (match) => (match === '\\\\' ? match : '\\ufffd'))
    : text
}
