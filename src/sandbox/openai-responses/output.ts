import type { IdSource, JsonObject } from '../../kernel/index.ts'
import { freshHex, freshName } from '../fresh-name.ts'
import { logprobs } from '../openai-chat/render.ts'
import { type Plan, type PlannedCall, type PlannedChoice, reasoningAbout } from '../plan.ts'
import { sealOf } from '../seal.ts'
import { foundBy } from '../searches.ts'
import type { Switches } from '../switches.ts'
import { splitTokens } from '../tokens.ts'
import type { ResponsesRequest } from './request.ts'

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete'

/** One item of the output; pieces are what a stream sends one by one. */
export type OutputItem =
  | {
      readonly kind: 'reasoning'
      readonly id: string
      /** Null where the caller did not ask for it. */
      readonly encrypted: string | null
      readonly summary: readonly string[]
    }
  | {
      readonly kind: 'message'
      readonly id: string
      readonly pieces: readonly string[]
      readonly refusal: boolean
      readonly phase: boolean
      readonly annotations: readonly JsonObject[]
      /** How many alternatives to give with each token; null for no probabilities. */
      readonly topLogprobs: number | null
    }
  | { readonly kind: 'call'; readonly id: string; readonly callId: string; readonly call: PlannedCall }
  | { readonly kind: 'search'; readonly id: string; readonly query: string }

export function freshItemId(prefix: string, ids: IdSource): string {
  return `${prefix}_0${freshHex(ids, 49)}`
}

/** The items of an answer, in the order in which the real API sends them. */
export function outputOf(
  plan: Plan,
  request: ResponsesRequest,
  switches: Switches,
  ids: IdSource,
  phase: boolean,
): readonly OutputItem[] {
  const [choice] = plan.choices
  if (choice === undefined) return []
  const searches = Array.from(
    { length: switches.counts.websearch ?? 0 },
    (_, index): OutputItem => ({
      kind: 'search',
      id: freshItemId('ws', ids),
      query: foundBy(index).query,
    }),
  )
  return [
    ...(plan.reasoningTokens > 0 ? [reasoningItem(request, ids)] : []),
    ...searches,
    ...messageItems(choice, request, ids, { phase, searches: searches.length }),
    ...choice.calls.map((call): OutputItem => {
      const callId = `call_${freshName(ids, 24)}`
      return { kind: 'call', id: freshItemId(call.freeText ? 'ctc' : 'fc', ids), callId, call }
    }),
  ]
}

function reasoningItem({ summary, include, messages }: ResponsesRequest, ids: IdSource): OutputItem {
  const text = reasoningAbout(messages)
  return {
    kind: 'reasoning',
    id: freshItemId('rs', ids),
    encrypted: include.has('reasoning.encrypted_content') ? sealOf('reasoning', text) : null,
    summary: summary === '' ? [] : splitTokens(text),
  }
}

function messageItems(
  { content, calls, finish }: PlannedChoice,
  { include, topLogprobs }: ResponsesRequest,
  ids: IdSource,
  { phase, searches }: { readonly phase: boolean; readonly searches: number },
): readonly OutputItem[] {
  // A limit that the reasoning used up leaves no message; an empty answer has an empty one.
  if (calls.length > 0 || (content.length === 0 && finish === 'length')) return []
  return [
    {
      kind: 'message',
      id: freshItemId('msg', ids),
      pieces: content,
      refusal: finish === 'refusal',
      phase,
      annotations: Array.from({ length: searches }, (_, index) => citation(content, index)),
      topLogprobs: include.has('message.output_text.logprobs') ? topLogprobs : null,
    },
  ]
}

function citation(content: readonly string[], index: number): JsonObject {
  const { title, url } = foundBy(index)
  return { type: 'url_citation', start_index: 0, end_index: content.join('').length, title, url }
}

/** Members in the recorded order; an item in progress has nothing in it yet. */
export function itemJson(item: OutputItem, status: ItemStatus): JsonObject {
  const begun = status === 'in_progress'
  switch (item.kind) {
    case 'reasoning': {
      const text = item.summary.join('')
      return {
        id: item.id,
        type: 'reasoning',
        ...(item.encrypted === null ? {} : { encrypted_content: item.encrypted }),
        summary: begun || text === '' ? [] : [{ type: 'summary_text', text }],
      }
    }
    case 'message':
      return {
        id: item.id,
        type: 'message',
        status,
        content: begun ? [] : [partJson(item, item.pieces)],
        ...(item.phase ? { phase: 'final_answer' } : {}),
        role: 'assistant',
      }
    case 'call': {
      const { freeText, name, pieces } = item.call
      const given = begun ? '' : pieces.join('')
      if (freeText) {
        return { id: item.id, type: 'custom_tool_call', status, call_id: item.callId, input: given, name }
      }
      return {
        id: item.id,
        type: 'function_call',
        status,
        arguments: given,
        call_id: item.callId,
        name,
      }
    }
    case 'search':
      return {
        id: item.id,
        type: 'web_search_call',
        status,
        action: { type: 'search', query: item.query, queries: [item.query] },
      }
  }
}

type MessageItem = Extract<OutputItem, { kind: 'message' }>

export function partJson(item: MessageItem, pieces: readonly string[]): JsonObject {
  const text = pieces.join('')
  if (item.refusal) return { type: 'refusal', refusal: text }
  const annotations = pieces.length === 0 ? [] : item.annotations
  return { type: 'output_text', annotations, logprobs: probabilities(item, pieces), text }
}

export function probabilities(
  { topLogprobs }: MessageItem,
  pieces: readonly string[],
): readonly JsonObject[] {
  return topLogprobs === null ? [] : logprobs(pieces, topLogprobs).content
}
