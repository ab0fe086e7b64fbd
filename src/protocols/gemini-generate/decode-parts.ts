import { isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { NeutralPart } from '../neutral.ts'
import type { CallIds } from './call-ids.ts'
import { field, objectField, textField } from './fields.ts'
import { readMedia } from './media.ts'
import type { Notes } from './notes.ts'

/** Parts of a content, of a request or of an answer, out of the wire. */

export const ORIGIN = 'gemini'

/** Google's own word for calls that its model did not make: it is not checked like a signature, and is none. */
export const NO_SIGNATURE = 'skip_thought_signature_validator'

export interface PartContext {
  readonly ids: CallIds
  readonly notes: Notes
  /** What Google ran itself: part of an answer's text, but nothing that another provider could go on from. */
  readonly ofRequest: boolean
}

/** Members that change how a part is read, not what it says. */
const ASIDE = [
  'mediaResolution',
  'partMetadata',
  'mediaProcessing',
  'speechMetadata',
  'audioTranscription',
] as const

/** Steps that Google's own tools took. */
const HOSTED = ['executableCode', 'codeExecutionResult', 'toolCall', 'toolResponse'] as const

function signatureOf(part: JsonObject): string | null {
  const signature = textField(part, 'thoughtSignature')
  return signature === NO_SIGNATURE ? null : signature
}

/** A signature on anything but a call or a thought stands by itself, behind what it was on. */
function withSeal(parts: readonly NeutralPart[], signature: string | null): readonly NeutralPart[] {
  return signature === null ? parts : [...parts, { kind: 'reasoning', text: '', signature, origin: ORIGIN }]
}

function readCall(call: JsonObject, signature: string | null, ids: CallIds): NeutralPart {
  const name = textField(call, 'name') ?? ''
  return {
    kind: 'tool_call',
    id: textField(call, 'id') ?? ids.next(name),
    name,
    arguments: JSON.stringify(field(call, 'args') ?? {}),
    ...(signature === null ? {} : { signature }),
  }
}

function fenced(text: string, language: string): NeutralPart {
  return { kind: 'text', text: `\n\`\`\`${language}\n${text}\n\`\`\`\n` }
}

function readHosted(part: JsonObject, path: string, context: PartContext): readonly NeutralPart[] {
  const { notes, ofRequest } = context
  const name = HOSTED.find((member) => field(part, member) !== undefined)
  if (name === undefined) {
    if (ofRequest) notes.refuse(path, 'is of a kind that cannot be carried to this route')
    else notes.drop('candidates[].content.parts[]')
    return []
  }
  if (ofRequest) {
    notes.refuse(`${path}.${name}`, "is a step of Google's own tools, which this route does not have")
    return []
  }
  const step = objectField(part, name) ?? {}
  const code = textField(step, 'code')
  const output = textField(step, 'output')
  if (name === 'executableCode' && code !== null)
    return [fenced(code, (textField(step, 'language') ?? '').toLowerCase())]
  if (name === 'codeExecutionResult' && output !== null) return [fenced(output, '')]
  notes.drop(`candidates[].content.parts[].${name}`)
  return []
}

function readText(part: JsonObject, text: string): readonly NeutralPart[] {
  const signature = signatureOf(part)
  if (field(part, 'thought') === true && text !== '')
    return [{ kind: 'reasoning', text, ...(signature === null ? {} : { signature }), origin: ORIGIN }]
  return withSeal(text === '' ? [] : [{ kind: 'text', text }], signature)
}

/** @param part anything but a function's result @returns nothing for a part that says nothing or cannot be carried */
export function readPart(part: Json, path: string, context: PartContext): readonly NeutralPart[] {
  const { notes, ofRequest } = context
  if (!isObject(part)) {
    if (ofRequest) notes.refuse(path, 'must be an object')
    return []
  }
  for (const name of ASIDE)
    if (field(part, name) !== undefined)
      notes.drop(`${ofRequest ? 'contents' : 'candidates'}[].parts[].${name}`)
  if (ofRequest && field(part, 'videoMetadata') !== undefined)
    notes.refuse(`${path}.videoMetadata`, 'chooses a piece of a video, which only Google does')
  const text = field(part, 'text')
  if (typeof text === 'string') return readText(part, text)
  const call = objectField(part, 'functionCall')
  if (call !== null) return [readCall(call, signatureOf(part), context.ids)]
  if (field(part, 'inlineData') === undefined && field(part, 'fileData') === undefined)
    return readHosted(part, path, context)
  const media = readMedia(part, path, notes)
  return withSeal(media === null ? [] : [media], signatureOf(part))
}
