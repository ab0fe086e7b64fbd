import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralAnswer, NeutralChoice, NeutralPart } from '../neutral.ts'
import type { EncoderContext } from '../protocol.ts'
import { type CitedText, writeCitations } from './citations.ts'
import { ORIGIN } from './decode-parts.ts'
import { type Reasoning, writeCall, writeThought } from './encode-parts.ts'
import { writeUsage } from './encode-usage.ts'
import { writeFinish } from './finish.ts'
import { writeLogprobs } from './logprobs.ts'
import { writeMedia } from './media.ts'
import { Notes } from './notes.ts'

/** A neutral answer as a whole answer of this format. */

/** Thinking of any model is shown; only Google's own is sealed. */
export function shownThought(part: Reasoning): JsonObject | null {
  if (part.origin === ORIGIN) return writeThought(part)
  return part.text === '' ? null : { text: part.text, thought: true }
}

function writePart(part: NeutralPart, notes: Notes): JsonObject | null {
  switch (part.kind) {
    case 'text':
    case 'refusal':
      return part.text === '' ? null : { text: part.text }
    case 'reasoning':
      return shownThought(part)
    case 'tool_call':
      return writeCall(part, true)
    case 'image':
    case 'file':
    case 'audio':
      return writeMedia(part, '', notes)
    case 'tool_result':
      return null
  }
}

function writeCandidate(choice: NeutralChoice, index: number): JsonObject {
  const notes = new Notes()
  const parts: JsonObject[] = []
  const texts: CitedText[] = []
  for (const part of choice.parts) {
    const written = writePart(part, notes)
    if (written === null) continue
    if (part.kind === 'text' && part.citations !== undefined)
      texts.push({ partIndex: parts.length, text: part.text, citations: part.citations })
    parts.push(written)
  }
  return {
    content: { ...(parts.length === 0 ? {} : { parts }), role: 'model' },
    finishReason: writeFinish(choice.finish, choice.finishRaw),
    index,
    ...writeCitations(texts),
    ...writeLogprobs(choice.logprobs),
  }
}

/** Members that stand in a whole answer and in every event of a stream. */
export function heading(
  answer: Pick<NeutralAnswer, 'id' | 'model' | 'createdSeconds'>,
  context: EncoderContext,
): JsonObject {
  const { createdSeconds } = answer
  const ms = createdSeconds === null ? Number.NaN : createdSeconds * 1000
  return {
    modelVersion: answer.model === '' ? context.requestedModel : answer.model,
    ...(Math.abs(ms) <= 8.64e15 ? { createTime: new Date(ms).toISOString() } : {}),
    responseId: answer.id === '' ? context.requestId : answer.id,
  }
}

export function encodeAnswer(answer: NeutralAnswer, context: EncoderContext): JsonObject {
  const { usage, serviceTier } = answer
  return {
    candidates: answer.choices.map(writeCandidate),
    ...(usage === null ? {} : { usageMetadata: writeUsage(usage, serviceTier, context.annotate()) }),
    ...heading(answer, context),
  }
}
