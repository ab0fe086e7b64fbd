import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralMessage, NeutralReasoning, NeutralRequest } from '../neutral.ts'
import { ORIGIN } from './decode-parts.ts'
import { BUDGET_MIN, EFFORT_BUDGETS, effortOfBudget, type ModelTraits, nearestEffort } from './models.ts'
import type { Notes } from './notes.ts'

export interface ThinkingPlan {
  readonly thinking: JsonObject | null
  readonly effort: string | null
}

const NOTHING: ThinkingPlan = { thinking: null, effort: null }

/** Thinking and a forced call exclude each other; the call is what the caller's program waits for. */
function isForced(request: NeutralRequest): boolean {
  return request.toolChoice?.kind === 'required' || request.toolChoice?.kind === 'tool'
}

/**
 * With a budget the provider wants the thinking of an unfinished tool loop back, sealed. A conversation that came through
 * another format has none.
 */
function loopIsUnsealed(messages: readonly NeutralMessage[]): boolean {
  const last = messages.findLastIndex((message) => message.role === 'assistant')
  const message = messages[last]
  if (message === undefined || !message.parts.some((part) => part.kind === 'tool_call')) return false
  const answered = messages
    .slice(last + 1)
    .some((next) => next.parts.some((part) => part.kind === 'tool_result'))
  return (
    answered &&
    !message.parts.some(
      (part) =>
        part.kind === 'reasoning' &&
        part.origin === ORIGIN &&
        (part.signature !== undefined || part.redacted !== undefined),
    )
  )
}

function off(traits: ModelTraits, notes: Notes): ThinkingPlan {
  if (traits.off === 'omit') return NOTHING
  if (traits.off === 'disabled') return { thinking: { type: 'disabled' }, effort: null }
  // It always thinks: the least it can do is little.
  notes.drop('reasoning.effort')
  return { thinking: null, effort: 'low' }
}

function display(visible: boolean | null, traits: ModelTraits): JsonObject {
  if (visible === null || !traits.display) return {}
  return { display: visible ? 'summarized' : 'omitted' }
}

function budgetPlan(
  request: NeutralRequest,
  reasoning: NeutralReasoning,
  traits: ModelTraits,
  maxTokens: number,
  notes: Notes,
): ThinkingPlan {
  const { effort, budgetTokens } = reasoning
  const byEffort = effort === null || effort === 'none' ? EFFORT_BUDGETS.medium : EFFORT_BUDGETS[effort]
  // A budget that was only worked out leaves a fifth of the limit to the answer.
  const most = budgetTokens === null ? Math.floor((maxTokens * 4) / 5) : maxTokens - 1
  const wanted = Math.max(budgetTokens ?? byEffort, BUDGET_MIN)
  const budget = Math.min(wanted, most)
  if (!traits.budgets || budget < BUDGET_MIN || isForced(request) || loopIsUnsealed(request.messages)) {
    notes.drop('reasoning')
    return NOTHING
  }
  if (budgetTokens !== null && budget !== budgetTokens) notes.drop('reasoning.budget_tokens')
  return {
    thinking: { type: 'enabled', budget_tokens: budget, ...display(reasoning.visible, traits) },
    effort: null,
  }
}

function adaptivePlan(
  request: NeutralRequest,
  reasoning: NeutralReasoning,
  traits: ModelTraits,
  notes: Notes,
): ThinkingPlan {
  const { budgetTokens } = reasoning
  const asked = reasoning.effort ?? (budgetTokens === null ? null : effortOfBudget(budgetTokens))
  if (budgetTokens !== null) notes.drop('reasoning.budget_tokens')
  const effort = asked === null ? null : nearestEffort(asked, traits.efforts)
  if (effort !== asked && asked !== 'minimal') notes.drop('reasoning.effort')
  if (isForced(request)) {
    notes.drop('reasoning.thinking')
    return { thinking: null, effort }
  }
  return { thinking: { type: 'adaptive', ...display(reasoning.visible, traits) }, effort }
}

/** How this model is told how much to think; the tables are in models.ts. */
export function planThinking(
  request: NeutralRequest,
  traits: ModelTraits,
  maxTokens: number,
  notes: Notes,
): ThinkingPlan {
  const { reasoning } = request
  if (reasoning === null) return NOTHING
  if (reasoning.effort === 'none' || reasoning.budgetTokens === 0) return off(traits, notes)
  const byBudget = !traits.adaptive || (traits.budgets && reasoning.budgetTokens !== null)
  return byBudget
    ? budgetPlan(request, reasoning, traits, maxTokens, notes)
    : adaptivePlan(request, reasoning, traits, notes)
}
