import type { JsonObject } from '../kernel/index.ts'
import type { Protocol } from '../protocols/index.ts'
import type { CallResult } from './call.ts'
import { failedTransport } from './classify.ts'
import { contextOf } from './delivery.ts'
import type { Inbound, Reading } from './types.ts'

/** A whole answer in the caller's format; one that cannot be read is a failure of its channel. */
export function translateResult(
  inbound: Inbound,
  upstream: Protocol,
  result: CallResult,
  annotate: (reading: Reading) => JsonObject,
): { readonly result: CallResult; readonly dropped: readonly string[] } {
  const { answer, outcome } = result
  const caller = inbound.exchange.call.protocol
  const reading = 'reading' in outcome ? outcome.reading : null
  if (answer === null || reading === null || caller.name === upstream.name) return { result, dropped: [] }
  const decoded = upstream.decodeAnswer(answer.body)
  if (!decoded.ok) {
    const unreadable = failedTransport('protocol_error', false, reading.status)
    return { result: { ...result, outcome: unreadable, answer: null }, dropped: [] }
  }
  const context = { ...contextOf(inbound), annotate: () => annotate(reading) }
  const body = caller.encodeAnswer(decoded.value, context)
  const bytes = Buffer.from(JSON.stringify(body))
  return {
    result: { ...result, answer: { contentType: 'application/json', bytes, body } },
    dropped: decoded.value.dropped,
  }
}
