import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralMessage, NeutralPart, NeutralRequest } from '../neutral.ts'
import { writeInputPart, writeOutputPart } from './content.ts'
import type { Notes } from './notes.ts'
import { ORIGIN } from './seal.ts'

/** Neutral messages as the input items of a request. */

function writeParts(parts: readonly NeutralPart[], path: string, notes: Notes): JsonObject[] {
  return parts.map((part) => writeInputPart(part, path, notes)).filter((written) => written !== null)
}

/** What the tool said, as plain text where that is all. */
function writeResult(
  result: Extract<NeutralPart, { kind: 'tool_result' }>,
  path: string,
  notes: Notes,
): JsonObject {
  if (result.isError) notes.drop('tool_result.is_error')
  if (result.cache !== undefined) notes.drop('cache')
  const [first, ...rest] = result.parts
  const plain = first === undefined || (first.kind === 'text' && rest.length === 0)
  const output = plain ? (first?.kind === 'text' ? first.text : '') : writeParts(result.parts, path, notes)
  return { type: 'function_call_output', call_id: result.id, output }
}

/** @returns null when OpenAI could do nothing with it: only thinking that it sealed itself is taken back */
function writeReasoning(part: Extract<NeutralPart, { kind: 'reasoning' }>, notes: Notes): JsonObject | null {
  if (part.origin !== ORIGIN || part.encrypted === undefined) {
    notes.drop('reasoning')
    return null
  }
  return {
    type: 'reasoning',
    ...(part.id === undefined ? {} : { id: part.id }),
    summary: part.text === '' ? [] : [{ type: 'summary_text', text: part.text }],
    encrypted_content: part.encrypted,
  }
}

function writeCall(part: Extract<NeutralPart, { kind: 'tool_call' }>, notes: Notes): JsonObject {
  if (part.cache !== undefined) notes.drop('cache')
  if (part.signature !== undefined) notes.drop('tool_call.signature')
  return {
    type: 'function_call',
    call_id: part.id,
    name: part.name,
    arguments: part.arguments === '' ? '{}' : part.arguments,
  }
}

/** Order matters: thinking stands before the words or calls that came of it. */
function writeAssistant(message: NeutralMessage, path: string, notes: Notes): JsonObject[] {
  const items: JsonObject[] = []
  let said: JsonObject[] = []
  const speak = (): void => {
    if (said.length > 0) items.push({ type: 'message', role: 'assistant', content: said })
    said = []
  }
  for (const part of message.parts) {
    if (part.kind === 'text' || part.kind === 'refusal') {
      said.push(writeOutputPart(part, notes))
      continue
    }
    speak()
    if (part.kind === 'tool_call') items.push(writeCall(part, notes))
    else if (part.kind === 'reasoning') {
      const item = writeReasoning(part, notes)
      if (item !== null) items.push(item)
    } else
      notes.refuse(path, `the model’s own ${part.kind.replace('_', ' ')} cannot be carried to this provider`)
  }
  speak()
  return items
}

/** The caller's words and the results of tools, in their order. */
function writeUser(message: NeutralMessage, path: string, notes: Notes): JsonObject[] {
  const items: JsonObject[] = []
  let said: NeutralPart[] = []
  const speak = (): void => {
    if (said.length > 0)
      items.push({ type: 'message', role: message.role, content: writeParts(said, path, notes) })
    said = []
  }
  for (const part of message.parts) {
    if (part.kind !== 'tool_result') {
      said.push(part)
      continue
    }
    speak()
    items.push(writeResult(part, path, notes))
  }
  speak()
  return items
}

/** @returns `instructions` for a plain system text, else a message in front: it may have parts of its own */
export function writeInput(request: NeutralRequest, notes: Notes): JsonObject {
  const { system, messages } = request
  const [first, ...rest] = system
  const plain = rest.length === 0 && first?.kind === 'text' && first.cache === undefined
  const head =
    plain || first === undefined ? [] : writeUser({ role: 'system', parts: system }, 'system', notes)
  const items = messages.flatMap((message, at) => {
    const path = `messages[${at}]`
    return message.role === 'assistant'
      ? writeAssistant(message, path, notes)
      : writeUser(message, path, notes)
  })
  return { ...(plain ? { instructions: first.text } : {}), input: [...head, ...items] }
}
