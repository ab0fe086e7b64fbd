import { isArray, isObject, type Json, type JsonObject, totalInput, totalOutput } from '../../kernel/index.ts'
import {
  isCount,
  optionalCount,
  type ReadUsage,
  type UsageFlag,
  type UsageResult,
  withoutZeros,
} from '../usage.ts'

/**
 * The usage of a response, as disjoint classes. Cached and written tokens lie inside `input_tokens`, reasoning inside
 * `output_tokens`. Searches are counted in `tool_usage` beside it; servers that lack that member show them only as items
 * of the output.
 */

/** Output items that stand for a billable call where `tool_usage` is missing. */
const CALLS_COUNTED = 'calls_in_output'

function countItems(output: Json | undefined, type: string, wanted: (item: JsonObject) => boolean): number {
  return isArray(output)
    ? output.filter((item) => isObject(item) && item['type'] === type && wanted(item)).length
    : 0
}

/** Only a search is billed, not the opening of a page that it found. */
function isSearch(item: JsonObject): boolean {
  const { action } = item
  return !isObject(action) || action['type'] === undefined || action['type'] === 'search'
}

function asksNothing(value: Json | undefined): boolean {
  if (typeof value === 'number') return value === 0
  if (isObject(value)) return Object.values(value).every(asksNothing)
  return value === undefined || value === null
}

/**
 * The raw usage of a response object: `usage`, with what is reported beside it under its own name.
 * @returns undefined when nothing was reported
 */
export function rawUsage(response: JsonObject): Json | undefined {
  const { usage, tool_usage: tools, output } = response
  if (usage === undefined || usage === null) return undefined
  if (!isObject(usage)) return usage
  if (isObject(tools)) return asksNothing(tools) ? usage : { ...usage, tool_usage: tools }
  const counted = {
    web_search: countItems(output, 'web_search_call', isSearch),
    image_gen: countItems(output, 'image_generation_call', () => true),
  }
  return asksNothing(counted) ? usage : { ...usage, [CALLS_COUNTED]: counted }
}

interface Parts {
  readonly input: number
  readonly output: number
  readonly cacheRead: number
  readonly cacheWrite: number
  readonly cacheWriteLong: number
  readonly audioIn: number
  readonly imageIn: number
  readonly audioOut: number
  readonly reasoning: number | null
  readonly total: number | null
}

function readParts(usage: JsonObject): Parts | null {
  const inputDetails = isObject(usage['input_tokens_details']) ? usage['input_tokens_details'] : {}
  const outputDetails = isObject(usage['output_tokens_details']) ? usage['output_tokens_details'] : {}
  const writes = inputDetails['cache_write_tokens_details']
  const reasoning = outputDetails['reasoning_tokens'] ?? null
  const { input_tokens: input, output_tokens: output, total_tokens: total } = usage
  if (!isCount(input) || !isCount(output)) return null
  const short = isObject(writes) ? optionalCount(writes['ttl_30m_tokens']) : 0
  const cacheWriteLong = isObject(writes) ? optionalCount(writes['ttl_12h_tokens']) : 0
  const counts = {
    cacheRead: optionalCount(inputDetails['cached_tokens']),
    // The split alone says the sum as well.
    cacheWrite: optionalCount(inputDetails['cache_write_tokens'] ?? short + cacheWriteLong),
    cacheWriteLong,
    audioIn: optionalCount(inputDetails['audio_tokens']),
    imageIn: optionalCount(inputDetails['image_tokens']),
    audioOut: optionalCount(outputDetails['audio_tokens']),
  }
  if (Math.min(short, optionalCount(reasoning), ...Object.values(counts)) < 0) return null
  if (total !== undefined && total !== null && !isCount(total)) return null
  return {
    input,
    output,
    ...counts,
    reasoning: isCount(reasoning) ? reasoning : null,
    total: isCount(total) ? total : null,
  }
}

/** More details than input: something is counted twice, and the classes must still add up to the input. */
function splitInput(parts: Parts): { readonly counts: Record<string, number>; readonly flags: UsageFlag[] } {
  const flags: UsageFlag[] = []
  if (parts.cacheRead + parts.cacheWrite > parts.input) flags.push('cached_exceeds_input')
  let rest = parts.input
  const take = (wanted: number): number => {
    const taken = Math.min(wanted, rest)
    rest -= taken
    return taken
  }
  const cacheRead = take(parts.cacheRead)
  const cacheWrite = take(parts.cacheWrite)
  const long = Math.min(parts.cacheWriteLong, cacheWrite)
  if (parts.audioIn + parts.imageIn > rest && flags.length === 0) flags.push('media_overlaps_cache')
  const audio = take(parts.audioIn)
  const image = take(parts.imageIn)
  return {
    counts: {
      input: rest,
      cache_read: cacheRead,
      cache_write_5m: cacheWrite - long,
      cache_write_1h: long,
      input_audio: audio,
      input_image: image,
    },
    flags,
  }
}

interface ToolUse {
  readonly webSearches: number
  readonly flags: readonly UsageFlag[]
}

function readToolUse(usage: JsonObject): ToolUse | null {
  const reported = isObject(usage['tool_usage']) ? usage['tool_usage'] : {}
  const counted = isObject(usage[CALLS_COUNTED]) ? usage[CALLS_COUNTED] : {}
  const search = reported['web_search']
  const webSearches = isObject(search)
    ? optionalCount(search['num_requests'])
    : optionalCount(counted['web_search'])
  if (webSearches < 0) return null
  const flags: UsageFlag[] = []
  if (!isObject(search) && webSearches > 0) flags.push('web_searches_counted')
  if (!asksNothing(reported['image_gen']) || !asksNothing(counted['image_gen']))
    flags.push('image_generation_beside')
  return { webSearches, flags }
}

export function readUsage(raw: Json | undefined): UsageResult {
  if (raw === undefined || raw === null) return { kind: 'missing' }
  if (!isObject(raw)) return { kind: 'invalid' }
  const parts = readParts(raw)
  const tools = readToolUse(raw)
  if (parts === null || tools === null) return { kind: 'invalid' }
  const split = splitInput(parts)
  const flags: UsageFlag[] = [...split.flags]
  let { output } = parts
  const { total, reasoning } = parts
  let exact = flags.length === 0 && !tools.flags.includes('web_searches_counted')
  if (total !== null && total !== parts.input + output) {
    if (reasoning !== null && reasoning > 0 && total === parts.input + output + reasoning) {
      output += reasoning
      exact = false
      flags.push('reasoning_outside_output')
    } else flags.push('usage_total_mismatch')
  }
  const audioOut = Math.min(parts.audioOut, output)
  return {
    kind: 'reported',
    usage: {
      counts: withoutZeros({ ...split.counts, output: output - audioOut, output_audio: audioOut }),
      reasoning: reasoning === null ? null : Math.min(reasoning, output),
      calls: tools.webSearches === 0 ? {} : { web_search: tools.webSearches },
      others: [],
      exact,
      flags: [...flags, ...tools.flags],
    },
  }
}

/** The usage object of an answer of ours. @param note what stands in it as `tf` */
export function writeUsage(usage: ReadUsage, note: JsonObject | null): JsonObject {
  const { counts, reasoning } = usage
  const of = (name: keyof typeof counts): number => counts[name] ?? 0
  const long = of('cache_write_1h')
  const written = of('cache_write_5m') + long
  const input = totalInput(counts)
  const output = totalOutput(counts)
  return {
    input_tokens: input,
    input_tokens_details: {
      cached_tokens: of('cache_read'),
      cache_write_tokens: written,
      ...(long === 0
        ? {}
        : { cache_write_tokens_details: { ttl_30m_tokens: written - long, ttl_12h_tokens: long } }),
      ...(of('input_audio') === 0 ? {} : { audio_tokens: of('input_audio') }),
      ...(of('input_image') === 0 ? {} : { image_tokens: of('input_image') }),
    },
    output_tokens: output,
    output_tokens_details: {
      reasoning_tokens: reasoning ?? 0,
      ...(of('output_audio') === 0 ? {} : { audio_tokens: of('output_audio') }),
    },
    total_tokens: input + output,
    ...(note === null ? {} : { tf: note }),
  }
}

/** What is reported beside the usage; null when there is nothing to tell. */
export function writeToolUsage(usage: ReadUsage | null): JsonObject | null {
  const searches = usage?.calls.web_search ?? 0
  return searches === 0 ? null : { web_search: { num_requests: searches } }
}
