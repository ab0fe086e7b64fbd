import { type Json, parseJson, totalInput, totalOutput } from '../../src/kernel/index.ts'
import type {
  Citation,
  Finish,
  NeutralAnswer,
  NeutralChoice,
  NeutralEvent,
  NeutralPart,
} from '../../src/protocols/neutral.ts'
import type { ReadUsage } from '../../src/protocols/usage.ts'

/** What of an answer must survive every format, and streams gathered into answers. */

export interface ChoiceEssence {
  /** A refusal's words are text in some formats. */
  readonly said: string
  readonly reasoning: string
  readonly tools: ReadonlyArray<{ readonly name: string; readonly arguments: Json }>
  readonly cited: readonly string[]
  readonly finish: 'stop' | 'length' | 'tool_calls' | 'filtered' | 'error'
}

export interface Essence {
  readonly choices: readonly ChoiceEssence[]
  readonly input: number
  readonly output: number
}

/** Reasons that only some formats tell apart. */
const FINISH: Readonly<Record<Finish, ChoiceEssence['finish']>> = {
  stop: 'stop',
  stop_sequence: 'stop',
  pause: 'stop',
  length: 'length',
  context_exceeded: 'length',
  tool_calls: 'tool_calls',
  content_filter: 'filtered',
  refusal: 'filtered',
  error: 'error',
}

function argumentsOf(text: string): Json {
  const parsed = parseJson(text === '' ? '{}' : text)
  return parsed.ok ? parsed.value : text
}

function choiceEssence({ parts, finish }: NeutralChoice): ChoiceEssence {
  const tools = parts.flatMap((part) =>
    part.kind === 'tool_call' ? [{ name: part.name, arguments: argumentsOf(part.arguments) }] : [],
  )
  const ended = FINISH[finish]
  return {
    said: parts.map((part) => (part.kind === 'text' || part.kind === 'refusal' ? part.text : '')).join(''),
    reasoning: parts.map((part) => (part.kind === 'reasoning' ? part.text : '')).join(''),
    tools,
    cited: parts.flatMap((part) =>
      part.kind === 'text' ? (part.citations ?? []).flatMap(({ url }) => (url === null ? [] : [url])) : [],
    ),
    finish: ended === 'stop' && tools.length > 0 ? 'tool_calls' : ended,
  }
}

export function essence({ choices, usage }: NeutralAnswer): Essence {
  return {
    choices: choices.map(choiceEssence),
    input: usage === null ? 0 : totalInput(usage.counts),
    output: usage === null ? 0 : totalOutput(usage.counts),
  }
}

interface Gathering {
  parts: NeutralPart[]
  finish: Finish
  finishRaw: string
}

/** Adds to the last part when it is of the same kind: a part goes on until another begins. */
function extend(parts: NeutralPart[], kind: 'text' | 'refusal' | 'reasoning', text: string): void {
  const last = parts.at(-1)
  const open = last !== undefined && last.kind === kind
  const sealed =
    last?.kind === 'reasoning' && (last.signature ?? last.encrypted ?? last.redacted) !== undefined
  if (open && !sealed) parts[parts.length - 1] = { ...last, text: last.text + text }
  else if (kind === 'reasoning') parts.push({ kind, text, origin: '' })
  else parts.push({ kind, text })
}

function cite(parts: NeutralPart[], citation: Citation): void {
  const last = parts.at(-1)
  if (last?.kind === 'text')
    parts[parts.length - 1] = { ...last, citations: [...(last.citations ?? []), citation] }
}

function gatherEvent(choice: Gathering, event: NeutralEvent): void {
  const { parts } = choice
  switch (event.kind) {
    case 'text':
    case 'refusal':
    case 'reasoning':
      extend(parts, event.kind, event.text)
      break
    case 'citation':
      cite(parts, event.citation)
      break
    case 'reasoning_seal': {
      const { kind: _kind, choice: _choice, ...seal } = event
      const last = parts.at(-1)
      if (last?.kind === 'reasoning' && event.redacted === undefined)
        parts[parts.length - 1] = { ...last, ...seal }
      else parts.push({ kind: 'reasoning', text: '', ...seal })
      break
    }
    case 'tool_begin': {
      const { id, name, signature } = event
      parts.push({
        kind: 'tool_call',
        id,
        name,
        arguments: '',
        ...(signature === undefined ? {} : { signature }),
      })
      break
    }
    case 'tool_arguments': {
      const calls = parts.filter((part) => part.kind === 'tool_call')
      const call = calls[event.index]
      if (call !== undefined)
        parts[parts.indexOf(call)] = { ...call, arguments: call.arguments + event.fragment }
      break
    }
    case 'finish':
      choice.finish = event.finish
      choice.finishRaw = event.finishRaw
      break
    default:
  }
}

/** A stream as the whole answer that it tells. */
export function gather(events: readonly NeutralEvent[]): NeutralAnswer {
  const choices: Gathering[] = []
  let id = ''
  let model = ''
  let createdSeconds: number | null = null
  let usage: ReadUsage | null = null
  let serviceTier: string | null = null
  for (const event of events) {
    if (event.kind === 'start') ({ id, model, createdSeconds } = event)
    else if (event.kind === 'usage') ({ usage, serviceTier } = event)
    else if (event.kind !== 'error') {
      const choice = choices[event.choice] ?? { parts: [], finish: 'stop', finishRaw: '' }
      choices[event.choice] = choice
      gatherEvent(choice, event)
    }
  }
  return { id, model, createdSeconds, choices, usage, serviceTier, dropped: [] }
}

/** Pieces of a text as a stream would bring them. */
function pieces(text: string, size: number): string[] {
  const characters = [...text]
  const found: string[] = []
  for (let at = 0; at < characters.length; at += size) found.push(characters.slice(at, at + size).join(''))
  return found
}

function partEvents(part: NeutralPart, choice: number, index: number, size: number): NeutralEvent[] {
  switch (part.kind) {
    case 'text':
      return [
        ...pieces(part.text, size).map((text): NeutralEvent => ({ kind: 'text', choice, text })),
        ...(part.citations ?? []).map((citation): NeutralEvent => ({ kind: 'citation', choice, citation })),
      ]
    case 'refusal':
      return pieces(part.text, size).map((text) => ({ kind: 'refusal', choice, text }))
    case 'reasoning': {
      const { kind: _kind, text, ...seal } = part
      const sealed = (seal.signature ?? seal.encrypted ?? seal.redacted) !== undefined
      return [
        ...pieces(text, size).map((piece): NeutralEvent => ({ kind: 'reasoning', choice, text: piece })),
        ...(sealed ? [{ kind: 'reasoning_seal' as const, choice, ...seal }] : []),
      ]
    }
    case 'tool_call': {
      const { id, name, signature } = part
      const fragments = pieces(part.arguments, size)
      return [
        { kind: 'tool_begin', choice, index, id, name, ...(signature === undefined ? {} : { signature }) },
        ...fragments.map((fragment): NeutralEvent => ({ kind: 'tool_arguments', choice, index, fragment })),
      ]
    }
    default:
      return []
  }
}

/** A whole answer as the stream that tells it. @param size characters a piece */
export function eventsOf(answer: NeutralAnswer, size = 5): NeutralEvent[] {
  const { id, model, createdSeconds, usage, serviceTier } = answer
  const events: NeutralEvent[] = [{ kind: 'start', id, model, createdSeconds }]
  answer.choices.forEach(({ parts, finish, finishRaw }, choice) => {
    let calls = 0
    for (const part of parts)
      events.push(...partEvents(part, choice, part.kind === 'tool_call' ? calls++ : 0, size))
    events.push({ kind: 'finish', choice, finish, finishRaw })
  })
  if (usage !== null) events.push({ kind: 'usage', usage, serviceTier })
  return events
}

export function hasError(events: readonly NeutralEvent[]): boolean {
  return events.some((event) => event.kind === 'error')
}
