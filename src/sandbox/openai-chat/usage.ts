import type { Switches } from '../switches.ts'
import { usageText } from '../usage-text.ts'
import type { Dialect } from './dialects.ts'

export interface ChatCounts {
  readonly prompt: number
  readonly cacheRead: number
  readonly cacheWritten: number
  /** Reasoning included. */
  readonly completion: number
  readonly reasoning: number
}

type UsageTree = { [name: string]: number | UsageTree }

/** @returns the JSON of `usage` in the dialect's form after the usage switches, or null when there is to be none */
export function usageJson(dialect: Dialect, counts: ChatCounts, switches: Switches): string | null {
  if (switches.flags.has('no-usage')) return null
  const zero = switches.flags.has('zero-usage')
  const tree = usageTree(dialect, zero ? ZERO : counts)
  if (switches.flags.has('usage-deepseek')) addHits(tree, zero ? ZERO : counts)
  return usageText(tree, switches)
}

const ZERO: ChatCounts = { prompt: 0, cacheRead: 0, cacheWritten: 0, completion: 0, reasoning: 0 }

function usageTree(dialect: Dialect, counts: ChatCounts): UsageTree {
  const totals = {
    prompt_tokens: counts.prompt,
    completion_tokens: counts.completion,
    total_tokens: counts.prompt + counts.completion,
  }
  const cached = { cached_tokens: counts.cacheRead }
  const reasoning = { reasoning_tokens: counts.reasoning }
  switch (dialect.usage) {
    case 'openai':
    case 'openai-writes':
      return {
        ...totals,
        prompt_tokens_details: {
          ...cached,
          audio_tokens: 0,
          ...(dialect.usage === 'openai' ? {} : { cache_write_tokens: counts.cacheWritten }),
        },
        completion_tokens_details: {
          ...reasoning,
          audio_tokens: 0,
          accepted_prediction_tokens: 0,
          rejected_prediction_tokens: 0,
        },
      }
    case 'deepseek': {
      const tree: UsageTree = { ...totals, prompt_tokens_details: cached }
      // Recorded answers of the non-reasoning model have no completion details.
      if (counts.reasoning > 0) tree['completion_tokens_details'] = reasoning
      addHits(tree, counts)
      return tree
    }
    case 'reasoning':
      return { ...totals, prompt_tokens_details: cached, completion_tokens_details: reasoning }
    case 'short':
      return {
        ...totals,
        prompt_tokens_details: cached,
        ...(counts.reasoning > 0 ? { completion_tokens_details: reasoning } : {}),
      }
  }
}

function addHits(tree: UsageTree, counts: ChatCounts): void {
  tree['prompt_cache_hit_tokens'] = counts.cacheRead
  tree['prompt_cache_miss_tokens'] = counts.prompt - counts.cacheRead
}
