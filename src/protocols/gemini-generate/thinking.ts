import type { JsonObject } from '../../kernel/index.ts'
import type { Effort, NeutralReasoning } from '../neutral.ts'
import { field, textField } from './fields.ts'
import type { Notes } from './notes.ts'

/**
 * How much a model thinks. Gemini 2.5 takes a budget in tokens, later models take a level (a budget there is answered
 * less well, and both together with 400); earlier ones do not think at all.
 *
 * | effort  | budget, 2.5                       | level, 3 and later                    |
 * | ------- | --------------------------------- | ------------------------------------- |
 * | none    | 0; Pro cannot stop: 128           | MINIMAL; Pro cannot: LOW              |
 * | minimal | 512                               | MINIMAL; Pro cannot: LOW              |
 * | low     | 1,024                             | LOW                                   |
 * | medium  | 8,192                             | MEDIUM; gemini-3-pro cannot: HIGH     |
 * | high    | 24,576                            | HIGH                                  |
 * | xhigh   | 32,768 where the model allows it  | HIGH                                  |
 * | max     | 32,768 where the model allows it  | HIGH                                  |
 *
 * The other way round a budget is the effort whose figure it comes nearest to from above: up to 512 minimal, 4,096 low,
 * 16,384 medium, 24,576 high, above that xhigh. 0 is none, -1 leaves it to the model.
 */
const BUDGETS: Readonly<Record<Effort, number>> = {
  none: 0,
  minimal: 512,
  low: 1_024,
  medium: 8_192,
  high: 24_576,
  xhigh: 32_768,
  max: 32_768,
}

const LEVELS: Readonly<Record<Effort, string>> = {
  none: 'MINIMAL',
  minimal: 'MINIMAL',
  low: 'LOW',
  medium: 'MEDIUM',
  high: 'HIGH',
  xhigh: 'HIGH',
  max: 'HIGH',
}

const EFFORT_OF_LEVEL: Readonly<Record<string, Effort>> = {
  MINIMAL: 'minimal',
  LOW: 'low',
  MEDIUM: 'medium',
  HIGH: 'high',
}

function effortOfBudget(budget: number): Effort {
  if (budget === 0) return 'none'
  if (budget <= 512) return 'minimal'
  if (budget <= 4_096) return 'low'
  if (budget <= 16_384) return 'medium'
  return budget <= 24_576 ? 'high' : 'xhigh'
}

export function readThinking(config: JsonObject): NeutralReasoning {
  const level = textField(config, 'thinkingLevel')?.toUpperCase() ?? ''
  const budget = field(config, 'thinkingBudget')
  const include = field(config, 'includeThoughts')
  const visible = typeof include === 'boolean' ? include : null
  if (typeof budget === 'number' && budget >= 0)
    return { effort: effortOfBudget(budget), budgetTokens: budget === 0 ? null : budget, visible }
  return { effort: EFFORT_OF_LEVEL[level] ?? null, budgetTokens: null, visible }
}

type Kind = 'none' | 'budget' | 'level'

function kindOf(model: string): Kind {
  if (/gemini-(?:1|2\.0)|gemma|learnlm/.test(model)) return 'none'
  if (/gemini-2\.5/.test(model)) return /image|tts|audio/.test(model) ? 'none' : 'budget'
  return 'level'
}

/** True where an old call without its signature is refused. */
export function wantsSignatures(model: string): boolean {
  return !/gemini-[12](?:\.|-)|gemma|learnlm/.test(model)
}

function budgetRange(model: string): readonly [number, number] {
  if (model.includes('pro')) return [128, 32_768]
  return model.includes('lite') ? [512, 24_576] : [1, 24_576]
}

function writeBudget(reasoning: NeutralReasoning, model: string, notes: Notes): JsonObject {
  const { effort, budgetTokens } = reasoning
  const wanted = effort === 'none' ? 0 : (budgetTokens ?? (effort === null ? null : BUDGETS[effort]))
  if (wanted === null) return {}
  const [min, max] = budgetRange(model)
  if (wanted === 0 && !model.includes('pro')) return { thinkingBudget: 0 }
  const budget = Math.min(Math.max(wanted, min), max)
  if (budget !== wanted) notes.drop(budgetTokens === null ? 'reasoning.effort' : 'reasoning.budget_tokens')
  return { thinkingBudget: budget }
}

function writeLevel(reasoning: NeutralReasoning, model: string, notes: Notes): JsonObject {
  const { budgetTokens } = reasoning
  const effort = reasoning.effort ?? (budgetTokens === null ? null : effortOfBudget(budgetTokens))
  if (budgetTokens !== null && reasoning.effort !== 'none') notes.drop('reasoning.budget_tokens')
  if (effort === null) return {}
  let level = LEVELS[effort]
  if (level === 'MINIMAL' && model.includes('pro')) level = 'LOW'
  if (level === 'MEDIUM' && /gemini-3-pro/.test(model)) level = 'HIGH'
  if (EFFORT_OF_LEVEL[level] !== effort) notes.drop('reasoning.effort')
  return { thinkingLevel: level }
}

/** @returns the thinking config; an empty object for nothing to say */
export function writeThinking(reasoning: NeutralReasoning | null, model: string, notes: Notes): JsonObject {
  if (reasoning === null) return {}
  const kind = kindOf(model)
  if (kind === 'none') {
    if (reasoning.effort !== 'none') notes.drop('reasoning')
    return {}
  }
  const { visible } = reasoning
  const amount =
    kind === 'budget' ? writeBudget(reasoning, model, notes) : writeLevel(reasoning, model, notes)
  return {
    ...amount,
    ...(visible === null || reasoning.effort === 'none' ? {} : { includeThoughts: visible }),
  }
}
