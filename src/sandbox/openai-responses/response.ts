import { isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { objectAt } from '../members.ts'
import { isReasoner } from '../openai-chat/dialects.ts'
import { servedTier } from '../openai-chat/render.ts'
import type { CachedPrompt } from '../plan.ts'
import type { Switches } from '../switches.ts'
import { usageText } from '../usage-text.ts'
import { type ItemStatus, itemJson, type OutputItem } from './output.ts'
import type { ResponsesRequest } from './request.ts'

export interface ResponseCounts extends CachedPrompt {
  readonly output: number
  readonly reasoning: number
}

export interface ResponseFacts {
  readonly id: string
  readonly createdS: number
  readonly model: string
  /** gpt-5.6 and later: cache writes, tool_usage, phases. */
  readonly recent: boolean
  readonly request: ResponsesRequest
  readonly switches: Switches
  readonly output: readonly OutputItem[]
  /** True where the limit ended the answer. */
  readonly limited: boolean
  readonly counts: ResponseCounts
  readonly endless: (() => string) | null
}

export interface ResponseState {
  readonly status: 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled'
  readonly output: readonly JsonObject[]
  /** JSON text. */
  readonly usage: string | null
  readonly error?: JsonObject
}

export function isRecent(model: string): boolean {
  return /gpt-(?:5\.[6-9]|[6-9]|\d\d)/.test(model.toLowerCase())
}

export function beginning(status: 'queued' | 'in_progress'): ResponseState {
  return { status, output: [], usage: 'null' }
}

export function ending(facts: ResponseFacts): ResponseState {
  const status = facts.limited ? 'incomplete' : 'completed'
  return { status, output: outputJson(facts), usage: responseUsage(facts) }
}

/** The output as it stands at the end; only the last item can be one that the limit cut. */
export function outputJson({ output, limited }: ResponseFacts): readonly JsonObject[] {
  return output.map((item, index) => itemJson(item, itemStatus(limited && index === output.length - 1)))
}

export function itemStatus(cut: boolean): ItemStatus {
  return cut ? 'incomplete' : 'completed'
}

/** The response object; members in the recorded order. */
export function responseJson(facts: ResponseFacts, state: ResponseState): string {
  const { head, tail } = facts.recent ? recentMembers(facts, state) : earlierMembers(facts, state)
  // Usage is spliced in as text, since a switch may have put text there that no JavaScript value prints as.
  const usage = state.usage === null ? '' : `,"usage":${state.usage}`
  return `${JSON.stringify(head).slice(0, -1)}${usage},${JSON.stringify(tail).slice(1)}`
}

interface Members {
  readonly head: JsonObject
  readonly tail: JsonObject
}

function earlierMembers(facts: ResponseFacts, state: ResponseState): Members {
  const { id, createdS, model, request } = facts
  const { body } = request
  const asked = (name: string, otherwise: Json = null): Json => body[name] ?? otherwise
  return {
    head: {
      id,
      object: 'response',
      created_at: createdS,
      status: state.status,
      background: request.background,
      billing: { payer: 'developer' },
      error: state.error ?? null,
      incomplete_details: incompleteOf(state),
      instructions: asked('instructions'),
      max_output_tokens: asked('max_output_tokens'),
      max_tool_calls: asked('max_tool_calls'),
      model,
      output: state.output,
      parallel_tool_calls: request.parallelTools,
      previous_response_id: asked('previous_response_id'),
      prompt_cache_key: asked('prompt_cache_key'),
      prompt_cache_retention: asked('prompt_cache_retention'),
      reasoning: reasoningOf(facts),
      safety_identifier: asked('safety_identifier'),
      service_tier: tierOf(facts, state),
      store: request.stored,
      temperature: asked('temperature', 1),
      text: textOf(request),
      tool_choice: asked('tool_choice', 'auto'),
      tools: toolsOf(request),
      top_logprobs: request.topLogprobs,
      top_p: asked('top_p', 1),
      truncation: asked('truncation', 'disabled'),
    },
    tail: { user: asked('user'), metadata: asked('metadata', {}) },
  }
}

function recentMembers(facts: ResponseFacts, state: ResponseState): Members {
  const { head, tail } = earlierMembers(facts, state)
  const { request, createdS } = facts
  const { body } = request
  const done = state.status === 'completed' || state.status === 'incomplete'
  return {
    head: {
      ...head,
      completed_at: done ? createdS : null,
      frequency_penalty: body['frequency_penalty'] ?? 0,
      moderation: null,
      presence_penalty: body['presence_penalty'] ?? 0,
      prompt_cache_options: body['prompt_cache_options'] ?? { mode: 'implicit', ttl: '30m' },
      reasoning: { context: 'all_turns', mode: 'standard', ...reasoningOf(facts) },
      tool_usage: toolUsage(facts),
    },
    tail,
  }
}

function incompleteOf({ status }: ResponseState): Json {
  return status === 'incomplete' ? { reason: 'max_output_tokens' } : null
}

function reasoningOf({ request, model, recent }: ResponseFacts): JsonObject {
  const { context, mode } = objectAt(request.body, 'reasoning')
  return {
    effort: request.effort || (isReasoner(model) ? 'medium' : null),
    summary: request.summary || null,
    ...(recent && context !== undefined ? { context } : {}),
    ...(recent && mode !== undefined ? { mode } : {}),
  }
}

/** Only the end says which tier served; before that it is what was asked. */
function tierOf({ request }: ResponseFacts, { status }: ResponseState): string {
  const asked = request.body['service_tier']
  const tier = typeof asked === 'string' ? asked : 'auto'
  return status === 'completed' || status === 'incomplete' ? servedTier(tier) : tier
}

function textOf({ body }: ResponsesRequest): JsonObject {
  const { format, verbosity } = objectAt(body, 'text')
  return {
    format: isObject(format) ? shownFormat(format) : { type: 'text' },
    verbosity: verbosity ?? 'medium',
  }
}

function shownFormat(format: JsonObject): JsonObject {
  if (format['type'] !== 'json_schema') return format
  const { description, name, schema, strict } = format
  return {
    type: 'json_schema',
    description: description ?? null,
    name: name ?? null,
    schema: schema ?? null,
    strict: strict ?? true,
  }
}

function toolsOf({ body }: ResponsesRequest): Json {
  const { tools } = body
  if (!Array.isArray(tools)) return []
  return (tools as readonly Json[]).map((tool) =>
    isObject(tool) && tool['type'] === 'function' ? shownFunction(tool) : tool,
  )
}

function shownFunction({ type, description, name, parameters, strict, ...more }: JsonObject): JsonObject {
  return {
    type: type ?? null,
    description: description ?? null,
    name: name ?? null,
    parameters: parameters ?? null,
    strict: strict ?? true,
    ...more,
  }
}

function toolUsage({ output }: ResponseFacts): JsonObject {
  const none = { image_tokens: 0, text_tokens: 0 }
  return {
    image_gen: {
      input_tokens: 0,
      input_tokens_details: none,
      output_tokens: 0,
      output_tokens_details: none,
      total_tokens: 0,
    },
    web_search: { num_requests: output.filter(({ kind }) => kind === 'search').length },
  }
}

function responseUsage({ counts, recent, switches }: ResponseFacts): string | null {
  return usageText(usageTree(counts, recent), switches)
}

export function usageTree(counts: ResponseCounts, recent: boolean): JsonObject {
  const { prompt, cacheRead, cacheWritten, output, reasoning } = counts
  return {
    input_tokens: prompt,
    input_tokens_details: {
      cached_tokens: cacheRead,
      ...(recent ? { cache_write_tokens: cacheWritten } : {}),
    },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: reasoning },
    total_tokens: prompt + output,
  }
}
