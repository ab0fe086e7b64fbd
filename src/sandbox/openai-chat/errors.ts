import { type ProtocolFault, type SandboxProtocol, withSecret } from '../protocol.ts'
import type { FaultStatus, Switches } from '../switches.ts'

export interface ErrorFields {
  readonly message: string
  readonly type: string
  readonly param?: string | null
  readonly code: string | null
}

/** OpenAI's error envelope, members in its order. */
export function errorJson({ message, type, param = null, code }: ErrorFields): string {
  return JSON.stringify({ error: { message, type, param, code } })
}

const INVALID = 'invalid_request_error'

const BY_STATUS: Readonly<Record<FaultStatus, ErrorFields>> = {
  400: {
    message: 'The sandbox was told to find this request invalid.',
    type: INVALID,
    code: 'invalid_value',
  },
  401: { message: 'The sandbox was told to refuse this API key.', type: INVALID, code: 'invalid_api_key' },
  // DeepSeek's and OpenRouter's status for an empty account; OpenAI says 429 insufficient_quota.
  402: { message: 'The sandbox account has no balance left.', type: 'unknown_error', code: INVALID },
  403: { message: 'The sandbox was told to forbid this.', type: 'permission_error', code: 'forbidden' },
  404: { message: 'The sandbox was told not to have this model.', type: INVALID, code: 'model_not_found' },
  408: { message: 'The sandbox was told to give up waiting.', type: 'timeout', code: 'request_timeout' },
  409: { message: 'The sandbox was told to see a conflict.', type: INVALID, code: 'conflict' },
  413: { message: 'The request is larger than the sandbox reads.', type: INVALID, code: 'request_too_large' },
  422: { message: 'The sandbox cannot process this request.', type: INVALID, code: 'unprocessable_entity' },
  429: { message: 'The sandbox was told you are too fast.', type: 'requests', code: 'rate_limit_exceeded' },
  500: { message: 'The sandbox was told to fail.', type: 'server_error', code: null },
  502: { message: 'The sandbox was told to be a bad gateway.', type: 'server_error', code: 'bad_gateway' },
  503: { message: 'The sandbox was told to be busy.', type: 'server_error', code: 'service_unavailable' },
  504: { message: 'The sandbox was told to be too slow.', type: 'server_error', code: 'gateway_timeout' },
  529: { message: 'The sandbox was told to be overloaded.', type: 'overloaded_error', code: 'overloaded' },
}

const QUOTA: ErrorFields = {
  message: 'The sandbox account has used up its quota.',
  type: 'insufficient_quota',
  code: 'insufficient_quota',
}

function faultJson({ status, secret, quota, message }: ProtocolFault): string {
  const fields = quota && status === 429 ? QUOTA : BY_STATUS[status]
  const said = message ?? fields.message
  return errorJson({ ...fields, message: withSecret(said, secret) })
}

/** The error a stream carries after it began; `{"error":…}` as an event of its own. */
export function streamErrorFields({ texts, flags }: Switches): ErrorFields {
  const { secret } = texts
  if (flags.has('overloaded')) {
    const message = withSecret('The sandbox was told to be overloaded in mid-stream.', secret)
    return { message, type: 'service_unavailable_error', code: 'server_is_overloaded' }
  }
  const message = withSecret('The sandbox was told to fail in mid-stream.', secret)
  return { message, type: 'server_error', code: 'server_error' }
}

/** What all of OpenAI's formats share. */
export const OPENAI_API: Omit<SandboxProtocol, 'route'> = {
  headers: (requestUuid, elapsedMs) => [
    ['x-request-id', `req_${requestUuid.replaceAll('-', '')}`],
    ['openai-processing-ms', String(elapsedMs)],
    ['openai-version', '2020-10-01'],
  ],
  retryAfterHeader: true,
  overloadedStatus: 503,
  contentType: 'application/json',
  errorBody: faultJson,
}
