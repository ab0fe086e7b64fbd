import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { isCount, optionalCount, type ReadUsage, type UsageFlag, type UsageResult, withoutZeros } from '../usage.ts'

export type { ReadUsage, UsageFlag, UsageResult } from '../usage.ts'

/**
 * The usage object of OpenAI chat completions and its compatible dialects, as disjoint classes. Cached, cache-write,
 * audio and image tokens lie inside `prompt_tokens`; reasoning lies inside `completion_tokens`, except where the total
 * says otherwise (xAI reports it beside). Source: provider documentation and recorded answers, per dialect.
 */

interface Parts {
  readonly prompt: number
  readonly completion: number
  readonly cacheRead: number
  readonly cacheWrite: number
  readonly audioIn: number
  readonly imageIn: number
  readonly audioOut: number
  readonly reasoning: number | null
  readonly total: number | null
  readonly webSearches: number
}

/** Searches that OpenRouter ran itself; seen under both names. OpenAI bills its own search models a request, not here. */
function readWebSearches(usage: JsonObject): number {
  for (const name of ['server_tool_use_details', 'server_tool_use']) {
    const tools = usage[name]
    const searches = isObject(tools) ? optionalCount(tools['web_search_requests']) : 0
    if (searches !== 0) return searches
  }
  return 0
}

function readParts(usage: JsonObject): Parts | null {
  const promptDetails = isObject(usage['prompt_tokens_details']) ? usage['prompt_tokens_details'] : {}
  const completionDetails = isObject(usage['completion_tokens_details'])
    ? usage['completion_tokens_details']
    : {}
  const prompt = usage['prompt_tokens']
  const completion = usage['completion_tokens'] ?? 0
  if (!isCount(prompt) || !isCount(completion)) return null
  const cacheRead = optionalCount(
    promptDetails['cached_tokens'] ??
      usage['prompt_cache_hit_tokens'] ??
      usage['cached_tokens'] ??
      usage['num_cached_tokens'],
  )
  const cacheWrite = optionalCount(promptDetails['cache_write_tokens'])
  const audioIn = optionalCount(promptDetails['audio_tokens'])
  const imageIn = optionalCount(promptDetails['image_tokens'])
  const audioOut = optionalCount(completionDetails['audio_tokens'])
  const reasoningRaw = completionDetails['reasoning_tokens']
  const reasoning = reasoningRaw === undefined || reasoningRaw === null ? null : optionalCount(reasoningRaw)
  const total = usage['total_tokens']
  const webSearches = readWebSearches(usage)
  if (Math.min(cacheRead, cacheWrite, audioIn, imageIn, audioOut, reasoning ?? 0, webSearches) < 0) return null
  return {
    prompt,
    completion,
    cacheRead,
    cacheWrite,
    audioIn,
    imageIn,
    audioOut,
    reasoning,
    total: isCount(total) ? total : null,
    webSearches,
  }
}

export function readChatUsage(value: Json | undefined): UsageResult {
  if (value === undefined || value === null) return { kind: 'missing' }
  if (!isObject(value)) return { kind: 'invalid' }
  const parts = readParts(value)
  if (parts === null) return { kind: 'invalid' }
  const flags: UsageFlag[] = []
  let exact = true
  let { cacheRead, cacheWrite, audioIn } = parts
  if (cacheRead + cacheWrite + audioIn > parts.prompt) {
    flags.push('cached_exceeds_input')
    exact = false
    cacheRead = Math.min(cacheRead, parts.prompt)
    cacheWrite = Math.min(cacheWrite, parts.prompt - cacheRead)
    audioIn = Math.min(audioIn, parts.prompt - cacheRead - cacheWrite)
  }
  let output = parts.completion
  const outside = parts.reasoning ?? 0
  if (parts.total !== null && parts.total !== parts.prompt + parts.completion) {
    if (outside > 0 && parts.total === parts.prompt + parts.completion + outside) {
      output += outside
      exact = false
      flags.push('reasoning_outside_output')
    } else flags.push('usage_total_mismatch')
  }
  const audioOut = Math.min(parts.audioOut, output)
  const counts = dropZeros({
    input: parts.prompt - cacheRead - cacheWrite - audioIn,
    cache_read: cacheRead,
    cache_write_5m: cacheWrite,
    input_audio: audioIn,
    output: output - audioOut,
    output_audio: audioOut,
  })
  const reasoning = parts.reasoning === null ? null : Math.min(parts.reasoning, output)
  return { kind: 'reported', usage: { counts, reasoning, exact, flags } }
}

function dropZeros(counts: Readonly<Record<string, number>>): UsageCounts {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0))
}

/** Where dialects put it: on the body, inside the first choice (older Kimi), or under `x_groq`. */
export function findUsage(body: JsonObject): Json | undefined {
  if (body['usage'] !== undefined && body['usage'] !== null) return body['usage']
  const groq = body['x_groq']
  if (isObject(groq) && groq['usage'] !== undefined) return groq['usage']
  const choice = isArray(body['choices']) ? body['choices'][0] : undefined
  return isObject(choice) ? choice['usage'] : undefined
}
