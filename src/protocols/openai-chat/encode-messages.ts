import type { Json, JsonObject } from '../../kernel/index.ts'
import type { NeutralMessage, NeutralPart, NeutralRequest } from '../neutral.ts'
import { writeMedia } from './media.ts'
import { joinedText } from './message-text.ts'
import type { Notes } from './notes.ts'
import { wantsReasoningBack } from './reasoning.ts'
import { writeToolCall } from './tool-calls.ts'

/** Neutral messages into the messages of a chat request. */

type ToolResult = Extract<NeutralPart, { kind: 'tool_result' }>
type Media = Extract<NeutralPart, { kind: 'image' | 'file' | 'audio' }>

const isMedia = (part: NeutralPart): part is Media =>
  part.kind === 'image' || part.kind === 'file' || part.kind === 'audio'

const textPart = (text: string): JsonObject => ({ type: 'text', text })

/** One turn of the model is one message here: its calls and their results must not be torn apart. */
function mergedTurns(messages: readonly NeutralMessage[]): NeutralMessage[] {
  const merged: NeutralMessage[] = []
  for (const message of messages) {
    const last = merged.at(-1)
    if (message.role === 'assistant' && last?.role === 'assistant')
      merged[merged.length - 1] = { role: 'assistant', parts: [...last.parts, ...message.parts] }
    else merged.push(message)
  }
  return merged
}

/** Paragraphs of one speaker; many servers take nothing but one string. */
function paragraphs(parts: readonly NeutralPart[]): string {
  return parts.flatMap((part) => (part.kind === 'text' && part.text !== '' ? [part.text] : [])).join('\n\n')
}

class MessageWriter {
  readonly written: Json[] = []
  private readonly model: string
  private readonly notes: Notes
  /**
   * Images and files that stand where this format has no place for them (in a tool's result, in the model's own turn)
   * go to the head of the caller's next turn: that is where a model looks for them.
   */
  private carried: JsonObject[] = []

  constructor(model: string, notes: Notes) {
    this.model = model
    this.notes = notes
  }

  write(message: NeutralMessage, path: string): void {
    if (message.parts.some((part) => 'cache' in part && part.cache !== undefined))
      this.notes.drop('messages[].cache_control')
    if (message.role === 'user') this.writeUser(message.parts, path)
    else {
      this.flush()
      if (message.role === 'system') this.writeSystem(message.parts)
      else this.writeAssistant(message.parts, path)
    }
  }

  writeSystem(parts: readonly NeutralPart[]): void {
    if (parts.some((part) => part.kind !== 'text')) this.notes.drop('system[].media')
    const content = paragraphs(parts)
    if (content !== '') this.written.push({ role: 'system', content })
  }

  flush(): void {
    if (this.carried.length > 0) this.written.push({ role: 'user', content: this.carried })
    this.carried = []
  }

  private carry(part: Media, path: string): void {
    const media = writeMedia(part, path, this.notes)
    if (media !== null) this.carried.push(media)
  }

  private writeUser(parts: readonly NeutralPart[], path: string): void {
    const results = parts.filter((part) => part.kind === 'tool_result')
    const withMedia = results.filter((result) => result.parts.some(isMedia)).length
    for (const result of results) this.writeResult(result, path, withMedia > 1)
    const own = parts.filter((part) => part.kind === 'text' || isMedia(part))
    if (own.length === 0) {
      // An empty message is a turn too, unless it was nothing but results.
      if (results.length === 0) this.written.push({ role: 'user', content: '' })
      return
    }
    if (this.carried.length === 0 && own.every((part) => part.kind === 'text')) {
      this.written.push({ role: 'user', content: paragraphs(own) })
      return
    }
    for (const part of own) {
      if (part.kind === 'text') this.carried.push(textPart(part.text))
      else this.carry(part, path)
    }
    this.flush()
  }

  /** A result is text here. @param named whether media of several results must be told apart */
  private writeResult(result: ToolResult, path: string, named: boolean): void {
    if (result.isError) this.notes.drop('messages[].tool_result.is_error')
    const texts = result.parts.flatMap((part) => (part.kind === 'text' ? [part.text] : []))
    this.written.push({ role: 'tool', tool_call_id: result.id, content: texts.join('\n') })
    const media = result.parts.filter(isMedia)
    if (named && media.length > 0) this.carried.push(textPart(`From the result of ${result.id}:`))
    for (const part of media) this.carry(part, path)
  }

  private writeAssistant(parts: readonly NeutralPart[], path: string): void {
    const { model, notes } = this
    const calls = parts.filter((part) => part.kind === 'tool_call')
    const reasoning = parts.filter((part) => part.kind === 'reasoning')
    const refusal = parts.map((part) => (part.kind === 'refusal' ? part.text : '')).join('')
    const thought = reasoning.map((part) => part.text).join('')
    const text = joinedText(parts)
    const thinkBack = calls.length > 0 && wantsReasoningBack(model)
    if (reasoning.length > 0 && !thinkBack) notes.drop('messages[].reasoning')
    else if (reasoning.some((part) => part.signature ?? part.encrypted ?? part.redacted))
      notes.drop('messages[].reasoning.signature')
    const signed = /gemini/.test(model)
    if (!signed && calls.some((call) => call.signature !== undefined))
      notes.drop('messages[].tool_calls[].signature')
    if (parts.some((part) => part.kind === 'text' && (part.citations?.length ?? 0) > 0))
      notes.drop('messages[].citations')
    this.written.push({
      role: 'assistant',
      content: text === '' && calls.length > 0 ? null : text,
      ...(refusal === '' ? {} : { refusal }),
      // There with nothing in it as well: its absence is what is refused.
      ...(thinkBack ? { reasoning_content: thought } : {}),
      ...(calls.length === 0 ? {} : { tool_calls: calls.map((call) => writeToolCall(call, signed)) }),
    })
    for (const part of parts) if (isMedia(part)) this.carry(part, path)
  }
}

export function encodeMessages(request: NeutralRequest, model: string, notes: Notes): readonly Json[] {
  const writer = new MessageWriter(model, notes)
  writer.writeSystem(request.system)
  if (request.system.some((part) => 'cache' in part && part.cache !== undefined))
    notes.drop('system[].cache_control')
  mergedTurns(request.messages).forEach((message, index) => {
    writer.write(message, `messages[${index}]`)
  })
  writer.flush()
  return writer.written
}
