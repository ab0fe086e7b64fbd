import type { IdSource, JsonObject } from '../../kernel/index.ts'
import { freshName } from '../fresh-name.ts'
import type { Plan, PlannedChoice } from '../plan.ts'
import type { Switches } from '../switches.ts'
import { hashText } from '../tokens.ts'
import type { Dialect } from './dialects.ts'
import type { ChatRequest } from './request.ts'
import type { ChatCounts } from './usage.ts'

export interface ChatPlan extends Plan {
  readonly counts: ChatCounts
}

/** What all parts of one answer share. */
export interface AnswerFacts {
  readonly id: string
  readonly createdS: number
  readonly model: string
  readonly serviceTier: string
  readonly dialect: Dialect
  readonly request: ChatRequest
  readonly switches: Switches
  readonly ids: IdSource
}

export function freshAnswerId(dialect: Dialect, ids: IdSource): string {
  switch (dialect.id) {
    case 'chatcmpl':
      return `chatcmpl-${freshName(ids, 29)}`
    case 'chatcmpl-uuid':
      return `chatcmpl-${ids.uuid()}`
    case 'uuid':
      return ids.uuid()
    case 'hex':
      return ids.uuid().replaceAll('-', '')
  }
}

/** `fast` comes back as `priority`; a caller that leaves the choice open gets `default`. */
export function servedTier(asked: string): string {
  if (asked === 'flex' || asked === 'scale' || asked === 'priority') return asked
  return asked === 'fast' ? 'priority' : 'default'
}

/** The body of an answer that is no stream; members in the recorded order. */
export function completionJson(facts: AnswerFacts, plan: ChatPlan, usage: string | null): string {
  const { id, createdS, model, serviceTier, dialect } = facts
  const choices = plan.choices.map((choice, index) => choiceOf(facts, choice, index))
  const head = JSON.stringify({ id, object: 'chat.completion', created: createdS, model, choices })
  const tail = JSON.stringify({
    ...(dialect.serviceTier ? { service_tier: serviceTier } : {}),
    ...(dialect.fingerprint === undefined ? {} : { system_fingerprint: dialect.fingerprint }),
    ...(dialect.requestId ? { request_id: id } : {}),
  })
  // Usage is spliced in as text, since a switch may have put text there that no JavaScript value prints as.
  const middle = usage === null ? '' : `,"usage":${usage}`
  return head.slice(0, -1) + middle + (tail === '{}' ? '}' : `,${tail.slice(1)}`)
}

function choiceOf(facts: AnswerFacts, choice: PlannedChoice, index: number): object {
  const { dialect, request, ids } = facts
  const content = choice.content.join('')
  const calls = choice.calls.map(({ name, pieces }) => ({
    id: freshCallId(ids),
    type: 'function',
    function: { name, arguments: pieces.join('') },
  }))
  const reasoning = choice.reasoning.join('')
  const refused = choice.finish === 'refusal'
  return {
    index,
    message: {
      role: 'assistant',
      content: calls.length > 0 || refused ? null : content,
      ...(reasoning === '' ? {} : { reasoning_content: reasoning }),
      ...(calls.length > 0 ? { tool_calls: calls } : {}),
      ...(dialect.refusal || refused ? { refusal: refused ? content : null, annotations: [] } : {}),
    },
    ...logprobsOf(facts, request.logprobs ? choice.content : null),
    finish_reason: finishReason(choice),
  }
}

/** A refusal ends like any text: it shows in the member that holds it. */
export function finishReason({ finish }: PlannedChoice): 'stop' | 'length' | 'tool_calls' {
  return finish === 'refusal' ? 'stop' : finish
}

export function freshCallId(ids: IdSource): string {
  return `call_${freshName(ids, 24)}`
}

function logprobsOf({ dialect, request }: AnswerFacts, pieces: readonly string[] | null): object {
  if (pieces !== null) return { logprobs: logprobs(pieces, request.topLogprobs) }
  return dialect.logprobsNull ? { logprobs: null } : {}
}

/** Made-up probabilities that follow from the token, so that they are the same every time. */
export function logprobs(
  pieces: readonly string[],
  top: number,
): { readonly content: readonly JsonObject[]; readonly refusal: null } {
  return {
    content: pieces.map((token) => {
      const logprob = -(hashText(token) % 2000) / 1000
      const others = Array.from({ length: top }, (_, rank) => ({
        token: rank === 0 ? token : `${token}${rank}`,
        logprob: logprob - rank,
        bytes: [...Buffer.from(rank === 0 ? token : `${token}${rank}`)],
      }))
      return { token, logprob, bytes: [...Buffer.from(token)], top_logprobs: others }
    }),
    refusal: null,
  }
}
