import type { Json, JsonObject } from '../../kernel/index.ts'
import type { NeutralMessage, NeutralPart, NeutralRequest } from '../neutral.ts'
import { encodeParts } from './encode-parts.ts'
import { type Notes, Refusal } from './notes.ts'

/**
 * Messages alternate, tool results stand first in the turn after their calls, and system text stands apart. System
 * messages before the conversation join the system prompt; later ones keep their place as marked text of a user turn
 * (only some models, on some of Anthropic's platforms, take them as they are), which leaves the cached prefix alone.
 */

interface Turn {
  readonly role: 'user' | 'assistant'
  readonly blocks: JsonObject[]
}

function systemBlocks(parts: readonly NeutralPart[], path: string, notes: Notes): JsonObject[] {
  const odd = parts.findIndex((part) => part.kind !== 'text')
  if (odd !== -1) throw new Refusal(`${path}[${odd}]`, 'a system message can hold text only for this model')
  return encodeParts(parts, path, notes)
}

function marked(blocks: readonly JsonObject[]): JsonObject[] {
  return blocks.map((block) => ({ ...block, text: `<system>\n${String(block['text'])}\n</system>` }))
}

/** Results first: the provider refuses a turn whose results come after its text. */
function resultsFirst(blocks: readonly JsonObject[]): JsonObject[] {
  const isResult = (block: JsonObject): boolean => block['type'] === 'tool_result'
  return [...blocks.filter(isResult), ...blocks.filter((block) => !isResult(block))]
}

function trimmedEnd(turns: readonly Turn[]): void {
  const last = turns.at(-1)
  const block = last?.blocks.at(-1)
  if (last?.role !== 'assistant' || block?.['type'] !== 'text') return
  // A prefill that ends in white space is refused.
  last.blocks[last.blocks.length - 1] = { ...block, text: String(block['text']).trimEnd() }
}

function encodeTurn(message: NeutralMessage, path: string, notes: Notes): Turn {
  if (message.role === 'system')
    return { role: 'user', blocks: marked(systemBlocks(message.parts, path, notes)) }
  return { role: message.role, blocks: encodeParts(message.parts, path, notes) }
}

function turnsOf(messages: readonly NeutralMessage[], from: number, notes: Notes): Turn[] {
  const turns: Turn[] = []
  for (const [index, message] of messages.entries()) {
    if (index < from) continue
    const turn = encodeTurn(message, `messages[${index}].content`, notes)
    const last = turns.at(-1)
    if (turn.blocks.length === 0) continue
    if (last?.role === turn.role) last.blocks.push(...turn.blocks)
    else turns.push(turn)
  }
  trimmedEnd(turns)
  return turns
}

/** One text without a cache mark is written as the plain string that it is. */
function contentOf(blocks: readonly JsonObject[]): Json {
  const [only] = blocks
  return blocks.length === 1 && only?.['type'] === 'text' && only['cache_control'] === undefined
    ? (only['text'] ?? '')
    : blocks
}

export interface Conversation {
  readonly system: Json | null
  readonly messages: readonly JsonObject[]
}

/** @param extra instructions of ours behind the system prompt */
export function encodeConversation(
  request: NeutralRequest,
  extra: readonly string[],
  notes: Notes,
): Conversation {
  const spoken = request.messages.findIndex((message) => message.role !== 'system')
  const leading = spoken === -1 ? request.messages.length : spoken
  const system = [
    ...systemBlocks(request.system, 'system', notes),
    ...request.messages
      .slice(0, leading)
      .flatMap((message, index) => systemBlocks(message.parts, `messages[${index}].content`, notes)),
    ...extra.map((text) => ({ type: 'text', text })),
  ]
  const messages = turnsOf(request.messages, leading, notes).map(({ role, blocks }) => ({
    role,
    content: contentOf(role === 'user' ? resultsFirst(blocks) : blocks),
  }))
  // The format demands a message: a system prompt alone is what there is to be answered.
  if (messages.length === 0) {
    if (system.length === 0) throw new Refusal('messages', 'must hold at least one message with content')
    return { system: null, messages: [{ role: 'user', content: contentOf(system) }] }
  }
  return { system: system.length === 0 ? null : contentOf(system), messages }
}
