import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralMessage, NeutralPart } from '../neutral.ts'
import { isMadeUp } from './call-ids.ts'
import { NO_SIGNATURE } from './decode-parts.ts'
import { isObjectText, writeCall, writeThought } from './encode-parts.ts'
import { writeMedia } from './media.ts'
import type { Notes } from './notes.ts'
import { wantsSignatures } from './thinking.ts'

/** Neutral messages as the contents of a request. */

type ToolResult = Extract<NeutralPart, { kind: 'tool_result' }>

interface Turn {
  readonly role: 'user' | 'model'
  readonly parts: JsonObject[]
}

export interface PlacedMessage {
  readonly message: NeutralMessage
  readonly path: string
}

const isResult = (part: NeutralPart | undefined): boolean => part?.kind === 'tool_result'
const isCall = (part: NeutralPart): boolean => part.kind === 'tool_call'

/** Google wants the calls of one turn in one content, and their results in the one behind it. */
function belongTogether(last: NeutralMessage, next: NeutralMessage): boolean {
  if (last.role !== next.role) return false
  if (next.role === 'assistant') return last.parts.some(isCall) || next.parts.some(isCall)
  return next.role === 'user' && last.parts.every(isResult) && isResult(next.parts[0])
}

export function joinedTurns(messages: readonly PlacedMessage[]): readonly PlacedMessage[] {
  const joined: PlacedMessage[] = []
  for (const placed of messages) {
    const last = joined.at(-1)
    const { role, parts } = placed.message
    if (last !== undefined && belongTogether(last.message, placed.message))
      joined[joined.length - 1] = { ...last, message: { role, parts: [...last.message.parts, ...parts] } }
    else joined.push(placed)
  }
  return joined
}

function marked(part: NeutralPart): NeutralPart {
  return part.kind === 'text' ? { ...part, text: `<system>\n${part.text}\n</system>` } : part
}

export class ContentsWriter {
  private readonly model: string
  private readonly notes: Notes
  private readonly turns: Turn[] = []
  private readonly names = new Map<string, string>()
  /** Ids of the last turn's calls, in their order: results are told apart by it where ids are not looked at. */
  private calls: readonly string[] = []

  constructor(model: string, notes: Notes) {
    this.model = model
    this.notes = notes
  }

  get contents(): readonly JsonObject[] {
    return this.turns.map(({ role, parts }) => ({ role, parts }))
  }

  write({ message, path }: PlacedMessage): void {
    if (message.parts.some((part) => 'cache' in part && part.cache !== undefined))
      this.notes.drop('messages[].cache_control')
    if (message.role === 'assistant') this.writeModel(message.parts, path)
    else {
      // There is no other place for it here than the caller's own turn; marked, so that nobody takes it for their words.
      if (message.role === 'system') this.notes.drop('messages[].role')
      this.writeUser(message.role === 'system' ? message.parts.map(marked) : message.parts, path)
    }
  }

  private writeModel(parts: readonly NeutralPart[], path: string): void {
    const called = parts.filter((part) => part.kind === 'tool_call')
    const unsigned = wantsSignatures(this.model) && called.every((call) => call.signature === undefined)
    const written = parts.flatMap((part, at): JsonObject[] => {
      if (part.kind !== 'tool_call') return this.writePart(part, `${path}.parts[${at}]`)
      this.names.set(part.id, part.name)
      if (!isObjectText(part.arguments)) this.notes.drop('messages[].tool_calls[].arguments')
      // Calls that another provider's model made: the first of a turn has to carry a signature, or this word for none.
      const signature = unsigned && part === called[0] ? NO_SIGNATURE : part.signature
      return [writeCall(part, false, signature)]
    })
    if (called.length > 0) this.calls = called.map((call) => call.id)
    if (written.length > 0) this.turns.push({ role: 'model', parts: written })
  }

  private writeUser(parts: readonly NeutralPart[], path: string): void {
    const ordered = this.inCallOrder(parts)
    const written = ordered.flatMap((part, at) => this.writePart(part, `${path}.parts[${at}]`))
    if (written.length > 0) this.turns.push({ role: 'user', parts: written })
  }

  /** Results in the order of their calls, each in the place of a result. */
  private inCallOrder(parts: readonly NeutralPart[]): readonly NeutralPart[] {
    const rank = (part: ToolResult): number => this.calls.indexOf(part.id)
    const results = parts.filter((part) => part.kind === 'tool_result')
    if (results.length < 2 || results.some((part) => rank(part) === -1)) return parts
    const sorted = [...results].sort((a, b) => rank(a) - rank(b))
    return parts.map((part) => (part.kind === 'tool_result' ? (sorted.shift() ?? part) : part))
  }

  private writePart(part: NeutralPart, path: string): JsonObject[] {
    switch (part.kind) {
      case 'text':
        if (part.citations !== undefined && part.citations.length > 0) this.notes.drop('messages[].citations')
        return part.text === '' ? [] : [{ text: part.text }]
      case 'refusal':
        return part.text === '' ? [] : [{ text: part.text }]
      case 'reasoning': {
        const thought = writeThought(part)
        if (thought === null) this.notes.drop('messages[].reasoning')
        return thought === null ? [] : [thought]
      }
      case 'tool_call':
        this.notes.refuse(path, 'is a tool call that the model did not make')
        return []
      case 'tool_result':
        return this.writeResult(part, path)
      case 'image':
      case 'file':
      case 'audio': {
        const media = writeMedia(part, path, this.notes)
        return media === null ? [] : [media]
      }
    }
  }

  private writeResult(result: ToolResult, path: string): JsonObject[] {
    const name = this.names.get(result.id) ?? result.name
    if (name === null) {
      this.notes.refuse(path, 'answers a tool call that is not in the conversation')
      return []
    }
    const texts: string[] = []
    const media: JsonObject[] = []
    for (const part of result.parts) {
      if (part.kind === 'text' || part.kind === 'refusal') texts.push(part.text)
      else media.push(...this.writePart(part, path))
    }
    // Models before Gemini 3 see no media inside a result: there it stands behind it.
    const inside = wantsSignatures(this.model)
    const response = {
      ...(isMadeUp(result.id, name) ? {} : { id: result.id }),
      name,
      response: { [result.isError ? 'error' : 'result']: texts.join('\n') },
      ...(inside && media.length > 0 ? { parts: media } : {}),
    }
    return [{ functionResponse: response }, ...(inside ? [] : media)]
  }
}
