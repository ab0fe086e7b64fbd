import type { JsonObject } from '../../kernel/index.ts'
import { streamErrorFields } from '../openai-chat/errors.ts'
import { createPadding, withStreamFaults } from '../stream-faults.ts'
import { splitTokens } from '../tokens.ts'
import { itemJson, type OutputItem, partJson, probabilities } from './output.ts'
import { beginning, ending, itemStatus, type ResponseFacts, responseJson } from './response.ts'

/** Prints events and numbers them. */
interface Events {
  /** @param members JSON members after the number, each with its comma before it */
  event(type: string, members: string): string
  padding(): string
}

/** The frames of a streamed response, one token a frame, made as they are asked for. */
export function responsesStream(facts: ResponseFacts): Iterable<string> {
  const events = createEvents(facts)
  const final = facts.limited ? 'response.incomplete' : 'response.completed'
  return withStreamFaults(answerFrames(facts, events), facts.switches, {
    error: () => errorFrames(facts, events),
    done: () => events.event(final, response(facts, ending(facts))),
    doneAfterError: false,
  })
}

function createEvents({ request, counts }: ResponseFacts): Events {
  let number = 0
  const nextPadding = createPadding(counts.prompt)
  return {
    event: (type, members) =>
      `event: ${type}\ndata: {"type":"${type}","sequence_number":${number++}${members}}\n\n`,
    padding: () => (request.obfuscated ? `,"obfuscation":"${nextPadding()}"` : ''),
  }
}

function response(facts: ResponseFacts, state: Parameters<typeof responseJson>[1]): string {
  return `,"response":${responseJson(facts, state)}`
}

/** Recorded: an error event, then the response as failed. */
function* errorFrames(facts: ResponseFacts, { event }: Events): Generator<string> {
  const { message, type, code } = streamErrorFields(facts.switches)
  yield event('error', `,"error":${JSON.stringify({ type, code, message, param: null })}`)
  const failed = { status: 'failed', output: [], usage: 'null', error: { code, message } } as const
  yield event('response.failed', response(facts, failed))
}

function* answerFrames(facts: ResponseFacts, events: Events): Generator<string> {
  const { event } = events
  yield event('response.created', response(facts, beginning('in_progress')))
  yield event('response.in_progress', response(facts, beginning('in_progress')))
  for (const [index, item] of facts.output.entries()) {
    const last = index === facts.output.length - 1
    const at = `,"output_index":${index}`
    yield event('response.output_item.added', `${at},"item":${json(itemJson(item, 'in_progress'))}`)
    yield* itemFrames(item, index, events, last ? facts.endless : null)
    const status = itemStatus(last && facts.limited)
    yield event('response.output_item.done', `${at},"item":${json(itemJson(item, status))}`)
  }
}

function json(value: JsonObject | string | readonly JsonObject[]): string {
  return JSON.stringify(value)
}

function itemFrames(
  item: OutputItem,
  index: number,
  events: Events,
  endless: (() => string) | null,
): Iterable<string> {
  switch (item.kind) {
    case 'reasoning':
      return summaryFrames(item, index, events)
    case 'message':
      return messageFrames(item, index, events, endless)
    case 'call':
      return callFrames(item, index, events)
    case 'search':
      return ['in_progress', 'searching', 'completed'].map((step) =>
        events.event(`response.web_search_call.${step}`, `,"output_index":${index},"item_id":"${item.id}"`),
      )
  }
}

type ItemOf<Kind extends OutputItem['kind']> = Extract<OutputItem, { kind: Kind }>

function* summaryFrames(
  { id, summary }: ItemOf<'reasoning'>,
  index: number,
  { event, padding }: Events,
): Generator<string> {
  if (summary.length === 0) return
  const at = `,"item_id":"${id}","output_index":${index},"summary_index":0`
  const text = summary.join('')
  const part = (said: string): string => `,"part":${json({ type: 'summary_text', text: said })}`
  yield event('response.reasoning_summary_part.added', at + part(''))
  for (const piece of summary) {
    yield event('response.reasoning_summary_text.delta', `${at},"delta":${json(piece)}${padding()}`)
  }
  yield event('response.reasoning_summary_text.done', `${at},"text":${json(text)}`)
  yield event('response.reasoning_summary_part.done', at + part(text))
}

function* messageFrames(
  item: ItemOf<'message'>,
  index: number,
  { event, padding }: Events,
  endless: (() => string) | null,
): Generator<string> {
  const at = `,"item_id":"${item.id}","output_index":${index},"content_index":0`
  const kind = item.refusal ? 'refusal' : 'output_text'
  const more = (pieces: readonly string[]): string =>
    item.refusal ? '' : `,"logprobs":${json(probabilities(item, pieces))}`
  const delta = (piece: string): string =>
    event(`response.${kind}.delta`, `${at},"delta":${json(piece)}${more([piece])}${padding()}`)
  yield event('response.content_part.added', `${at},"part":${json(partJson(item, []))}`)
  for (const piece of item.pieces) yield delta(piece)
  for (; endless !== null; ) for (const piece of splitTokens(` ${endless()}`)) yield delta(piece)
  for (const [place, annotation] of item.annotations.entries()) {
    const members = `${at},"annotation_index":${place},"annotation":${json(annotation)}`
    yield event('response.output_text.annotation.added', members)
  }
  const text = json(item.pieces.join(''))
  yield event(
    `response.${kind}.done`,
    `${at},"${item.refusal ? 'refusal' : 'text'}":${text}${more(item.pieces)}`,
  )
  yield event('response.content_part.done', `${at},"part":${json(partJson(item, item.pieces))}`)
}

function* callFrames(
  { id, call }: ItemOf<'call'>,
  index: number,
  { event, padding }: Events,
): Generator<string> {
  const at = `,"item_id":"${id}","output_index":${index}`
  const kind = call.freeText ? 'custom_tool_call_input' : 'function_call_arguments'
  for (const piece of call.pieces) {
    yield event(`response.${kind}.delta`, `${at},"delta":${json(piece)}${padding()}`)
  }
  const member = call.freeText ? 'input' : 'arguments'
  yield event(`response.${kind}.done`, `${at},"${member}":${json(call.pieces.join(''))}`)
}
