import { freshHex } from '../fresh-name.ts'
import { promptTokens } from '../plan.ts'
import { type ProtocolAnswer, type ProtocolRequest, wholeAnswer } from '../protocol.ts'
import { sealOf } from '../seal.ts'
import { usageText } from '../usage-text.ts'
import { freshItemId } from './output.ts'
import type { ResponsesRequest } from './request.ts'
import { isRecent, usageTree } from './response.ts'

/** A round number, so that a test of a bill can be worked out by hand. */
const SUMMARY_TOKENS = 50

/** Keeps what the user said and puts one sealed item in the place of the rest. */
export function compactionAnswer(
  { ids, clock, switches }: ProtocolRequest,
  request: ResponsesRequest,
): ProtocolAnswer {
  const said = request.messages.filter(({ role }) => role === 'user')
  const kept = said.map(({ text }) => ({
    id: freshItemId('msg', ids),
    type: 'message',
    status: 'completed',
    content: [{ type: 'input_text', text }],
    role: 'user',
  }))
  const summary = {
    id: freshItemId('cmp', ids),
    type: 'compaction',
    encrypted_content: sealOf('compaction', request.messages.map(({ counted }) => counted).join('\n')),
  }
  const head = JSON.stringify({
    id: `resp_0${freshHex(ids, 49)}`,
    object: 'response.compaction',
    created_at: Math.floor(clock.nowMs() / 1000),
    output: [...kept, summary],
  })
  const prompt = promptTokens(request)
  const counts = { prompt, cacheRead: 0, cacheWritten: 0, output: SUMMARY_TOKENS, reasoning: 0 }
  const usage = usageText(usageTree(counts, isRecent(request.model)), switches)
  return wholeAnswer(200, usage === null ? head : `${head.slice(0, -1)},"usage":${usage}}`)
}
