import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { NeutralMessage, NeutralPart } from '../neutral.ts'
import { cacheOf, readMedia } from './media.ts'
import { readCitations } from './message-text.ts'
import type { Notes } from './notes.ts'
import { hasSealedReasoning, reasoningText } from './reasoning.ts'
import { argumentsText, readToolCall } from './tool-calls.ts'

/** The messages of a chat request, out of the wire. */

const READ_OF_MESSAGE = new Set([
  'role',
  'content',
  'refusal',
  'tool_calls',
  'tool_call_id',
  'function_call',
  'reasoning_content',
  'reasoning',
  'reasoning_details',
  'annotations',
  // Only a tool's result keeps its name; of a participant it is dropped below.
  'name',
])

function readContent(content: Json | undefined, path: string, notes: Notes): NeutralPart[] {
  if (typeof content === 'string') return content === '' ? [] : [{ kind: 'text', text: content }]
  if (content === undefined || content === null) return []
  if (!isArray(content)) {
    notes.refuse(path, 'must be text or a list of content parts')
    return []
  }
  const parts: NeutralPart[] = []
  content.forEach((part, at) => {
    const place = `${path}[${at}]`
    if (!isObject(part)) {
      notes.refuse(place, 'must be a content part')
      return
    }
    const { type } = part
    if (type === 'text' && typeof part['text'] === 'string') {
      if (part['text'] !== '') parts.push({ kind: 'text', text: part['text'], ...cacheOf(part) })
    } else if (type === 'refusal' && typeof part['refusal'] === 'string')
      parts.push({ kind: 'refusal', text: part['refusal'] })
    else if (type !== 'thinking') {
      const media = readMedia(part, place, notes)
      if (media !== null) parts.push(media)
    }
  })
  return parts
}

class MessageReader {
  readonly system: NeutralPart[] = []
  readonly messages: NeutralMessage[] = []
  private readonly notes: Notes
  /** The legacy protocol has no ids: a function's result belongs to the call before it. */
  private legacyId = ''

  constructor(notes: Notes) {
    this.notes = notes
  }

  read(message: Json, index: number): void {
    const path = `messages[${index}]`
    if (!isObject(message)) {
      this.notes.refuse(path, 'must be an object')
      return
    }
    this.notes.dropUnread(message, READ_OF_MESSAGE, 'messages[].')
    const { role } = message
    if (role === 'tool' || role === 'function') {
      this.readResult(message, path)
      return
    }
    if (message['name'] !== undefined && message['name'] !== null) this.notes.drop('messages[].name')
    if (role === 'assistant') this.readAssistant(message, path, index)
    else if (role === 'user')
      this.push('user', readContent(message['content'], `${path}.content`, this.notes))
    else if (role === 'system' || role === 'developer') this.readSystem(message, path)
    else this.notes.refuse(`${path}.role`, 'must be system, developer, user, assistant or tool')
  }

  private push(role: NeutralMessage['role'], parts: readonly NeutralPart[]): void {
    this.messages.push({ role, parts })
  }

  private readSystem(message: JsonObject, path: string): void {
    const parts = readContent(message['content'], `${path}.content`, this.notes)
    if (this.messages.length === 0) this.system.push(...parts)
    else this.push('system', parts)
  }

  private readAssistant(message: JsonObject, path: string, index: number): void {
    const { notes } = this
    const parts: NeutralPart[] = []
    const thought = reasoningText(message)
    if (thought !== '') parts.push({ kind: 'reasoning', text: thought, origin: 'openai-chat' })
    if (hasSealedReasoning(message)) notes.drop('messages[].reasoning_details')
    if (isObject(message['audio']))
      notes.refuse(`${path}.audio`, 'an audio id belongs to one account of one provider')
    const content = readContent(message['content'], `${path}.content`, notes)
    const citations = readCitations(message['annotations'])
    const [first, ...rest] = content
    if (first?.kind === 'text' && citations.length > 0) parts.push({ ...first, citations }, ...rest)
    else parts.push(...content)
    const { refusal } = message
    if (typeof refusal === 'string' && refusal !== '') parts.push({ kind: 'refusal', text: refusal })
    const calls = message['tool_calls']
    if (isArray(calls))
      calls.forEach((call, at) => {
        const read = readToolCall(call, `call_${index}_${at}`)
        if (read === null)
          notes.refuse(`${path}.tool_calls[${at}]`, 'only function calls can be carried to this provider')
        else parts.push(read)
      })
    const legacy = message['function_call']
    if (isObject(legacy) && typeof legacy['name'] === 'string') {
      this.legacyId = `call_${index}`
      const text = argumentsText(legacy['arguments'])
      parts.push({ kind: 'tool_call', id: this.legacyId, name: legacy['name'], arguments: text })
    }
    this.push('assistant', parts)
  }

  /** Results of parallel calls follow one another and are one turn of the caller. */
  private readResult(message: JsonObject, path: string): void {
    const { name } = message
    const given = message['tool_call_id']
    const id = message['role'] === 'function' ? this.legacyId : given
    if (typeof id !== 'string' || id === '') {
      this.notes.refuse(`${path}.tool_call_id`, 'must name the call that it answers')
      return
    }
    const result: NeutralPart = {
      kind: 'tool_result',
      id,
      name: typeof name === 'string' ? name : null,
      parts: readContent(message['content'], `${path}.content`, this.notes),
      isError: false,
      ...cacheOf(message),
    }
    const last = this.messages.at(-1)
    if (last?.role === 'user' && last.parts.every((part) => part.kind === 'tool_result'))
      this.messages[this.messages.length - 1] = { role: 'user', parts: [...last.parts, result] }
    else this.push('user', [result])
  }
}

export function decodeMessages(
  messages: readonly Json[],
  notes: Notes,
): { readonly system: readonly NeutralPart[]; readonly messages: readonly NeutralMessage[] } {
  const reader = new MessageReader(notes)
  messages.forEach((message, index) => {
    reader.read(message, index)
  })
  return { system: reader.system, messages: reader.messages }
}
