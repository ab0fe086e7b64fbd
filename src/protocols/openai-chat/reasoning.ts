import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { EFFORTS, type Effort, type NeutralReasoning } from '../neutral.ts'
import type { Notes } from './notes.ts'

/**
 * Reasoning in chat completions: OpenAI has one member for the request and shows nothing; every other provider has its
 * own switch, and shows the text under `reasoning_content` (DeepSeek, Kimi, GLM, Qwen, xAI) or `reasoning` (OpenRouter,
 * Groq, newer vLLM).
 */

/** Members of a request that this file reads. */
export const REASONING_MEMBERS = [
  'reasoning_effort',
  'reasoning',
  'include_reasoning',
  'thinking',
  'enable_thinking',
  'thinking_budget',
] as const

const isEffort = (value: Json | undefined): value is Effort => EFFORTS.some((effort) => effort === value)

const isLimit = (value: Json | undefined): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value > 0

const flag = (value: Json | undefined): boolean | null => (typeof value === 'boolean' ? value : null)

/** OpenRouter's object, the `thinking` of DeepSeek, GLM and Kimi, and Qwen's switch with its budget. */
export function readReasoning(body: JsonObject, notes: Notes): NeutralReasoning | null {
  const router = isObject(body['reasoning']) ? body['reasoning'] : {}
  const thinking = isObject(body['thinking']) ? body['thinking'] : {}
  const named = body['reasoning_effort'] ?? router['effort']
  if (named !== undefined && named !== null && !isEffort(named))
    notes.refuse('reasoning_effort', `must be one of ${EFFORTS.join(', ')}`)
  const on = flag(router['enabled']) ?? flag(body['enable_thinking'])
  const switchedOff = on === false || thinking['type'] === 'disabled'
  const switchedOn = on === true || thinking['type'] === 'enabled' || thinking['type'] === 'adaptive'
  const effort = isEffort(named) ? named : switchedOff ? 'none' : null
  const budget = router['max_tokens'] ?? thinking['budget_tokens'] ?? body['thinking_budget']
  const budgetTokens = isLimit(budget) && effort !== 'none' ? budget : null
  const exclude = flag(router['exclude'])
  const visible = exclude === null ? flag(body['include_reasoning']) : !exclude
  return effort === null && budgetTokens === null && visible === null && !switchedOn
    ? null
    : { effort, budgetTokens, visible }
}

/** The effort that comes nearest to a budget of thinking tokens. */
function effortOf(reasoning: NeutralReasoning): Effort | null {
  const { effort, budgetTokens } = reasoning
  if (effort !== null || budgetTokens === null) return effort
  if (budgetTokens <= 2048) return 'low'
  return budgetTokens <= 16_384 ? 'medium' : 'high'
}

type Family = 'openai' | 'switch' | 'deepseek' | 'qwen' | 'none'

const FAMILIES: ReadonlyArray<readonly [RegExp, Family]> = [
  [/(?:^|\/)(?:gpt-(?:[5-9]|oss)|o[1-9]|grok|gemini|codex)/, 'openai'],
  [/deepseek/, 'deepseek'],
  [/(?:^|\/)(?:glm-|kimi-)/, 'switch'],
  [/(?:^|\/)(?:qwen|qwq)/, 'qwen'],
]

/**
 * How an upstream model is told to think. An unknown model is told nothing: most servers refuse what they do not know,
 * and thinking or not is the model's own default.
 */
export function writeReasoning(
  reasoning: NeutralReasoning | null,
  upstreamModel: string,
  notes: Notes,
): JsonObject {
  if (reasoning === null) return {}
  const family = FAMILIES.find(([pattern]) => pattern.test(upstreamModel))?.[1] ?? 'none'
  const effort = effortOf(reasoning)
  if (reasoning.visible !== null) notes.drop('reasoning.visible')
  if (reasoning.budgetTokens !== null && family !== 'qwen') notes.drop('reasoning.budget_tokens')
  const off = effort === 'none'
  const type = off ? 'disabled' : 'enabled'
  switch (family) {
    case 'openai':
      if (effort === null) notes.drop('reasoning')
      return effort === null ? {} : { reasoning_effort: effort }
    case 'deepseek':
      return { thinking: { type }, ...(effort === null || off ? {} : { reasoning_effort: effort }) }
    case 'switch':
      if (effort !== null && !off) notes.drop('reasoning.effort')
      return { thinking: { type } }
    case 'qwen':
      if (reasoning.effort !== null && !off) notes.drop('reasoning.effort')
      return {
        enable_thinking: !off,
        ...(reasoning.budgetTokens === null || off ? {} : { thinking_budget: reasoning.budgetTokens }),
      }
    default:
      notes.drop('reasoning')
      return {}
  }
}

/**
 * Models that answer 400 when an assistant message with tool calls comes back without its thinking (DeepSeek since V3.2
 * and Kimi K2 Thinking document it). Every other one either refuses `reasoning_content` or pays for it in vain.
 */
export function wantsReasoningBack(upstreamModel: string): boolean {
  return /deepseek-(?:v3\.2|v[4-9]|reasoner|flash|pro)|kimi-(?:k[2-9].*thinking|k[3-9])/.test(upstreamModel)
}

/** Thinking of a message or a delta, wherever the dialect puts it; '' for none. */
export function reasoningText(message: JsonObject): string {
  for (const name of ['reasoning_content', 'reasoning']) {
    const value = message[name]
    if (typeof value === 'string' && value !== '') return value
  }
  const details = message['reasoning_details']
  if (isArray(details)) return details.map(detailText).join('')
  const { content } = message
  return isArray(content) ? content.map(mistralThinking).join('') : ''
}

function detailText(detail: Json): string {
  if (!isObject(detail)) return ''
  const text = detail['text'] ?? detail['summary']
  return typeof text === 'string' ? text : ''
}

/** Mistral thinks in content parts: `{type: 'thinking', thinking: [{type: 'text', text}]}`. */
function mistralThinking(part: Json): string {
  if (!isObject(part) || part['type'] !== 'thinking') return ''
  const { thinking } = part
  if (typeof thinking === 'string') return thinking
  return isArray(thinking) ? thinking.map(detailText).join('') : ''
}

/** OpenRouter's signatures and encrypted thinking: only OpenRouter takes them back. */
export function hasSealedReasoning(message: JsonObject): boolean {
  const details = message['reasoning_details']
  return (
    isArray(details) &&
    details.some(
      (detail) =>
        isObject(detail) &&
        (typeof detail['data'] === 'string' ||
          (typeof detail['signature'] === 'string' && detail['signature'] !== '')),
    )
  )
}
