import { isArray, type JsonObject } from '../../kernel/index.ts'
import type { MediaSource, NeutralAnswer, NeutralChoice, NeutralPart } from '../neutral.ts'
import type { EncoderContext } from '../protocol.ts'
import { writeUsage } from './encode-usage.ts'
import { writeFinish } from './finish.ts'
import { writeLogprobs } from './logprobs.ts'
import { joinedText, writeCitation } from './message-text.ts'
import { writeToolCall } from './tool-calls.ts'

/** A neutral answer as a whole chat answer. */

/** Who asked with the legacy `functions` understands no `tool_calls`. */
export function asksLegacy(requestBody: JsonObject): boolean {
  return isArray(requestBody['functions']) && !isArray(requestBody['tools'])
}

function writeAnnotations(parts: readonly NeutralPart[]): JsonObject[] {
  const annotations: JsonObject[] = []
  let start = 0
  for (const part of parts) {
    if (part.kind !== 'text') continue
    const end = start + part.text.length
    for (const citation of part.citations ?? []) {
      const written = writeCitation(citation, { start, end })
      if (written !== null) annotations.push(written)
    }
    start = end
  }
  return annotations
}

function imageUrl(source: MediaSource): string {
  if (source.kind === 'data') return `data:${source.mediaType};base64,${source.base64}`
  return source.kind === 'url' ? source.url : source.id
}

/** Generated images stand where OpenRouter puts them: OpenAI's own chat has none. */
function writeImages(parts: readonly NeutralPart[]): JsonObject {
  const images = parts
    .filter((part) => part.kind === 'image')
    .map((part) => ({ type: 'image_url', image_url: { url: imageUrl(part.source) } }))
  return images.length === 0 ? {} : { images }
}

function writeCalls(parts: readonly NeutralPart[], legacy: boolean): JsonObject {
  const calls = parts.filter((part) => part.kind === 'tool_call')
  const [only] = calls
  if (only === undefined) return {}
  if (!legacy || calls.length > 1) return { tool_calls: calls.map((call) => writeToolCall(call, true)) }
  return { function_call: { name: only.name, arguments: only.arguments === '' ? '{}' : only.arguments } }
}

function writeMessage(choice: NeutralChoice, legacy: boolean): JsonObject {
  const { parts } = choice
  const text = joinedText(parts)
  const thought = parts.map((part) => (part.kind === 'reasoning' ? part.text : '')).join('')
  const refusals = parts.filter((part) => part.kind === 'refusal')
  const annotations = writeAnnotations(parts)
  const called = parts.some((part) => part.kind === 'tool_call')
  return {
    role: 'assistant',
    content: text === '' && (called || refusals.length > 0) ? null : text,
    refusal: refusals.length === 0 ? null : refusals.map((part) => part.text).join(''),
    ...(thought === '' ? {} : { reasoning_content: thought }),
    ...(annotations.length === 0 ? {} : { annotations }),
    ...writeImages(parts),
    ...writeCalls(parts, legacy),
  }
}

function writeChoice(choice: NeutralChoice, index: number, legacy: boolean): JsonObject {
  const message = writeMessage(choice, legacy)
  const finish = writeFinish(choice.finish, typeof message['refusal'] === 'string')
  return {
    index,
    message,
    logprobs: writeLogprobs(choice.logprobs),
    finish_reason: finish === 'tool_calls' && 'function_call' in message ? 'function_call' : finish,
  }
}

export function encodeAnswer(answer: NeutralAnswer, context: EncoderContext): JsonObject {
  const legacy = asksLegacy(context.requestBody)
  const note = answer.usage === null ? null : context.annotate()
  return {
    id: answer.id === '' ? `chatcmpl-${context.requestId}` : answer.id,
    object: 'chat.completion',
    created: answer.createdSeconds ?? context.createdSeconds,
    model: answer.model === '' ? context.requestedModel : answer.model,
    choices: answer.choices.map((choice, index) => writeChoice(choice, index, legacy)),
    ...(answer.usage === null ? {} : { usage: writeUsage(answer.usage, note) }),
    ...(answer.serviceTier === null ? {} : { service_tier: answer.serviceTier }),
  }
}
