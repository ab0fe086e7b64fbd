import { isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { estimateTextTokens } from '../estimate.ts'
import { field, objectField, objectsOf, textField } from './fields.ts'

/** What a request can cost on its way in, before anything is sent, and our own count of it for when nobody counts. */

/** More than any model takes for one image, at the highest resolution. */
const IMAGE_TOKENS_MAX = 37_000
/** Files that Google fetches, a cached context, pages that a hosted tool reads: not in these bytes. The gateway caps at the model's context. */
const REMOTE_TOKENS_MAX = 2_000_000
/** Role and separators around a content. */
const CONTENT_TOKENS_MAX = 16
/** Google documents no limit of queries for one answer; more than this was never seen. */
const SEARCHES_MAX_PER_CANDIDATE = 32
/** An image of common size: four tiles of 258 tokens. */
const IMAGE_TOKENS_USUAL = 1_032

const SEARCH_TOOLS = ['googleSearch', 'googleSearchRetrieval', 'enterpriseWebSearch'] as const

/** Tools that Google runs itself; what they read is billed as `toolUsePromptTokenCount`. */
export const HOSTED_TOOLS = [
  ...SEARCH_TOOLS,
  'codeExecution',
  'urlContext',
  'fileSearch',
  'googleMaps',
  'retrieval',
  'computerUse',
  'mcpServers',
  'exaAiSearch',
  'parallelAiSearch',
] as const

export function partsOf(content: JsonObject): readonly JsonObject[] {
  return objectsOf(field(content, 'parts'))
}

/** Contents and the system instruction alike. */
function allContents(body: JsonObject): readonly JsonObject[] {
  return [...objectsOf(field(body, 'contents')), ...objectsOf(field(body, 'systemInstruction'))]
}

function asksFor(body: JsonObject, names: readonly string[]): boolean {
  return objectsOf(field(body, 'tools')).some((tool) =>
    names.some((name) => {
      const value = field(tool, name)
      return value !== undefined && value !== null
    }),
  )
}

/** What a part adds to the bytes of the body, in tokens; negative where its bytes are no text. */
function mediaTokens(part: JsonObject): number {
  const inline = objectField(part, 'inlineData')
  if (inline !== null) {
    const type = textField(inline, 'mimeType') ?? ''
    const bytes = textField(inline, 'data')?.length ?? 0
    if (type.startsWith('image/')) return IMAGE_TOKENS_MAX - bytes
    // A still video, silence and blank pages take few bytes and many tokens; text and plain sound do not.
    return /^(?:text\/|audio\/(?:wav|x-wav|mp3|mpeg|pcm|l16)\b)/i.test(type) ? 0 : REMOTE_TOKENS_MAX
  }
  const file = objectField(part, 'fileData')
  if (file !== null)
    return (textField(file, 'mimeType') ?? '').startsWith('image/') ? IMAGE_TOKENS_MAX : REMOTE_TOKENS_MAX
  const result = objectField(part, 'functionResponse')
  return result === null ? 0 : partsOf(result).reduce((sum, inner) => sum + mediaTokens(inner), 0)
}

/** @param byteLength of the whole body: a token is at least one byte of it, whatever the tokenizer */
export function inputTokensMax(body: JsonObject, byteLength: number): number {
  let tokens = byteLength
  for (const content of allContents(body)) {
    tokens += CONTENT_TOKENS_MAX
    for (const part of partsOf(content)) tokens += mediaTokens(part)
  }
  if (textField(body, 'cachedContent') !== null) tokens += REMOTE_TOKENS_MAX
  if (asksFor(body, HOSTED_TOOLS)) tokens += REMOTE_TOKENS_MAX
  return tokens
}

export function webSearchCallsMax(body: JsonObject, candidates: number): number {
  return asksFor(body, SEARCH_TOOLS) ? SEARCHES_MAX_PER_CANDIDATE * candidates : 0
}

function estimateValue(value: Json | undefined): number {
  if (typeof value === 'string') return estimateTextTokens(value)
  if (typeof value === 'number' || typeof value === 'boolean') return 1
  if (Array.isArray(value)) return value.reduce<number>((sum, member) => sum + estimateValue(member), 0)
  if (!isObject(value)) return 0
  return Object.entries(value).reduce<number>(
    (sum, [name, member]) => sum + estimateTextTokens(name) + estimateValue(member),
    0,
  )
}

function estimatePart(part: JsonObject): number {
  if (objectField(part, 'inlineData') !== null || objectField(part, 'fileData') !== null)
    return IMAGE_TOKENS_USUAL
  const text = field(part, 'text')
  return estimateValue(
    text ?? objectField(part, 'functionCall') ?? objectField(part, 'functionResponse') ?? undefined,
  )
}

/** Input tokens by our own count, for when the upstream reports none. */
export function estimateInput(body: JsonObject): number {
  let tokens = estimateValue(field(body, 'tools'))
  for (const content of allContents(body)) {
    tokens += 4
    for (const part of partsOf(content)) tokens += estimatePart(part)
  }
  return Math.max(1, Math.ceil(tokens))
}
