import type { JsonObject } from '../../kernel/index.ts'
import type { Citation, TokenLogprob } from '../neutral.ts'
import { writeCitation } from './content.ts'
import { CustomInput } from './custom-input.ts'
import {
  argumentsOf,
  type Call,
  callItem,
  type ItemStatus,
  messageItem,
  reasoningItem,
  refusalPart,
  summaryPart,
  textPart,
} from './items.ts'
import { writeLogprobs } from './logprobs.ts'

/** Items of a stream while they are written: each event of theirs in OpenAI's order. */

/** Writes one event; its type and number are added. */
export type Emit = (type: string, fields: JsonObject) => string

export interface OpenItem {
  readonly kind: 'message' | 'reasoning' | 'call'
  open(): string
  /** @returns the events of its end, and the item as it is then */
  close(status: ItemStatus): { readonly text: string; readonly item: JsonObject }
}

export class OpenMessage implements OpenItem {
  readonly kind = 'message'
  private readonly emit: Emit
  private readonly id: string
  private readonly index: number
  private readonly content: JsonObject[] = []
  private part: 'text' | 'refusal' | null = null
  private words = ''
  private annotations: JsonObject[] = []
  private logprobs: JsonObject[] = []

  constructor(emit: Emit, id: string, index: number) {
    this.emit = emit
    this.id = id
    this.index = index
  }

  open(): string {
    return this.emit('response.output_item.added', {
      output_index: this.index,
      item: messageItem(this.id, 'in_progress', []),
    })
  }

  text(delta: string, logprobs: readonly TokenLogprob[] | undefined): string {
    const begun = this.begin('text')
    const written = writeLogprobs(logprobs)
    this.words += delta
    this.logprobs.push(...written)
    return begun + this.emit('response.output_text.delta', { ...this.place(), delta, logprobs: written })
  }

  refusal(delta: string): string {
    const begun = this.begin('refusal')
    this.words += delta
    return begun + this.emit('response.refusal.delta', { ...this.place(), delta })
  }

  citation(citation: Citation): string {
    const annotation = writeCitation(citation, this.words.length)
    if (annotation === null) return ''
    const begun = this.begin('text')
    const fields = { ...this.place(), annotation_index: this.annotations.length, annotation }
    this.annotations.push(annotation)
    return begun + this.emit('response.output_text.annotation.added', fields)
  }

  close(status: ItemStatus): { readonly text: string; readonly item: JsonObject } {
    const ended = this.endPart()
    const item = messageItem(this.id, status, this.content)
    return {
      text: ended + this.emit('response.output_item.done', { output_index: this.index, item }),
      item,
    }
  }

  private place(): JsonObject {
    return { item_id: this.id, output_index: this.index, content_index: this.content.length }
  }

  private whole(): JsonObject {
    return this.part === 'refusal'
      ? refusalPart(this.words)
      : textPart(this.words, this.annotations, this.logprobs)
  }

  private begin(part: 'text' | 'refusal'): string {
    if (this.part === part) return ''
    const ended = this.endPart()
    this.part = part
    return ended + this.emit('response.content_part.added', { ...this.place(), part: this.whole() })
  }

  private endPart(): string {
    if (this.part === null) return ''
    const part = this.whole()
    const said =
      this.part === 'refusal'
        ? this.emit('response.refusal.done', { ...this.place(), refusal: this.words })
        : this.emit('response.output_text.done', {
            ...this.place(),
            text: this.words,
            logprobs: this.logprobs,
          })
    const done = this.emit('response.content_part.done', { ...this.place(), part })
    this.content.push(part)
    this.part = null
    this.words = ''
    this.annotations = []
    this.logprobs = []
    return said + done
  }
}

export class OpenReasoning implements OpenItem {
  readonly kind = 'reasoning'
  private readonly emit: Emit
  private readonly id: string
  private readonly index: number
  private words = ''
  private encrypted: string | null = null

  constructor(emit: Emit, id: string, index: number) {
    this.emit = emit
    this.id = id
    this.index = index
  }

  open(): string {
    return this.emit('response.output_item.added', {
      output_index: this.index,
      item: reasoningItem(this.id, '', null),
    })
  }

  text(delta: string): string {
    const begun =
      this.words === ''
        ? this.emit('response.reasoning_summary_part.added', { ...this.place(), part: summaryPart('') })
        : ''
    this.words += delta
    return begun + this.emit('response.reasoning_summary_text.delta', { ...this.place(), delta })
  }

  seal(encrypted: string): void {
    this.encrypted = encrypted
  }

  close(): { readonly text: string; readonly item: JsonObject } {
    const item = reasoningItem(this.id, this.words, this.encrypted)
    const said =
      this.words === ''
        ? ''
        : this.emit('response.reasoning_summary_text.done', { ...this.place(), text: this.words }) +
          this.emit('response.reasoning_summary_part.done', {
            ...this.place(),
            part: summaryPart(this.words),
          })
    return {
      text: said + this.emit('response.output_item.done', { output_index: this.index, item }),
      item,
    }
  }

  private place(): JsonObject {
    return { item_id: this.id, output_index: this.index, summary_index: 0 }
  }
}

export class OpenCall implements OpenItem {
  readonly kind = 'call'
  private readonly emit: Emit
  private readonly call: Omit<Call, 'arguments'>
  private readonly index: number
  private readonly input: CustomInput | null
  private words = ''

  constructor(emit: Emit, call: Omit<Call, 'arguments'>, index: number) {
    this.emit = emit
    this.call = call
    this.index = index
    this.input = call.identity.kind === 'custom' ? new CustomInput() : null
  }

  open(): string {
    return this.emit('response.output_item.added', {
      output_index: this.index,
      item: callItem({ ...this.call, arguments: '' }, 'in_progress'),
    })
  }

  fragment(fragment: string): string {
    if (fragment === '') return ''
    this.words += fragment
    if (this.input !== null) return this.inputDelta(this.input.push(fragment))
    return this.call.identity.kind === 'function' ? this.argumentsDelta(fragment) : ''
  }

  close(status: ItemStatus): { readonly text: string; readonly item: JsonObject } {
    const said = this.closing()
    const item = callItem({ ...this.call, arguments: this.words }, status)
    return { text: said + this.emit('response.output_item.done', { output_index: this.index, item }), item }
  }

  private closing(): string {
    const place = { item_id: this.call.id, output_index: this.index }
    if (this.input !== null) {
      const rest = this.inputDelta(this.input.end())
      return rest + this.emit('response.custom_tool_call_input.done', { ...place, input: this.input.text })
    }
    if (this.call.identity.kind !== 'function') return ''
    const none = this.words === '' ? this.argumentsDelta(argumentsOf('')) : ''
    const fields = { ...place, name: this.call.identity.name, arguments: argumentsOf(this.words) }
    return none + this.emit('response.function_call_arguments.done', fields)
  }

  private argumentsDelta(delta: string): string {
    return this.emit('response.function_call_arguments.delta', {
      item_id: this.call.id,
      output_index: this.index,
      delta,
    })
  }

  private inputDelta(delta: string): string {
    if (delta === '') return ''
    return this.emit('response.custom_tool_call_input.delta', {
      item_id: this.call.id,
      output_index: this.index,
      delta,
    })
  }
}
