import type { JsonObject } from '../../kernel/index.ts'
import type { Citation, NeutralEvent } from '../neutral.ts'
import type { EncoderContext, StreamEncoder } from '../protocol.ts'
import type { ReadUsage } from '../usage.ts'
import { writeCitations } from './citations.ts'
import { ORIGIN } from './decode-parts.ts'
import { heading } from './encode-answer.ts'
import { signed, type ToolCall, writeCall } from './encode-parts.ts'
import { writeUsage } from './encode-usage.ts'
import { statusWord } from './errors.ts'
import { writeFinish } from './finish.ts'
import { Framer } from './framing.ts'
import { writeLogprobs } from './logprobs.ts'

/**
 * Neutral events as a stream of this format. A call goes out when it is whole; why a choice ended, its sources and the
 * usage with the charge go out in the last object, for after it nothing may come.
 */

interface ChoiceState {
  /** The call that is being written, with its arguments so far. */
  call: (ToolCall & { readonly index: number }) | null
  finishReason: string | null
  readonly citations: Citation[]
}

const UPSTREAM_FAILED = 502

class GeminiStreamEncoder implements StreamEncoder {
  private readonly context: EncoderContext
  private readonly framer: Framer
  private readonly choices = new Map<number, ChoiceState>()
  private head: JsonObject
  private usage: ReadUsage | null = null
  private serviceTier: string | null = null
  private ended = false

  constructor(context: EncoderContext) {
    this.context = context
    this.framer = new Framer(context.frame ?? 'sse')
    this.head = heading({ id: '', model: '', createdSeconds: null }, context)
  }

  push(event: NeutralEvent): string {
    if (this.ended) return ''
    switch (event.kind) {
      case 'start':
        this.head = heading(event, this.context)
        return ''
      case 'text':
        return this.part(event.choice, { text: event.text }, writeLogprobs(event.logprobs))
      case 'refusal':
        return this.part(event.choice, { text: event.text })
      case 'reasoning':
        return this.part(event.choice, { text: event.text, thought: true })
      case 'reasoning_seal':
        if (event.origin !== ORIGIN || event.signature === undefined) return ''
        return this.part(event.choice, { text: '', ...signed(event.signature) })
      case 'citation':
        this.stateOf(event.choice).citations.push(event.citation)
        return ''
      case 'tool_begin':
        return this.begin(event)
      case 'tool_arguments':
        return this.continue(event)
      case 'finish':
        return this.finish(event)
      case 'usage':
        this.usage = event.usage
        this.serviceTier = event.serviceTier ?? this.serviceTier
        return ''
      case 'error':
        return this.fail(event.message)
    }
  }

  end(): string {
    if (this.ended) return ''
    this.ended = true
    const calls = [...this.choices.keys()].sort((a, b) => a - b).map((choice) => this.endCall(choice))
    const last = this.last()
    return calls.join('') + (last === null ? '' : this.object(last)) + this.framer.end()
  }

  private last(): JsonObject | null {
    const candidates = [...this.choices]
      .sort(([a], [b]) => a - b)
      .flatMap(([index, { finishReason, citations }]) =>
        finishReason === null && citations.length === 0
          ? []
          : [
              {
                content: { parts: [{ text: '' }], role: 'model' },
                ...(finishReason === null ? {} : { finishReason }),
                index,
                ...writeCitations([{ partIndex: 0, text: '', citations }]),
              },
            ],
      )
    if (candidates.length === 0 && this.usage === null) return null
    const usageMetadata =
      this.usage === null ? null : writeUsage(this.usage, this.serviceTier, this.context.annotate())
    return {
      ...(candidates.length === 0 ? {} : { candidates }),
      ...(usageMetadata === null ? {} : { usageMetadata }),
    }
  }

  private stateOf(choice: number): ChoiceState {
    let state = this.choices.get(choice)
    if (state === undefined) {
      state = { call: null, finishReason: null, citations: [] }
      this.choices.set(choice, state)
    }
    return state
  }

  private object(body: JsonObject): string {
    return this.framer.element(JSON.stringify({ ...body, ...this.head }))
  }

  private part(choice: number, part: JsonObject, more: JsonObject = {}): string {
    const before = this.endCall(choice)
    if (part['text'] === '' && part['thoughtSignature'] === undefined) return before
    return (
      before +
      this.object({ candidates: [{ content: { parts: [part], role: 'model' }, index: choice, ...more }] })
    )
  }

  private begin(event: Extract<NeutralEvent, { kind: 'tool_begin' }>): string {
    const before = this.endCall(event.choice)
    const { index, id, name, signature } = event
    this.stateOf(event.choice).call = {
      kind: 'tool_call',
      index,
      id,
      name,
      arguments: '',
      ...(signature === undefined ? {} : { signature }),
    }
    return before
  }

  private continue(event: Extract<NeutralEvent, { kind: 'tool_arguments' }>): string {
    const state = this.stateOf(event.choice)
    if (state.call !== null && state.call.index === event.index)
      state.call = { ...state.call, arguments: state.call.arguments + event.fragment }
    return ''
  }

  private endCall(choice: number): string {
    const state = this.stateOf(choice)
    const { call } = state
    if (call === null) return ''
    state.call = null
    return this.object({
      candidates: [{ content: { parts: [writeCall(call, true)], role: 'model' }, index: choice }],
    })
  }

  private finish(event: Extract<NeutralEvent, { kind: 'finish' }>): string {
    const before = this.endCall(event.choice)
    this.stateOf(event.choice).finishReason = writeFinish(event.finish, event.finishRaw)
    return before
  }

  private fail(message: string): string {
    this.ended = true
    const error = { code: UPSTREAM_FAILED, message, status: statusWord(UPSTREAM_FAILED) }
    return this.framer.element(JSON.stringify({ error })) + this.framer.end()
  }
}

export function createStreamEncoder(context: EncoderContext): StreamEncoder {
  return new GeminiStreamEncoder(context)
}
