import type { Json, JsonObject } from '../../kernel/index.ts'
import type { EncodeResult, NeutralFormat, NeutralRequest, NeutralTool } from '../neutral.ts'
import type { EncodeCallInput } from '../protocol.ts'
import { encodeMessages } from './encode-messages.ts'
import { Notes } from './notes.ts'
import { writeReasoning } from './reasoning.ts'
import { limitFieldFor } from './request.ts'

/** A neutral request into a chat request for one upstream model. */

function writeTool(tool: NeutralTool): JsonObject {
  return {
    type: 'function',
    function: {
      name: tool.name,
      ...(tool.description === null ? {} : { description: tool.description }),
      parameters: tool.parameters,
      ...(tool.strict === null ? {} : { strict: tool.strict }),
    },
  }
}

/** Without tools the members about them are refused by OpenAI. */
function writeTools(request: NeutralRequest, notes: Notes): JsonObject {
  const { tools, toolChoice, parallelTools } = request
  if (tools.some((tool) => tool.cache !== undefined)) notes.drop('tools[].cache_control')
  if (tools.length === 0) {
    if (toolChoice?.kind === 'required' || toolChoice?.kind === 'tool')
      notes.refuse('tool_choice', 'demands a tool, but the request has none')
    return {}
  }
  const choice: Json | null =
    toolChoice === null
      ? null
      : toolChoice.kind === 'tool'
        ? { type: 'function', function: { name: toolChoice.name } }
        : toolChoice.kind
  return {
    tools: tools.map(writeTool),
    ...(choice === null ? {} : { tool_choice: choice }),
    ...(parallelTools === null ? {} : { parallel_tool_calls: parallelTools }),
  }
}

function writeFormat(format: NeutralFormat): JsonObject {
  if (format.kind === 'text') return {}
  if (format.kind === 'json') return { response_format: { type: 'json_object' } }
  const { name, schema, strict, description } = format
  return {
    response_format: {
      type: 'json_schema',
      json_schema: {
        name,
        ...(description === null ? {} : { description }),
        schema,
        ...(strict === null ? {} : { strict }),
      },
    },
  }
}

/** Words for the class of service that other formats have, in OpenAI's. */
const TIERS: Readonly<Record<string, string>> = {
  auto: 'auto',
  default: 'default',
  flex: 'flex',
  scale: 'scale',
  priority: 'priority',
  fast: 'fast',
  standard: 'default',
  standard_only: 'default',
}

function writeTier(tier: string | null, notes: Notes): JsonObject {
  if (tier === null) return {}
  const known = TIERS[tier.toLowerCase()]
  if (known === undefined) notes.drop('service_tier')
  return known === undefined ? {} : { service_tier: known }
}

/** Members that are left out when the request says nothing about them. */
/** OpenAI refuses a longer one, and Claude Code writes JSON of some 170 characters there. */
const USER_MAX = 64

function writeUser(user: string | null, notes: Notes): string | null {
  if (user === null || user.length <= USER_MAX) return user
  notes.drop('user')
  return null
}

function optional(members: Readonly<Record<string, Json | null>>): JsonObject {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null))
}

export function encodeRequest(request: NeutralRequest, call: EncodeCallInput): EncodeResult {
  const notes = new Notes(request.dropped)
  if (request.topK !== null) notes.drop('top_k')
  const limit = call.maxOutputTokens ?? request.maxOutputTokens
  const body: JsonObject = {
    model: call.upstreamModel,
    messages: encodeMessages(request, call.upstreamModel, notes),
    ...(call.stream ? { stream: true } : {}),
    ...(call.stream && call.withoutUsage !== true ? { stream_options: { include_usage: true } } : {}),
    ...(limit === null ? {} : { [limitFieldFor(call.upstreamModel)]: limit }),
    ...writeTools(request, notes),
    ...writeFormat(request.format),
    ...writeReasoning(request.reasoning, call.upstreamModel, notes),
    ...writeTier(request.serviceTier, notes),
    ...optional({
      temperature: request.temperature,
      top_p: request.topP,
      presence_penalty: request.presencePenalty,
      frequency_penalty: request.frequencyPenalty,
      seed: request.seed,
      stop: request.stop.length === 0 ? null : request.stop,
      n: request.choices === 1 ? null : request.choices,
      logprobs: request.logprobs === null ? null : true,
      top_logprobs: request.logprobs === null || request.logprobs === 0 ? null : request.logprobs,
      user: writeUser(request.user, notes),
    }),
  }
  return notes.fault === null ? { ok: true, body, dropped: notes.dropped } : { ok: false, ...notes.fault }
}
