import { isArray, isObject, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { NeutralEvent } from '../neutral.ts'
import type { SseEvent, StreamDecoder } from '../protocol.ts'
import { upstreamError } from './errors.ts'
import { readFinish } from './finish.ts'
import { readLogprobs } from './logprobs.ts'
import { contentText, readCitations } from './message-text.ts'
import { reasoningText } from './reasoning.ts'
import { ToolStream, toolDeltas } from './tool-stream.ts'
import { findUsage, readChatUsage } from './usage.ts'

/** One choice of a stream: its deltas as events, with its tool calls in order. */
class ChoiceStream {
  private readonly choice: number
  private readonly tools: ToolStream
  /** What came while a tool call was not whole: parts must not overlap. */
  private later: NeutralEvent[] = []
  private refused = false
  private finished = false

  constructor(choice: number, answerId: () => string) {
    this.choice = choice
    this.tools = new ToolStream(choice, answerId)
  }

  feed(fields: JsonObject): NeutralEvent[] {
    if (this.finished) return []
    const delta = isObject(fields['delta']) ? fields['delta'] : {}
    const events: NeutralEvent[] = []
    const said = this.readDelta(delta, fields)
    if (this.tools.busy) this.later.push(...said)
    else events.push(...said)
    for (const call of toolDeltas(delta)) events.push(...this.tools.feed(call))
    const legacy = delta['function_call']
    if (isObject(legacy)) events.push(...this.tools.feedLegacy(legacy))
    if (!this.tools.busy && this.later.length > 0) events.push(...this.takeLater())
    const raw = fields['finish_reason']
    if (typeof raw === 'string' && raw !== '') events.push(...this.finish(raw))
    return events
  }

  /** The stream is over: what is still held is told. */
  end(): NeutralEvent[] {
    return this.finished ? [] : [...this.tools.end(), ...this.takeLater()]
  }

  private takeLater(): NeutralEvent[] {
    const { later } = this
    this.later = []
    return later
  }

  private finish(raw: string): NeutralEvent[] {
    const events = this.end()
    this.finished = true
    events.push({
      kind: 'finish',
      choice: this.choice,
      finish: readFinish(raw, this.refused),
      finishRaw: raw,
    })
    return events
  }

  private readDelta(delta: JsonObject, fields: JsonObject): NeutralEvent[] {
    const { choice } = this
    const events: NeutralEvent[] = []
    const thought = reasoningText(delta)
    if (thought !== '') events.push({ kind: 'reasoning', choice, text: thought })
    const text = textOf(delta)
    if (text !== '') {
      const logprobs = readLogprobs(fields['logprobs'])
      events.push({ kind: 'text', choice, text, ...(logprobs.length === 0 ? {} : { logprobs }) })
    }
    for (const citation of readCitations(delta['annotations']))
      events.push({ kind: 'citation', choice, citation })
    const { refusal } = delta
    if (typeof refusal === 'string' && refusal !== '') {
      this.refused = true
      events.push({ kind: 'refusal', choice, text: refusal })
    }
    return events
  }
}

/** Of an answer in sound, the words. */
function textOf(delta: JsonObject): string {
  const text = contentText(delta['content'])
  const { audio } = delta
  const transcript = text === '' && isObject(audio) ? audio['transcript'] : undefined
  return typeof transcript === 'string' ? transcript : text
}

class ChatStreamDecoder implements StreamDecoder {
  private readonly choices = new Map<number, ChoiceStream>()
  private id: string | null = null

  feed(event: SseEvent): readonly NeutralEvent[] {
    if (event.data === '[DONE]') return [...this.choices.values()].flatMap((choice) => choice.end())
    const parsed = parseJson(event.data)
    return parsed.ok && isObject(parsed.value) ? this.readChunk(parsed.value) : []
  }

  private readChunk(chunk: JsonObject): NeutralEvent[] {
    const choices = isArray(chunk['choices']) ? chunk['choices'] : []
    const raw = findUsage(chunk)
    const error = chunk['error']
    const failed = error !== undefined && error !== null
    const events: NeutralEvent[] = []
    // Azure's first chunk has neither id nor choices: the stream begins with the next one.
    if (this.id === null && (choices.length > 0 || (raw !== undefined && raw !== null)))
      events.push(this.begin(chunk))
    for (const choice of choices) if (isObject(choice)) events.push(...this.choiceOf(choice).feed(choice))
    const usage = readChatUsage(raw)
    const tier = chunk['service_tier']
    if (usage.kind === 'reported')
      events.push({ kind: 'usage', usage: usage.usage, serviceTier: typeof tier === 'string' ? tier : null })
    if (failed) events.push({ kind: 'error', ...upstreamError(chunk) })
    return events
  }

  private begin(chunk: JsonObject): NeutralEvent {
    const { id, model, created } = chunk
    this.id = typeof id === 'string' ? id : ''
    return {
      kind: 'start',
      id: this.id,
      model: typeof model === 'string' ? model : '',
      createdSeconds: typeof created === 'number' && Number.isSafeInteger(created) ? created : null,
    }
  }

  private choiceOf(fields: JsonObject): ChoiceStream {
    const index = typeof fields['index'] === 'number' ? fields['index'] : 0
    const known = this.choices.get(index)
    if (known !== undefined) return known
    const choice = new ChoiceStream(index, () => this.id ?? '')
    this.choices.set(index, choice)
    return choice
  }
}

export function createStreamDecoder(): StreamDecoder {
  return new ChatStreamDecoder()
}
