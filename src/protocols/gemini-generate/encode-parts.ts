import { isObject, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { NeutralPart } from '../neutral.ts'
import { isMadeUp } from './call-ids.ts'
import { ORIGIN } from './decode-parts.ts'

/** Parts that stand in requests and in answers alike. */

export type ToolCall = Extract<NeutralPart, { kind: 'tool_call' }>
export type Reasoning = Extract<NeutralPart, { kind: 'reasoning' }>

/** Arguments are an object here; text that is none (a broken call, a tool that takes plain text) is put into one. */
export function callArguments(text: string): JsonObject {
  if (text.trim() === '') return {}
  const parsed = parseJson(text)
  return parsed.ok && isObject(parsed.value) ? parsed.value : { input: text }
}

export const isObjectText = (text: string): boolean => {
  const parsed = parseJson(text)
  return text.trim() === '' || (parsed.ok && isObject(parsed.value))
}

export const signed = (signature: string | undefined): JsonObject =>
  signature === undefined ? {} : { thoughtSignature: signature }

/** @param keepId false leaves out an id that was only made up here */
export function writeCall(call: ToolCall, keepId: boolean, signature = call.signature): JsonObject {
  const id = keepId || !isMadeUp(call.id, call.name) ? { id: call.id } : {}
  return {
    functionCall: { ...id, name: call.name, args: callArguments(call.arguments) },
    ...signed(signature),
  }
}

/**
 * Thinking of Google's own; a signature without a thought was on something else and stands by itself.
 * @returns null for thinking of another provider, which Google does not take
 */
export function writeThought(part: Reasoning): JsonObject | null {
  if (part.origin !== ORIGIN) return null
  if (part.text !== '') return { text: part.text, thought: true, ...signed(part.signature) }
  return part.signature === undefined ? null : { text: '', ...signed(part.signature) }
}
