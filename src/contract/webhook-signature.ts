import { createHmac, timingSafeEqual } from 'node:crypto'

/**
 * Signatures of webhooks as Standard Webhooks has them: `v1,<base64 of HMAC-SHA256 over id.timestamp.body>`, one for each
 * secret that is good, so that a receiver may change from one to the next in its own time.
 */

const SECRET = /^whsec_([A-Za-z0-9+/]{32,128}={0,2})$/
const TOLERANCE_MS = 300_000

export interface SignedHeaders {
  readonly 'webhook-id': string
  readonly 'webhook-timestamp': string
  readonly 'webhook-signature': string
}

/** Why a delivery is not to be believed. */
export type WebhookDoubt =
  | 'headers_missing'
  | 'timestamp_invalid'
  | 'timestamp_too_old'
  | 'timestamp_in_future'
  | 'signature_mismatch'

export type Verified =
  | { readonly ok: true; readonly id: string; readonly timestampMs: number }
  | { readonly ok: false; readonly reason: WebhookDoubt }

export interface HeaderSource {
  readonly [name: string]: string | readonly string[] | undefined
}

/** An empty or short secret would let anyone sign, so it is an error and not a doubt. */
function keyOf(secret: string): Buffer {
  const text = SECRET.exec(secret)?.[1]
  if (text === undefined) throw new TypeError('a webhook secret begins with whsec_, with base64 behind it')
  return Buffer.from(text, 'base64')
}

function signature(secret: string, id: string, seconds: string, body: string | Uint8Array): string {
  return createHmac('sha256', keyOf(secret)).update(`${id}.${seconds}.`).update(body).digest('base64')
}

/** @param secrets all that are good now, newest first */
export function signWebhook(
  secrets: readonly string[],
  message: { readonly id: string; readonly atMs: number; readonly body: string | Uint8Array },
): SignedHeaders {
  const seconds = String(Math.floor(message.atMs / 1000))
  return {
    'webhook-id': message.id,
    'webhook-timestamp': seconds,
    'webhook-signature': secrets
      .map((secret) => `v1,${signature(secret, message.id, seconds, message.body)}`)
      .join(' '),
  }
}

function headerOf(headers: HeaderSource | Headers, name: string): string | null {
  if (headers instanceof Headers) return headers.get(name)
  const key = Object.keys(headers).find((each) => each.toLowerCase() === name)
  const value = key === undefined ? undefined : headers[key]
  return typeof value === 'string' ? value : null
}

function isSame(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

/**
 * Whether a delivery came from us just now. Remember the ids you have handled: a delivery may come more than once, and a
 * copy of one passes here until it is five minutes old.
 * @param secrets one, or several while you rotate
 * @param body the bytes as they came, before any parser
 * @throws TypeError when a secret is none
 */
export function verifyWebhook(
  secrets: string | readonly string[],
  headers: HeaderSource | Headers,
  body: string | Uint8Array,
  nowMs: number,
  toleranceMs: number = TOLERANCE_MS,
): Verified {
  const known = typeof secrets === 'string' ? [secrets] : secrets
  if (known.length === 0) throw new TypeError('there is no secret to verify with')
  const id = headerOf(headers, 'webhook-id')
  const seconds = headerOf(headers, 'webhook-timestamp')
  const sent = headerOf(headers, 'webhook-signature')
  if (id === null || id === '' || seconds === null || sent === null)
    return { ok: false, reason: 'headers_missing' }
  if (!/^\d{1,12}$/.test(seconds)) return { ok: false, reason: 'timestamp_invalid' }
  const timestampMs = Number.parseInt(seconds, 10) * 1000
  const signatures = sent.split(' ').flatMap((each) => (each.startsWith('v1,') ? [each.slice(3)] : []))
  const expected = known.map((secret) => signature(secret, id, seconds, body))
  if (!expected.some((each) => signatures.some((given) => isSame(each, given))))
    return { ok: false, reason: 'signature_mismatch' }
  if (nowMs - timestampMs > toleranceMs) return { ok: false, reason: 'timestamp_too_old' }
  if (timestampMs - nowMs > toleranceMs) return { ok: false, reason: 'timestamp_in_future' }
  return { ok: true, id, timestampMs }
}
