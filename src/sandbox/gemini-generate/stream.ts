import type { JsonObject } from '../../kernel/index.ts'
import type { PlannedChoice } from '../plan.ts'
import { withStreamFaults } from '../stream-faults.ts'
import { countTokens, splitTokens } from '../tokens.ts'
import {
  type AnswerPart,
  BLOCKED,
  bodyJson,
  candidate,
  type GenerateFacts,
  partsOf,
  textSeal,
} from './answer.ts'
import { midStreamJson } from './errors.ts'
import { generateUsage } from './usage.ts'

/** The chunks as server-sent events, which Google ends with CR LF and without a last event. */
export function generateEvents(facts: GenerateFacts): Iterable<string> {
  return withStreamFaults(frames(facts), facts.switches, {
    error: () => [`data: ${midStreamJson(facts.switches)}\r\n\r\n`],
    done: () => null,
    doneAfterError: false,
  })
}

function* frames(facts: GenerateFacts): Generator<string> {
  for (const chunk of chunks(facts)) yield `data: ${chunk}\r\n\r\n`
}

/** The chunks as one JSON array, which grows while it is sent. */
export function* generateArray(facts: GenerateFacts): Generator<string> {
  let first = true
  const open = (): string => {
    const before = first ? '[' : ',\r\n'
    first = false
    return before
  }
  const body = withStreamFaults(chunks(facts), facts.switches, {
    error: () => [midStreamJson(facts.switches)],
    done: () => null,
    doneAfterError: false,
  })
  for (const chunk of body) yield open() + chunk
  if (!facts.switches.flags.has('no-done')) yield first ? '[]' : ']'
}

/** One token a chunk, each with the usage up to it. */
function* chunks(facts: GenerateFacts): Generator<string> {
  const { plan, counts, switches } = facts
  if (switches.flags.has('blocked')) {
    yield bodyJson(facts, BLOCKED, generateUsage(counts, 0, switches, ': '), ': ')
    return
  }
  let sent = 0
  const chunk = (
    choice: PlannedChoice,
    index: number,
    parts: readonly JsonObject[],
    ends: boolean,
  ): string => {
    const head = { candidates: [candidate(facts, choice, index, parts, ends)] }
    return bodyJson(facts, head, generateUsage(counts, sent, switches, ': '), ': ')
  }
  for (const [index, choice] of plan.choices.entries()) {
    const { body, last } = lastOf(facts, choice)
    for (const { part, tokens } of body) {
      sent += tokens
      yield chunk(choice, index, [part], false)
    }
    for (; plan.endless !== null && choice.calls.length === 0; ) {
      for (const text of splitTokens(` ${plan.endless()}`)) {
        sent += countTokens(text)
        yield chunk(choice, index, [{ text }], false)
      }
    }
    sent += last?.tokens ?? 0
    yield chunk(choice, index, last === null ? [] : [last.part], true)
  }
}

/** What comes with the reason for ending: of a model that signs an empty text, of others the last piece itself. */
function lastOf(
  facts: GenerateFacts,
  choice: PlannedChoice,
): { readonly body: readonly AnswerPart[]; readonly last: AnswerPart | null } {
  const parts = partsOf(facts, choice)
  const end = parts.at(-1)
  if (end === undefined) return { body: [], last: null }
  if (choice.calls.length > 0) return { body: parts, last: { part: { text: '' }, tokens: 0 } }
  if (!facts.request.signs) return { body: parts.slice(0, -1), last: end }
  return { body: parts, last: { part: { text: '', thoughtSignature: textSeal(choice) }, tokens: 0 } }
}
