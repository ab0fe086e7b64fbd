import type { Protocol, RequestInput } from '../protocol.ts'
import { openaiResponses } from './index.ts'
import { passEdits, type ResponsesFacts, type ResponsesRequestResult, readRequest } from './request.ts'

/**
 * `/responses/compact`: a conversation becomes a shorter one with a sealed summary, which costs tokens like any answer.
 * Only OpenAI can read what it sealed, so there is no neutral form, and no other format is asked.
 */

function readCompaction(input: RequestInput): ResponsesRequestResult {
  const { stream } = input.body
  if (stream !== undefined && stream !== null && stream !== false)
    return { ok: false, param: 'stream', problem: 'is not known here: a compaction comes whole' }
  const read = readRequest(input)
  // It takes no limit: what is held is the model's own.
  return read.ok ? { ok: true, request: { ...read.request, maxOutputTokens: null } } : read
}

const alone = { ok: false, param: 'model', problem: 'can be compacted by the responses format only' } as const

export const openaiCompaction: Protocol<ResponsesFacts> = {
  ...openaiResponses,
  name: 'openai-compaction',
  readRequest: readCompaction,
  decodeRequest: () => alone,
  encodeRequest: () => alone,
  callPath: () => '/responses/compact',
  passEdits: (request, call) => passEdits(request, { ...call, maxOutputTokens: null }),
}
