import { isObject, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { NeutralEvent, NeutralPart } from '../neutral.ts'
import type { SseEvent, StreamDecoder } from '../protocol.ts'
import { CallIds } from './call-ids.ts'
import { readCitations } from './citations.ts'
import { candidateIndex, createdSeconds } from './decode-answer.ts'
import { readPart } from './decode-parts.ts'
import { errorOf } from './errors.ts'
import { listOf, objectField, objectsOf, textField } from './fields.ts'
import { readBlock, readFinish, UNSPECIFIED } from './finish.ts'
import { readLogprobs } from './logprobs.ts'
import { Notes } from './notes.ts'
import { servedTier } from './tier.ts'
import { addSearches, hasCounts, readUsage, withSearches } from './usage.ts'

/** Events of a stream out of the wire: each holds whole parts, so a call comes at once with all its arguments. */

interface ChoiceState {
  calls: number
  finished: boolean
}

/** The neutral stream has no media; a link that carries its bytes loses nothing and shows in most clients. */
function mediaText(part: Extract<NeutralPart, { kind: 'image' | 'file' | 'audio' }>): string {
  const label = part.kind === 'image' ? '![image]' : `[${part.kind}]`
  if (part.kind === 'audio') return `${label}(data:audio/${part.format};base64,${part.base64})`
  const { source } = part
  if (source.kind === 'data') return `${label}(data:${source.mediaType};base64,${source.base64})`
  return `${label}(${source.kind === 'url' ? source.url : source.id})`
}

class GeminiStreamDecoder implements StreamDecoder {
  private ids: CallIds | null = null
  private readonly choices = new Map<number, ChoiceState>()
  private readonly queries = new Set<string>()
  private readonly notes = new Notes()

  feed(event: SseEvent): readonly NeutralEvent[] {
    const parsed = parseJson(event.data)
    if (!parsed.ok) return []
    const failed = errorOf(parsed.value)
    if (failed !== null) return [{ kind: 'error', ...failed }]
    return isObject(parsed.value) ? this.read(parsed.value) : []
  }

  private read(body: JsonObject): NeutralEvent[] {
    const events: NeutralEvent[] = []
    const id = textField(body, 'responseId') ?? ''
    if (this.ids === null) {
      const model = textField(body, 'modelVersion') ?? ''
      events.push({ kind: 'start', id, model, createdSeconds: createdSeconds(body) })
      this.ids = new CallIds(id)
    }
    for (const [place, candidate] of objectsOf(body['candidates']).entries())
      events.push(...this.candidate(candidate, candidateIndex(candidate, place), this.ids))
    const block = textField(objectField(body, 'promptFeedback') ?? {}, 'blockReason')
    if (block !== null && !this.stateOf(0).finished) {
      this.stateOf(0).finished = true
      events.push({ kind: 'finish', choice: 0, finish: readBlock(block), finishRaw: block })
    }
    addSearches(body, this.queries)
    const raw = body['usageMetadata']
    if (!hasCounts(raw)) return events
    const usage = readUsage(withSearches(raw, this.queries))
    if (usage.kind === 'reported')
      events.push({ kind: 'usage', usage: usage.usage, serviceTier: servedTier(raw) })
    return events
  }

  private stateOf(choice: number): ChoiceState {
    let state = this.choices.get(choice)
    if (state === undefined) {
      state = { calls: 0, finished: false }
      this.choices.set(choice, state)
    }
    return state
  }

  private candidate(candidate: JsonObject, choice: number, ids: CallIds): NeutralEvent[] {
    const state = this.stateOf(choice)
    const context = { ids, notes: this.notes, ofRequest: false }
    const parts = listOf(objectField(candidate, 'content')?.['parts'])
    const events = parts
      .flatMap((part) => readPart(part, '', context))
      .flatMap((part) => this.part(part, choice, state))
    const logprobs = readLogprobs(candidate['logprobsResult'])
    const firstText = events.findIndex((event) => event.kind === 'text')
    const text = events[firstText]
    if (logprobs.length > 0 && text?.kind === 'text') events[firstText] = { ...text, logprobs }
    for (const { citation } of readCitations(candidate)) events.push({ kind: 'citation', choice, citation })
    const finishRaw = textField(candidate, 'finishReason')
    if (finishRaw !== null && finishRaw !== UNSPECIFIED && !state.finished) {
      state.finished = true
      events.push({ kind: 'finish', choice, finish: readFinish(finishRaw, state.calls > 0), finishRaw })
    }
    return events
  }

  private part(part: NeutralPart, choice: number, state: ChoiceState): NeutralEvent[] {
    switch (part.kind) {
      case 'text':
        return [{ kind: 'text', choice, text: part.text }]
      case 'refusal':
        return [{ kind: 'refusal', choice, text: part.text }]
      case 'reasoning': {
        const { text, signature, origin } = part
        const events: NeutralEvent[] = text === '' ? [] : [{ kind: 'reasoning', choice, text }]
        if (signature !== undefined) events.push({ kind: 'reasoning_seal', choice, signature, origin })
        return events
      }
      case 'tool_call': {
        const index = state.calls++
        const { id, name, signature } = part
        return [
          { kind: 'tool_begin', choice, index, id, name, ...(signature === undefined ? {} : { signature }) },
          { kind: 'tool_arguments', choice, index, fragment: part.arguments },
        ]
      }
      case 'image':
      case 'file':
      case 'audio':
        return [{ kind: 'text', choice, text: mediaText(part) }]
      case 'tool_result':
        return []
    }
  }
}

export function createStreamDecoder(): StreamDecoder {
  return new GeminiStreamDecoder()
}
