import type { Json, JsonObject } from '../../kernel/index.ts'
import type { NeutralEvent } from '../neutral.ts'
import type { EncoderContext, StreamEncoder } from '../protocol.ts'
import type { ReadUsage } from '../usage.ts'
import { asksLegacy } from './encode-answer.ts'
import { writeUsage } from './encode-usage.ts'
import { UPSTREAM_FAILED } from './errors.ts'
import { writeFinish } from './finish.ts'
import { writeLogprobs } from './logprobs.ts'
import { writeCitation } from './message-text.ts'
import { signatureContent } from './tool-calls.ts'

/** What has to be remembered of a choice while it is written. */
interface ChoiceState {
  /** The tool call that is being written; null when another part is. */
  call: { readonly index: number; empty: boolean } | null
  refused: boolean
  finished: boolean
  /** Characters of text so far, and where the text began that the next citation stands for. */
  length: number
  citedFrom: number
}

type OfChoice = Extract<NeutralEvent, { readonly choice: number }>

class ChatStreamEncoder implements StreamEncoder {
  private readonly context: EncoderContext
  private readonly legacy: boolean
  private readonly choices = new Map<number, ChoiceState>()
  private head = ''
  private readonly tail: string
  private usage: ReadUsage | null = null
  private serviceTier: string | null = null
  private ended = false

  constructor(context: EncoderContext) {
    this.context = context
    this.legacy = asksLegacy(context.requestBody)
    // With `include_usage` every chunk before the last says that it has none.
    this.tail = context.wantsUsage ? ',"usage":null}\n\n' : '}\n\n'
  }

  push(event: NeutralEvent): string {
    if (this.ended) return ''
    switch (event.kind) {
      case 'start':
        this.begin(event.id, event.model, event.createdSeconds)
        return this.open(0)
      case 'usage':
        this.usage = event.usage
        this.serviceTier = event.serviceTier ?? this.serviceTier
        return ''
      case 'error':
        this.ended = true
        return `data: ${UPSTREAM_FAILED}\n\n`
      default:
        return this.write(event)
    }
  }

  end(): string {
    if (this.ended) return ''
    this.ended = true
    let text = ''
    for (const [choice, state] of this.choices) text += this.closeCall(choice, state)
    return `${text}${this.usageChunk()}data: [DONE]\n\n`
  }

  private begin(id: string, model: string, createdSeconds: number | null): void {
    const { requestId, requestedModel, createdSeconds: now } = this.context
    const head = JSON.stringify({
      id: id === '' ? `chatcmpl-${requestId}` : id,
      object: 'chat.completion.chunk',
      created: createdSeconds ?? now,
      model: model === '' ? requestedModel : model,
    })
    this.head = `data: ${head.slice(0, -1)},"choices":`
  }

  /** One chunk of one choice. @param delta and the rest as JSON text */
  private chunk(choice: number, delta: string, finish = 'null', logprobs = 'null'): string {
    if (this.head === '') this.begin('', '', null)
    return `${this.head}[{"index":${choice},"delta":${delta},"logprobs":${logprobs},"finish_reason":${finish}}]${this.tail}`
  }

  /** The role comes first, once a choice. */
  private open(choice: number): string {
    if (this.choices.has(choice)) return ''
    this.choices.set(choice, {
      call: null,
      refused: false,
      finished: false,
      length: 0,
      citedFrom: 0,
    })
    return this.chunk(choice, '{"role":"assistant","content":""}')
  }

  private write(event: OfChoice): string {
    const { choice } = event
    const opened = this.open(choice)
    const state = this.choices.get(choice)
    if (state === undefined || state.finished) return opened
    const goesOn = event.kind === 'tool_arguments' && event.index === state.call?.index
    const closed = goesOn ? '' : this.closeCall(choice, state)
    return opened + closed + this.writePart(event, state)
  }

  private writePart(event: OfChoice, state: ChoiceState): string {
    const { choice } = event
    switch (event.kind) {
      case 'text': {
        state.length += event.text.length
        const logprobs = event.logprobs === undefined ? 'null' : JSON.stringify(writeLogprobs(event.logprobs))
        return this.chunk(choice, `{"content":${JSON.stringify(event.text)}}`, 'null', logprobs)
      }
      case 'reasoning':
        return this.chunk(choice, `{"reasoning_content":${JSON.stringify(event.text)}}`)
      case 'refusal':
        state.refused = true
        return this.chunk(choice, `{"refusal":${JSON.stringify(event.text)}}`)
      case 'citation': {
        const written = writeCitation(event.citation, { start: state.citedFrom, end: state.length })
        state.citedFrom = state.length
        return written === null ? '' : this.chunk(choice, JSON.stringify({ annotations: [written] }))
      }
      case 'tool_begin':
        return this.beginCall(event, state)
      case 'tool_arguments':
        if (state.call !== null && event.fragment !== '') state.call.empty = false
        return this.chunk(choice, this.callDelta(event.index, { arguments: event.fragment }, {}))
      case 'finish':
        state.finished = true
        return this.finish(event, state)
      case 'reasoning_seal':
        // Opaque, and only its own provider takes it back: here is no place for it.
        return ''
    }
  }

  private finish(event: Extract<NeutralEvent, { kind: 'finish' }>, state: ChoiceState): string {
    const word = writeFinish(event.finish, state.refused)
    const finish = this.legacy && word === 'tool_calls' ? 'function_call' : word
    return this.chunk(event.choice, '{}', JSON.stringify(finish))
  }

  private beginCall(event: Extract<NeutralEvent, { kind: 'tool_begin' }>, state: ChoiceState): string {
    const { choice, index, id, name, signature } = event
    state.call = { index, empty: true }
    const identity: JsonObject = { id, type: 'function', ...signatureContent(signature) }
    return this.chunk(choice, this.callDelta(index, { name, arguments: '' }, identity))
  }

  private callDelta(index: number, called: JsonObject, identity: JsonObject): string {
    const delta: Json =
      this.legacy && index === 0
        ? { function_call: called }
        : { tool_calls: [{ index, ...identity, function: called }] }
    return JSON.stringify(delta)
  }

  /** Clients parse the arguments without asking whether there are any. */
  private closeCall(choice: number, state: ChoiceState): string {
    const { call } = state
    state.call = null
    return call === null || !call.empty
      ? ''
      : this.chunk(choice, this.callDelta(call.index, { arguments: '{}' }, {}))
  }

  private usageChunk(): string {
    if (!this.context.wantsUsage || this.usage === null) return ''
    if (this.head === '') this.begin('', '', null)
    const usage = JSON.stringify(writeUsage(this.usage, this.context.annotate()))
    const tier = this.serviceTier === null ? '' : `,"service_tier":${JSON.stringify(this.serviceTier)}`
    return `${this.head}[]${tier},"usage":${usage}}\n\n`
  }
}

export function createStreamEncoder(context: EncoderContext): StreamEncoder {
  return new ChatStreamEncoder(context)
}
