import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralEvent } from '../neutral.ts'
import type { EncoderContext, StreamEncoder } from '../protocol.ts'
import type { ReadUsage } from '../usage.ts'
import { encodeCitation } from './citations.ts'
import { ORIGIN } from './decode-parts.ts'
import { callId, stopOf } from './encode-answer.ts'
import { encodeUsage } from './encode-usage.ts'
import { streamError } from './errors.ts'
import { messageId } from './tool-ids.ts'

type EventOf<K extends NeutralEvent['kind']> = Extract<NeutralEvent, { readonly kind: K }>

export function sseEvent(body: JsonObject): string {
  return `event: ${String(body['type'])}\ndata: ${JSON.stringify(body)}\n\n`
}

export function messageStart(id: string, model: string): string {
  return sseEvent({
    type: 'message_start',
    message: {
      id,
      type: 'message',
      role: 'assistant',
      model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      // Other formats report at the end; clients of this one take the figures of message_delta then.
      usage: {
        input_tokens: 0,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 0,
        output_tokens: 0,
      },
    },
  })
}

/** In words of ours: the upstream's may name its keys and hosts. */
const UPSTREAM_FAILED = streamError({
  status: 502,
  code: 'upstream_error',
  message: 'The provider failed while it answered',
  param: null,
  extra: {},
})

class Encoder implements StreamEncoder {
  private readonly context: EncoderContext
  private started = false
  private failed = false
  private index = -1
  /** What is open: a text or thinking block, or the call of that number. */
  private open: 'text' | 'thinking' | number | null = null
  private calls = false
  private refusal = ''
  private finish: EventOf<'finish'> | null = null
  private usage: ReadUsage | null = null
  private tier: string | null = null

  constructor(context: EncoderContext) {
    this.context = context
  }

  push(event: NeutralEvent): string {
    if (this.failed) return ''
    // The caller of this format asked for one answer; `choice` is on every event of one.
    if ('choice' in event && event.choice !== 0) return ''
    switch (event.kind) {
      case 'start':
        return this.start(event.id, event.model)
      case 'text':
        return (
          this.opened('text', { type: 'text', text: '' }) + this.delta('text_delta', { text: event.text })
        )
      case 'citation':
        return (
          this.opened('text', { type: 'text', text: '' }) +
          this.delta('citations_delta', { citation: encodeCitation(event.citation) })
        )
      case 'reasoning':
        return (
          this.opened('thinking', { type: 'thinking', thinking: '', signature: '' }) +
          this.delta('thinking_delta', { thinking: event.text })
        )
      case 'reasoning_seal':
        return this.seal(event)
      case 'tool_begin':
        return this.call(event)
      case 'tool_arguments':
        return this.open === event.index
          ? this.delta('input_json_delta', { partial_json: event.fragment })
          : ''
      default:
        return this.keep(event)
    }
  }

  /** What is sent only once all is known. */
  private keep(event: EventOf<'refusal' | 'finish' | 'usage' | 'error'>): string {
    switch (event.kind) {
      case 'refusal':
        this.refusal += event.text
        return ''
      case 'finish':
        this.finish = event
        return this.closed()
      case 'usage':
        this.usage = event.usage
        this.tier = event.serviceTier
        return ''
      case 'error':
        this.failed = true
        return UPSTREAM_FAILED
    }
  }

  private start(id: string, model: string): string {
    if (this.started) return ''
    this.started = true
    const { requestId, requestedModel } = this.context
    return messageStart(messageId(id, requestId), model === '' ? requestedModel : model)
  }

  private delta(type: string, members: JsonObject): string {
    return sseEvent({ type: 'content_block_delta', index: this.index, delta: { type, ...members } })
  }

  private closed(): string {
    if (this.open === null) return ''
    this.open = null
    return sseEvent({ type: 'content_block_stop', index: this.index })
  }

  /** Opens a block, unless one of its kind is open, and closes the one before it. */
  private opened(kind: 'text' | 'thinking' | number, block: JsonObject): string {
    if (this.open === kind) return ''
    const before = this.start('', '') + this.closed()
    this.open = kind
    this.index++
    return before + sseEvent({ type: 'content_block_start', index: this.index, content_block: block })
  }

  private seal(event: EventOf<'reasoning_seal'>): string {
    if (event.origin !== ORIGIN) return this.open === 'thinking' ? this.closed() : ''
    if (event.redacted !== undefined) {
      // A block of its own, even behind thinking that is open.
      const before = this.open === 'thinking' ? this.closed() : ''
      const block = { type: 'redacted_thinking', data: event.redacted }
      return before + this.opened('thinking', block) + this.closed()
    }
    if (event.signature === undefined) return this.open === 'thinking' ? this.closed() : ''
    return (
      this.opened('thinking', { type: 'thinking', thinking: '', signature: '' }) +
      this.delta('signature_delta', { signature: event.signature }) +
      this.closed()
    )
  }

  private call(event: EventOf<'tool_begin'>): string {
    this.calls = true
    const id = callId(event.id, this.context.requestId, event.index)
    return this.opened(event.index, { type: 'tool_use', id, name: event.name, input: {} })
  }

  end(): string {
    if (this.failed) return ''
    const finish = this.finish ?? { finish: 'stop' as const, finishRaw: '' }
    const delta = {
      ...stopOf(finish, { calls: this.calls, refusal: this.refusal }),
      stop_sequence: null,
    }
    const usage = encodeUsage(this.usage, this.tier, this.context.annotate())
    return (
      this.start('', '') +
      this.closed() +
      sseEvent({ type: 'message_delta', delta, usage }) +
      sseEvent({ type: 'message_stop' })
    )
  }
}

export function createStreamEncoder(context: EncoderContext): StreamEncoder {
  return new Encoder(context)
}
