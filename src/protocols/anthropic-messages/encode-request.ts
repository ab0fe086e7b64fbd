import { isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { EncodeResult, NeutralFormat, NeutralRequest, NeutralTool } from '../neutral.ts'
import type { EncodeCallInput } from '../protocol.ts'
import { FORMAT_NAME } from './decode-settings.ts'
import { encodeConversation } from './encode-messages.ts'
import { cacheControl } from './encode-parts.ts'
import { planThinking, type ThinkingPlan } from './encode-thinking.ts'
import { type ModelTraits, traitsOf } from './models.ts'
import { Notes, Refusal, refusable } from './notes.ts'

const TOOL_NAME = /^[a-zA-Z0-9_-]{1,128}$/

/** The format has no mode for JSON without a schema. */
const JSON_INSTRUCTION =
  'Answer with a single valid JSON object and nothing else: no explanation and no Markdown fence.'

function encodeTool(tool: NeutralTool, path: string, traits: ModelTraits, notes: Notes): JsonObject {
  if (!TOOL_NAME.test(tool.name))
    throw new Refusal(
      `${path}.name`,
      'must be 1 to 128 letters, digits, underscores or hyphens for this model',
    )
  const type = tool.parameters['type']
  const strict = tool.strict !== null && traits.strictTools
  if (tool.strict === true && !strict) notes.drop(`${path}.strict`)
  return {
    name: tool.name,
    ...(tool.description === null ? {} : { description: tool.description }),
    input_schema: type === undefined ? { type: 'object', ...tool.parameters } : tool.parameters,
    ...(strict ? { strict: tool.strict } : {}),
    ...cacheControl(tool.cache),
  }
}

/** The provider refuses a history of calls without tools; the names of the history stand in for them. */
function toolsOfHistory(request: NeutralRequest): JsonObject[] {
  const names = new Set<string>()
  for (const message of request.messages)
    for (const part of message.parts)
      if (part.kind === 'tool_call' && TOOL_NAME.test(part.name)) names.add(part.name)
  return [...names].map((name) => ({ name, input_schema: { type: 'object' } }))
}

function toolMembers(request: NeutralRequest, traits: ModelTraits, notes: Notes): JsonObject {
  const { toolChoice, parallelTools } = request
  const kind = toolChoice?.kind ?? null
  if (request.tools.length === 0) {
    if (kind === 'required' || kind === 'tool') throw new Refusal('tool_choice', 'needs tools')
    const tools = toolsOfHistory(request)
    return tools.length === 0 ? {} : { tools, tool_choice: { type: 'none' } }
  }
  const tools = request.tools.map((tool, index) => encodeTool(tool, `tools[${index}]`, traits, notes))
  const parallel = parallelTools === null ? {} : { disable_parallel_tool_use: !parallelTools }
  if (kind === null && parallelTools === null) return { tools }
  if (kind === 'none') return { tools, tool_choice: { type: 'none' } }
  if (toolChoice?.kind === 'tool')
    return { tools, tool_choice: { type: 'tool', name: toolChoice.name, ...parallel } }
  return { tools, tool_choice: { type: kind === 'required' ? 'any' : 'auto', ...parallel } }
}

/** Sub-schemas that may be objects themselves. */
const LISTS = ['anyOf', 'allOf', 'oneOf', 'prefixItems']
const MAPS = ['properties', '$defs', 'definitions']

/**
 * The provider wants every object closed. What answers the closed schema answers the open one too, so closing it keeps
 * the promise.
 */
function closed(schema: Json): Json {
  if (!isObject(schema)) return schema
  const copy: Record<string, Json> = { ...schema }
  for (const name of LISTS) {
    const list = copy[name]
    if (Array.isArray(list)) copy[name] = list.map(closed)
  }
  for (const name of MAPS) {
    const map = copy[name]
    if (isObject(map))
      copy[name] = Object.fromEntries(Object.entries(map).map(([key, value]) => [key, closed(value)]))
  }
  if (copy['items'] !== undefined) copy['items'] = closed(copy['items'])
  const isObjectSchema = copy['type'] === 'object' || copy['properties'] !== undefined
  if (isObjectSchema && copy['additionalProperties'] === undefined) copy['additionalProperties'] = false
  return copy
}

function formatMember(format: NeutralFormat, traits: ModelTraits, notes: Notes): JsonObject {
  if (format.kind !== 'schema') return {}
  if (!traits.claude) throw new Refusal('response_format', 'this model cannot be held to a JSON schema')
  if (format.name !== FORMAT_NAME) notes.drop('response_format.name')
  if (format.description !== null) notes.drop('response_format.description')
  return { format: { type: 'json_schema', schema: closed(format.schema) } }
}

function instructions(format: NeutralFormat, notes: Notes): string[] {
  if (format.kind !== 'json') return []
  notes.drop('response_format')
  return [JSON_INSTRUCTION]
}

/** Sampling as far as the model takes it: it is a wish about style, so what does not fit is left out and listed. */
function sampling(
  request: NeutralRequest,
  traits: ModelTraits,
  plan: ThinkingPlan,
  notes: Notes,
): JsonObject {
  const members: Record<string, number> = {}
  const type = plan.thinking?.['type']
  const thinks = type === 'enabled' || type === 'adaptive'
  const { temperature, topP, topK } = request
  if (temperature !== null) {
    if (!traits.sampling || (thinks && temperature !== 1)) notes.drop('temperature')
    else members['temperature'] = Math.min(temperature, 1)
    if (traits.sampling && !thinks && temperature > 1) notes.drop('temperature')
  }
  if (topP !== null) {
    const taken = traits.oneSampler && members['temperature'] !== undefined
    if (!traits.sampling || taken || (thinks && topP < 0.95)) notes.drop('top_p')
    else members['top_p'] = topP
  }
  if (topK !== null) {
    if (!traits.sampling || thinks) notes.drop('top_k')
    else members['top_k'] = topK
  }
  return members
}

function tierMember(tier: string | null, notes: Notes): JsonObject {
  if (tier === null) return {}
  if (tier === 'auto') return { service_tier: 'auto' }
  if (tier === 'default' || tier === 'standard' || tier === 'standard_only')
    return { service_tier: 'standard_only' }
  notes.drop('service_tier')
  return {}
}

/** What the format has no word for. */
function checkUncarried(request: NeutralRequest, notes: Notes): void {
  if (request.choices > 1) throw new Refusal('n', 'this model gives one answer to a request')
  if (request.logprobs !== null) throw new Refusal('logprobs', 'this model reports no probabilities')
  if (request.seed !== null) notes.drop('seed')
  if ((request.presencePenalty ?? 0) !== 0) notes.drop('presence_penalty')
  if ((request.frequencyPenalty ?? 0) !== 0) notes.drop('frequency_penalty')
}

/** Stop sequences of white space alone are refused. */
function stopMember(stops: readonly string[], notes: Notes): JsonObject {
  const kept = stops.filter((stop, index) => {
    const visible = stop.trim() !== ''
    if (!visible) notes.drop(`stop[${index}]`)
    return visible
  })
  return kept.length === 0 ? {} : { stop_sequences: kept }
}

function encode(request: NeutralRequest, call: EncodeCallInput): EncodeResult {
  const notes = new Notes(request.dropped)
  checkUncarried(request, notes)
  const traits = traitsOf(call.upstreamModel)
  const maxTokens = call.maxOutputTokens ?? request.maxOutputTokens ?? call.modelMaxOutputTokens
  const { system, messages } = encodeConversation(request, instructions(request.format, notes), notes)
  const tools = toolMembers(request, traits, notes)
  const plan = planThinking(request, traits, maxTokens, notes)
  const config = {
    ...(plan.effort === null ? {} : { effort: plan.effort }),
    ...formatMember(request.format, traits, notes),
  }
  const body: JsonObject = {
    model: call.upstreamModel,
    max_tokens: maxTokens,
    ...(system === null ? {} : { system }),
    messages,
    ...tools,
    ...(plan.thinking === null ? {} : { thinking: plan.thinking }),
    ...(Object.keys(config).length === 0 ? {} : { output_config: config }),
    ...sampling(request, traits, plan, notes),
    ...stopMember(request.stop, notes),
    ...(request.user === null ? {} : { metadata: { user_id: request.user } }),
    ...tierMember(request.serviceTier, notes),
    ...(call.stream ? { stream: true } : {}),
  }
  return { ok: true, body, dropped: notes.dropped }
}

/**
 * The request for one upstream. A limit is always sent, for the format demands one: the gateway's where it sets one, else
 * the request's own, else the model's.
 */
export function encodeRequest(request: NeutralRequest, call: EncodeCallInput): EncodeResult {
  return refusable(() => encode(request, call))
}
