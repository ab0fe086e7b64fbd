import type { JsonObject } from '../../kernel/index.ts'
import type { Finish, NeutralEvent } from '../neutral.ts'
import type { EncoderContext, StreamEncoder } from '../protocol.ts'
import type { ReadUsage } from '../usage.ts'
import { identityIn } from './encode-answer.ts'
import { failureEvents, sseEvent, UPSTREAM_FAILED } from './errors.ts'
import { writeEnding } from './finish.ts'
import { type ItemStatus, itemId } from './items.ts'
import { type ToolIdentity, toolIdentities } from './names.ts'
import { OpenCall, type OpenItem, OpenMessage, OpenReasoning } from './open-item.ts'
import { type Head, headOf, type ResponseState, ResponseWriter } from './response-object.ts'
import { asksSeals, type Seal, wrapCallSignature, wrapSeal } from './seal.ts'

type Of<K extends NeutralEvent['kind']> = Extract<NeutralEvent, { readonly kind: K }>

const CUT: ReadonlySet<Finish> = new Set(['length', 'content_filter', 'context_exceeded'])

class ResponsesStreamEncoder implements StreamEncoder {
  private readonly context: EncoderContext
  private readonly tools: ReadonlyMap<string, ToolIdentity>
  private readonly seals: boolean
  private started: { readonly head: Head; readonly writer: ResponseWriter } | null = null
  private sequenceNumber = 0
  private readonly output: JsonObject[] = []
  private item: OpenItem | null = null
  private refused = false
  private finish: Finish | null = null
  private usage: ReadUsage | null = null
  private serviceTier: string | null = null
  private ended = false

  constructor(context: EncoderContext) {
    this.context = context
    this.tools = toolIdentities(context.requestBody)
    this.seals = asksSeals(context.requestBody)
  }

  push(event: NeutralEvent): string {
    if (this.ended) return ''
    switch (event.kind) {
      case 'start':
        return this.started === null ? this.begin(event) : ''
      case 'usage':
        this.usage = event.usage
        this.serviceTier = event.serviceTier ?? this.serviceTier
        return ''
      case 'error':
        return this.fail()
      case 'finish':
        if (event.choice !== 0 || this.finish !== null) return ''
        this.finish = event.finish
        return this.closeItem(CUT.has(event.finish) ? 'incomplete' : 'completed')
      default:
        // Nobody can ask this format for more than one choice.
        return event.choice === 0 && this.finish === null ? this.ensureBegun() + this.write(event) : ''
    }
  }

  end(): string {
    if (this.ended) return ''
    const begun = this.ensureBegun()
    const closed = this.closeItem('completed')
    const ending = writeEnding(this.finish ?? 'stop', this.refused)
    if (ending.status === 'failed') return begun + closed + this.fail()
    this.ended = true
    const response = this.response({ ...ending, usage: this.usage })
    return begun + closed + this.emit(`response.${ending.status}`, { response })
  }

  private readonly emit = (type: string, fields: JsonObject): string =>
    sseEvent(type, { sequence_number: this.sequenceNumber++, ...fields })

  private begin(source: Omit<Of<'start'>, 'kind'>): string {
    const head = headOf(source, this.context)
    this.started = { head, writer: new ResponseWriter(this.context, head) }
    const response = this.response({ status: 'in_progress', usage: null })
    return this.emit('response.created', { response }) + this.emit('response.in_progress', { response })
  }

  private ensureBegun(): string {
    return this.started === null ? this.begin({ id: '', model: '', createdSeconds: null }) : ''
  }

  private response(state: Pick<ResponseState, 'status' | 'incomplete_details' | 'usage'>): JsonObject {
    const { output, serviceTier } = this
    return this.started?.writer.write({ ...state, output: [...output], serviceTier }) ?? {}
  }

  /** What the upstream said stays with the operator. */
  private fail(): string {
    const begun = this.ensureBegun()
    this.ended = true
    const response = this.response({ status: 'failed', usage: null })
    return begun + failureEvents(UPSTREAM_FAILED, response, this.sequenceNumber)
  }

  private id(kind: Parameters<typeof itemId>[0]): string {
    return itemId(kind, this.started?.head.suffix ?? '', this.output.length)
  }

  private closeItem(status: ItemStatus): string {
    if (this.item === null) return ''
    const { text, item } = this.item.close(status)
    this.output.push(item)
    this.item = null
    return text
  }

  private write(event: Exclude<NeutralEvent, Of<'start' | 'usage' | 'error' | 'finish'>>): string {
    switch (event.kind) {
      case 'text':
        return event.text === '' ? '' : this.inMessage((item) => item.text(event.text, event.logprobs))
      case 'refusal':
        this.refused = true
        return this.inMessage((item) => item.refusal(event.text))
      case 'citation':
        return this.inMessage((item) => item.citation(event.citation))
      case 'reasoning':
        return event.text === '' ? '' : this.inReasoning((item) => item.text(event.text))
      case 'reasoning_seal':
        return this.seal(event)
      case 'tool_begin':
        return this.beginCall(event)
      case 'tool_arguments':
        return this.item instanceof OpenCall ? this.item.fragment(event.fragment) : ''
    }
  }

  private inMessage(write: (item: OpenMessage) => string): string {
    if (this.item instanceof OpenMessage) return write(this.item)
    const closed = this.closeItem('completed')
    const item = new OpenMessage(this.emit, this.id('message'), this.output.length)
    this.item = item
    return closed + item.open() + write(item)
  }

  private inReasoning(write: (item: OpenReasoning) => string): string {
    if (this.item instanceof OpenReasoning) return write(this.item)
    const closed = this.closeItem('completed')
    const item = new OpenReasoning(this.emit, this.id('reasoning'), this.output.length)
    this.item = item
    return closed + item.open() + write(item)
  }

  /** Ends the reasoning before it; what is redacted is an item of its own. */
  private seal(seal: Seal): string {
    const encrypted = this.seals ? wrapSeal(seal) : null
    if (encrypted === null) return this.item instanceof OpenReasoning ? this.closeItem('completed') : ''
    const closed = seal.redacted === undefined ? '' : this.closeItem('completed')
    const written = this.inReasoning((item) => {
      item.seal(encrypted)
      return ''
    })
    return closed + written + this.closeItem('completed')
  }

  private beginCall(event: Of<'tool_begin'>): string {
    let text = this.closeItem('completed')
    const suffix = this.started?.head.suffix ?? ''
    const callId = event.id === '' ? `call_${suffix}_${this.output.length}` : event.id
    if (event.signature !== undefined && this.seals) {
      const encrypted = wrapCallSignature(callId, event.signature)
      text += this.inReasoning((item) => {
        item.seal(encrypted)
        return ''
      })
      text += this.closeItem('completed')
    }
    const identity = identityIn(this.tools, event.name)
    const item = new OpenCall(this.emit, { id: this.id(identity.kind), callId, identity }, this.output.length)
    this.item = item
    return text + item.open()
  }
}

export function createStreamEncoder(context: EncoderContext): StreamEncoder {
  return new ResponsesStreamEncoder(context)
}
