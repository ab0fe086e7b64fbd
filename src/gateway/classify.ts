import type { Channel } from '../catalog/index.ts'
import type { AttemptOutcome } from './types.ts'

/** What an upstream's refusal or a transport fault means for the request: whose fault it is, and whether to go on. */

type Failed = Extract<AttemptOutcome, { kind: 'failed' }>

const RETRY_AFTER_MAX_MS = 60_000

/** Statuses that say the caller's own request is at fault: another channel would answer the same. */
const CALLER_FAULTS = new Set([400, 413, 415, 422])

const CODES: Readonly<Record<number, string>> = {
  400: 'bad_request',
  401: 'upstream_unauthorized',
  402: 'upstream_payment_required',
  403: 'upstream_forbidden',
  404: 'upstream_not_found',
  408: 'upstream_timeout',
  413: 'request_too_large',
  429: 'rate_limited',
  500: 'server_error',
  502: 'bad_gateway',
  503: 'unavailable',
  504: 'gateway_timeout',
  529: 'overloaded',
}

/** Keys, bearer tokens and addresses an upstream may echo: none of them may reach a customer. */
const SECRETS: ReadonlyArray<readonly [RegExp, string]> = [
  [/\b(?:sk|pk|key|tok|rk|gsk|xai|AIza)[-_][\w-]{6,}/gi, '[redacted]'],
  [/\bAIza[\w-]{10,}/g, '[redacted]'],
  [/\bbearer\s+\S+/gi, 'Bearer [redacted]'],
  [/\b(?:AKIA|ASIA)[A-Z0-9]{8,}\b/g, '[redacted]'],
  [/\barn:aws[\w-]*:[^\s"')]+/gi, '[address]'],
  [/https?:\/\/[^\s"')]+/gi, '[address]'],
  [/\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b/g, '[address]'],
]

/** What must not reach a customer in an upstream's words: its key, and where it is. */
export function secretsOf(channel: Channel): readonly string[] {
  const { host, hostname } = new URL(channel.baseUrl)
  return [channel.apiKey, host, hostname, ...textsIn(channel.platform)]
}

/** Account, project and place are in the settings of a platform as well as its keys. */
function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : []
}

export function redact(message: string, secrets: readonly string[] = []): string {
  let text = message
  for (const secret of secrets) if (secret.length >= 4) text = text.replaceAll(secret, '[redacted]')
  for (const [pattern, instead] of SECRETS) text = text.replace(pattern, instead)
  // Cut last: half a key is not recognised any more.
  return text.slice(0, 2_000)
}

/** `retry-after-ms`, or `retry-after` as seconds or an HTTP date; nonsense is ignored, the rest capped. */
export function readRetryAfterMs(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  nowMs: number,
): number | null {
  const first = (name: string): string | undefined => {
    const value = headers[name]
    return Array.isArray(value) ? value[0] : value
  }
  const clamp = (ms: number): number | null =>
    Number.isFinite(ms) && ms >= 0 ? Math.min(ms, RETRY_AFTER_MAX_MS) : null
  const inMs = first('retry-after-ms')
  if (inMs !== undefined && /^\d+(\.\d+)?$/.test(inMs)) return clamp(Number.parseInt(inMs, 10))
  const text = first('retry-after')
  if (text === undefined) return null
  if (/^\d+$/.test(text)) return clamp(Number.parseInt(text, 10) * 1000)
  // Date.parse takes "-3" for a year.
  const date = /^[a-z]{3}/i.test(text) ? Date.parse(text) : Number.NaN
  return Number.isNaN(date) ? null : clamp(Math.max(0, date - nowMs))
}

/** Providers that answer 400 for a key of ours that is bad: the channel's fault, not the caller's. */
const CHANNEL_FAULT_CODES = new Set([
  'API_KEY_INVALID',
  'API_KEY_EXPIRED',
  'invalid_api_key',
  'authentication_error',
])

export function failedAnswer(input: {
  readonly status: number
  /** The upstream's own code, if it gave one. */
  readonly upstreamCode: string | null
  readonly message: string
  readonly secrets: readonly string[]
  readonly retryAfterMs: number | null
  /** The attempt's code where a platform says that its channel is at fault, whatever the status. */
  readonly channelFault?: string | null
}): Failed {
  const { status, message, secrets, retryAfterMs } = input
  const known = input.upstreamCode !== null && CHANNEL_FAULT_CODES.has(input.upstreamCode)
  const fault = known ? 'upstream_unauthorized' : (input.channelFault ?? null)
  const final =
    CALLER_FAULTS.has(status) && fault === null
      ? {
          status: status === 413 ? 413 : 400,
          message: redact(message === '' ? `the provider answered ${status}` : message, secrets),
        }
      : null
  return {
    kind: 'failed',
    status,
    code: fault ?? CODES[status] ?? (status >= 500 ? 'server_error' : 'unexpected_status'),
    final,
    timeout: status === 408 || status === 504,
    overloaded: status === 429 || status === 503 || status === 529,
    retryAfterMs,
  }
}

/** A fault with no usable answer: transport, time-out, or an answer that is no chat answer. */
export function failedTransport(code: string, timeout = false, status: number | null = null): Failed {
  return { kind: 'failed', status, code, final: null, timeout, overloaded: false, retryAfterMs: null }
}

const TRANSPORT_CODES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection_refused',
  ECONNRESET: 'connection_reset',
  EPIPE: 'connection_reset',
  ENOTFOUND: 'dns_error',
  EAI_AGAIN: 'dns_error',
  EMFILE: 'local_descriptors_used_up',
  UND_ERR_CONNECT_TIMEOUT: 'connect_timeout',
  UND_ERR_SOCKET: 'connection_reset',
  UND_ERR_HEADERS_OVERFLOW: 'headers_too_large',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'protocol_error',
}

export function transportCode(error: Error): string {
  const code = 'code' in error ? String(error.code) : ''
  const cause = error.cause instanceof Error && 'code' in error.cause ? String(error.cause.code) : ''
  if (/^(?:ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(code)) return 'tls_error'
  if (code.startsWith('HPE_')) return 'protocol_error'
  return TRANSPORT_CODES[code] ?? TRANSPORT_CODES[cause] ?? 'transport_error'
}
