import type { Effort } from '../neutral.ts'

/**
 * What a Claude model takes, by its name: Messages is one format with several contracts. Source: provider documentation
 * of thinking, effort and API versions, and refusals that public projects reported. Servers of other models that speak
 * Messages follow the oldest contract (budgets, sampling parameters, no `output_config`).
 */
export interface ModelTraits {
  readonly claude: boolean
  /** `thinking: adaptive` and `output_config.effort`. */
  readonly adaptive: boolean
  /** `thinking: enabled` with `budget_tokens`. */
  readonly budgets: boolean
  /** Efforts of `output_config.effort`. */
  readonly efforts: readonly Effort[]
  /** How thinking is switched off: by leaving it out, by saying so, or not at all. */
  readonly off: 'omit' | 'disabled' | 'never'
  readonly sampling: boolean
  /** Refuses temperature and top_p in one request. */
  readonly oneSampler: boolean
  readonly strictTools: boolean
  /** `thinking.display`. */
  readonly display: boolean
}

const EFFORTS_46 = ['low', 'medium', 'high', 'max'] as const
const EFFORTS_47 = ['low', 'medium', 'high', 'xhigh', 'max'] as const

const FAMILY_FIRST = /claude-([a-z]+)-(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?/
const NUMBER_FIRST = /claude-(\d{1,2})(?:[-.](\d{1,2}))?-([a-z]+)/

/** Family, and the version as 100 × major + minor; null where the name has none. */
function versionOf(name: string): { readonly family: string; readonly version: number } | null {
  const first = FAMILY_FIRST.exec(name)
  if (first !== null)
    return {
      family: first[1] ?? '',
      version: Number.parseInt(first[2] ?? '0', 10) * 100 + Number.parseInt(first[3] ?? '0', 10),
    }
  const second = NUMBER_FIRST.exec(name)
  if (second === null) return null
  return {
    family: second[3] ?? '',
    version: Number.parseInt(second[1] ?? '0', 10) * 100 + Number.parseInt(second[2] ?? '0', 10),
  }
}

/** A name of Claude without a version is taken for a current model. */
const CURRENT = 500

function offFor(family: string, version: number): ModelTraits['off'] {
  if (family === 'fable' || family === 'mythos') return 'never'
  if (version < 500) return 'omit'
  // Opus and Sonnet from 5.5 on always think; Opus 5, Sonnet 5 and the Haikus can be told not to.
  return version >= 505 && family !== 'haiku' ? 'never' : 'disabled'
}

export function traitsOf(model: string): ModelTraits {
  const name = model.toLowerCase()
  const found = versionOf(name)
  const claude = name.includes('claude')
  const version = claude ? (found?.version ?? CURRENT) : 0
  const family = found?.family ?? (name.includes('mythos') ? 'mythos' : 'opus')
  return {
    claude,
    adaptive: version >= 406,
    budgets: !claude || (version >= 307 && version < 407),
    efforts: version >= 407 ? EFFORTS_47 : version >= 406 ? EFFORTS_46 : [],
    off: offFor(family, version),
    sampling: version < 407,
    oneSampler: version >= 401,
    strictTools: version >= 405,
    display: version >= 405,
  }
}

/**
 * Efforts as thinking budgets, for models that know only budgets, and back, for models that know only efforts. Anthropic
 * gives no table; budgets double as efforts rise, from its least budget of 1,024.
 */
export const EFFORT_BUDGETS: Readonly<Record<Exclude<Effort, 'none'>, number>> = {
  minimal: 1024,
  low: 2048,
  medium: 8192,
  high: 16_384,
  xhigh: 32_768,
  max: 65_536,
}

export const BUDGET_MIN = 1024

const ASCENDING: readonly Exclude<Effort, 'none' | 'minimal'>[] = ['low', 'medium', 'high', 'xhigh', 'max']

/** The least effort whose budget holds it. */
export function effortOfBudget(budget: number): Effort {
  return ASCENDING.find((effort) => budget <= EFFORT_BUDGETS[effort]) ?? 'max'
}

/** The effort itself if the model knows it, else the next lower one that it knows. */
export function nearestEffort(effort: Effort, known: readonly Effort[]): Effort {
  if (known.includes(effort)) return effort
  const order: readonly Effort[] = ASCENDING
  const lower = order.slice(0, Math.max(order.indexOf(effort), 0)).filter((name) => known.includes(name))
  return lower.at(-1) ?? known[0] ?? 'low'
}
