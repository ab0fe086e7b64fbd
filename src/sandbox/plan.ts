import type { Json } from '../kernel/index.ts'
import { NO_PREFIX, type PrefixCache } from './prefix-cache.ts'
import { exampleOf } from './schema-example.ts'
import type { Switches } from './switches.ts'
import { takeMarkers } from './switches.ts'
import { countTokens, hasCjk, hashText, splitTokens } from './tokens.ts'
import {
  type Language,
  longText,
  plainAnswer,
  reasoningText,
  refusalText,
  toolAnswer,
  wordFlow,
  wordsAsked,
} from './wording.ts'
import { withoutWrapping } from './wrapping.ts'

/** One message, or one item, of a prompt. */
export interface Turn {
  /** `user` where a person speaks, `tool` where results of tools come back; other names are only counted. */
  readonly role: string
  readonly text: string
  /** Media type of each image or document, "a link" where the request only has its address. */
  readonly images: readonly string[]
  /** Tokens are counted in it and prefixes compared by it: the text and whatever else the message says. */
  readonly counted: string
}

export interface Tool {
  readonly name: string
  readonly parameters: Json | undefined
  /** Takes plain text rather than JSON. */
  readonly freeText?: boolean
}

/** What every format asks, once it is read. */
export interface Question {
  readonly model: string
  readonly messages: readonly Turn[]
  readonly stream: boolean
  /** Answers wanted. */
  readonly n: number
  readonly tokensMax: number | null
  readonly stops: readonly string[]
  readonly tools: readonly Tool[]
  /** JSON of the tools and the schema, which are part of the prompt; '' without them. */
  readonly extraPrompt: string
  readonly toolChoice: 'none' | 'auto' | 'required' | { readonly name: string }
  readonly parallelTools: boolean
  readonly format: 'text' | 'json' | { readonly schema: Json | undefined }
  readonly seed: number
}

export interface Thinking {
  /** One a token; their text is looked at only where it is shown. */
  readonly pieces: readonly string[]
  readonly shown: boolean
}

export const NO_THINKING: Thinking = { pieces: [], shown: false }

export interface PlannedCall {
  readonly name: string
  readonly freeText: boolean
  /** The JSON text of the arguments (free text: the input), cut into tokens. */
  readonly pieces: readonly string[]
  /** False where the limit cut it. */
  readonly whole: boolean
}

export interface PlannedChoice {
  /** Shown reasoning, cut into tokens; empty where it is hidden. */
  readonly reasoning: readonly string[]
  /** For a refusal, what is said in place of an answer. */
  readonly content: readonly string[]
  readonly calls: readonly PlannedCall[]
  readonly finish: 'stop' | 'length' | 'tool_calls' | 'refusal'
  /** The stop sequence that ended the text. */
  readonly stop: string | null
}

export interface Plan {
  readonly choices: readonly PlannedChoice[]
  /** Of all choices together, reasoning included. */
  readonly outputTokens: number
  readonly reasoningTokens: number
  /** Further words of a stream that never ends by itself; null for every other answer. */
  readonly endless: (() => string) | null
}

/** Longer texts are asked for by mistake or malice; they would stall every other request. */
const WORDS_MAX = 100_000
/** With more tools than this the caller is an agent, and a call nobody asked for would do something. */
const FEW_TOOLS = 3
export const IMAGE_TOKENS = 85
export const MESSAGE_TOKENS = 4
export const REPLY_TOKENS = 3

/** @returns tokens of the whole prompt by the sandbox's rule */
export function promptTokens({ extraPrompt, messages }: Pick<Question, 'extraPrompt' | 'messages'>): number {
  let tokens = REPLY_TOKENS + countTokens(extraPrompt)
  for (const turn of messages) tokens += turnTokens(turn)
  return tokens
}

export function turnTokens({ counted, images }: Turn): number {
  return MESSAGE_TOKENS + countTokens(counted) + images.length * IMAGE_TOKENS
}

export interface CachedPrompt {
  readonly prompt: number
  readonly cacheRead: number
  readonly cacheWritten: number
}

/** Counts a prompt whose prefixes are cached without being asked, as OpenAI and Google do. */
export function cachedPrompt(question: Question, cache: PrefixCache): CachedPrompt {
  const prompt = promptTokens(question)
  const prefix = prompt < 1024 ? NO_PREFIX : cache.use(question.model, segments(question))
  // The cache counts in short stretches and may run ahead of the prompt by a token or two.
  const cacheRead = Math.min(prefix.readTokens, prompt)
  return { prompt, cacheRead, cacheWritten: Math.min(prefix.writtenTokens, prompt - cacheRead) }
}

function segments({ extraPrompt, messages }: Question): readonly string[] {
  const texts = messages.map(({ role, counted, images }) => `${role}\n${counted}${images.join()}`)
  return [extraPrompt, ...texts]
}

interface Context {
  readonly question: Question
  readonly switches: Switches
  readonly thinking: Thinking
  readonly asked: string
  readonly language: Language
}

/**
 * Decides the whole answer: texts, calls, reasons for ending, counts.
 * @param think gives the reasoning that comes before each answer
 */
export function planAnswer(
  question: Question,
  switches: Switches,
  think: (language: Language, asked: string) => Thinking,
): Plan {
  const asked = askedText(question.messages)
  const language = hasCjk(asked) ? 'zh' : 'en'
  const context: Context = { question, switches, thinking: think(language, asked), asked, language }
  const built = Array.from({ length: question.n }, (_, index) => planChoice(context, index))
  const endless = question.stream && switches.flags.has('ignore-max') && switches.counts.words === undefined
  return {
    choices: built.map((one) => one.choice),
    outputTokens: built.reduce((sum, one) => sum + one.output, 0),
    reasoningTokens: built.reduce((sum, one) => sum + one.reasoning, 0),
    endless: endless ? wordFlow(language, hashText(asked, question.seed)) : null,
  }
}

const EFFORT_TOKENS: Readonly<Record<string, number>> = {
  none: 0,
  minimal: 8,
  low: 32,
  medium: 64,
  high: 256,
  xhigh: 512,
  max: 1024,
}

/** How long one thinks at an effort; 64 tokens where none is named. */
export function effortTokens(effort: string): number {
  return EFFORT_TOKENS[effort] ?? 64
}

/** Reasoning that is only counted; its text would be thrown away. */
export function hiddenThinking(tokens: number): Thinking {
  return { pieces: Array.from({ length: tokens }, () => ''), shown: false }
}

interface Built {
  readonly choice: PlannedChoice
  readonly output: number
  readonly reasoning: number
}

/** The sandbox's thoughts about a prompt, for formats that show them beside the counted ones. */
export function reasoningAbout(messages: readonly Turn[]): string {
  const asked = askedText(messages)
  return reasoningText(hasCjk(asked) ? 'zh' : 'en', asked)
}

/** The words of a person in a message; all of it where there is nothing but wrapping. */
function wordsIn({ text }: Turn): string {
  const said = takeMarkers(text).text
  const words = said.includes('</') ? withoutWrapping(said, ' ').trim() : said
  return words === '' ? said : words
}

/** The last message in which a person speaks; -1 when none does. */
function askedIndex(messages: readonly Turn[]): number {
  const bySaid = messages.findLastIndex(
    ({ role, text }) => role === 'user' && withoutWrapping(text, '').trim() !== '',
  )
  return bySaid === -1 ? messages.findLastIndex(({ role }) => role === 'user') : bySaid
}

function askedText(messages: readonly Turn[]): string {
  const turn = messages[askedIndex(messages)]
  return turn === undefined ? '' : wordsIn(turn)
}

/** The result of a tool that came after what was asked; agents may say more behind it. */
function resultSince(messages: readonly Turn[]): Turn | undefined {
  const at = messages.findLastIndex(({ role }) => role === 'tool')
  return at > askedIndex(messages) ? messages[at] : undefined
}

const NOTHING: PlannedChoice = { reasoning: [], content: [], calls: [], finish: 'stop', stop: null }

function planChoice(context: Context, index: number): Built {
  const { question, switches, language, thinking } = context
  if (switches.flags.has('empty')) return { choice: NOTHING, output: 0, reasoning: 0 }
  if (switches.flags.has('refusal')) {
    const content = splitTokens(refusalText(language))
    return { choice: { ...NOTHING, content, finish: 'refusal' }, output: content.length, reasoning: 0 }
  }
  const limit = switches.flags.has('ignore-max') ? null : question.tokensMax
  const budget = limit ?? Number.MAX_SAFE_INTEGER
  const reasoning = Math.min(thinking.pieces.length, budget)
  const shown = thinking.shown ? thinking.pieces.slice(0, reasoning) : []
  const tools = toolsToCall(context)
  const rest = budget - reasoning
  if (tools.length > 0) {
    const { calls, tokens, whole } = planCalls(tools, rest)
    const finish = whole ? 'tool_calls' : 'length'
    const choice: PlannedChoice = { ...NOTHING, reasoning: shown, calls, finish }
    return { choice, output: reasoning + tokens, reasoning }
  }
  const { pieces, tokens, whole, stop } = planContent(context, index, rest)
  const choice: PlannedChoice = {
    reasoning: shown,
    content: pieces,
    calls: [],
    finish: whole ? 'stop' : 'length',
    stop: whole ? stop : null,
  }
  return { choice, output: reasoning + tokens, reasoning }
}

interface PlannedContent {
  readonly pieces: readonly string[]
  readonly tokens: number
  readonly whole: boolean
  readonly stop: string | null
}

function planContent(context: Context, index: number, budget: number): PlannedContent {
  const { text, stop } = cutAtStop(contentText(context, index), context.question.stops)
  const all = splitTokens(text)
  const pieces = all.length > budget ? all.slice(0, budget) : all
  const whole = all.length <= budget
  const hugeBytes = context.switches.counts['huge-line'] ?? 0
  if (hugeBytes === 0) return { pieces, tokens: pieces.length, whole, stop }
  const huge = 'x'.repeat(hugeBytes)
  return {
    pieces: [huge + (pieces[0] ?? ''), ...pieces.slice(1)],
    tokens: pieces.length + countTokens(huge),
    whole,
    stop,
  }
}

function contentText({ question, switches, asked, language }: Context, index: number): string {
  const { format } = question
  if (format === 'json')
    return JSON.stringify({ sandbox: 'Tokens Forge', asked: asked.slice(0, 80), ok: true })
  if (format !== 'text') return JSON.stringify(exampleOf(format.schema, index))
  const seed = hashText(asked, question.seed + index)
  const unlimited = switches.flags.has('ignore-max') ? (question.tokensMax ?? 0) + 200 : null
  const words = switches.counts.words ?? wordsAsked(asked) ?? unlimited
  if (words !== null) return longText(language, Math.min(words, WORDS_MAX), seed)
  const result = resultSince(question.messages)
  if (result !== undefined) return toolAnswer(language, result.text)
  return plainAnswer(language, asked, imagesOf(question.messages), seed)
}

function imagesOf(messages: readonly Turn[]): readonly string[] {
  return messages.findLast((message) => message.role === 'user')?.images ?? []
}

function cutAtStop(
  text: string,
  stops: readonly string[],
): { readonly text: string; readonly stop: string | null } {
  const places = stops.map((stop) => ({ stop, at: text.indexOf(stop) })).filter(({ at }) => at !== -1)
  const [first] = places.sort((a, b) => a.at - b.at)
  return first === undefined ? { text, stop: null } : { text: text.slice(0, first.at), stop: first.stop }
}

const ASKS_FOR_TWO = /\b(?:two|both|twice|parallel|2 (?:cities|calls|tools|times))\b|两|同时|并行/i

interface ToolToCall {
  readonly tool: Tool
  readonly variant: number
}

function toolsToCall({ question, asked }: Context): readonly ToolToCall[] {
  const { tools, toolChoice } = question
  const [first] = tools
  if (first === undefined || toolChoice === 'none') return []
  if (typeof toolChoice === 'object') {
    const tool = tools.find(({ name }) => name === toolChoice.name)
    return tool === undefined ? [] : [{ tool, variant: 0 }]
  }
  const named = tools.filter(({ name }) => asked.includes(name))
  if (toolChoice === 'auto') {
    if (resultSince(question.messages) !== undefined) return []
    if (tools.length > FEW_TOOLS && named.length === 0) return []
  }
  const fitting = named.length > 0 ? named : tools
  const tool = fitting[0] ?? first
  if (!question.parallelTools || !ASKS_FOR_TWO.test(asked)) return [{ tool, variant: 0 }]
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
    const all = splitTokens(inputText(tool, variant))
    const pieces = all.slice(0, budget - tokens)
    const whole = pieces.length === all.length
    calls.push({ name: tool.name, freeText: tool.freeText === true, pieces, whole })
    tokens += pieces.length
    if (!whole) return { calls, tokens, whole }
  }
  return { calls, tokens, whole: true }
}

function inputText({ name, parameters, freeText }: Tool, variant: number): string {
  if (freeText) return variant === 0 ? `sandbox input of ${name}` : `sandbox input ${variant + 1} of ${name}`
  return JSON.stringify(exampleOf(parameters ?? { type: 'object' }, variant))
}
