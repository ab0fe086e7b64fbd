import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { NeutralEvent } from '../neutral.ts'
import { readCitation, readCitations } from './content.ts'
import { readCall, readReasoning, reasoningText } from './decode-input.ts'
import { readLogprobs } from './logprobs.ts'
import { calledName } from './names.ts'
import { unwrap } from './seal.ts'

/** What has to be known across the items of one stream. */
export interface StreamMemory {
  calls: number
  refused: boolean
  /** Of calls that are still to come. */
  readonly signatures: Map<string, string>
}

const choice = 0

const words = (value: Json | undefined): string => (typeof value === 'string' ? value : '')

/** Text as it stands between the quotes of a JSON string. */
const escaped = (text: string): string => JSON.stringify(text).slice(1, -1)

/** One item of the output as it is told; whatever no delta told is told when it closes. */
export class ItemStream {
  private readonly added: JsonObject
  private readonly memory: StreamMemory
  private readonly toolIndex: number
  private toldText = false
  private toldRefusal = false
  private toldArguments = false
  private toldCitations = 0
  /** A summary and the words themselves may both come: the one that came first is the one that is told. */
  private thoughtSource = ''
  private thoughtPart = -1

  constructor(added: JsonObject, memory: StreamMemory) {
    this.added = added
    this.memory = memory
    this.toolIndex = memory.calls
  }

  begin(): NeutralEvent[] {
    const { type, call_id: id } = this.added
    if (type !== 'function_call' && type !== 'custom_tool_call') return []
    const events = this.beginCall(words(id), calledName(this.added))
    if (type === 'custom_tool_call') events.push(this.fragment('{"input":"'))
    return events
  }

  feed(type: string, body: JsonObject): NeutralEvent[] {
    const delta = words(body['delta'])
    switch (type) {
      case 'response.output_text.delta':
        return this.text(delta, body['logprobs'])
      case 'response.refusal.delta':
        return this.refusal(delta)
      case 'response.reasoning_summary_text.delta':
        return this.thought(delta, type, body['summary_index'])
      case 'response.reasoning_text.delta':
        return this.thought(delta, type, body['content_index'])
      case 'response.function_call_arguments.delta':
        return this.arguments(delta)
      case 'response.custom_tool_call_input.delta':
        return this.arguments(escaped(delta))
      case 'response.output_text.annotation.added':
        return this.citation(body['annotation'])
      default:
        return []
    }
  }

  /** @param done the item as it is in the end; an empty object when the stream broke off */
  close(done: JsonObject): NeutralEvent[] {
    const item = { ...this.added, ...done }
    switch (item['type']) {
      case 'message':
        return this.closeMessage(item)
      case 'reasoning':
        return this.closeThought(item)
      case 'function_call':
        return this.toldArguments ? [] : this.arguments(words(item['arguments']))
      case 'custom_tool_call': {
        const rest = this.toldArguments ? [] : this.arguments(escaped(words(item['input'])))
        return [...rest, this.fragment('"}')]
      }
      default:
        return this.closeStep(item)
    }
  }

  private text(text: string, raw: Json | undefined): NeutralEvent[] {
    if (text === '') return []
    this.toldText = true
    const logprobs = readLogprobs(raw)
    return [{ kind: 'text', choice, text, ...(logprobs.length === 0 ? {} : { logprobs }) }]
  }

  private refusal(text: string): NeutralEvent[] {
    if (text === '') return []
    this.toldRefusal = true
    this.memory.refused = true
    return [{ kind: 'refusal', choice, text }]
  }

  private thought(text: string, source: string, part: Json | undefined): NeutralEvent[] {
    if (text === '' || (this.thoughtSource !== '' && this.thoughtSource !== source)) return []
    const at = typeof part === 'number' ? part : 0
    const gap = this.thoughtSource !== '' && at !== this.thoughtPart ? '\n\n' : ''
    this.thoughtSource = source
    this.thoughtPart = at
    return [{ kind: 'reasoning', choice, text: gap + text }]
  }

  private arguments(fragment: string): NeutralEvent[] {
    if (fragment === '') return []
    this.toldArguments = true
    return [this.fragment(fragment)]
  }

  private fragment(fragment: string): NeutralEvent {
    return { kind: 'tool_arguments', choice, index: this.toolIndex, fragment }
  }

  private citation(annotation: Json | undefined): NeutralEvent[] {
    this.toldCitations++
    const citation = readCitation(annotation)
    return citation === null ? [] : [{ kind: 'citation', choice, citation }]
  }

  private beginCall(id: string, name: string): NeutralEvent[] {
    this.memory.calls++
    const signature = this.memory.signatures.get(id)
    const signed = signature === undefined ? {} : { signature }
    return [{ kind: 'tool_begin', choice, index: this.toolIndex, id, name, ...signed }]
  }

  private closeMessage(item: JsonObject): NeutralEvent[] {
    const parts = isArray(item['content']) ? item['content'].filter(isObject) : []
    const events: NeutralEvent[] = []
    const texts = parts.map((part) => words(part['text'])).join('')
    const refusals = parts.map((part) => words(part['refusal'])).join('')
    const probabilities = parts.flatMap((part) => (isArray(part['logprobs']) ? part['logprobs'] : []))
    if (!this.toldText) events.push(...this.text(texts, probabilities))
    if (!this.toldRefusal) events.push(...this.refusal(refusals))
    const citations = parts.flatMap((part) => readCitations(part['annotations']))
    for (const citation of citations.slice(this.toldCitations))
      events.push({ kind: 'citation', choice, citation })
    return events
  }

  private closeThought(item: JsonObject): NeutralEvent[] {
    const encrypted = words(item['encrypted_content'])
    const unwrapped = unwrap(encrypted)
    if (unwrapped?.kind === 'call') {
      this.memory.signatures.set(unwrapped.callId, unwrapped.signature)
      return []
    }
    const events = this.thoughtSource === '' ? this.thought(reasoningText(item), 'item', 0) : []
    const part = encrypted === '' ? null : readReasoning(item)
    if (part !== null) {
      const { kind: _, text: __, ...seal } = part
      events.push({ kind: 'reasoning_seal', choice, ...seal })
    }
    return events
  }

  /** Calls that come whole. */
  private closeStep(item: JsonObject): NeutralEvent[] {
    const call = readCall(item)
    if (call === null) return []
    return [...this.beginCall(call.id, call.name), this.fragment(call.arguments)]
  }
}
