import { countOf, type JsonObject, totalInput, totalOutput } from '../../kernel/index.ts'
import type { ReadUsage } from '../usage.ts'

/**
 * Usage as this format's clients expect it: everything inside `prompt_tokens` and `completion_tokens`, with the parts
 * beside. What ran on other models is in no member of it; the charge in `tf` is the whole.
 */
export function writeUsage(usage: ReadUsage, note: JsonObject | null): JsonObject {
  const { counts, reasoning, calls } = usage
  const input = totalInput(counts)
  const output = totalOutput(counts)
  const short = countOf(counts, 'cache_write_5m')
  const long = countOf(counts, 'cache_write_1h')
  const images = countOf(counts, 'input_image')
  const searches = calls.web_search ?? 0
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: {
      cached_tokens: countOf(counts, 'cache_read'),
      audio_tokens: countOf(counts, 'input_audio'),
      ...(short + long === 0 ? {} : { cache_write_tokens: short + long }),
      ...(long === 0 ? {} : { cache_write_tokens_details: { ttl_30m_tokens: short, ttl_12h_tokens: long } }),
      ...(images === 0 ? {} : { image_tokens: images }),
    },
    completion_tokens_details: {
      audio_tokens: countOf(counts, 'output_audio'),
      ...(reasoning === null ? {} : { reasoning_tokens: reasoning }),
    },
    ...(searches === 0 ? {} : { server_tool_use_details: { web_search_requests: searches } }),
    ...(note === null ? {} : { tf: note }),
  }
}
