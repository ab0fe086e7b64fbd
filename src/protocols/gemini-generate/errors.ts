import { isArray, isObject, type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { ErrorAnswer, StreamCut, WireError } from '../protocol.ts'
import { writeUsage } from './encode-usage.ts'
import { type Frame, frameOf, lastElement } from './framing.ts'

/** Google's error envelope, both ways: `{error: {code, message, status, details: [...]}}`. */

const STATUS: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  /** Agents of this protocol stop on 402 and try again on 429. */
  402: 'FAILED_PRECONDITION',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  405: 'UNIMPLEMENTED',
  408: 'DEADLINE_EXCEEDED',
  409: 'ABORTED',
  413: 'INVALID_ARGUMENT',
  415: 'INVALID_ARGUMENT',
  422: 'INVALID_ARGUMENT',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  501: 'UNIMPLEMENTED',
  502: 'UNAVAILABLE',
  503: 'UNAVAILABLE',
  504: 'DEADLINE_EXCEEDED',
  529: 'UNAVAILABLE',
}

const TYPES = 'type.googleapis.com/google.rpc.'

export function statusWord(status: number): string {
  return STATUS[status] ?? (status >= 500 ? 'INTERNAL' : 'INVALID_ARGUMENT')
}

/** An ErrorInfo's metadata is a map of texts. */
function metadata(extra: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(extra)
      .filter(([, value]) => value !== null)
      .map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
  )
}

function envelope(error: WireError): JsonObject {
  const details: JsonObject[] = [
    {
      '@type': `${TYPES}ErrorInfo`,
      reason: error.code.toUpperCase(),
      domain: 'tokens-forge',
      metadata: metadata({ code: error.code, ...error.extra }),
    },
  ]
  if (error.param !== null)
    details.push({
      '@type': `${TYPES}BadRequest`,
      fieldViolations: [{ field: error.param, description: error.message }],
    })
  // Google's clients wait for as long as this says, and read no header.
  if (error.retryAfterMs !== undefined)
    details.push({
      '@type': `${TYPES}RetryInfo`,
      retryDelay: `${Math.ceil(error.retryAfterMs / 1_000)}s`,
    })
  const { status, message } = error
  return { error: { code: status, message, status: statusWord(status), details } }
}

export function errorAnswer(error: WireError): ErrorAnswer {
  return { status: error.status, body: JSON.stringify(envelope(error)) }
}

/** @param frame how the stream was begun; in an array the error is its last element and closes it */
export function streamError(error: WireError, frame: Frame = 'sse'): string {
  return lastElement(JSON.stringify(envelope(error)), frame)
}

const ONE: StreamCut = { choices: [0], usage: null }

/** @param first an event of the stream, for its id, its model and its framing */
export function lengthEnding(first: Buffer | null, frame: Frame = frameOf(first), cut = ONE): Buffer {
  const text = first?.toString('utf8') ?? ''
  const member = (name: string): JsonObject => {
    const found = new RegExp(`"${name}": ?"([^"\\\\]{1,200})"`).exec(text)?.[1]
    return found === undefined ? {} : { [name]: found }
  }
  const chunk = {
    candidates: cut.choices.map((index) => ({
      content: { parts: [{ text: '' }], role: 'model' },
      finishReason: 'MAX_TOKENS',
      index,
    })),
    ...(cut.usage === null ? {} : { usageMetadata: writeUsage(cut.usage.read, null, cut.usage.note) }),
    ...member('modelVersion'),
    ...member('responseId'),
  }
  return Buffer.from(lastElement(JSON.stringify(chunk), frame))
}

interface UpstreamError {
  readonly message: string
  readonly code: string | null
}

function errorInfoReason(details: Json | undefined): string | null {
  if (!isArray(details)) return null
  for (const detail of details) {
    if (!isObject(detail)) continue
    const { reason } = detail
    if (typeof reason === 'string' && reason !== '') return reason
  }
  return null
}

/**
 * The error in an answer or an event, bare or in an array (how a stream without events fails); null when there is none.
 * The code is the finest there is: a bad key is a plain INVALID_ARGUMENT but for its reason API_KEY_INVALID.
 */
export function errorOf(value: Json): UpstreamError | null {
  if (isArray(value)) {
    for (const member of value) {
      const found = isObject(member) ? errorOf(member) : null
      if (found !== null) return found
    }
    return null
  }
  if (!isObject(value)) return null
  const { error } = value
  if (error === undefined || error === null || error === false) return null
  if (typeof error === 'string') return { message: error, code: null }
  if (!isObject(error)) return { message: JSON.stringify(error), code: null }
  const { message, status, code } = error
  const word =
    errorInfoReason(error['details']) ?? (typeof status === 'string' && status !== '' ? status : code)
  return {
    message: typeof message === 'string' ? message : JSON.stringify(error),
    code: typeof word === 'string' || typeof word === 'number' ? String(word) : null,
  }
}

export function readError(text: string): UpstreamError {
  const parsed = parseJson(text)
  if (!parsed.ok) return { message: '', code: null }
  const found = errorOf(parsed.value)
  if (found !== null) return found
  const message = isObject(parsed.value) ? parsed.value['message'] : undefined
  return { message: typeof message === 'string' ? message : '', code: null }
}
