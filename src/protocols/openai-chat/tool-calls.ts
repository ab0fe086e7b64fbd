import { isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { NeutralPart } from '../neutral.ts'

/** Tool calls of whole messages, both ways. */

export type ToolCall = Extract<NeutralPart, { kind: 'tool_call' }>

/** Some servers give the arguments as the object itself. */
export function argumentsText(value: Json | undefined): string {
  if (typeof value === 'string') return value
  return value === undefined || value === null ? '' : JSON.stringify(value)
}

/** Where Google's own compatible endpoint keeps the signature that must come back with a call. */
export function signatureOf(call: JsonObject): { readonly signature?: string } {
  const extra = call['extra_content']
  const google = isObject(extra) ? extra['google'] : undefined
  const signature = isObject(google) ? google['thought_signature'] : undefined
  return typeof signature === 'string' && signature !== '' ? { signature } : {}
}

export function signatureContent(signature: string | undefined): JsonObject {
  return signature === undefined ? {} : { extra_content: { google: { thought_signature: signature } } }
}

/** @param fallbackId for servers that give a call no id @returns null when it is no function call */
export function readToolCall(call: Json, fallbackId: string): ToolCall | null {
  const called = isObject(call) ? call['function'] : undefined
  if (!isObject(call) || !isObject(called) || typeof called['name'] !== 'string') return null
  const { id } = call
  return {
    kind: 'tool_call',
    id: typeof id === 'string' && id !== '' ? id : fallbackId,
    name: called['name'],
    arguments: argumentsText(called['arguments']),
    ...signatureOf(call),
  }
}

/** Clients parse the arguments without asking whether there are any. */
export function writeToolCall(call: ToolCall, withSignature: boolean): JsonObject {
  return {
    id: call.id,
    type: 'function',
    function: { name: call.name, arguments: call.arguments === '' ? '{}' : call.arguments },
    ...(withSignature ? signatureContent(call.signature) : {}),
  }
}
