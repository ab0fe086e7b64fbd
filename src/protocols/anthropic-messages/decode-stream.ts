import { isObject, type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { NeutralEvent } from '../neutral.ts'
import type { SseEvent, StreamDecoder } from '../protocol.ts'
import { decodeCitation } from './citations.ts'
import { refusalText } from './decode-answer.ts'
import { ORIGIN } from './decode-parts.ts'
import { errorOf } from './errors.ts'
import { finishOf } from './finish.ts'
import { mergeUsage, readUsage, tierOf } from './usage.ts'

/** Blocks by their index: bad relays send a block's end before its deltas are over, or never. */
type Open =
  | { readonly kind: 'text' | 'other' }
  | { readonly kind: 'thinking'; signature: string }
  | { readonly kind: 'tool'; readonly index: number; readonly input: string; written: boolean }

const CHOICE = { choice: 0 } as const

function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}

class Decoder implements StreamDecoder {
  private readonly open = new Map<Json | undefined, Open>()
  private usage: JsonObject | null = null
  private started = false
  private finished = false
  private calls = 0

  feed(event: SseEvent): readonly NeutralEvent[] {
    const parsed = parseJson(event.data)
    if (!parsed.ok || !isObject(parsed.value)) return []
    const body = parsed.value
    switch (body['type']) {
      case 'message_start':
        return this.start(body['message'])
      case 'content_block_start':
        return this.blockStart(body['index'], body['content_block'])
      case 'content_block_delta':
        return this.blockDelta(body['index'], body['delta'])
      case 'content_block_stop':
        return this.blockStop(body['index'])
      case 'message_delta':
        return this.messageDelta(body)
      default: {
        const isError = body['type'] === 'error' || (body['type'] === undefined && isObject(body['error']))
        return isError ? [{ kind: 'error', ...errorOf(body['error']) }] : []
      }
    }
  }

  private start(message: Json | undefined): NeutralEvent[] {
    const body = isObject(message) ? message : {}
    if (isObject(body['usage'])) this.usage = mergeUsage(this.usage, body['usage'], true)
    if (this.started) return []
    this.started = true
    return [{ kind: 'start', id: text(body['id']), model: text(body['model']), createdSeconds: null }]
  }

  private toolStart(index: Json | undefined, block: JsonObject): NeutralEvent[] {
    const call = this.calls++
    const input = isObject(block['input']) ? JSON.stringify(block['input']) : '{}'
    this.open.set(index, { kind: 'tool', index: call, input, written: false })
    return [{ kind: 'tool_begin', ...CHOICE, index: call, id: text(block['id']), name: text(block['name']) }]
  }

  private blockStart(index: Json | undefined, value: Json | undefined): NeutralEvent[] {
    const block = isObject(value) ? value : {}
    switch (block['type']) {
      case 'text': {
        this.open.set(index, { kind: 'text' })
        const first = text(block['text'])
        return first === '' ? [] : [{ kind: 'text', ...CHOICE, text: first }]
      }
      case 'thinking': {
        this.open.set(index, { kind: 'thinking', signature: text(block['signature']) })
        const first = text(block['thinking'])
        return first === '' ? [] : [{ kind: 'reasoning', ...CHOICE, text: first }]
      }
      case 'redacted_thinking':
        this.open.set(index, { kind: 'other' })
        return [{ kind: 'reasoning_seal', ...CHOICE, redacted: text(block['data']), origin: ORIGIN }]
      case 'tool_use':
        return this.toolStart(index, block)
      default:
        this.open.set(index, { kind: 'other' })
        return []
    }
  }

  private blockDelta(index: Json | undefined, value: Json | undefined): NeutralEvent[] {
    const delta = isObject(value) ? value : {}
    const block = this.open.get(index)
    switch (delta['type']) {
      case 'text_delta':
        return delta['text'] === '' ? [] : [{ kind: 'text', ...CHOICE, text: text(delta['text']) }]
      case 'thinking_delta':
        return delta['thinking'] === ''
          ? []
          : [{ kind: 'reasoning', ...CHOICE, text: text(delta['thinking']) }]
      case 'signature_delta':
        if (block?.kind === 'thinking') block.signature += text(delta['signature'])
        return []
      case 'citations_delta': {
        const citation = decodeCitation(delta['citation'] ?? null)
        return citation === null ? [] : [{ kind: 'citation', ...CHOICE, citation }]
      }
      case 'input_json_delta': {
        const fragment = text(delta['partial_json'])
        if (block?.kind !== 'tool' || fragment === '') return []
        block.written = true
        return [{ kind: 'tool_arguments', ...CHOICE, index: block.index, fragment }]
      }
      default:
        return []
    }
  }

  private blockStop(index: Json | undefined): NeutralEvent[] {
    const block = this.open.get(index)
    this.open.delete(index)
    if (block?.kind === 'thinking' && block.signature !== '')
      return [{ kind: 'reasoning_seal', ...CHOICE, signature: block.signature, origin: ORIGIN }]
    // A call without arguments has an empty object, as in an answer that is not streamed.
    if (block?.kind === 'tool' && !block.written)
      return [{ kind: 'tool_arguments', ...CHOICE, index: block.index, fragment: block.input }]
    return []
  }

  private messageDelta(body: JsonObject): NeutralEvent[] {
    const delta = isObject(body['delta']) ? body['delta'] : {}
    const events: NeutralEvent[] = [...this.open.keys()].flatMap((index) => this.blockStop(index))
    const refusal = refusalText(delta)
    if (refusal !== '') events.push({ kind: 'refusal', ...CHOICE, text: refusal })
    const reason = delta['stop_reason']
    if (typeof reason === 'string' && !this.finished) {
      this.finished = true
      events.push({ kind: 'finish', ...CHOICE, finish: finishOf(reason), finishRaw: reason })
    }
    if (isObject(body['usage'])) {
      this.usage = mergeUsage(this.usage, body['usage'], false)
      const read = readUsage(this.usage)
      if (read.kind === 'reported')
        events.push({ kind: 'usage', usage: read.usage, serviceTier: tierOf(this.usage) })
    }
    return events
  }
}

export function createStreamDecoder(): StreamDecoder {
  return new Decoder()
}
