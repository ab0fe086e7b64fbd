import type { JsonObject, UsageCounts } from '../../kernel/index.ts'
import type { ReadUsage } from '../usage.ts'

/** Other formats' names of tiers; what this format does not know goes through as it is. */
const TIER: Readonly<Record<string, string>> = { default: 'standard', on_demand: 'standard' }

function figures(counts: UsageCounts): JsonObject {
  const write5m = counts.cache_write_5m ?? 0
  const write1h = counts.cache_write_1h ?? 0
  return {
    // The format knows no other media than text here: a token of sound or image is an input token.
    input_tokens: (counts.input ?? 0) + (counts.input_audio ?? 0) + (counts.input_image ?? 0),
    cache_creation_input_tokens: write5m + write1h,
    cache_read_input_tokens: counts.cache_read ?? 0,
    cache_creation: { ephemeral_5m_input_tokens: write5m, ephemeral_1h_input_tokens: write1h },
    output_tokens: (counts.output ?? 0) + (counts.output_audio ?? 0),
  }
}

function tierMembers(tier: string | null): JsonObject {
  if (tier === null) return {}
  return tier === 'fast' ? { service_tier: 'standard', speed: 'fast' } : { service_tier: TIER[tier] ?? tier }
}

function iterations(usage: ReadUsage): JsonObject {
  if (usage.others.length === 0) return {}
  return {
    iterations: [
      { type: 'message', ...figures(usage.counts) },
      ...usage.others.map(({ model, counts }) => ({ type: 'advisor_message', model, ...figures(counts) })),
    ],
  }
}

/** @param note what goes in as `tf`; null for nothing */
export function encodeUsage(
  usage: ReadUsage | null,
  tier: string | null,
  note: JsonObject | null,
): JsonObject {
  const searches = usage?.calls.web_search ?? 0
  return {
    ...figures(usage?.counts ?? {}),
    ...(usage === null || usage.reasoning === null
      ? {}
      : { output_tokens_details: { thinking_tokens: usage.reasoning } }),
    ...(searches > 0 ? { server_tool_use: { web_search_requests: searches, web_fetch_requests: 0 } } : {}),
    ...tierMembers(tier),
    ...(usage?.geography === undefined ? {} : { inference_geo: usage.geography }),
    ...(usage === null ? {} : iterations(usage)),
    ...(note === null ? {} : { tf: note }),
  }
}
