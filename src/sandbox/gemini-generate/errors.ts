import type { JsonObject } from '../../kernel/index.ts'
import { type ProtocolFault, withSecret } from '../protocol.ts'
import type { FaultStatus, Switches } from '../switches.ts'

/** Google's error envelope. */
export function errorJson(
  code: number,
  message: string,
  status: string,
  details?: readonly JsonObject[],
): string {
  return JSON.stringify({ error: { code, message, status, ...(details === undefined ? {} : { details }) } })
}

export function invalidJson(message: string): string {
  return errorJson(400, message, 'INVALID_ARGUMENT')
}

const BY_STATUS: Readonly<Record<FaultStatus, readonly [status: string, message: string]>> = {
  400: ['INVALID_ARGUMENT', 'The sandbox was told to find this request invalid.'],
  401: ['UNAUTHENTICATED', 'The sandbox was told to refuse this API key.'],
  402: ['FAILED_PRECONDITION', 'The sandbox account has no balance left.'],
  403: ['PERMISSION_DENIED', 'The sandbox was told to forbid this.'],
  404: ['NOT_FOUND', 'The sandbox was told not to have this model.'],
  408: ['DEADLINE_EXCEEDED', 'The sandbox was told to give up waiting.'],
  409: ['ABORTED', 'The sandbox was told to see a conflict.'],
  413: ['INVALID_ARGUMENT', 'The request is larger than the sandbox reads.'],
  422: ['INVALID_ARGUMENT', 'The sandbox cannot process this request.'],
  429: ['RESOURCE_EXHAUSTED', 'The sandbox was told you are too fast.'],
  500: ['INTERNAL', 'The sandbox was told to fail.'],
  502: ['UNAVAILABLE', 'The sandbox was told to be a bad gateway.'],
  503: ['UNAVAILABLE', 'The sandbox was told to be overloaded.'],
  504: ['DEADLINE_EXCEEDED', 'The sandbox was told to be too slow.'],
  529: ['UNAVAILABLE', 'The sandbox was told to be overloaded.'],
}

const TYPES = 'type.googleapis.com/google.rpc'

export function faultJson({ status, secret, quota, message, retryAfterS }: ProtocolFault): string {
  const [name, usual] = BY_STATUS[status]
  const spent = quota && status === 429
  const said = message ?? (spent ? 'The sandbox account has used up its quota.' : usual)
  const details: JsonObject[] = []
  if (spent) {
    const violations = [{ quotaMetric: 'sandbox/requests', quotaId: 'SandboxRequestsPerDay' }]
    details.push({ '@type': `${TYPES}.QuotaFailure`, violations })
  }
  // Google says in the body when to come back, not in a header.
  if (retryAfterS !== undefined) {
    details.push({ '@type': `${TYPES}.RetryInfo`, retryDelay: `${retryAfterS}s` })
  }
  return errorJson(status, withSecret(said, secret), name, details.length > 0 ? details : undefined)
}

/** The error a stream carries after it began. */
export function midStreamJson({ flags, texts }: Switches): string {
  const message = withSecret('The sandbox was told to fail in mid-stream.', texts.secret)
  return flags.has('overloaded')
    ? errorJson(503, message, 'UNAVAILABLE')
    : errorJson(500, message, 'INTERNAL')
}
