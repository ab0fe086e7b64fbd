import { type JsonObject, parseJson } from '../../kernel/index.ts'
import type { Plan, PlannedCall, PlannedChoice } from '../plan.ts'
import { sealOf } from '../seal.ts'
import { foundBy } from '../searches.ts'
import type { Switches } from '../switches.ts'
import { countTokens } from '../tokens.ts'
import { spacedJson } from '../usage-text.ts'
import type { GenerateRequest } from './request.ts'
import { type GenerateCounts, generateUsage } from './usage.ts'

export interface GenerateFacts {
  readonly responseId: string
  readonly model: string
  readonly request: GenerateRequest
  readonly switches: Switches
  readonly plan: Plan
  readonly counts: GenerateCounts
  /** A summary of the thinking, where it was asked for. */
  readonly thought: string
}

/** Part of a candidate with the tokens it adds to the answer. */
export interface AnswerPart {
  readonly part: JsonObject
  readonly tokens: number
}

function finishReason({ finish }: PlannedChoice): string {
  if (finish === 'refusal') return 'SAFETY'
  return finish === 'length' ? 'MAX_TOKENS' : 'STOP'
}

/** What a stream sends one by one, in order: thoughts, text, calls. */
export function partsOf(facts: GenerateFacts, choice: PlannedChoice): readonly AnswerPart[] {
  if (choice.finish === 'refusal') return []
  const { thought, request } = facts
  return [
    ...(thought === '' ? [] : [{ part: { text: thought, thought: true }, tokens: 0 }]),
    ...choice.content.map((text) => ({ part: { text }, tokens: countTokens(text) })),
    ...choice.calls.filter(({ whole }) => whole).map((call, index) => callPart(call, index, request)),
  ]
}

/** Calls come whole and without an id; only the first of several carries the signature. */
function callPart({ name, pieces }: PlannedCall, index: number, { signs }: GenerateRequest): AnswerPart {
  const args = parseJson(pieces.join(''))
  const functionCall = { name, args: args.ok ? args.value : {} }
  const signature = signs && index === 0 ? { thoughtSignature: sealOf('thought', name) } : {}
  return { part: { functionCall, ...signature }, tokens: countTokens(name) + pieces.length }
}

/** The signature that closes a text of a model that signs. */
export function textSeal(choice: PlannedChoice): string {
  return sealOf('thought', choice.content.join(''))
}

/** The body of an answer that is no stream. */
export function generateJson(facts: GenerateFacts): string {
  const { plan, switches, counts, request } = facts
  if (switches.flags.has('blocked'))
    return bodyJson(facts, BLOCKED, generateUsage(counts, 0, switches, ':'), ':')
  const candidates = plan.choices.map((choice, index) => {
    const parts = joined(partsOf(facts, choice).map(({ part }) => part))
    const signed = request.signs && choice.calls.length === 0 ? withSeal(parts, choice) : parts
    return candidate(facts, choice, index, signed, true)
  })
  const usage = generateUsage(counts, candidateTokens(plan), switches, ':')
  return bodyJson(facts, { candidates }, usage, ':')
}

function candidateTokens(plan: Plan): number {
  if (plan.choices.some(({ finish }) => finish === 'refusal')) return 0
  return plan.outputTokens - plan.reasoningTokens
}

function joined(parts: readonly JsonObject[]): readonly JsonObject[] {
  const out: JsonObject[] = []
  for (const part of parts) {
    const before = out.at(-1)
    const both = isText(part) && before !== undefined && isText(before)
    if (both) out[out.length - 1] = { text: `${before['text']}${part['text']}` }
    else out.push(part)
  }
  return out
}

function isText(part: JsonObject): boolean {
  return typeof part['text'] === 'string' && part['thought'] !== true
}

function withSeal(parts: readonly JsonObject[], choice: PlannedChoice): readonly JsonObject[] {
  return parts.map((part) => (isText(part) ? { ...part, thoughtSignature: textSeal(choice) } : part))
}

/** One candidate; what ends it comes with its last part only. */
export function candidate(
  { request, switches }: GenerateFacts,
  choice: PlannedChoice,
  index: number,
  parts: readonly JsonObject[],
  ends: boolean,
): JsonObject {
  if (choice.finish === 'refusal') {
    return {
      content: {},
      finishReason: 'SAFETY',
      ...(request.n > 1 ? { index } : {}),
      safetyRatings: RATINGS,
    }
  }
  const searches = switches.counts.websearch ?? 0
  return {
    content: { ...(parts.length > 0 ? { parts } : {}), role: 'model' },
    ...(ends ? { finishReason: finishReason(choice) } : {}),
    index,
    ...(ends && searches > 0 ? { groundingMetadata: grounding(searches, choice.content.join('')) } : {}),
  }
}

function grounding(searches: number, text: string): JsonObject {
  const found = Array.from({ length: searches }, (_, index) => foundBy(index))
  const segment = { endIndex: Buffer.byteLength(text), text }
  return {
    groundingChunks: found.map(({ url, title }) => ({ web: { uri: url, title } })),
    groundingSupports: [{ segment, groundingChunkIndices: found.map((_, index) => index) }],
    webSearchQueries: found.map(({ query }) => query),
  }
}

export const BLOCKED: JsonObject = { promptFeedback: { blockReason: 'PROHIBITED_CONTENT' } }

const RATINGS: readonly JsonObject[] = [
  { blocked: true, category: 'HARM_CATEGORY_HATE_SPEECH', probability: 'LOW' },
  { category: 'HARM_CATEGORY_DANGEROUS_CONTENT', probability: 'NEGLIGIBLE' },
  { category: 'HARM_CATEGORY_HARASSMENT', probability: 'NEGLIGIBLE' },
  { category: 'HARM_CATEGORY_SEXUALLY_EXPLICIT', probability: 'NEGLIGIBLE' },
]

/** Usage is spliced in as text, since a switch may have put text there that no JavaScript value prints as. */
export function bodyJson(
  { model, responseId }: GenerateFacts,
  head: JsonObject,
  usage: string | null,
  colon: ':' | ': ',
): string {
  const print = colon === ':' ? JSON.stringify : spacedJson
  const middle = usage === null ? '' : `,"usageMetadata"${colon}${usage}`
  return `${print(head).slice(0, -1)}${middle},${print({ modelVersion: model, responseId }).slice(1)}`
}
