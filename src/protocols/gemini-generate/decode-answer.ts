import { isObject, type JsonObject } from '../../kernel/index.ts'
import type { DecodeResult, NeutralAnswer, NeutralChoice, NeutralPart } from '../neutral.ts'
import { CallIds } from './call-ids.ts'
import { readCitations } from './citations.ts'
import { readPart } from './decode-parts.ts'
import { listOf, objectField, objectsOf, textField } from './fields.ts'
import { readBlock, readFinish } from './finish.ts'
import { readLogprobs } from './logprobs.ts'
import { Notes } from './notes.ts'
import { servedTier } from './tier.ts'
import { findUsage, readUsage } from './usage.ts'

/** A whole answer out of the wire. */

/** Parts by the place of the wire's part that they came from. */
type PlacedParts = readonly (readonly NeutralPart[])[]

/** A citation belongs to the text of its part, or else to the last text. */
function cited(placed: PlacedParts, candidate: JsonObject): readonly NeutralPart[] {
  const citations = readCitations(candidate)
  if (citations.length === 0) return placed.flat()
  const isText = (parts: readonly NeutralPart[] | undefined): boolean =>
    parts?.some((part) => part.kind === 'text') === true
  const lastText = placed.findLastIndex(isText)
  const placeOf = (partIndex: number | null): number =>
    partIndex !== null && isText(placed[partIndex]) ? partIndex : lastText
  return placed.flatMap((parts, place) => {
    const own = citations.filter(({ partIndex }) => placeOf(partIndex) === place)
    if (own.length === 0) return parts
    return parts.map((part) =>
      part.kind === 'text' ? { ...part, citations: own.map(({ citation }) => citation) } : part,
    )
  })
}

function readCandidate(candidate: JsonObject, at: number, ids: CallIds, notes: Notes): NeutralChoice {
  const path = `candidates[${at}].content`
  const parts = listOf(objectField(candidate, 'content')?.['parts'])
  const placed = parts.map((part, place) =>
    readPart(part, `${path}.parts[${place}]`, { ids, notes, ofRequest: false }),
  )
  const all = cited(placed, candidate)
  const finishRaw = textField(candidate, 'finishReason') ?? ''
  const logprobs = readLogprobs(candidate['logprobsResult'])
  return {
    parts: all,
    finish: readFinish(
      finishRaw,
      all.some((part) => part.kind === 'tool_call'),
    ),
    finishRaw,
    ...(logprobs.length === 0 ? {} : { logprobs }),
  }
}

/** A blocked prompt has no candidate; to the caller it is an answer that was filtered. */
function blockedChoice(body: JsonObject): NeutralChoice {
  const raw = textField(objectField(body, 'promptFeedback') ?? {}, 'blockReason')
  return raw === null
    ? { parts: [], finish: 'error', finishRaw: '' }
    : { parts: [], finish: readBlock(raw), finishRaw: raw }
}

export function createdSeconds(body: JsonObject): number | null {
  const time = textField(body, 'createTime')
  const ms = time === null ? Number.NaN : Date.parse(time)
  return Number.isFinite(ms) ? Math.floor(ms / 1000) : null
}

export function decodeAnswer(body: JsonObject): DecodeResult<NeutralAnswer> {
  const notes = new Notes()
  const id = textField(body, 'responseId') ?? ''
  const ids = new CallIds(id)
  const candidates = objectsOf(body['candidates'])
  const inOrder = [...candidates].sort((a, b) => candidateIndex(a, 0) - candidateIndex(b, 0))
  const choices = inOrder.map((candidate, at) => readCandidate(candidate, at, ids, notes))
  const usage = readUsage(findUsage(body))
  const raw = body['usageMetadata']
  return {
    ok: true,
    value: {
      id,
      model: textField(body, 'modelVersion') ?? '',
      createdSeconds: createdSeconds(body),
      choices: choices.length === 0 ? [blockedChoice(body)] : choices,
      usage: usage.kind === 'reported' ? usage.usage : null,
      serviceTier: isObject(raw) ? servedTier(raw) : null,
      dropped: notes.dropped,
    },
  }
}

export function candidateIndex(candidate: JsonObject, place: number): number {
  const { index } = candidate
  return typeof index === 'number' && Number.isSafeInteger(index) && index >= 0 && index < 64 ? index : place
}
