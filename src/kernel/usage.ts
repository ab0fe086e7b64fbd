/**
 * Token usage in disjoint classes: they add up to what the provider reported. `reasoning` is the one that is shown
 * inside `output` and never added again.
 */

export const USAGE_CLASSES = [
  'input',
  'cache_read',
  'cache_write_5m',
  'cache_write_1h',
  'input_audio',
  'input_image',
  'output',
  'output_audio',
] as const
export type UsageClass = (typeof USAGE_CLASSES)[number]

/** Where a number comes from. `unknown` is never shown as 0. */
export const USAGE_SOURCES = ['reported', 'derived', 'estimated', 'unknown'] as const
export type UsageSource = (typeof USAGE_SOURCES)[number]

/** Tokens per class, all non-negative safe integers; a class that is absent is 0. */
export type UsageCounts = Readonly<Partial<Record<UsageClass, number>>>

export interface Usage {
  readonly counts: UsageCounts
  /** Reasoning tokens inside `output`; null when the provider does not say. */
  readonly reasoning: number | null
  /** Billable calls besides tokens (web searches). */
  readonly calls: Readonly<Partial<Record<'web_search', number>>>
  readonly source: UsageSource
}

export function countOf(counts: UsageCounts, usageClass: UsageClass): number {
  return counts[usageClass] ?? 0
}

export function totalInput(counts: UsageCounts): number {
  return (
    countOf(counts, 'input') +
    countOf(counts, 'cache_read') +
    countOf(counts, 'cache_write_5m') +
    countOf(counts, 'cache_write_1h') +
    countOf(counts, 'input_audio') +
    countOf(counts, 'input_image')
  )
}

export function totalOutput(counts: UsageCounts): number {
  return countOf(counts, 'output') + countOf(counts, 'output_audio')
}
