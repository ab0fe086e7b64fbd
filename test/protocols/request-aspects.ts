import { isObject, type Json, parseJson } from '../../src/kernel/index.ts'
import type { MediaSource, NeutralMessage, NeutralPart, NeutralRequest } from '../../src/protocols/neutral.ts'

/**
 * What is compared of a request that went through a format. Each aspect names the paths that excuse its loss: what is
 * not the same afterwards must have been listed as dropped.
 */
export interface Aspect {
  readonly name: string
  readonly excusedBy: RegExp
  of(request: NeutralRequest): Json
}

const byText = (a: string, b: string): number => a.localeCompare(b)

/** Formats break text into blocks, or join it, at will. */
const squeeze = (text: string): string => text.replace(/\s+/g, '')

const textOf = (parts: readonly NeutralPart[]): string =>
  squeeze(parts.map((part) => (part.kind === 'text' ? part.text : '')).join(''))

function sourceOf(source: MediaSource): string {
  if (source.kind === 'data') return `${source.mediaType} ${source.base64}`
  return source.kind === 'url' ? source.url : source.id
}

/** Media, wherever in its turn a format puts it. */
function mediaOf(parts: readonly NeutralPart[]): string[] {
  return parts.flatMap((part) => {
    if (part.kind === 'tool_result') return mediaOf(part.parts)
    if (part.kind === 'image' || part.kind === 'file') return [`${part.kind} ${sourceOf(part.source)}`]
    return part.kind === 'audio' ? [`audio ${part.format} ${part.base64}`] : []
  })
}

interface Turn {
  role: NeutralMessage['role']
  parts: NeutralPart[]
}

/** One speaker after the other, however many messages a format makes of a turn. */
function turns(messages: readonly NeutralMessage[]): Turn[] {
  const found: Turn[] = []
  for (const { role, parts } of messages) {
    const last = found.at(-1)
    if (last?.role === role) last.parts.push(...parts)
    else found.push({ role, parts: [...parts] })
  }
  return found
}

function argumentsOf(text: string): Json {
  const parsed = parseJson(text === '' ? '{}' : text)
  return parsed.ok ? parsed.value : text
}

/** Calls by their order: some formats have no ids. */
function callsOf(request: NeutralRequest): Json {
  const order = new Map<string, number>()
  const steps: Json[] = []
  for (const { parts } of turns(request.messages))
    for (const part of parts) {
      if (part.kind === 'tool_call') {
        order.set(part.id, order.size)
        steps.push({ call: part.name, arguments: argumentsOf(part.arguments) })
      } else if (part.kind === 'tool_result')
        steps.push({ answers: order.get(part.id) ?? null, text: textOf(part.parts) })
    }
  return steps
}

const toolChoiceOf = ({ toolChoice }: NeutralRequest): Json =>
  toolChoice === null || toolChoice.kind === 'auto' ? 'auto' : { ...toolChoice }

function schemaNames(schema: Json | undefined): Json {
  const properties = isObject(schema) ? schema['properties'] : undefined
  return isObject(properties) ? Object.keys(properties).sort(byText) : []
}

function formatOf({ format }: NeutralRequest): Json {
  return format.kind === 'schema' ? { kind: 'schema', properties: schemaNames(format.schema) } : format.kind
}

const partsOf = (request: NeutralRequest): readonly NeutralPart[] =>
  request.messages.flatMap((message) => message.parts)

const NEVER = /^$/

export const ASPECTS: readonly Aspect[] = [
  { name: 'system', excusedBy: NEVER, of: ({ system }) => textOf(system) },
  {
    name: 'turns',
    excusedBy: NEVER,
    of: ({ messages }) => turns(messages).map(({ role, parts }) => ({ role, text: textOf(parts) })),
  },
  { name: 'media', excusedBy: NEVER, of: (request) => mediaOf(partsOf(request)).sort(byText) },
  { name: 'calls and results', excusedBy: NEVER, of: callsOf },
  {
    name: 'failed results',
    excusedBy: /error/i,
    of: (request) =>
      partsOf(request)
        .map((part) => part.kind === 'tool_result' && part.isError)
        .filter(Boolean),
  },
  {
    name: 'thinking of earlier turns',
    excusedBy: /reasoning|thinking|signature/i,
    of: (request) =>
      partsOf(request)
        .map((part) => (part.kind === 'reasoning' ? part.text : ''))
        .join(''),
  },
  {
    name: 'cache breakpoints',
    excusedBy: /cache/i,
    of: ({ system, messages }) =>
      [...system, ...messages.flatMap(({ parts }) => parts)].flatMap((part) =>
        'cache' in part && part.cache !== undefined ? [part.cache] : [],
      ),
  },
  {
    name: 'tools',
    excusedBy: NEVER,
    of: ({ tools }) =>
      tools.map(({ name, description, parameters }) => ({
        name,
        description: description ?? '',
        parameters: schemaNames(parameters),
      })),
  },
  { name: 'tool choice', excusedBy: NEVER, of: toolChoiceOf },
  {
    name: 'parallel tools',
    excusedBy: /parallel/i,
    of: ({ parallelTools }) => parallelTools ?? true,
  },
  { name: 'format', excusedBy: NEVER, of: formatOf },
  { name: 'output limit', excusedBy: NEVER, of: ({ maxOutputTokens }) => maxOutputTokens },
  { name: 'choices', excusedBy: NEVER, of: ({ choices }) => choices },
  { name: 'temperature', excusedBy: /temperature/i, of: ({ temperature }) => temperature },
  { name: 'top-p', excusedBy: /top_?p/i, of: ({ topP }) => topP },
  { name: 'top-k', excusedBy: /top_?k/i, of: ({ topK }) => topK },
  { name: 'stop', excusedBy: NEVER, of: ({ stop }) => stop },
  { name: 'seed', excusedBy: /seed/i, of: ({ seed }) => seed },
  { name: 'presence', excusedBy: /presence/i, of: ({ presencePenalty }) => presencePenalty },
  { name: 'frequency', excusedBy: /frequency/i, of: ({ frequencyPenalty }) => frequencyPenalty },
  { name: 'probabilities', excusedBy: /logprobs/i, of: ({ logprobs }) => logprobs },
  {
    name: 'effort',
    excusedBy: /reasoning|thinking|effort/i,
    of: ({ reasoning }) => reasoning?.effort ?? null,
  },
  { name: 'who asks', excusedBy: /user|metadata|safety/i, of: ({ user }) => user },
]
