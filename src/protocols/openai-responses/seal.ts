import { isObject, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { NeutralPart } from '../neutral.ts'

/**
 * Opaque data that a model of another provider wants back (Anthropic's signatures, Gemini's thought signatures) has one
 * place in this format that clients send back untouched: `encrypted_content` of a reasoning item. It travels there in a
 * wrapper that names its origin; {@link isForeign} keeps such items away from OpenAI, which refuses what it did not seal.
 */

const WRAPPER = 'tf1.'
/** Ids of reasoning items that this gateway made; OpenAI would look for them in its store and fail. */
export const REASONING_ID = 'rs_tf_'

export type ReasoningPart = Extract<NeutralPart, { kind: 'reasoning' }>
export const ORIGIN = 'openai'

const SEALS = ['signature', 'encrypted', 'redacted', 'id'] as const

export interface Seal {
  readonly signature?: string
  readonly encrypted?: string
  readonly redacted?: string
  readonly id?: string
  readonly origin: string
}

export type Unwrapped =
  | { readonly kind: 'seal'; readonly seal: Seal }
  | { readonly kind: 'call'; readonly callId: string; readonly signature: string }

const pack = (value: JsonObject): string =>
  WRAPPER + Buffer.from(JSON.stringify(value), 'utf8').toString('base64url')

/** What to put as `encrypted_content`; null when there is nothing to bring back. */
export function wrapSeal(seal: Seal): string | null {
  const { origin, signature, encrypted, redacted } = seal
  if (origin === ORIGIN) return encrypted ?? null
  if (signature === undefined && encrypted === undefined && redacted === undefined) return null
  const members = SEALS.flatMap((name) => (seal[name] === undefined ? [] : [[name, seal[name]]]))
  return pack({ origin, ...(Object.fromEntries(members) as JsonObject) })
}

/** Of a tool call that must come back signed. */
export function wrapCallSignature(callId: string, signature: string): string {
  return pack({ call: callId, signature })
}

/** @returns null for what is not wrapped by us */
export function unwrap(encrypted: string): Unwrapped | null {
  if (!encrypted.startsWith(WRAPPER)) return null
  const parsed = parseJson(Buffer.from(encrypted.slice(WRAPPER.length), 'base64url').toString('utf8'))
  if (!parsed.ok || !isObject(parsed.value)) return null
  const { call, signature, origin } = parsed.value
  if (typeof call === 'string' && typeof signature === 'string')
    return { kind: 'call', callId: call, signature }
  if (typeof origin !== 'string') return null
  const members = SEALS.flatMap((name) => {
    const value = isObject(parsed.value) ? parsed.value[name] : undefined
    return typeof value === 'string' ? [[name, value] as const] : []
  })
  return { kind: 'seal', seal: { ...Object.fromEntries(members), origin } }
}

/**
 * True for reasoning that came out of a translation, and for a reference to it: that thinking is kept nowhere, yet a
 * client that leaves `store` at its default brings back nothing but the id.
 */
export function isForeign(item: JsonObject): boolean {
  const { type, id, encrypted_content: encrypted } = item
  const ours = typeof id === 'string' && id.startsWith(REASONING_ID)
  if (isReference(item)) return ours
  return type === 'reasoning' && (ours || (typeof encrypted === 'string' && encrypted.startsWith(WRAPPER)))
}

/** The type of a reference may be left out. */
export function isReference({ type, id, role, content }: JsonObject): boolean {
  if (type === 'item_reference') return true
  return type === undefined && typeof id === 'string' && role === undefined && content === undefined
}

/** A caller sees sealed reasoning only when it asks for it, and only then will it bring it back. */
export function asksSeals(body: JsonObject): boolean {
  const { include } = body
  return Array.isArray(include) && include.includes('reasoning.encrypted_content')
}
