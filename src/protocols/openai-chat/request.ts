import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { estimateTextTokens } from '../estimate.ts'
import type { MemberEdit } from '../json-span.ts'
import type { RequestFacts, RequestResult } from '../protocol.ts'
import { inputTokensMax, webSearchCallsMax } from './bound.ts'

/** What is read of a chat-completions request; the rest of the body is not ours. */
export interface ChatFacts extends RequestFacts {
  /** Which of the two limit fields the caller used; both when both. */
  readonly limitFields: readonly LimitField[]
  readonly streamOptions: JsonObject | null
}

export const LIMIT_FIELDS = ['max_completion_tokens', 'max_tokens'] as const
export type LimitField = (typeof LIMIT_FIELDS)[number]

const CHOICES_MAX = 8

const bad = (param: string, problem: string): RequestResult<ChatFacts> => ({ ok: false, param, problem })

/** An integer of [min, max]; JSON numbers such as 1e400 or 2^53 + 1 are no integers here. */
function integerFault(value: Json, min: number, max: number): string | null {
  if (typeof value !== 'number') return `must be an integer, not ${value === null ? 'null' : typeof value}`
  if (!Number.isSafeInteger(value)) return 'must be an integer'
  return value < min || value > max ? `must be between ${min} and ${max}` : null
}

/** Numeric members that cost money or memory when absurd: [path, min, max]. */
const INTEGERS: ReadonlyArray<readonly [string, number, number]> = [
  ['max_tokens', 1, Number.MAX_SAFE_INTEGER],
  ['max_completion_tokens', 1, Number.MAX_SAFE_INTEGER],
  ['n', 1, CHOICES_MAX],
  ['top_logprobs', 0, 20],
]

/** Members that must be of a type if they are there at all. */
const TYPES: ReadonlyArray<readonly [string, 'boolean' | 'string' | 'object' | 'array']> = [
  ['stream', 'boolean'],
  ['logprobs', 'boolean'],
  ['service_tier', 'string'],
  ['stream_options', 'object'],
  ['tools', 'array'],
  ['functions', 'array'],
  ['web_search_options', 'object'],
]

function typeOf(value: Json): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
}

function memberFault(body: JsonObject): { param: string; problem: string } | null {
  for (const [param, min, max] of INTEGERS) {
    const value = body[param]
    if (value === undefined || value === null) continue
    const problem = integerFault(value, min, max)
    if (problem !== null) return { param, problem }
  }
  for (const [param, type] of TYPES) {
    const value = body[param]
    if (value !== undefined && value !== null && typeOf(value) !== type)
      return { param, problem: `must be ${type === 'array' || type === 'object' ? 'an' : 'a'} ${type}` }
  }
  // Some relays would answer with any of them, at the price of the one that is held for.
  const { models } = body
  if (isArray(models) && models.some((model) => model !== body['model']))
    return { param: 'models', problem: 'is not supported: a request is held for and paid as one model' }
  const thinking = body['thinking']
  if (isObject(thinking) && thinking['budget_tokens'] !== undefined) {
    const problem = integerFault(thinking['budget_tokens'], 1, Number.MAX_SAFE_INTEGER)
    if (problem !== null) return { param: 'thinking.budget_tokens', problem }
  }
  return null
}

/** @param byteLength of the whole body */
export function readChatRequest(body: JsonObject, byteLength: number): RequestResult<ChatFacts> {
  const model = body['model']
  if (typeof model !== 'string' || model === '') return bad('model', 'must name a model')
  const messages = body['messages']
  if (!isArray(messages) || messages.length === 0)
    return bad('messages', 'must be a list of at least one message')
  const found = memberFault(body)
  if (found !== null) return { ok: false, ...found }
  const streamOptions = isObject(body['stream_options']) ? body['stream_options'] : null
  const includeUsage = streamOptions?.['include_usage']
  if (includeUsage !== undefined && includeUsage !== null && typeof includeUsage !== 'boolean')
    return bad('stream_options.include_usage', 'must be a boolean')
  const limitFields = LIMIT_FIELDS.filter((field) => typeof body[field] === 'number')
  const limits = limitFields.map((field) => body[field] as number)
  return {
    ok: true,
    request: {
      model,
      stream: body['stream'] === true,
      wantsUsage: includeUsage === true,
      maxOutputTokens: limits.length === 0 ? null : Math.max(...limits),
      limitFields,
      choices: typeof body['n'] === 'number' ? body['n'] : 1,
      serviceTier: typeof body['service_tier'] === 'string' ? body['service_tier'].toLowerCase() : null,
      inputTokensMax: inputTokensMax(messages, byteLength),
      webSearchCallsMax: webSearchCallsMax(body),
      streamOptions,
    },
  }
}

/** Newer OpenAI models refuse `max_tokens`; most compatible servers know nothing else. */
export function limitFieldFor(upstreamModel: string): LimitField {
  return /(?:^|\/)(?:gpt-[5-9]|o[1-9])/.test(upstreamModel) ? 'max_completion_tokens' : 'max_tokens'
}

/**
 * The members to set for one upstream.
 * @param maxOutputTokens the limit to send, or null to leave the caller's own (or none) in place
 */
export function chatRequestEdits(
  request: ChatFacts,
  upstreamModel: string,
  maxOutputTokens: number | null,
  withoutUsage = false,
): MemberEdit[] {
  const edits: MemberEdit[] = []
  if (request.model !== upstreamModel) edits.push({ name: 'model', json: JSON.stringify(upstreamModel) })
  if (maxOutputTokens !== null) {
    const fields = request.limitFields.length > 0 ? request.limitFields : [limitFieldFor(upstreamModel)]
    for (const name of fields) edits.push({ name, json: String(maxOutputTokens) })
  }
  if (request.stream && !request.wantsUsage && !withoutUsage)
    edits.push({
      name: 'stream_options',
      json: JSON.stringify({ ...request.streamOptions, include_usage: true }),
    })
  return edits
}

/** Rough tokens of media, by type of content part: a middling image, speech at its usual rate, pages of a document. */
function estimateMedia(part: JsonObject): number | null {
  const { type } = part
  if (type === 'image_url') return 765
  const media = typeof type === 'string' ? part[type] : undefined
  const data = isObject(media) ? (media['data'] ?? media['file_data']) : undefined
  const size = typeof data === 'string' ? data.length : 0
  if (type === 'input_audio') return Math.ceil(size / 2000)
  return type === 'file' ? Math.ceil(size / 60) : null
}

/** Input tokens by our own count, for when the upstream reports none. Read from the body only then. */
export function estimateChatInput(body: JsonObject): number {
  const messages = body['messages']
  if (!isArray(messages)) return 1
  let tokens = 3
  const add = (value: Json | undefined): void => {
    if (typeof value === 'string') tokens += estimateTextTokens(value)
    else if (isArray(value)) value.forEach(add)
    else if (isObject(value)) {
      const media = estimateMedia(value)
      if (media !== null) tokens += media
      else for (const member of Object.values(value)) add(member)
    }
  }
  for (const message of messages) {
    tokens += 4
    if (isObject(message)) {
      add(message['content'])
      add(message['tool_calls'])
    }
  }
  add(body['tools'])
  return tokens
}
