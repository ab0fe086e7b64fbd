import { isObject, type Json, parseJson } from '../../kernel/index.ts'
import type { ErrorAnswer, WireError } from '../protocol.ts'

const OVERLOADED = 529

/** Nothing is left to spend: agents of this format stop on 402. */
const BILLING = new Set(['insufficient_balance', 'balance_held', 'budget_exceeded'])

const TYPE_OF: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  402: 'billing_error',
  403: 'permission_error',
  404: 'not_found_error',
  408: 'timeout_error',
  409: 'conflict_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  504: 'timeout_error',
  529: 'overloaded_error',
}

function statusOf(error: WireError): number {
  if (BILLING.has(error.code)) return 402
  if (error.status === 503 || error.code === 'overloaded') return OVERLOADED
  return error.status === 422 ? 400 : error.status
}

function typeFor(status: number): string {
  return TYPE_OF[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error')
}

export function errorAnswer(error: WireError): ErrorAnswer {
  const status = statusOf(error)
  const { message, code, param, extra } = error
  const requestId = extra['request_id']
  const inner = { type: typeFor(status), message, code, ...(param === null ? {} : { param }), ...extra }
  return {
    status,
    body: JSON.stringify({
      type: 'error',
      error: inner,
      ...(typeof requestId === 'string' ? { request_id: requestId } : {}),
    }),
  }
}

export function streamError(error: WireError): string {
  return `event: error\ndata: ${errorAnswer(error).body}\n\n`
}

function text(value: Json | undefined): string | null {
  return typeof value === 'string' ? value : null
}

/** Message and code of an error object; the finer code of `details` goes before the type. */
export function errorOf(error: Json | undefined): { readonly message: string; readonly code: string | null } {
  if (typeof error === 'string') return { message: error, code: null }
  if (!isObject(error)) return { message: '', code: null }
  const details = isObject(error['details']) ? error['details'] : {}
  const code = details['error_code'] ?? error['type'] ?? error['code']
  return {
    message: text(error['message']) ?? '',
    code: code === undefined || code === null ? null : String(code),
  }
}

export function readError(body: string): { readonly message: string; readonly code: string | null } {
  const parsed = parseJson(body)
  if (!parsed.ok || !isObject(parsed.value)) return { message: '', code: null }
  const error = parsed.value['error']
  if (error === undefined || error === null)
    return { message: text(parsed.value['message']) ?? '', code: null }
  return errorOf(error)
}
