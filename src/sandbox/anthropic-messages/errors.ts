import type { Uuid } from '../../kernel/index.ts'
import { type ProtocolFault, withSecret } from '../protocol.ts'
import type { FaultStatus, Switches } from '../switches.ts'

/** Anthropic's own form of a request id. */
export function requestName(requestUuid: Uuid): string {
  return `req_011${requestUuid.replaceAll('-', '').slice(-21)}`
}

interface ErrorFields {
  readonly type: string
  readonly message: string
}

/** Anthropic's error envelope. */
export function errorJson(error: ErrorFields & { readonly details?: object }, requestUuid: Uuid): string {
  return JSON.stringify({ type: 'error', error, request_id: requestName(requestUuid) })
}

const INVALID = 'invalid_request_error'

const BY_STATUS: Readonly<Record<FaultStatus, ErrorFields>> = {
  400: { type: INVALID, message: 'The sandbox was told to find this request invalid.' },
  401: { type: 'authentication_error', message: 'The sandbox was told to refuse this API key.' },
  402: { type: 'billing_error', message: 'The sandbox account has no credit left.' },
  403: { type: 'permission_error', message: 'The sandbox was told to forbid this.' },
  404: { type: 'not_found_error', message: 'The sandbox was told not to have this model.' },
  408: { type: 'timeout_error', message: 'The sandbox was told to give up waiting.' },
  409: { type: INVALID, message: 'The sandbox was told to see a conflict.' },
  413: { type: 'request_too_large', message: 'The request is larger than the sandbox reads.' },
  422: { type: INVALID, message: 'The sandbox cannot process this request.' },
  429: { type: 'rate_limit_error', message: 'The sandbox was told you are too fast.' },
  500: { type: 'api_error', message: 'The sandbox was told to fail.' },
  502: { type: 'api_error', message: 'The sandbox was told to be a bad gateway.' },
  503: { type: 'api_error', message: 'The sandbox was told to be busy.' },
  504: { type: 'timeout_error', message: 'The sandbox was told to be too slow.' },
  529: { type: 'overloaded_error', message: 'The sandbox was told to be overloaded.' },
}

export function faultJson({ status, secret, quota, message, requestUuid }: ProtocolFault): string {
  const fields = BY_STATUS[status]
  if (quota && status === 429) {
    const spent = withSecret('The sandbox account has reached its spend limit.', secret)
    const details = { error_code: 'enforced_spend_limit_reached' }
    return errorJson({ type: fields.type, message: spent, details }, requestUuid)
  }
  return errorJson({ type: fields.type, message: withSecret(message ?? fields.message, secret) }, requestUuid)
}

export function invalidJson(message: string, requestUuid: Uuid): string {
  return errorJson({ type: INVALID, message }, requestUuid)
}

/** The error a stream carries after it began. */
export function midStreamJson({ flags, texts }: Switches, requestUuid: Uuid): string {
  const type = flags.has('overloaded') ? 'overloaded_error' : 'api_error'
  const message = withSecret('The sandbox was told to fail in mid-stream.', texts.secret)
  return JSON.stringify({
    type: 'error',
    error: { details: null, type, message },
    request_id: requestName(requestUuid),
  })
}
