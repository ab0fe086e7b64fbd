import type { JsonObject } from '../../kernel/index.ts'
import type { Switches } from '../switches.ts'
import { usageText } from '../usage-text.ts'
import type { Dialect } from './dialects.ts'
import type { InputCounts } from './prompt-cache.ts'
import type { MessagesRequest } from './request.ts'

export interface UsageFacts {
  readonly input: InputCounts
  readonly outputTokens: number
  readonly thinkingTokens: number
  /** Searches the provider ran; each brings results that are input of the next round. */
  readonly searches: number
  readonly askedModel: string
  readonly servedModel: string
  readonly dialect: Dialect
  readonly request: MessagesRequest
  readonly switches: Switches
}

export const SEARCH_RESULT_TOKENS = 100
export const ADVISOR_MODEL = 'claude-opus-4-7'
/** Round numbers, so that a test of a bill can be worked out by hand. */
const COMPACTION = { input: 5000, output: 300 }
const ADVISOR = { input: 700, output: 120 }

/** Usage of an answer that is no stream, as JSON text. */
export function wholeUsage(facts: UsageFacts): string | null {
  const { switches } = facts
  const { cache_creation: split, ...counts } = inputTree(totalInput(facts))
  const lost = switches.flags.has('split-lost') && facts.input.written5m + facts.input.written1h > 0
  const tree = {
    ...counts,
    ...(lost ? {} : { cache_creation: split ?? null }),
    ...iterationsOf(facts),
    output_tokens: facts.outputTokens,
    ...thinkingOf(facts),
    ...servedOf(facts),
    ...serverToolsOf(facts),
  }
  return usageText(tree, switches)
}

/** Usage in message_start: the input, and one token of output. */
export function startUsage(facts: UsageFacts): string | null {
  const { input, switches } = facts
  const lost = switches.flags.has('split-lost')
  const shown = lost ? { ...input, written5m: input.written5m >> 1, written1h: input.written1h >> 1 } : input
  const tree = { ...inputTree(shown), output_tokens: 1, ...servedOf(facts) }
  return usageText(tree, switches, { takes: ([name = '']) => !DELTA_ONLY.has(name) })
}

/** Usage in message_delta: cumulative, and without the split of cache writes. */
export function deltaUsage(facts: UsageFacts): string | null {
  const { cache_creation: _, ...counts } = inputTree(totalInput(facts))
  const tree = {
    ...counts,
    output_tokens: facts.outputTokens,
    ...thinkingOf(facts),
    ...serverToolsOf(facts),
    ...iterationsOf(facts),
  }
  return usageText(tree, facts.switches, { takes: ([name = '']) => !START_ONLY.has(name) })
}

const START_ONLY = new Set(['cache_creation', 'service_tier', 'inference_geo', 'speed'])
const DELTA_ONLY = new Set(['output_tokens', 'output_tokens_details', 'server_tool_use', 'iterations'])

function inputTree({ plain, read, written5m, written1h }: InputCounts): JsonObject {
  return {
    input_tokens: plain,
    cache_creation_input_tokens: written5m + written1h,
    cache_read_input_tokens: read,
    cache_creation: { ephemeral_5m_input_tokens: written5m, ephemeral_1h_input_tokens: written1h },
  }
}

/** With several rounds the top level is their sum: what the first one read is read again by the second. */
function totalInput({ input, searches, switches }: UsageFacts): InputCounts {
  const plain = input.plain + searches * SEARCH_RESULT_TOKENS
  return { ...input, plain: switches.flags.has('iterations') ? plain + secondInput(input) : plain }
}

function secondInput({ plain, read, written5m, written1h }: InputCounts): number {
  return plain + read + written5m + written1h + ADVISOR.output
}

function thinkingOf({ dialect, thinkingTokens }: UsageFacts): JsonObject {
  if (!dialect.outputDetails || thinkingTokens === 0) return {}
  return { output_tokens_details: { thinking_tokens: thinkingTokens } }
}

function servedOf({ request, dialect }: UsageFacts): JsonObject {
  return {
    service_tier: 'standard',
    inference_geo: request.geo === '' ? dialect.geo : request.geo,
    ...(request.speed === 'fast' ? { speed: 'fast' } : {}),
  }
}

function serverToolsOf({ searches, switches }: UsageFacts): JsonObject {
  if (searches === 0 && !switches.flags.has('iterations')) return {}
  return { server_tool_use: { web_search_requests: searches, web_fetch_requests: 0 } }
}

const NOTHING: InputCounts = { plain: 0, read: 0, written5m: 0, written1h: 0 }

function iterationsOf(facts: UsageFacts): JsonObject {
  const { input, outputTokens, switches, searches } = facts
  if (switches.texts.fallback !== undefined) return { iterations: fallbackIterations(facts) }
  if (!switches.flags.has('iterations')) return {}
  const first = outputTokens >> 2
  const before = { ...input, plain: input.plain + searches * SEARCH_RESULT_TOKENS }
  const after = { ...NOTHING, plain: secondInput(input) }
  const advised = { ...NOTHING, plain: ADVISOR.input }
  return {
    iterations: [
      iteration({ ...NOTHING, plain: COMPACTION.input }, COMPACTION.output, { type: 'compaction' }),
      iteration(before, first, { type: 'message' }),
      iteration(advised, ADVISOR.output, { type: 'advisor_message', model: ADVISOR_MODEL }),
      iteration(after, outputTokens - first, { type: 'message' }),
    ],
  }
}

function iteration(input: InputCounts, output: number, more: JsonObject): JsonObject {
  const { input_tokens, cache_read_input_tokens, cache_creation_input_tokens, cache_creation } =
    inputTree(input)
  return {
    input_tokens: input_tokens ?? 0,
    output_tokens: output,
    cache_read_input_tokens: cache_read_input_tokens ?? 0,
    cache_creation_input_tokens: cache_creation_input_tokens ?? 0,
    cache_creation: cache_creation ?? null,
    ...more,
  }
}

/** The asked model gives nothing, the one it falls back to all; only the latter is at the top level. */
function fallbackIterations(facts: UsageFacts): readonly JsonObject[] {
  const { askedModel, servedModel, outputTokens } = facts
  const { cache_creation: _, ...counts } = inputTree(totalInput(facts))
  return [
    { type: 'message', model: askedModel, ...counts, output_tokens: 0 },
    { type: 'fallback_message', model: servedModel, ...counts, output_tokens: outputTokens },
  ]
}
