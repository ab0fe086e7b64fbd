import type { Json, UsageCounts } from '../kernel/index.ts'

/** Usage as a provider reported it, in disjoint classes that add up to its own total. */
export interface ReadUsage {
  readonly counts: UsageCounts
  /** Reasoning inside the output counts; null when the provider does not say. */
  readonly reasoning: number | null
  /** Billable calls besides tokens. */
  readonly calls: Readonly<Partial<Record<'web_search', number>>>
  /** Parts that ran on another model than the one asked for (advisor, compaction, fallback), not inside `counts`. */
  readonly others: readonly OtherModelUsage[]
  /** Where it was computed, when the provider says so and it has a price of its own. */
  readonly geography?: string
  /** False when a number had to be worked out rather than read. */
  readonly exact: boolean
  readonly flags: readonly UsageFlag[]
}

export interface OtherModelUsage {
  readonly model: string
  readonly counts: UsageCounts
}

export type UsageFlag =
  | 'usage_invalid'
  | 'cached_exceeds_input'
  /** The output is left out, and no total says what it is; `counts` has none of it. */
  | 'output_not_reported'
  | 'usage_total_mismatch'
  | 'reasoning_outside_output'
  | 'reasoning_inside_output'
  | 'cached_modalities_unknown'
  | 'cache_write_split_lost'
  | 'provider_repriced'
  | 'other_models_used'
  /** More media tokens than input outside the cache: which of them were cached nobody says. */
  | 'media_overlaps_cache'
  /** Web searches that the provider does not report are counted in its output. */
  | 'web_searches_counted'
  /** A model for images ran beside; its tokens have prices of their own and are in no class. */
  | 'image_generation_beside'

export type UsageResult =
  | { readonly kind: 'reported'; readonly usage: ReadUsage }
  /** Nothing was reported. */
  | { readonly kind: 'missing' }
  /** Something was reported that is no usage: negative, fractional, text, not finite. */
  | { readonly kind: 'invalid' }

export function isCount(value: Json | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

/** 0 when absent or null, -1 when it is there and is no count. */
export function optionalCount(value: Json | undefined): number {
  if (value === undefined || value === null) return 0
  return isCount(value) ? value : -1
}

/** Only classes that have tokens: a class that is absent is 0. */
export function withoutZeros(counts: Readonly<Record<string, number>>): UsageCounts {
  const found: Record<string, number> = {}
  for (const name of Object.keys(counts)) {
    const count = counts[name] ?? 0
    if (count > 0) found[name] = count
  }
  return found
}
