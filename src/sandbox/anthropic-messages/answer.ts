import type { IdSource, JsonObject, Uuid } from '../../kernel/index.ts'
import { parseJson } from '../../kernel/index.ts'
import { freshName } from '../fresh-name.ts'
import type { Plan, PlannedChoice } from '../plan.ts'
import { sealOf } from '../seal.ts'
import { foundBy } from '../searches.ts'
import type { Switches } from '../switches.ts'
import type { Dialect } from './dialects.ts'
import type { MessagesRequest } from './request.ts'
import { ADVISOR_MODEL, type UsageFacts, wholeUsage } from './usage.ts'

/** One content block of the answer; pieces are what a stream sends one by one. */
export type AnswerBlock =
  | { readonly kind: 'thinking'; readonly pieces: readonly string[]; readonly signature: string }
  | {
      readonly kind: 'text'
      readonly pieces: readonly string[]
      /** Null where nothing was searched. */
      readonly citations: readonly JsonObject[] | null
    }
  | { readonly kind: 'compaction'; readonly pieces: readonly string[] }
  /** `head` is the block without its input. */
  | { readonly kind: 'call'; readonly head: JsonObject; readonly pieces: readonly string[] }
  /** Sent whole. */
  | { readonly kind: 'whole'; readonly block: JsonObject }

export interface AnswerFacts {
  readonly id: string
  readonly model: string
  readonly dialect: Dialect
  readonly request: MessagesRequest
  readonly switches: Switches
  readonly usage: UsageFacts
  readonly blocks: readonly AnswerBlock[]
  readonly ending: JsonObject
  readonly endless: (() => string) | null
  readonly requestUuid: Uuid
}

export function freshMessageId(ids: IdSource): string {
  return `msg_01${freshName(ids, 22)}`
}

/** The blocks of an answer, in the order in which the real API sends them. */
export function blocksOf(
  plan: Plan,
  request: MessagesRequest,
  switches: Switches,
  ids: IdSource,
): readonly AnswerBlock[] {
  const [choice] = plan.choices
  if (choice === undefined || switches.flags.has('empty') || choice.finish === 'refusal') return []
  return [
    ...(switches.flags.has('iterations') ? [compaction()] : []),
    ...fallbackBlocks(request.model, switches.texts.fallback),
    ...thinkingBlocks(choice, request, switches),
    ...searchBlocks(switches.counts.websearch ?? 0, ids),
    ...(switches.flags.has('iterations') ? advisorBlocks(ids) : []),
    ...(choice.content.length > 0 ? [textBlock(choice.content, switches)] : []),
    ...choice.calls.map(({ name, pieces }) => callBlock(name, pieces, ids)),
  ]
}

function thinkingBlocks(
  { reasoning }: PlannedChoice,
  request: MessagesRequest,
  { flags }: Switches,
): readonly AnswerBlock[] {
  if (reasoning.length === 0) return []
  const text = reasoning.join('')
  if (flags.has('redacted-thinking')) {
    return [{ kind: 'whole', block: { type: 'redacted_thinking', data: sealOf('redacted', text) } }]
  }
  const signature = sealOf('thinking', text)
  return [{ kind: 'thinking', pieces: request.thinkingOmitted ? [] : reasoning, signature }]
}

function textBlock(pieces: readonly string[], { counts }: Switches): AnswerBlock {
  const searches = counts.websearch ?? 0
  if (searches === 0) return { kind: 'text', pieces, citations: null }
  const citations = Array.from({ length: searches }, (_, index) => {
    const { title, url, query } = foundBy(index)
    const encrypted_index = sealOf('search', `${query} cited`)
    return { type: 'web_search_result_location', cited_text: title, url, title, encrypted_index }
  })
  return { kind: 'text', pieces, citations }
}

function callBlock(name: string, pieces: readonly string[], ids: IdSource): AnswerBlock {
  const head = { type: 'tool_use', id: `toolu_01${freshName(ids, 22)}`, name }
  // Recorded: a call without arguments sends no more than the empty first piece.
  return { kind: 'call', head, pieces: pieces.join('') === '{}' ? [] : pieces }
}

function searchBlocks(searches: number, ids: IdSource): readonly AnswerBlock[] {
  return Array.from({ length: searches }, (_, index) => {
    const id = `srvtoolu_01${freshName(ids, 22)}`
    const { query, title, url } = foundBy(index)
    const result = {
      type: 'web_search_result',
      title,
      url,
      encrypted_content: sealOf('search', query),
      page_age: null,
    }
    return [
      {
        kind: 'call',
        head: { type: 'server_tool_use', id, name: 'web_search' },
        pieces: [JSON.stringify({ query })],
      },
      { kind: 'whole', block: { type: 'web_search_tool_result', tool_use_id: id, content: [result] } },
    ] as const
  }).flat()
}

function compaction(): AnswerBlock {
  return {
    kind: 'compaction',
    pieces: ['The sandbox was asked', ' several things before;', ' this sums them up.'],
  }
}

function advisorBlocks(ids: IdSource): readonly AnswerBlock[] {
  const id = `srvtoolu_01${freshName(ids, 22)}`
  const text = `The sandbox's ${ADVISOR_MODEL} advises to answer in short.`
  const content = { type: 'advisor_result', text }
  return [
    { kind: 'call', head: { type: 'server_tool_use', id, name: 'advisor' }, pieces: [] },
    { kind: 'whole', block: { type: 'advisor_tool_result', tool_use_id: id, content } },
  ]
}

function fallbackBlocks(asked: string, served: string | undefined): readonly AnswerBlock[] {
  if (served === undefined) return []
  return [{ kind: 'whole', block: { type: 'fallback', from: { model: asked }, to: { model: served } } }]
}

/** stop_reason and what goes with it. */
export function endingOf(plan: Plan, { stopDetails }: Dialect): JsonObject {
  const [choice] = plan.choices
  const details = stopDetails ? { stop_details: null } : {}
  switch (choice?.finish) {
    case 'length':
      return { stop_reason: 'max_tokens', stop_sequence: null, ...details }
    case 'tool_calls':
      return { stop_reason: 'tool_use', stop_sequence: null, ...details }
    case 'refusal':
      return { stop_reason: 'refusal', stop_sequence: null, stop_details: REFUSED }
    default: {
      const stop = choice?.stop ?? null
      const reason = stop === null ? 'end_turn' : 'stop_sequence'
      return { stop_reason: reason, stop_sequence: stop, ...details }
    }
  }
}

const REFUSED: JsonObject = {
  type: 'refusal',
  category: 'general_harms',
  explanation: 'The sandbox was told to refuse this request.',
  recommended_model: null,
}

/** The body of an answer that is no stream; members in the recorded order. */
export function messageJson(facts: AnswerFacts): string {
  const { id, model, blocks, ending, switches } = facts
  const content = blocks.map(wholeBlock)
  const head = JSON.stringify({ model, id, type: 'message', role: 'assistant', content, ...ending })
  const usage = wholeUsage(facts.usage)
  const edits = switches.flags.has('iterations') ? ',"context_management":{"applied_edits":[]}' : ''
  // Usage is spliced in as text, since a switch may have put text there that no JavaScript value prints as.
  return `${head.slice(0, -1)}${usage === null ? '' : `,"usage":${usage}`}${edits}}`
}

function wholeBlock(block: AnswerBlock): JsonObject {
  switch (block.kind) {
    case 'thinking':
      return { type: 'thinking', thinking: block.pieces.join(''), signature: block.signature }
    case 'text':
      return {
        ...(block.citations === null ? {} : { citations: block.citations }),
        type: 'text',
        text: block.pieces.join(''),
      }
    case 'compaction':
      return { type: 'compaction', content: block.pieces.join('') }
    case 'call': {
      const input = parseJson(block.pieces.join(''))
      // Arguments that the limit cut in two are no JSON; the real API shows what it could read, which may be nothing.
      return { ...block.head, input: input.ok ? input.value : {} }
    }
    case 'whole':
      return block.block
  }
}
