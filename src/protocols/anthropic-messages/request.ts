import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { MemberEdit } from '../json-span.ts'
import type { RequestFacts, RequestInput, RequestResult, UpstreamCallInput } from '../protocol.ts'
import { inputTokensMax, webSearchCallsMax } from './bound.ts'
import { BUDGET_MIN } from './models.ts'
import { placeOf } from './usage.ts'

/** What routing, holding and metering need of a Messages request; the rest of the body is not ours. */
export interface MessagesFacts extends RequestFacts {
  /** The format demands a limit. */
  readonly maxOutputTokens: number
  /** The caller's `thinking`, whose budget must stay below the limit when that is lowered. */
  readonly thinking: JsonObject | null
  /** The caller's `fallbacks`, none of which may go beyond a lowered limit. */
  readonly fallbacks: readonly JsonObject[]
}

interface Fault {
  readonly param: string
  readonly problem: string
}

/** An integer of [min, max]; JSON numbers such as 1e400 or 2^53 + 1 are no integers here. */
function integerFault(param: string, value: Json, min: number, max = Number.MAX_SAFE_INTEGER): Fault | null {
  if (typeof value !== 'number')
    return { param, problem: `must be an integer, not ${value === null ? 'null' : typeof value}` }
  if (!Number.isSafeInteger(value)) return { param, problem: 'must be an integer' }
  if (value < min) return { param, problem: `must be at least ${min}` }
  return value > max ? { param, problem: `must be at most ${max}` } : null
}

/** Members that must be of a type if they are there at all. */
const TYPES: ReadonlyArray<readonly [string, readonly string[]]> = [
  ['stream', ['boolean']],
  ['system', ['string', 'array']],
  ['tools', ['array']],
  ['tool_choice', ['object']],
  ['thinking', ['object']],
  ['output_config', ['object']],
  ['context_management', ['object']],
  ['stop_sequences', ['array']],
  ['service_tier', ['string']],
  ['speed', ['string']],
  ['metadata', ['object']],
  ['mcp_servers', ['array']],
]

function typeOf(value: Json): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
}

function typeFault(body: JsonObject): Fault | null {
  for (const [param, types] of TYPES) {
    const value = body[param]
    if (value === undefined || value === null) continue
    if (!types.includes(typeOf(value))) return { param, problem: `must be of type ${types.join(' or ')}` }
  }
  return null
}

function toolFault(body: JsonObject): Fault | null {
  const tools = isArray(body['tools']) ? body['tools'] : []
  for (const [index, tool] of tools.entries()) {
    if (!isObject(tool)) return { param: `tools[${index}]`, problem: 'must be an object' }
    const uses = tool['max_uses']
    const fault =
      uses === undefined || uses === null ? null : integerFault(`tools[${index}].max_uses`, uses, 1, 1_000)
    if (fault !== null) return fault
  }
  return null
}

/** A fallback may not take more output than the request is held for. */
function fallbackFault(body: JsonObject, limit: number): Fault | null {
  const fallbacks = isArray(body['fallbacks']) ? body['fallbacks'] : []
  if (fallbacks.length > 8) return { param: 'fallbacks', problem: 'must have at most 8 entries' }
  for (const [index, fallback] of fallbacks.entries()) {
    const own = isObject(fallback) ? fallback['max_tokens'] : undefined
    const fault =
      own === undefined || own === null ? null : integerFault(`fallbacks[${index}].max_tokens`, own, 1, limit)
    if (fault !== null) return fault
  }
  return null
}

/** Models that may answer or be asked besides: of fallbacks, and of the tool that asks an advisor. */
function otherModels(body: JsonObject): readonly string[] {
  const listed = (name: string): readonly JsonObject[] =>
    isArray(body[name]) ? body[name].filter((item) => isObject(item)) : []
  const advisors = listed('tools').filter(
    ({ type }) => typeof type === 'string' && type.startsWith('advisor'),
  )
  const names = [...listed('fallbacks'), ...advisors].map(({ model }) => model)
  return [...new Set(names.filter((name) => typeof name === 'string'))]
}

function messagesFault(messages: Json | undefined): Fault | null {
  if (!isArray(messages) || messages.length === 0)
    return { param: 'messages', problem: 'must be a list of at least one message' }
  const bad = messages.findIndex((message) => !isObject(message))
  return bad === -1 ? null : { param: `messages[${bad}]`, problem: 'must be an object' }
}

function thinkingFault(body: JsonObject): Fault | null {
  const thinking = body['thinking']
  const budget = isObject(thinking) ? thinking['budget_tokens'] : undefined
  return budget === undefined ? null : integerFault('thinking.budget_tokens', budget, 1)
}

/** Fast mode has a price of its own, and answers name it before the tier: what is held must be held at that price. */
function tierAsked(body: JsonObject): string | null {
  if (body['speed'] === 'fast') return 'fast'
  return typeof body['service_tier'] === 'string' ? body['service_tier'].toLowerCase() : null
}

export function readRequest(input: RequestInput): RequestResult<MessagesFacts> {
  const { body, byteLength } = input
  const { model } = body
  if (typeof model !== 'string' || model === '')
    return { ok: false, param: 'model', problem: 'must name a model' }
  const limit = body['max_tokens']
  if (limit === undefined) return { ok: false, param: 'max_tokens', problem: 'is required' }
  const fault =
    integerFault('max_tokens', limit, 1) ??
    messagesFault(body['messages']) ??
    typeFault(body) ??
    toolFault(body) ??
    thinkingFault(body) ??
    (typeof limit === 'number' ? fallbackFault(body, limit) : null)
  const messages = body['messages']
  if (fault !== null || typeof limit !== 'number' || !isArray(messages))
    return { ok: false, ...(fault ?? { param: 'messages', problem: 'must be a list' }) }
  return {
    ok: true,
    request: {
      model,
      stream: body['stream'] === true,
      wantsUsage: true,
      maxOutputTokens: limit,
      choices: 1,
      serviceTier: tierAsked(body),
      ...placeOf(body['inference_geo']),
      inputTokensMax: inputTokensMax(body, messages, byteLength),
      webSearchCallsMax: webSearchCallsMax(body),
      thinking: isObject(body['thinking']) ? body['thinking'] : null,
      fallbacks: isArray(body['fallbacks']) ? body['fallbacks'].filter(isObject) : [],
      otherModels: otherModels(body),
    },
  }
}

/**
 * The members to set for one upstream.
 * A budget that no longer fits below a lowered limit is lowered with it, or the provider would refuse the request.
 */
export function passEdits(
  request: MessagesFacts,
  call: UpstreamCallInput & { readonly maxOutputTokens: number | null },
): MemberEdit[] {
  const edits: MemberEdit[] = []
  if (request.model !== call.upstreamModel)
    edits.push({ name: 'model', json: JSON.stringify(call.upstreamModel) })
  const limit = call.maxOutputTokens
  if (limit === null || limit === request.maxOutputTokens) return edits
  edits.push({ name: 'max_tokens', json: String(limit) })
  const isAbove = ({ max_tokens: own }: JsonObject): boolean => typeof own === 'number' && own > limit
  if (request.fallbacks.some(isAbove)) {
    const capped = request.fallbacks.map((one) => (isAbove(one) ? { ...one, max_tokens: limit } : one))
    edits.push({ name: 'fallbacks', json: JSON.stringify(capped) })
  }
  const budget = request.thinking?.['budget_tokens']
  if (typeof budget === 'number' && budget >= limit) {
    const thinking =
      limit > BUDGET_MIN ? { ...request.thinking, budget_tokens: limit - 1 } : { type: 'disabled' }
    edits.push({ name: 'thinking', json: JSON.stringify(thinking) })
  }
  return edits
}
