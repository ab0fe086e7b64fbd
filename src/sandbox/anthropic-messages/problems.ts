import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { arrayAt, objectAt, textAt } from '../members.ts'
import { isSealOf } from '../seal.ts'
import { blocksOf, KNOWN_MEMBERS } from './request.ts'

export interface CheckOptions {
  /** Counting tokens takes the same body without a limit. */
  readonly counting: boolean
  readonly strict: boolean
  /** The header `anthropic-version`. */
  readonly version: string
}

const ROLES = new Set(['user', 'assistant', 'system'])
const BREAKPOINTS_MAX = 4
const BUDGET_LEAST = 1024
/** From this version on the sampling parameters are refused. */
const NO_SAMPLING_SINCE = '2026-10-21'

/** @returns what the real API would refuse with 400, or null */
export function problemIn(body: Json | undefined, options: CheckOptions): string | null {
  if (options.version === '') return 'anthropic-version: header is required'
  if (!isObject(body)) return 'The request body is not a JSON object.'
  return (
    problemAtTop(body, options) ??
    problemInNumbers(body, options) ??
    problemInThinking(body) ??
    problemInTools(body) ??
    problemInTexts(body) ??
    problemInToolUse(arrayAt(body, 'messages')) ??
    problemInSeals(arrayAt(body, 'messages'))
  )
}

function problemAtTop(body: JsonObject, { counting, strict }: CheckOptions): string | null {
  if (textAt(body, 'model') === '') return 'model: Field required'
  if (!counting && body['max_tokens'] === undefined) return 'max_tokens: Field required'
  const messages = body['messages']
  if (messages === undefined) return 'messages: Field required'
  if (!isArray(messages)) return 'messages: Input should be a valid list'
  if (messages.length === 0) return 'messages: at least one message is required'
  const unknown = Object.keys(body).find((name) => !KNOWN_MEMBERS.has(name))
  return strict && unknown !== undefined ? `${unknown}: Extra inputs are not permitted` : null
}

function problemInNumbers(body: JsonObject, { version }: CheckOptions): string | null {
  const most = body['max_tokens']
  if (most !== undefined && (typeof most !== 'number' || !Number.isInteger(most) || most < 1)) {
    return 'max_tokens: Input should be an integer greater than or equal to 1'
  }
  for (const name of ['temperature', 'top_p', 'top_k']) {
    if (version >= NO_SAMPLING_SINCE && body[name] !== undefined) {
      return `${name}: not supported by anthropic-version ${version}`
    }
  }
  const { temperature } = body
  if (typeof temperature === 'number' && (temperature < 0 || temperature > 1))
    return 'temperature: range: 0..1'
  return null
}

function problemInThinking(body: JsonObject): string | null {
  const thinking = objectAt(body, 'thinking')
  if (thinking['type'] !== 'enabled') return null
  const budget = thinking['budget_tokens']
  if (typeof budget !== 'number' || budget < BUDGET_LEAST) {
    return `thinking.enabled.budget_tokens: Input should be greater than or equal to ${BUDGET_LEAST}`
  }
  const most = body['max_tokens']
  if (typeof most === 'number' && most <= budget) {
    return '`max_tokens` must be greater than `thinking.budget_tokens`.'
  }
  const choice = objectAt(body, 'tool_choice')['type']
  if (choice === 'any' || choice === 'tool') {
    return 'Thinking may not be enabled when tool_choice forces tool use.'
  }
  return body['temperature'] === undefined || body['temperature'] === 1
    ? null
    : '`temperature` may only be set to 1 when thinking is enabled.'
}

function problemInTools(body: JsonObject): string | null {
  for (const [index, tool] of arrayAt(body, 'tools').entries()) {
    if (!isObject(tool)) return `tools.${index}: Input should be an object`
    if (!['', 'custom'].includes(textAt(tool, 'type'))) continue
    const at = `tools.${index}.custom`
    if (!/^[a-zA-Z0-9_-]{1,128}$/.test(textAt(tool, 'name'))) {
      return `${at}.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'`
    }
    if (!isObject(tool['input_schema'])) return `${at}.input_schema: Field required`
    if (objectAt(tool, 'input_schema')['type'] !== 'object') {
      return `${at}.input_schema.type: Input should be 'object'`
    }
  }
  return null
}

function problemInTexts(body: JsonObject): string | null {
  if (blocksOf(body['system']).some(isEmptyText)) return 'system: text content blocks must be non-empty'
  const messages = arrayAt(body, 'messages')
  let marked = [...blocksOf(body['system']), ...blocksOf(body['tools'])].filter(isMarked).length
  for (const [index, message] of messages.entries()) {
    if (!isObject(message)) return `messages.${index}: Input should be an object`
    if (!ROLES.has(textAt(message, 'role'))) {
      return `messages.${index}.role: Input should be 'user' or 'assistant'`
    }
    const { content } = message
    const blocks = blocksOf(content)
    if (blocks.some(isEmptyText)) return 'messages: text content blocks must be non-empty'
    const last = index === messages.length - 1 && message['role'] === 'assistant'
    if (!last && (content === '' || (typeof content !== 'string' && blocks.length === 0))) {
      return `messages.${index}: all messages must have non-empty content except for the optional final assistant message`
    }
    marked += blocks.filter(isMarked).length
  }
  if (marked > BREAKPOINTS_MAX) {
    return `A maximum of ${BREAKPOINTS_MAX} blocks with cache_control may be provided. Found ${marked}.`
  }
  const stops = arrayAt(body, 'stop_sequences')
  const blank = stops.some((stop) => typeof stop === 'string' && stop.trim() === '')
  return blank ? 'stop_sequences: each stop sequence must contain non-whitespace' : null
}

function isEmptyText(block: JsonObject): boolean {
  return block['type'] === 'text' && textAt(block, 'text') === ''
}

function isMarked(block: JsonObject): boolean {
  return isObject(block['cache_control'])
}

/** Every call of a tool must be answered in the next message, and nothing else may be. */
function problemInToolUse(messages: readonly Json[]): string | null {
  let open: ReadonlySet<string> = new Set()
  for (const [index, message] of messages.entries()) {
    const blocks = isObject(message) ? blocksOf(message['content']) : []
    const answered = idsOf(blocks, 'tool_result', 'tool_use_id')
    const stray = answered.find((id) => !open.has(id))
    if (stray !== undefined) {
      return `messages.${index}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${stray}. Each must have a \`tool_use\` block in the previous message.`
    }
    const missing = [...open].filter((id) => !answered.includes(id))
    if (missing.length > 0) {
      return `messages.${index - 1}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${missing.join(', ')}.`
    }
    open = new Set(idsOf(blocks, 'tool_use', 'id'))
  }
  return null
}

function idsOf(blocks: readonly JsonObject[], type: string, member: string): readonly string[] {
  return blocks.filter((block) => block['type'] === type).map((block) => textAt(block, member))
}

/** Thinking that is not ours, or has been touched, is refused as the real API does it. */
function problemInSeals(messages: readonly Json[]): string | null {
  for (const [index, message] of messages.entries()) {
    for (const [place, block] of (isObject(message) ? blocksOf(message['content']) : []).entries()) {
      const at = `messages.${index}.content.${place}`
      if (block['type'] === 'thinking') {
        const text = textAt(block, 'thinking')
        const fits = isSealOf('thinking', textAt(block, 'signature'), text === '' ? null : text)
        if (!fits) return `${at}: Invalid \`signature\` in \`thinking\` block`
      }
      if (block['type'] === 'redacted_thinking' && !isSealOf('redacted', textAt(block, 'data'), null)) {
        return `${at}: Invalid \`data\` in \`redacted_thinking\` block`
      }
    }
  }
  return null
}
