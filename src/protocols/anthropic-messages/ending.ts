import { isObject, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { StreamCut } from '../protocol.ts'
import { eventData } from '../sse.ts'
import { messageStart, sseEvent } from './encode-stream.ts'
import { encodeUsage } from './encode-usage.ts'

/** Keeps a connection alive; every client of the format passes over it. */
export const PING = 'event: ping\ndata: {"type": "ping"}\n\n'

function usageOf(first: Buffer | null): JsonObject | null {
  const data = first === null ? null : eventData(first)
  const parsed = data === null ? null : parseJson(data)
  const body = parsed?.ok && isObject(parsed.value) ? parsed.value : {}
  const message = body['message']
  return isObject(message) && isObject(message['usage']) ? message['usage'] : null
}

/**
 * The end of a stream that is cut here: a `message_delta` that says `max_tokens`, and the end. Clients demand a usage in
 * it: what was counted here, or else the last figure the caller has seen.
 * @param first an event of the stream; null when nothing was sent yet
 */
export function lengthEnding(first: Buffer | null, _frame?: 'sse' | 'array', cut?: StreamCut): Buffer {
  const told = cut?.usage ?? null
  const output = usageOf(first)?.['output_tokens']
  const start = first === null ? messageStart('msg_cut', '') : ''
  const delta = sseEvent({
    type: 'message_delta',
    delta: { stop_reason: 'max_tokens', stop_sequence: null },
    usage:
      told === null
        ? { output_tokens: typeof output === 'number' ? output : 0 }
        : encodeUsage(told.read, null, told.note),
  })
  return Buffer.from(start + delta + sseEvent({ type: 'message_stop' }))
}
