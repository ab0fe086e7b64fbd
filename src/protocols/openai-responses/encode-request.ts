import type { Json, JsonObject } from '../../kernel/index.ts'
import type {
  EncodeResult,
  NeutralFormat,
  NeutralReasoning,
  NeutralRequest,
  NeutralTool,
} from '../neutral.ts'
import type { EncodeCallInput } from '../protocol.ts'
import { writeInput } from './encode-input.ts'
import { Notes } from './notes.ts'

/** A neutral request as one of this format, for one upstream model. */

/** What is not said to be strict is taken for strict by this format alone. */
function writeTool(tool: NeutralTool, notes: Notes): JsonObject {
  if (tool.cache !== undefined) notes.drop('cache')
  return {
    type: 'function',
    name: tool.name,
    ...(tool.description === null ? {} : { description: tool.description }),
    parameters: tool.parameters,
    strict: tool.strict ?? false,
  }
}

function writeTools(request: NeutralRequest, notes: Notes): JsonObject {
  const { tools, toolChoice, parallelTools } = request
  const demanded = toolChoice?.kind === 'required' || toolChoice?.kind === 'tool'
  if (tools.length === 0) {
    if (demanded) notes.refuse('tool_choice', 'demands a tool, but the request has none')
    return {}
  }
  const choice: Json =
    toolChoice?.kind === 'tool' ? { type: 'function', name: toolChoice.name } : (toolChoice?.kind ?? null)
  return {
    tools: tools.map((tool) => writeTool(tool, notes)),
    ...(choice === null ? {} : { tool_choice: choice }),
    ...(parallelTools === null ? {} : { parallel_tool_calls: parallelTools }),
  }
}

function writeFormat(format: NeutralFormat): JsonObject {
  if (format.kind === 'text') return {}
  if (format.kind === 'json') return { text: { format: { type: 'json_object' } } }
  const { name, schema, strict, description } = format
  return {
    text: {
      format: {
        type: 'json_schema',
        name,
        schema,
        ...(strict === null ? {} : { strict }),
        ...(description === null ? {} : { description }),
      },
    },
  }
}

/** OpenAI's models that do not think refuse every word about it; of others nobody knows. */
const THINKS_NOT = /(?:^|\/)(?:gpt-(?:3|4)|chatgpt-4)/
const SEALS_THOUGHT = /(?:^|\/)(?:gpt-[5-9]|o[1-9]|codex)/
const OPENAI = /(?:^|\/)(?:gpt-|chatgpt-|o[1-9]|codex)/

/** What OpenAI answers 400 below. */
const LIMIT_MIN = 16

/** The effort that comes nearest to a budget of thinking tokens. */
function effortOf({ effort, budgetTokens }: NeutralReasoning): string | null {
  if (effort !== null || budgetTokens === null) return effort
  if (budgetTokens <= 2048) return 'low'
  return budgetTokens <= 16_384 ? 'medium' : 'high'
}

function writeReasoning(reasoning: NeutralReasoning | null, model: string, notes: Notes): JsonObject {
  if (reasoning === null) return {}
  if (THINKS_NOT.test(model)) {
    notes.drop('reasoning')
    return {}
  }
  if (reasoning.budgetTokens !== null) notes.drop('reasoning.budget_tokens')
  const effort = effortOf(reasoning)
  const shown = reasoning.visible === true
  if (effort === null && !shown) return {}
  return {
    reasoning: { ...(effort === null ? {} : { effort }), ...(shown ? { summary: 'auto' } : {}) },
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
  ultrafast: 'ultrafast',
  standard: 'default',
  standard_only: 'default',
}

function writeTier(tier: string | null, notes: Notes): JsonObject {
  if (tier === null) return {}
  const known = TIERS[tier.toLowerCase()]
  if (known === undefined) notes.drop('service_tier')
  return known === undefined ? {} : { service_tier: known }
}

function writeSampling(request: NeutralRequest, notes: Notes): JsonObject {
  const { temperature, topP, topK, seed, presencePenalty, frequencyPenalty, stop, choices } = request
  if (choices > 1) notes.refuse('n', 'this model’s provider gives one answer a request')
  if (stop.length > 0) notes.refuse('stop', 'this model’s provider knows no stop sequences')
  if (topK !== null) notes.drop('top_k')
  if (seed !== null) notes.drop('seed')
  if ((presencePenalty ?? 0) !== 0) notes.drop('presence_penalty')
  if ((frequencyPenalty ?? 0) !== 0) notes.drop('frequency_penalty')
  return {
    ...(temperature === null ? {} : { temperature }),
    ...(topP === null ? {} : { top_p: topP }),
  }
}

/** What the answer should hold besides its words. */
function writeInclude(request: NeutralRequest, model: string): JsonObject {
  const { logprobs } = request
  const include = [
    ...(SEALS_THOUGHT.test(model) ? ['reasoning.encrypted_content'] : []),
    ...(logprobs === null ? [] : ['message.output_text.logprobs']),
  ]
  return {
    ...(include.length === 0 ? {} : { include }),
    ...(logprobs === null || logprobs === 0 ? {} : { top_logprobs: logprobs }),
  }
}

function writeLimit(limit: number | null, model: string, notes: Notes): JsonObject {
  if (limit === null) return {}
  if (limit < LIMIT_MIN && OPENAI.test(model))
    notes.refuse('max_output_tokens', `this model’s provider takes no limit below ${LIMIT_MIN}`)
  return { max_output_tokens: limit }
}

/** OpenAI refuses a longer one, and Claude Code writes JSON of some 170 characters there. */
const USER_MAX = 64

function writeUser(user: string | null, notes: Notes): JsonObject {
  if (user === null) return {}
  if (user.length <= USER_MAX) return { user }
  notes.drop('user')
  return {}
}

export function encodeRequest(request: NeutralRequest, call: EncodeCallInput): EncodeResult {
  const { upstreamModel: model } = call
  const notes = new Notes(request.dropped)
  const body: JsonObject = {
    model,
    ...writeInput(request, notes),
    ...writeTools(request, notes),
    ...writeFormat(request.format),
    ...writeSampling(request, notes),
    ...writeReasoning(request.reasoning, model, notes),
    ...writeInclude(request, model),
    ...writeLimit(call.maxOutputTokens ?? request.maxOutputTokens, model, notes),
    ...writeTier(request.serviceTier, notes),
    ...writeUser(request.user, notes),
    stream: call.stream,
    // Nobody asked the upstream to keep it, and nobody could ask for it back.
    store: false,
  }
  const { fault } = notes
  return fault === null ? { ok: true, body, dropped: notes.dropped } : { ok: false, ...fault }
}
