import { isObject, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { ErrorAnswer, WireError } from '../protocol.ts'

/** Errors in OpenAI's envelope, and out of whatever envelope an upstream uses. */

interface Words {
  readonly status: number
  readonly type: string
  readonly code: string
}

const QUOTA: Words = { status: 429, type: 'insufficient_quota', code: 'insufficient_quota' }

/**
 * OpenAI's SDKs and agents stop at once on 429 `insufficient_quota`, and go on trying on 402: what cannot be paid
 * answers as they expect, and names our own code beside it (`reason`).
 */
const UNPAID = new Set(['insufficient_balance', 'balance_held', 'budget_exceeded'])

const TYPES: ReadonlyArray<readonly [status: number, type: string]> = [
  [401, 'authentication_error'],
  [402, 'insufficient_quota'],
  [403, 'permission_error'],
  [429, 'rate_limit_error'],
]

function wordsOf(error: WireError): Words {
  const { status, code } = error
  if (UNPAID.has(code)) return QUOTA
  const type = TYPES.find(([known]) => known === status)?.[1]
  return { status, type: type ?? (status >= 500 ? 'api_error' : 'invalid_request_error'), code }
}

/** OpenAI's error envelope around facts of ours. */
export function chatErrorBody(error: {
  readonly message: string
  readonly type: string
  readonly code: string
  readonly param: string | null
  readonly extra: JsonObject
}): string {
  const { message, type, code, param, extra } = error
  return JSON.stringify({ error: { message, type, param, code, ...extra } })
}

export function errorAnswer(error: WireError): ErrorAnswer {
  const { status, type, code } = wordsOf(error)
  const { message, param, extra } = error
  return { status, body: chatErrorBody({ message, type, code, param, extra }) }
}

/** No end mark follows: a client that saw `[DONE]` would take the answer for whole. */
export function streamError(error: WireError): string {
  return `data: ${errorAnswer(error).body}\n\n`
}

/** For an upstream's failure in a translated stream: its own words may name its keys and hosts. */
export const UPSTREAM_FAILED: string = chatErrorBody({
  message: 'The model provider broke off the answer.',
  type: 'api_error',
  code: 'upstream_error',
  param: null,
  extra: {},
})

export interface UpstreamError {
  readonly message: string
  readonly code: string | null
}

function codeOf(error: JsonObject): string | null {
  const code = error['code'] ?? error['type']
  return typeof code === 'string' || typeof code === 'number' ? String(code) : null
}

/** Message and code of a body that tells an error: OpenAI's shape, OpenRouter's numbers, or a bare text. */
export function upstreamError(body: JsonObject): UpstreamError {
  const { error } = body
  if (typeof error === 'string') return { message: error, code: null }
  if (isObject(error))
    return { message: typeof error['message'] === 'string' ? error['message'] : '', code: codeOf(error) }
  // Mistral and vLLM put it on the outermost object.
  const message = body['message'] ?? body['detail']
  return { message: typeof message === 'string' ? message : '', code: codeOf(body) }
}

/** The message of an upstream's error body, whatever its shape. */
export function upstreamErrorMessage(text: string): UpstreamError {
  const parsed = parseJson(text)
  return parsed.ok && isObject(parsed.value) ? upstreamError(parsed.value) : { message: '', code: null }
}
