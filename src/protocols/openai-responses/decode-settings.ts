import { isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { EFFORTS, type Effort, type NeutralFormat, type NeutralReasoning } from '../neutral.ts'
import type { Notes } from './notes.ts'

/** Members of a request that are neither input nor tools. */

const isEffort = (value: Json | undefined): value is Effort => EFFORTS.some((effort) => effort === value)

const isAbsent = (value: Json | undefined): value is null | undefined => value === undefined || value === null

export function readNumber(body: JsonObject, name: string, notes: Notes): number | null {
  const value = body[name]
  if (isAbsent(value)) return null
  return typeof value === 'number' ? value : notes.refuse(name, 'must be a number')
}

export function readText(body: JsonObject, name: string, notes: Notes): string | null {
  const value = body[name]
  if (isAbsent(value) || value === '') return null
  return typeof value === 'string' ? value : notes.refuse(name, 'must be text')
}

export function readReasoningSettings(body: JsonObject, notes: Notes): NeutralReasoning | null {
  const { reasoning } = body
  if (!isObject(reasoning)) return null
  const { effort, summary, generate_summary: older } = reasoning
  notes.dropUnread(reasoning, new Set(['effort', 'summary', 'generate_summary']), 'reasoning.')
  if (!isAbsent(effort) && !isEffort(effort))
    notes.refuse('reasoning.effort', `must be one of ${EFFORTS.join(', ')}`)
  const asked = summary ?? older
  const visible = isAbsent(asked) ? null : asked !== 'none'
  if (!isEffort(effort) && visible === null) return null
  return { effort: isEffort(effort) ? effort : null, budgetTokens: null, visible }
}

const PLAIN: NeutralFormat = { kind: 'text' }

export function readFormat(body: JsonObject, notes: Notes): NeutralFormat {
  const { text } = body
  if (!isObject(text)) return PLAIN
  notes.dropUnread(text, new Set(['format']), 'text.')
  const { format } = text
  if (isAbsent(format)) return PLAIN
  const type = isObject(format) ? format['type'] : undefined
  if (type === 'text') return PLAIN
  if (type === 'json_object') return { kind: 'json' }
  if (!isObject(format) || type !== 'json_schema') {
    notes.refuse('text.format.type', 'must be text, json_object or json_schema')
    return PLAIN
  }
  const { name, schema, strict, description } = format
  if (!isObject(schema)) {
    notes.refuse('text.format.schema', 'must be a JSON schema')
    return PLAIN
  }
  return {
    kind: 'schema',
    name: typeof name === 'string' && name !== '' ? name : 'answer',
    schema,
    strict: typeof strict === 'boolean' ? strict : null,
    description: typeof description === 'string' ? description : null,
  }
}

/** How many likely tokens to tell beside each; null when none are asked for. */
export function readLogprobSettings(body: JsonObject, notes: Notes): number | null {
  const top = readNumber(body, 'top_logprobs', notes) ?? 0
  const { include } = body
  const asked = Array.isArray(include) && include.includes('message.output_text.logprobs')
  return asked || top > 0 ? top : null
}

/** What this gateway does itself, or what asks for nothing that could be lost. */
const KNOWN_INCLUDES: readonly Json[] = ['reasoning.encrypted_content', 'message.output_text.logprobs']

const STATEFUL =
  'lives in one account at OpenAI and this model is not there: send the whole conversation as input'

/** Members that change the answer when they are left out. */
const REFUSED: Readonly<Record<string, string>> = {
  previous_response_id: STATEFUL,
  conversation: STATEFUL,
  prompt: 'names a template in one account at OpenAI and this model is not there',
  background: 'needs a provider that keeps answers, and this model’s does not',
  moderation: 'runs at OpenAI and not at this model’s provider',
}

export function readLimits(body: JsonObject, notes: Notes): void {
  for (const [name, problem] of Object.entries(REFUSED)) {
    const value = body[name]
    if (!isAbsent(value) && value !== false && value !== '') notes.refuse(name, problem)
  }
  const { include, truncation } = body
  if (Array.isArray(include) && include.some((name) => !KNOWN_INCLUDES.includes(name))) notes.drop('include')
  // `disabled` is what every other provider does.
  if (!isAbsent(truncation) && truncation !== 'disabled') notes.drop('truncation')
}

/** Members with readers of their own; all others are listed as dropped. */
export const READ_MEMBERS: ReadonlySet<string> = new Set([
  ...Object.keys(REFUSED),
  'model',
  'stream',
  'input',
  'instructions',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'max_output_tokens',
  'temperature',
  'top_p',
  'top_logprobs',
  'include',
  'text',
  'reasoning',
  'truncation',
  'user',
  'service_tier',
])
