import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { NeutralMessage, NeutralPart } from '../neutral.ts'
import { readContent } from './content.ts'
import { calledName, LOCAL_SHELL, TOOL_SEARCH } from './names.ts'
import type { Notes } from './notes.ts'
import { isForeign, isReference, ORIGIN, type ReasoningPart, unwrap } from './seal.ts'

/** The items of a request's input, as messages. */

const READ_OF_ITEM = new Set([
  'type',
  'id',
  'status',
  'role',
  'content',
  'call_id',
  'name',
  'namespace',
  'arguments',
  'input',
  'output',
  'action',
  'summary',
  'encrypted_content',
  'tools',
  'execution',
  // Who of Codex's agents speaks to whom stands in the words as well.
  'author',
  'recipient',
])

const KEPT_THERE =
  'is kept by OpenAI and cannot be carried to this model’s provider: send the items themselves, as clients do once "store" is false'

/** Items that cannot be left out without changing the conversation. */
const REFUSED: Readonly<Record<string, string>> = {
  item_reference: KEPT_THERE,
  compaction: 'was sealed by OpenAI and cannot be read by this model',
  compaction_summary: 'was sealed by OpenAI and cannot be read by this model',
  context_compaction: 'was sealed by OpenAI and cannot be read by this model',
  compaction_trigger: 'asks OpenAI for a compaction, which this model’s provider does not have',
}

/** Steps of hosted tools whose outcome stands in the message after them. */
const DROPPED = new Set(['web_search_call', 'configuration_update', 'mcp_list_tools'])

/** Readable thinking, wherever the item has it: its summary, else its own words. */
export function reasoningText(item: JsonObject): string {
  for (const list of [item['summary'], item['content']]) {
    if (!isArray(list)) continue
    const texts = list.map((part) => (isObject(part) && typeof part['text'] === 'string' ? part['text'] : ''))
    const text = texts.filter((found) => found !== '').join('\n\n')
    if (text !== '') return text
  }
  return ''
}

/** @returns null for an item that carries nothing */
export function readReasoning(item: JsonObject): ReasoningPart | null {
  const text = reasoningText(item)
  const { id, encrypted_content: encrypted } = item
  if (typeof encrypted !== 'string' || encrypted === '')
    return text === '' ? null : { kind: 'reasoning', text, origin: ORIGIN }
  const unwrapped = unwrap(encrypted)
  if (unwrapped?.kind === 'call') return null
  if (unwrapped !== null) return { kind: 'reasoning', text, ...unwrapped.seal }
  return { kind: 'reasoning', text, encrypted, ...(typeof id === 'string' ? { id } : {}), origin: ORIGIN }
}

/** The call of any kind of tool, as one of a function; null when the item is none. */
export function readCall(item: JsonObject): Extract<NeutralPart, { kind: 'tool_call' }> | null {
  const { type, call_id: callId, id: itemId } = item
  const id = typeof callId === 'string' ? callId : typeof itemId === 'string' ? itemId : ''
  const text = (value: Json | undefined): string => (typeof value === 'string' ? value : '')
  switch (type) {
    case 'function_call':
      return { kind: 'tool_call', id, name: calledName(item), arguments: text(item['arguments']) }
    case 'custom_tool_call':
      return {
        kind: 'tool_call',
        id,
        name: calledName(item),
        arguments: JSON.stringify({ input: text(item['input']) }),
      }
    case 'local_shell_call':
      return { kind: 'tool_call', id, name: LOCAL_SHELL, arguments: shellArguments(item['action']) }
    case 'tool_search_call':
      return {
        kind: 'tool_call',
        id,
        name: TOOL_SEARCH,
        arguments: JSON.stringify(item['arguments'] ?? {}),
      }
    default:
      return null
  }
}

function shellArguments(action: Json | undefined): string {
  if (!isObject(action)) return '{}'
  const given = Object.entries(action).filter(([name, value]) => name !== 'type' && value !== null)
  return JSON.stringify(Object.fromEntries(given))
}

/** Two kinds of items may leave their type out. */
function untyped(item: JsonObject): string {
  return isReference(item) ? 'item_reference' : 'message'
}

type ToolResult = Extract<NeutralPart, { kind: 'tool_result' }>

const isResult = (part: NeutralPart): part is ToolResult => part.kind === 'tool_result'

export class InputReader {
  readonly system: NeutralPart[] = []
  readonly messages: NeutralMessage[] = []
  private readonly notes: Notes
  private readonly names = new Map<string, string>()
  /** A local shell's result may name the item in place of the call. */
  private readonly callOfItem = new Map<string, string>()
  private readonly signatures = new Map<string, string>()
  private readonly answered = new Set<string>()

  constructor(notes: Notes) {
    this.notes = notes
  }

  read(item: Json, index: number): void {
    const path = `input[${index}]`
    if (!isObject(item)) {
      this.notes.refuse(path, 'must be an item')
      return
    }
    const type = typeof item['type'] === 'string' ? item['type'] : untyped(item)
    this.notes.dropUnread(item, READ_OF_ITEM, 'input[].')
    if (type === 'message') this.readMessage(item, path)
    else if (type === 'agent_message')
      this.push('user', readContent(item['content'], `${path}.content`, this.notes))
    else if (type === 'reasoning') this.readThought(item)
    else if (type.endsWith('_output')) this.readResult(item, type, path)
    else if (type !== 'additional_tools') this.readStep(item, type, path)
  }

  private push(role: NeutralMessage['role'], parts: readonly NeutralPart[]): void {
    this.messages.push({ role, parts })
  }

  /** What the model did in one turn is one message, however many items it took. */
  private pushAssistant(parts: readonly NeutralPart[]): void {
    const last = this.messages.at(-1)
    if (last?.role === 'assistant')
      this.messages[this.messages.length - 1] = { role: 'assistant', parts: [...last.parts, ...parts] }
    else this.push('assistant', parts)
  }

  private readMessage(item: JsonObject, path: string): void {
    const { role } = item
    const parts = readContent(item['content'], `${path}.content`, this.notes)
    if (role === 'assistant') this.pushAssistant(parts)
    else if (role === 'user') this.push('user', parts)
    else if (role !== 'system' && role !== 'developer')
      this.notes.refuse(`${path}.role`, 'must be system, developer, user or assistant')
    else if (this.messages.length === 0) this.system.push(...parts)
    else this.push('system', parts)
  }

  private readThought(item: JsonObject): void {
    const encrypted = item['encrypted_content']
    const unwrapped = typeof encrypted === 'string' ? unwrap(encrypted) : null
    if (unwrapped?.kind === 'call') this.signatures.set(unwrapped.callId, unwrapped.signature)
    const part = readReasoning(item)
    if (part !== null) this.pushAssistant([part])
  }

  private readStep(item: JsonObject, type: string, path: string): void {
    const call = readCall(item)
    if (call !== null) {
      this.readToolCall(item, call, path)
      return
    }
    if (DROPPED.has(type) || isForeign(item)) this.notes.drop(`input[].${type}`)
    else
      this.notes.refuse(
        `${path}.type`,
        `${type} ${REFUSED[type] ?? 'cannot be carried to this model’s provider'}`,
      )
  }

  private readToolCall(
    item: JsonObject,
    call: Extract<NeutralPart, { kind: 'tool_call' }>,
    path: string,
  ): void {
    if (call.id === '') {
      this.notes.refuse(`${path}.call_id`, 'must be there: its result is found by it')
      return
    }
    this.names.set(call.id, call.name)
    if (typeof item['id'] === 'string') this.callOfItem.set(item['id'], call.id)
    const signature = this.signatures.get(call.id)
    this.pushAssistant([signature === undefined ? call : { ...call, signature }])
  }

  private readResult(item: JsonObject, type: string, path: string): void {
    const { call_id: callId, id: itemId } = item
    const found = typeof itemId === 'string' ? this.callOfItem.get(itemId) : undefined
    const id = typeof callId === 'string' && callId !== '' ? callId : found
    if (!RESULTS.has(type))
      this.notes.refuse(`${path}.type`, `${type} cannot be carried to this model’s provider`)
    else if (id === undefined) this.notes.refuse(`${path}.call_id`, 'must name the call that it answers')
    else this.pushResult({ ...this.outcome(item, type, path), id, name: this.names.get(id) ?? null })
  }

  private outcome(item: JsonObject, type: string, path: string): Omit<ToolResult, 'id' | 'name'> {
    const { output } = item
    if (type === 'tool_search_output')
      return {
        kind: 'tool_result',
        parts: [{ kind: 'text', text: foundTools(item['tools']) }],
        isError: false,
      }
    // Older Codex sent failures as an object.
    const wrapped = isObject(output)
    const content = wrapped ? output['content'] : output
    return {
      kind: 'tool_result',
      parts: readContent(content, `${path}.output`, this.notes),
      isError: wrapped && output['success'] === false,
    }
  }

  /**
   * Results of parallel calls follow one another and are one turn of the caller. A tool of Codex may report more than
   * once; other formats know one result a call, so that what comes later is said by the caller.
   */
  private pushResult(result: ToolResult): void {
    const last = this.messages.at(-1)
    const turn = last?.role === 'user' && last.parts.every(isResult) ? last.parts : null
    const same = turn?.findIndex((part) => part.id === result.id) ?? -1
    if (turn !== null && same !== -1) {
      const parts = turn.map((part, at) =>
        at === same ? { ...part, parts: [...part.parts, ...result.parts] } : part,
      )
      this.messages[this.messages.length - 1] = { role: 'user', parts }
    } else if (this.answered.has(result.id)) this.push('user', result.parts)
    else if (turn !== null)
      this.messages[this.messages.length - 1] = { role: 'user', parts: [...turn, result] }
    else this.push('user', [result])
    this.answered.add(result.id)
  }
}

const RESULTS = new Set([
  'function_call_output',
  'custom_tool_call_output',
  'local_shell_call_output',
  'tool_search_output',
])

/** The tools that a search found are declared from here on; the model is told their names. */
function foundTools(tools: Json | undefined): string {
  const names = isArray(tools)
    ? tools.flatMap((tool) => {
        if (!isObject(tool)) return []
        const nested = tool['tools']
        return tool['type'] === 'namespace' && isArray(nested)
          ? nested.filter(isObject).map((inner) => calledName({ ...inner, namespace: tool['name'] ?? '' }))
          : [calledName(tool)]
      })
    : []
  return JSON.stringify({ tools: names })
}
