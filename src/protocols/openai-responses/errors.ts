import { isObject, type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { ErrorAnswer, WireError } from '../protocol.ts'

/** Errors of this format: envelopes, stream events, and what upstreams put into theirs. */

export interface WireFault {
  readonly status: number
  readonly type: string
  readonly code: string
}

/**
 * OpenAI's SDKs and agents stop at once on 429 `insufficient_quota` and go on trying on 402: what cannot be paid answers
 * as they expect, and names our own code beside it.
 */
const UNPAYABLE = new Set(['insufficient_balance', 'balance_held', 'budget_exceeded'])

const TYPES: ReadonlyArray<readonly [min: number, type: string]> = [
  [500, 'api_error'],
  [429, 'rate_limit_error'],
  [404, 'invalid_request_error'],
  [403, 'permission_error'],
  [402, 'invalid_request_error'],
  [401, 'authentication_error'],
]

/** Codex tries thirty times after a 5xx, whatever its headers say, but not after OpenAI's own word for "come back later". */
const HOPELESS: WireFault = { status: 503, type: 'api_error', code: 'server_is_overloaded' }

function wireOf({ status, code, hopeless }: WireError): WireFault {
  if (hopeless === true) return HOPELESS
  if (UNPAYABLE.has(code)) return { status: 429, type: 'insufficient_quota', code: 'insufficient_quota' }
  return { status, type: TYPES.find(([min]) => status >= min)?.[1] ?? 'invalid_request_error', code }
}

export function errorAnswer(error: WireError): ErrorAnswer {
  const { status, type, code } = wireOf(error)
  const { message, param, extra } = error
  return { status, body: JSON.stringify({ error: { message, type, param, code, ...extra } }) }
}

export function sseEvent(type: string, fields: JsonObject): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`
}

/**
 * The two events that end a stream in failure. SDKs throw on the first (some read its members, some those of the object
 * in it); Codex reads the second.
 */
export function failureEvents(error: JsonObject, response: JsonObject, sequenceNumber: number): string {
  const { code = null, message = '', param = null } = error
  const said = sseEvent('error', { sequence_number: sequenceNumber, code, message, param, error })
  const failed = { ...response, status: 'failed', error: { code, message } }
  return said + sseEvent('response.failed', { sequence_number: sequenceNumber + 1, response: failed })
}

/** A failure after the stream has begun; what came before it is not known here. */
export function streamError(error: WireError): string {
  const { type, code } = wireOf(error)
  const { message, param, extra } = error
  const { request_id: id } = extra
  const response: JsonObject = {
    id: `resp_${typeof id === 'string' ? id : 'failed'}`,
    object: 'response',
    output: [],
    usage: null,
  }
  return failureEvents({ type, code, message, param, ...extra }, response, 0)
}

/** Of an answer whose upstream failed: its own words may name its keys and hosts. */
export const UPSTREAM_FAILED: JsonObject = {
  type: 'api_error',
  code: 'upstream_error',
  message: 'The model’s provider failed while it was answering.',
  param: null,
}

function wordsOf(error: JsonObject): string {
  return typeof error['message'] === 'string' ? error['message'] : ''
}

function codeOf(error: JsonObject): string | null {
  const code = error['code'] ?? error['type']
  return typeof code === 'string' || typeof code === 'number' ? String(code) : null
}

/** Message and code of an error object or event, whatever its shape. */
export function errorOf(value: Json | undefined): { readonly message: string; readonly code: string | null } {
  if (typeof value === 'string') return { message: value, code: null }
  if (!isObject(value)) return { message: '', code: null }
  const { error, detail } = value
  if (isObject(error)) return errorOf(error)
  if (typeof error === 'string') return { message: error, code: codeOf(value) }
  if (wordsOf(value) === '' && typeof detail === 'string') return { message: detail, code: codeOf(value) }
  const code = value['type'] === 'error' && value['code'] === null ? null : codeOf(value)
  return { message: wordsOf(value), code }
}

export function readError(text: string): { readonly message: string; readonly code: string | null } {
  const parsed = parseJson(text)
  return parsed.ok ? errorOf(parsed.value) : { message: '', code: null }
}

/** Why a response object is no answer; null when it is one. A 200 may say that the response failed. */
export function failureMessage(response: JsonObject): string | null {
  const { error, status } = response
  if (error !== undefined && error !== null) {
    const { message } = errorOf(error)
    return message === '' ? 'an error in a 200 answer' : message
  }
  return status === 'failed' || status === 'cancelled' ? `the response is ${status}` : null
}
