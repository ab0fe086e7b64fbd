import type { ServerResponse } from 'node:http'
import { ERRORS, type Fault } from '../contract/index.ts'
import type { JsonObject } from '../kernel/index.ts'
import type { WireError } from '../protocols/index.ts'
import type { Exchange } from './types.ts'

/** Faults in the caller's protocol. */

export interface FaultAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

function mayRetry(fault: Fault): boolean {
  return ERRORS[fault.code].retry && fault.hopeless !== true
}

/** Money is the ledger's matter, a rate limit is not. */
function limitFacts({ limit }: Fault): JsonObject {
  if (limit === undefined) return {}
  return 'rate_limit' in limit ? { limit } : { ledger: limit }
}

/** @param receipt whether the request left one (an unknown key leaves none: there is nobody to show it to) */
export function wireError(fault: Fault, exchange: Exchange, receipt: boolean): WireError {
  const id = exchange.publicId
  const entry = ERRORS[fault.code]
  const extra: JsonObject = {
    request_id: id,
    receipt: receipt ? `/api/v1/receipts/${id}` : null,
    reason: fault.code,
    next_step: entry.hint,
    ...(fault.facts === undefined ? {} : { ledger: fault.facts }),
    ...limitFacts(fault),
  }
  return {
    status: entry.status,
    code: fault.code,
    message: fault.message,
    param: fault.param ?? null,
    ...(fault.hopeless === true ? { hopeless: true } : {}),
    ...(fault.retryAfterMs === undefined ? {} : { retryAfterMs: fault.retryAfterMs }),
    extra,
  }
}

/**
 * The AI SDK (`ai-sdk-provider-utils/5`, `ai-sdk/openai/4`) tries again after any 429 and heeds neither code nor
 * `x-should-retry`; it stops on 402.
 */
const HEEDS_STATUS_ONLY = /\bai-sdk[/-]/

/** OpenAI's own clients stop on 429 `insufficient_quota`, so that is what its formats answer; others need our own. */
function statusFor(exchange: Exchange, fault: Fault, status: number): number {
  const hopeless = status === 429 && !mayRetry(fault)
  return hopeless && HEEDS_STATUS_ONLY.test(exchange.req.headers['user-agent'] ?? '') ? 402 : status
}

export function faultAnswer(exchange: Exchange, fault: Fault, receipt: boolean): FaultAnswer {
  const id = exchange.publicId
  const answer = exchange.call.protocol.errorAnswer(wireError(fault, exchange, receipt))
  const waitMs = fault.retryAfterMs
  return {
    status: statusFor(exchange, fault, answer.status),
    headers: {
      'content-type': 'application/json',
      'x-request-id': id,
      'request-id': id,
      'x-should-retry': String(mayRetry(fault)),
      ...(waitMs === undefined
        ? {}
        : { 'retry-after': String(Math.ceil(waitMs / 1000)), 'retry-after-ms': String(Math.ceil(waitMs)) }),
    },
    body: answer.body,
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
