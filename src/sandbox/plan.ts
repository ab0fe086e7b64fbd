import { exampleOf } from '../schema-example.ts'
import type { Switches } from '../switches.ts'
import { takeMarkers } from '../switches.ts'
import { countTokens, hasCjk, hashText, splitTokens } from '../tokens.ts'
import {
  type Language,
  longText,
  plainAnswer,
  reasoningText,
  toolAnswer,
  wordFlow,
  wordsAsked,
} from '../wording.ts'
import { type Dialect, isReasoner } from './dialects.ts'
import { NO_PREFIX, type PrefixCache } from './prefix-cache.ts'
import type { ChatMessage, ChatRequest, ChatTool } from './request.ts'
import type { ChatCounts } from './usage.ts'

interface PlannedCall {
  readonly name: string
  /** The JSON text of the arguments, cut into tokens. */
  readonly pieces: readonly string[]
}

export interface PlannedChoice {
  /** Shown reasoning, cut into tokens; empty where the dialect hides it. */
  readonly reasoning: readonly string[]
  readonly content: readonly string[]
  readonly calls: readonly PlannedCall[]
  readonly finish: 'stop' | 'length' | 'tool_calls'
}

export interface Plan {
  readonly choices: readonly PlannedChoice[]
  readonly counts: ChatCounts
  /** Further words of a stream that never ends by itself; null for every other answer. */
  readonly endless: (() => string) | null
}

/** Longer texts are asked for by mistake or malice; they would stall every other request. */
const WORDS_MAX = 100_000
/** With more tools than this the caller is an agent, and a call nobody asked for would do something. */
const FEW_TOOLS = 3
const IMAGE_TOKENS = 85
const MESSAGE_TOKENS = 4
const REPLY_TOKENS = 3

const EFFORT_TOKENS: Readonly<Record<string, number>> = {
  none: 0,
  minimal: 8,
  low: 32,
  medium: 64,
  high: 256,
  xhigh: 512,
  max: 1024,
}

interface Context {
  readonly request: ChatRequest
  readonly switches: Switches
  readonly dialect: Dialect
  readonly asked: string
  readonly language: Language
}

/** Decides the whole answer: texts, calls, reasons for ending, counts. */
export function planChat(
  request: ChatRequest,
  switches: Switches,
  dialect: Dialect,
  cache: PrefixCache,
): Plan {
  const asked = askedText(request)
  const context: Context = { request, switches, dialect, asked, language: hasCjk(asked) ? 'zh' : 'en' }
  const built = Array.from({ length: request.n }, (_, index) => planChoice(context, index))
  const endless = request.stream && switches.flags.has('ignore-max') && switches.counts.words === undefined
  return {
    choices: built.map((one) => one.choice),
    counts: countUsage(request, cache, built),
    endless: endless ? wordFlow(context.language, hashText(asked, request.seed)) : null,
  }
}

interface Built {
  readonly choice: PlannedChoice
  readonly completion: number
  readonly reasoning: number
}

function askedText(request: ChatRequest): string {
  const last = request.messages.findLast((message) => message.role === 'user')
  return last === undefined ? '' : takeMarkers(last.text).text
}

function countUsage(request: ChatRequest, cache: PrefixCache, built: readonly Built[]): ChatCounts {
  let prompt = REPLY_TOKENS + countTokens(request.extraPrompt)
  for (const message of request.messages) {
    prompt += MESSAGE_TOKENS + countTokens(message.counted) + message.images.length * IMAGE_TOKENS
  }
  const prefix = prompt < 1024 ? NO_PREFIX : cache.use(request.model, segments(request))
  // The cache counts in short stretches and may run ahead of the prompt by a token or two.
  const cacheRead = Math.min(prefix.readTokens, prompt)
  return {
    prompt,
    cacheRead,
    cacheWritten: Math.min(prefix.writtenTokens, prompt - cacheRead),
    completion: built.reduce((sum, one) => sum + one.completion, 0),
    reasoning: built.reduce((sum, one) => sum + one.reasoning, 0),
  }
}

function segments(request: ChatRequest): readonly string[] {
  const texts = request.messages.map(({ role, counted, images }) => `${role}\n${counted}${images.join()}`)
  return [request.extraPrompt, ...texts]
}

function planChoice(context: Context, index: number): Built {
  const { request, switches, dialect } = context
  if (switches.flags.has('empty')) {
    const choice: PlannedChoice = { reasoning: [], content: [], calls: [], finish: 'stop' }
    return { choice, completion: 0, reasoning: 0 }
  }
  const limit = switches.flags.has('ignore-max') ? null : request.tokensMax
  const budget = limit ?? Number.MAX_SAFE_INTEGER
  const thinking = isReasoner(request.model) ? reasoningPieces(context) : []
  const reasoning = Math.min(thinking.length, budget)
  const shown = dialect.showsReasoning ? thinking.slice(0, reasoning) : []
  const tools = toolsToCall(context)
  const rest = budget - reasoning
  if (tools.length > 0) {
    const { calls, tokens, whole } = planCalls(tools, rest)
    const finish = whole ? 'tool_calls' : 'length'
    return {
      choice: { reasoning: shown, content: [], calls, finish },
      completion: reasoning + tokens,
      reasoning,
    }
  }
  const { pieces, tokens, whole } = planContent(context, index, rest)
  const choice: PlannedChoice = {
    reasoning: shown,
    content: pieces,
    calls: [],
    finish: whole ? 'stop' : 'length',
  }
  return { choice, completion: reasoning + tokens, reasoning }
}

function reasoningPieces({ request, dialect, language, asked }: Context): readonly string[] {
  const tokens = EFFORT_TOKENS[request.effort] ?? 64
  if (tokens === 0) return []
  // Hidden reasoning is only counted; its length follows the effort, its text would be thrown away.
  if (!dialect.showsReasoning) return Array.from({ length: tokens }, () => '')
  return splitTokens(reasoningText(language, asked))
}

function planContent(
  context: Context,
  index: number,
  budget: number,
): { readonly pieces: readonly string[]; readonly tokens: number; readonly whole: boolean } {
  const text = cutAtStop(contentText(context, index), context.request.stops)
  const all = splitTokens(text)
  const pieces = all.length > budget ? all.slice(0, budget) : all
  const hugeBytes = context.switches.counts['huge-line'] ?? 0
  if (hugeBytes === 0) return { pieces, tokens: pieces.length, whole: all.length <= budget }
  const huge = 'x'.repeat(hugeBytes)
  return {
    pieces: [huge + (pieces[0] ?? ''), ...pieces.slice(1)],
    tokens: pieces.length + countTokens(huge),
    whole: all.length <= budget,
  }
}

function contentText({ request, switches, asked, language }: Context, index: number): string {
  const { format } = request
  if (format === 'json')
    return JSON.stringify({ sandbox: 'Tokens Forge', asked: asked.slice(0, 80), ok: true })
  if (format !== 'text') return JSON.stringify(exampleOf(format.schema, index))
  const seed = hashText(asked, request.seed + index)
  const unlimited = switches.flags.has('ignore-max') ? (request.tokensMax ?? 0) + 200 : null
  const words = switches.counts.words ?? wordsAsked(asked) ?? unlimited
  if (words !== null) return longText(language, Math.min(words, WORDS_MAX), seed)
  const last = request.messages.at(-1)
  if (last?.role === 'tool') return toolAnswer(language, last.text)
  return plainAnswer(language, asked, imagesOf(request.messages), seed)
}

function imagesOf(messages: readonly ChatMessage[]): readonly string[] {
  return messages.findLast((message) => message.role === 'user')?.images ?? []
}

function cutAtStop(text: string, stops: readonly string[]): string {
  const places = stops.map((stop) => text.indexOf(stop)).filter((at) => at !== -1)
  return places.length === 0 ? text : text.slice(0, Math.min(...places))
}

const ASKS_FOR_TWO = /\b(?:two|both|twice|parallel|2 (?:cities|calls|tools|times))\b|两|同时|并行/i

interface ToolToCall {
  readonly tool: ChatTool
  readonly variant: number
}

function toolsToCall({ request, asked }: Context): readonly ToolToCall[] {
  const { tools, toolChoice } = request
  const [first] = tools
  if (first === undefined || toolChoice === 'none') return []
  if (typeof toolChoice === 'object') {
    const tool = tools.find(({ name }) => name === toolChoice.name)
    return tool === undefined ? [] : [{ tool, variant: 0 }]
  }
  const named = tools.filter(({ name }) => asked.includes(name))
  if (toolChoice === 'auto') {
    if (request.messages.at(-1)?.role === 'tool') return []
    if (tools.length > FEW_TOOLS && named.length === 0) return []
  }
  const fitting = named.length > 0 ? named : tools
  const tool = fitting[0] ?? first
  if (!request.parallelTools || !ASKS_FOR_TWO.test(asked)) return [{ tool, variant: 0 }]
  const second = fitting[1]
  return [{ tool, variant: 0 }, second === undefined ? { tool, variant: 1 } : { tool: second, variant: 0 }]
}

/** A call costs the tokens of its name and of its arguments; what the budget does not reach is cut off. */
function planCalls(
  tools: readonly ToolToCall[],
  budget: number,
): { readonly calls: readonly PlannedCall[]; readonly tokens: number; readonly whole: boolean } {
  const calls: PlannedCall[] = []
  let tokens = 0
  for (const { tool, variant } of tools) {
    const nameTokens = countTokens(tool.name)
    if (tokens + nameTokens > budget) return { calls, tokens: budget, whole: false }
    tokens += nameTokens
    const all = splitTokens(JSON.stringify(exampleOf(tool.parameters ?? { type: 'object' }, variant)))
    const pieces = all.slice(0, budget - tokens)
    calls.push({ name: tool.name, pieces })
    tokens += pieces.length
    if (pieces.length < all.length) return { calls, tokens, whole: false }
  }
  return { calls, tokens, whole: true }
}
