import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import {
  isCount,
  optionalCount,
  type ReadUsage,
  type UsageFlag,
  type UsageResult,
  withoutZeros,
} from '../usage.ts'

/**
 * The usage object of OpenAI chat completions and its compatible dialects, as disjoint classes. Cached, cache-write,
 * audio and image tokens lie inside `prompt_tokens`; reasoning lies inside `completion_tokens`, except where the total
 * says otherwise (xAI reports it beside). Source: provider documentation and recorded answers, per dialect.
 */

interface Parts {
  readonly prompt: number
  readonly completion: number
  /** As far as it is reported: by itself, or by a total above the prompt. */
  readonly completionFrom: 'itself' | 'total' | null
  readonly cacheRead: number
  readonly cacheWrite: number
  readonly cacheWriteLong: number
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
  const total = usage['total_tokens']
  if (!isCount(prompt)) return null
  const reported = usage['completion_tokens'] ?? null
  const rest = isCount(total) && total > prompt ? total - prompt : 0
  const completion = reported ?? rest
  if (!isCount(completion)) return null
  const completionFrom = reported !== null ? 'itself' : rest > 0 ? 'total' : null
  const cacheRead = optionalCount(
    promptDetails['cached_tokens'] ??
      usage['prompt_cache_hit_tokens'] ??
      usage['cached_tokens'] ??
      usage['num_cached_tokens'],
  )
  const cacheWrite = optionalCount(promptDetails['cache_write_tokens'])
  // The split that OpenAI reports on its other endpoint, by the same name: half an hour is the short one.
  const writes = promptDetails['cache_write_tokens_details']
  const cacheWriteLong = isObject(writes) ? optionalCount(writes['ttl_12h_tokens']) : 0
  const audioIn = optionalCount(promptDetails['audio_tokens'])
  const imageIn = optionalCount(promptDetails['image_tokens'])
  const audioOut = optionalCount(completionDetails['audio_tokens'])
  const reasoningRaw = completionDetails['reasoning_tokens']
  const reasoning = reasoningRaw === undefined || reasoningRaw === null ? null : optionalCount(reasoningRaw)
  const webSearches = readWebSearches(usage)
  const counts = [
    cacheRead,
    cacheWrite,
    cacheWriteLong,
    audioIn,
    imageIn,
    audioOut,
    reasoning ?? 0,
    webSearches,
  ]
  if (Math.min(...counts) < 0) return null
  return {
    prompt,
    completion,
    completionFrom,
    cacheRead,
    cacheWrite,
    cacheWriteLong,
    audioIn,
    imageIn,
    audioOut,
    reasoning,
    total: isCount(total) ? total : null,
    webSearches,
  }
}

interface Input {
  readonly input: number
  readonly cacheRead: number
  readonly cacheWriteShort: number
  readonly cacheWriteLong: number
  readonly audioIn: number
  readonly imageIn: number
  readonly exact: boolean
  readonly flags: readonly UsageFlag[]
}

/** Cached and media tokens are both inside the input, and nobody says which of them are the same: media gives way. */
function splitInput(parts: Parts): Input {
  const flags: UsageFlag[] = []
  let { cacheRead, cacheWrite, audioIn } = parts
  if (cacheRead + cacheWrite + audioIn > parts.prompt) {
    flags.push('cached_exceeds_input')
    cacheRead = Math.min(cacheRead, parts.prompt)
    cacheWrite = Math.min(cacheWrite, parts.prompt - cacheRead)
    audioIn = Math.min(audioIn, parts.prompt - cacheRead - cacheWrite)
  }
  const plain = parts.prompt - cacheRead - cacheWrite - audioIn
  const imageIn = Math.min(parts.imageIn, plain)
  if (flags.length === 0 && imageIn < parts.imageIn) flags.push('media_overlaps_cache')
  const cacheWriteLong = Math.min(parts.cacheWriteLong, cacheWrite)
  return {
    input: plain - imageIn,
    cacheRead,
    cacheWriteShort: cacheWrite - cacheWriteLong,
    cacheWriteLong,
    audioIn,
    imageIn,
    exact: flags.length === 0,
    flags,
  }
}

export function readChatUsage(value: Json | undefined): UsageResult {
  if (value === undefined || value === null) return { kind: 'missing' }
  if (!isObject(value)) return { kind: 'invalid' }
  const parts = readParts(value)
  if (parts === null) return { kind: 'invalid' }
  const split = splitInput(parts)
  const flags: UsageFlag[] = [...split.flags]
  let exact = split.exact && parts.completionFrom === 'itself'
  if (parts.completionFrom === null) flags.push('output_not_reported')
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
  const counts = withoutZeros({
    input: split.input,
    cache_read: split.cacheRead,
    cache_write_5m: split.cacheWriteShort,
    cache_write_1h: split.cacheWriteLong,
    input_audio: split.audioIn,
    input_image: split.imageIn,
    output: output - audioOut,
    output_audio: audioOut,
  })
  const usage: ReadUsage = {
    counts,
    reasoning: parts.reasoning === null ? null : Math.min(parts.reasoning, output),
    calls: parts.webSearches === 0 ? {} : { web_search: parts.webSearches },
    others: [],
    exact,
    flags,
  }
  return { kind: 'reported', usage }
}

/** Where dialects put it: on the body, inside the first choice (older Kimi), or under `x_groq`. */
export function findUsage(body: JsonObject): Json | undefined {
  if (body['usage'] !== undefined && body['usage'] !== null) return body['usage']
  const groq = body['x_groq']
  if (isObject(groq) && groq['usage'] !== undefined) return groq['usage']
  const choice = isArray(body['choices']) ? body['choices'][0] : undefined
  return isObject(choice) ? choice['usage'] : undefined
}
