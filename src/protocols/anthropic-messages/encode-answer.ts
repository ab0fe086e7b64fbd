import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralAnswer, NeutralChoice, NeutralPart } from '../neutral.ts'
import type { EncoderContext } from '../protocol.ts'
import { encodeCitation } from './citations.ts'
import { ORIGIN } from './decode-parts.ts'
import { callInput } from './encode-parts.ts'
import { encodeUsage } from './encode-usage.ts'
import { stopReasonOf } from './finish.ts'
import { messageId, toolId } from './tool-ids.ts'

/** Calls of formats without ids are told apart by their place. */
export function callId(id: string, requestId: string, index: number): string {
  return toolId(id === '' ? `toolu_${requestId}_${index}` : id)
}

function thinkingBlocks(part: Extract<NeutralPart, { kind: 'reasoning' }>): JsonObject[] {
  const own = part.origin === ORIGIN
  if (own && part.redacted !== undefined) return [{ type: 'redacted_thinking', data: part.redacted }]
  const signature = own ? (part.signature ?? '') : ''
  return part.text === '' && signature === '' ? [] : [{ type: 'thinking', thinking: part.text, signature }]
}

function blocksOf(part: NeutralPart, index: number, context: EncoderContext): JsonObject[] {
  switch (part.kind) {
    case 'text':
      return [
        {
          type: 'text',
          text: part.text,
          ...(part.citations === undefined ? {} : { citations: part.citations.map(encodeCitation) }),
        },
      ]
    case 'reasoning':
      return thinkingBlocks(part)
    case 'tool_call':
      return [
        {
          type: 'tool_use',
          id: callId(part.id, context.requestId, index),
          name: part.name,
          input: callInput(part.arguments),
        },
      ]
    case 'image':
      // The format's answers hold no media: where it is can be said, what it is cannot.
      return part.source.kind === 'url' ? [{ type: 'text', text: `![](${part.source.url})` }] : []
    case 'file':
    case 'audio':
    case 'tool_result':
    case 'refusal':
      return []
  }
}

function refusalDetails(explanation: string): JsonObject {
  return { type: 'refusal', category: null, explanation: explanation === '' ? null : explanation }
}

/** A refusal in words is a refusal, whatever the other format called the finish. */
export function stopOf(
  choice: Pick<NeutralChoice, 'finish' | 'finishRaw'>,
  seen: { readonly calls: boolean; readonly refusal: string },
): { readonly stop_reason: string; readonly stop_details: JsonObject | null } {
  const refused = seen.refusal !== '' && (choice.finish === 'stop' || choice.finish === 'content_filter')
  const reason = refused ? 'refusal' : stopReasonOf(choice.finish, choice.finishRaw, seen.calls)
  const details = reason === 'refusal' || seen.refusal !== ''
  return { stop_reason: reason, stop_details: details ? refusalDetails(seen.refusal) : null }
}

export function encodeAnswer(answer: NeutralAnswer, context: EncoderContext): JsonObject {
  const choice = answer.choices[0] ?? { parts: [], finish: 'stop', finishRaw: '' }
  const { parts } = choice
  const refusal = parts.map((part) => (part.kind === 'refusal' ? part.text : '')).join('')
  const calls = parts.some((part) => part.kind === 'tool_call')
  return {
    id: messageId(answer.id, context.requestId),
    type: 'message',
    role: 'assistant',
    model: answer.model === '' ? context.requestedModel : answer.model,
    content: parts.flatMap((part, index) => blocksOf(part, index, context)),
    ...stopOf(choice, { calls, refusal }),
    stop_sequence: null,
    usage: encodeUsage(answer.usage, answer.serviceTier, context.annotate()),
  }
}
