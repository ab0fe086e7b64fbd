import { isArray, isObject, type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import { estimateTextTokens } from '../estimate.ts'
import type { AnswerResult } from '../protocol.ts'
import { errorOf } from './errors.ts'
import { mainModelOf, tierOf } from './usage.ts'

/** Members of a block that the model wrote. What server tools brought in is no output. */
const WRITTEN: Readonly<Record<string, readonly string[]>> = {
  text: ['text'],
  thinking: ['thinking'],
  tool_use: ['name', 'input'],
  server_tool_use: ['name', 'input'],
  mcp_tool_use: ['name', 'input'],
  compaction: ['content'],
}

function isWritten(block: JsonObject): boolean {
  const type = String(block['type'])
  if (type === 'redacted_thinking') return true
  // Thinking that is not shown has a signature and no text.
  if (type === 'thinking' && typeof block['signature'] === 'string' && block['signature'] !== '') return true
  return (WRITTEN[type] ?? []).some((name) => {
    const value = block[name]
    return typeof value === 'string' && value !== ''
  })
}

function tokensOf(block: JsonObject): number {
  const members = WRITTEN[String(block['type'])] ?? []
  return members.reduce((sum, name) => {
    const value = block[name]
    if (typeof value === 'string') return sum + estimateTextTokens(value)
    return isObject(value) ? sum + estimateTextTokens(JSON.stringify(value)) : sum
  }, 0)
}

/**
 * The model whose tokens the usage counts are. After a server-side fallback `model` names the one that answered in the
 * end, whose tokens stand apart.
 */
export function countedModel(model: Json | undefined, usage: Json | undefined): string | null {
  const main = mainModelOf(usage)
  if (main !== null) return main
  return typeof model === 'string' && model !== '' ? model : null
}

/** Anthropic bills no refusal that came before any output, though its usage counts tokens. */
export function isUnbilled(stopReason: Json | undefined, hasOutput: boolean): boolean {
  return stopReason === 'refusal' && !hasOutput
}

export function readAnswer(text: string): AnswerResult {
  const parsed = parseJson(text)
  if (!parsed.ok || !isObject(parsed.value)) return { ok: false, message: 'the answer is not JSON' }
  const body = parsed.value
  const { error, content, usage } = body
  if (body['type'] === 'error' || (error !== undefined && error !== null)) {
    const { message } = errorOf(error)
    return { ok: false, message: message === '' ? 'an error in a 200 answer' : message }
  }
  if (!isArray(content)) return { ok: false, message: 'the answer has no content' }
  const blocks = content.filter(isObject)
  const hasOutput = blocks.some(isWritten)
  return {
    ok: true,
    answer: {
      usage,
      servedModel: countedModel(body['model'], usage),
      serviceTier: tierOf(usage),
      hasOutput,
      unbilled: isUnbilled(body['stop_reason'], hasOutput),
      get tokensEstimated() {
        return blocks.reduce((sum, block) => sum + tokensOf(block), 0)
      },
      body,
    },
  }
}
