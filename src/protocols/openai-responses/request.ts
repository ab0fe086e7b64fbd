import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { estimateTextTokens } from '../estimate.ts'
import type { MemberEdit } from '../json-span.ts'
import type { RequestFacts, RequestInput, RequestResult, UpstreamCallInput } from '../protocol.ts'
import { inputTokensMax, webSearchCallsMax } from './bound.ts'
import { isForeign } from './seal.ts'

/** What is read of a request; the rest of the body is not ours. */
export interface ResponsesFacts extends RequestFacts {
  /** The answer comes later and is not in this exchange: its usage cannot be metered here. */
  readonly background: boolean
  /** The input without reasoning that another provider's model wrote; null when there is none of it. */
  readonly inputForOpenAi: readonly Json[] | null
}

export type ResponsesRequestResult = RequestResult<ResponsesFacts>

/** Numeric members that cost money or memory when absurd: [path, min, max]. */
const INTEGERS: ReadonlyArray<readonly [string, number, number]> = [
  ['max_output_tokens', 1, Number.MAX_SAFE_INTEGER],
  ['max_tool_calls', 1, 1000],
  ['top_logprobs', 0, 20],
]

/** Members that must be of a type if they are there at all. */
const TYPES: ReadonlyArray<readonly [string, 'boolean' | 'string' | 'object' | 'array']> = [
  ['stream', 'boolean'],
  ['background', 'boolean'],
  ['store', 'boolean'],
  ['parallel_tool_calls', 'boolean'],
  ['instructions', 'string'],
  ['previous_response_id', 'string'],
  ['service_tier', 'string'],
  ['include', 'array'],
  ['tools', 'array'],
  ['text', 'object'],
  ['reasoning', 'object'],
  ['metadata', 'object'],
  ['stream_options', 'object'],
]

function typeOf(value: Json): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
}

function integerFault(value: Json, min: number, max: number): string | null {
  if (typeof value !== 'number') return `must be an integer, not ${typeOf(value)}`
  if (!Number.isSafeInteger(value)) return 'must be an integer'
  return value < min || value > max ? `must be between ${min} and ${max}` : null
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
  return null
}

/** What may stand in for the input: it holds the conversation, or the template of it. */
const INPUT_ELSEWHERE = ['previous_response_id', 'conversation', 'prompt']

function inputFault(body: JsonObject): string | null {
  const { input } = body
  if (typeof input === 'string') return input === '' ? 'must not be empty' : null
  if (isArray(input) && input.length > 0) return null
  const elsewhere = INPUT_ELSEWHERE.some((name) => body[name] !== undefined && body[name] !== null)
  const absent = input === undefined || input === null || (isArray(input) && input.length === 0)
  return absent && elsewhere ? null : 'must be text or a list of at least one item'
}

function withoutForeign(input: Json | undefined): readonly Json[] | null {
  if (!isArray(input)) return null
  const kept = input.filter((item) => !(isObject(item) && isForeign(item)))
  return kept.length === input.length ? null : kept
}

export function readRequest({ body, byteLength }: RequestInput): ResponsesRequestResult {
  const { model, max_output_tokens: limit, service_tier: tier, input } = body
  if (typeof model !== 'string' || model === '')
    return { ok: false, param: 'model', problem: 'must name a model' }
  const problem = inputFault(body)
  if (problem !== null) return { ok: false, param: 'input', problem }
  const found = memberFault(body)
  if (found !== null) return { ok: false, ...found }
  return {
    ok: true,
    request: {
      model,
      stream: body['stream'] === true,
      // The last event of a stream always has it.
      wantsUsage: true,
      maxOutputTokens: typeof limit === 'number' ? limit : null,
      choices: 1,
      serviceTier: typeof tier === 'string' ? tier.toLowerCase() : null,
      inputTokensMax: inputTokensMax(body, byteLength),
      webSearchCallsMax: webSearchCallsMax(body),
      background: body['background'] === true,
      inputForOpenAi: withoutForeign(input),
    },
  }
}

/** Members to set in the caller's own bytes for one upstream. */
export function passEdits(
  request: ResponsesFacts,
  call: UpstreamCallInput & { readonly maxOutputTokens: number | null },
): readonly MemberEdit[] {
  const edits: MemberEdit[] = []
  if (request.model !== call.upstreamModel)
    edits.push({ name: 'model', json: JSON.stringify(call.upstreamModel) })
  if (call.maxOutputTokens !== null && call.maxOutputTokens !== request.maxOutputTokens)
    edits.push({ name: 'max_output_tokens', json: String(call.maxOutputTokens) })
  if (request.inputForOpenAi !== null)
    edits.push({ name: 'input', json: JSON.stringify(request.inputForOpenAi) })
  return edits
}

const IMAGE_TOKENS_USUAL = 765
/** Bytes, not words: counted as text they would be dear. */
const OPAQUE = new Set(['image_url', 'file_data', 'file_url', 'encrypted_content', 'result', 'id', 'call_id'])

/** Input tokens by our own count, for when the upstream reports none. */
export function estimateInput(body: JsonObject): number {
  let tokens = 3
  const add = (value: Json | undefined): void => {
    if (typeof value === 'string') tokens += estimateTextTokens(value)
    else if (isArray(value)) value.forEach(add)
    else if (isObject(value)) {
      if (value['type'] === 'input_image') tokens += IMAGE_TOKENS_USUAL
      for (const [name, member] of Object.entries(value)) if (!OPAQUE.has(name)) add(member)
    }
  }
  add(body['instructions'])
  add(body['tools'])
  const { input } = body
  if (!isArray(input)) add(input)
  else
    for (const item of input) {
      tokens += 4
      add(item)
    }
  return tokens
}
