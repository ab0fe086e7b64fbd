import { isObject, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { StreamCut } from '../protocol.ts'
import { eventData } from '../sse.ts'
import { sseEvent } from './errors.ts'
import { writeUsage } from './usage.ts'

/**
 * The end of a stream that is cut here: the response of its first event, as one that reached its limit. The output is
 * left to what the client gathered itself: what was open when the stream was cut is not known here.
 * @param first an event of the stream, for its response
 */
export function lengthEnding(first: Buffer | null, _frame?: 'sse' | 'array', cut?: StreamCut): Buffer {
  const told = cut?.usage ?? null
  const data = first === null ? null : eventData(first)
  const parsed = data === null ? null : parseJson(data)
  const body = parsed?.ok && isObject(parsed.value) ? parsed.value : {}
  const begun: JsonObject = isObject(body['response']) ? body['response'] : {}
  const { output: _, ...known } = begun
  const response: JsonObject = {
    id: 'resp_cut',
    object: 'response',
    created_at: 0,
    model: '',
    usage: null,
    ...known,
    ...(told === null ? {} : { usage: writeUsage(told.read, told.note) }),
    status: 'incomplete',
    incomplete_details: { reason: 'max_output_tokens' },
  }
  return Buffer.from(sseEvent('response.incomplete', { sequence_number: 0, response }))
}
