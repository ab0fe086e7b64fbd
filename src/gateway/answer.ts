import type { ServerResponse } from 'node:http'
import { ERRORS, type ErrorCode, type Fault } from '../contract/index.ts'
import { formatId, type JsonObject, type Uuid } from '../kernel/index.ts'
import { openaiChat } from '../protocols/index.ts'

/** Faults in the caller's protocol. */

interface WireError {
  readonly status: number
  readonly type: string
  readonly code: string
}

/**
 * OpenAI's SDKs and agents stop at once on 429 `insufficient_quota`, and go on trying on 402: what cannot be paid
 * answers as they expect, and names our own code beside it.
 */
const OPENAI_WIRE: Readonly<Partial<Record<ErrorCode, WireError>>> = {
  insufficient_balance: { status: 429, type: 'insufficient_quota', code: 'insufficient_quota' },
  balance_held: { status: 429, type: 'insufficient_quota', code: 'insufficient_quota' },
  budget_exceeded: { status: 429, type: 'insufficient_quota', code: 'insufficient_quota' },
}

const TYPES: ReadonlyArray<readonly [min: number, type: string]> = [
  [500, 'api_error'],
  [429, 'rate_limit_error'],
  [403, 'permission_error'],
  [401, 'authentication_error'],
  [400, 'invalid_request_error'],
]

function wireOf(code: ErrorCode): WireError {
  const special = OPENAI_WIRE[code]
  if (special !== undefined) return special
  const { status } = ERRORS[code]
  const type = [404, 408, 409, 413, 415, 422].includes(status)
    ? 'invalid_request_error'
    : TYPES.find(([min]) => status >= min)?.[1]
  return { status, type: type ?? 'invalid_request_error', code }
}

export interface FaultAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** @param receipt whether the request left one (an unknown key leaves none: there is nobody to show it to) */
export function faultAnswer(fault: Fault, requestId: Uuid, receipt: boolean): FaultAnswer {
  const id = formatId('req', requestId)
  const entry = ERRORS[fault.code]
  const wire = wireOf(fault.code)
  const extra: JsonObject = {
    request_id: id,
    receipt: receipt ? `/api/v1/receipts/${id}` : null,
    reason: fault.code,
    next_step: entry.hint,
    ...(fault.facts === undefined ? {} : { ledger: fault.facts }),
  }
  return {
    status: wire.status,
    headers: {
      'content-type': 'application/json',
      'x-request-id': id,
      'x-should-retry': String(entry.retry),
      ...(fault.retryAfterMs === undefined
        ? {}
        : {
            'retry-after': String(Math.ceil(fault.retryAfterMs / 1000)),
            'retry-after-ms': String(Math.ceil(fault.retryAfterMs)),
          }),
    },
    body: openaiChat.chatErrorBody({
      message: fault.message,
      type: wire.type,
      code: wire.code,
      param: fault.param ?? null,
      extra,
    }),
  }
}

export function sendFault(
  res: ServerResponse,
  answer: FaultAnswer,
  extraHeaders: Readonly<Record<string, string>> = {},
): void {
  if (res.headersSent || res.destroyed) return
  res.writeHead(answer.status, {
    ...extraHeaders,
    ...answer.headers,
    'content-length': String(Buffer.byteLength(answer.body)),
  })
  res.end(answer.body)
}
