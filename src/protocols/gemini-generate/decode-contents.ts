import { isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { NeutralMessage, NeutralPart } from '../neutral.ts'
import { CallIds } from './call-ids.ts'
import { readPart } from './decode-parts.ts'
import { field, listOf, objectField, objectsOf, textField } from './fields.ts'
import { readMedia } from './media.ts'
import type { Notes } from './notes.ts'

/** The conversation of a request out of the wire. */

interface OpenCall {
  readonly id: string
  readonly name: string
}

/** A function's result is an object; the words for a plain text and for a failure are Google's. */
function resultText(response: Json | undefined): { readonly text: string; readonly isError: boolean } {
  if (response === undefined || response === null) return { text: '', isError: false }
  if (!isObject(response))
    return { text: typeof response === 'string' ? response : JSON.stringify(response), isError: false }
  const names = Object.keys(response)
  const [only] = names
  if (only === undefined) return { text: '', isError: false }
  const wrapped = names.length === 1 && (only === 'result' || only === 'output' || only === 'error')
  const value = wrapped ? response[only] : response
  return {
    text: typeof value === 'string' ? value : JSON.stringify(value),
    isError: wrapped && only === 'error',
  }
}

export class ContentsReader {
  private readonly notes: Notes
  private readonly ids = new CallIds('')
  /** Calls of the model's last turn that wait for their results, in order. */
  private open: OpenCall[] = []
  private lastRole: NeutralMessage['role'] = 'user'

  constructor(notes: Notes) {
    this.notes = notes
  }

  /** @returns null for a content that says nothing */
  read(content: JsonObject, path: string): NeutralMessage | null {
    const role = field(content, 'role') === 'model' ? 'assistant' : 'user'
    if (role === 'assistant' && this.lastRole !== 'assistant') this.open = []
    this.lastRole = role
    const parts = listOf(field(content, 'parts')).flatMap((part, at) =>
      this.part(part, `${path}.parts[${at}]`),
    )
    for (const part of parts) if (part.kind === 'tool_call') this.open.push({ id: part.id, name: part.name })
    return parts.length === 0 ? null : { role, parts }
  }

  private part(part: Json, path: string): readonly NeutralPart[] {
    const result = isObject(part) ? objectField(part, 'functionResponse') : null
    if (result !== null) return this.result(result, `${path}.functionResponse`)
    return readPart(part, path, { ids: this.ids, notes: this.notes, ofRequest: true })
  }

  /** Results without an id answer the calls of their name in order. */
  private result(result: JsonObject, path: string): readonly NeutralPart[] {
    const name = textField(result, 'name') ?? ''
    const id = textField(result, 'id')
    const byId = id === null ? -1 : this.open.findIndex((call) => call.id === id)
    const at = byId === -1 ? this.open.findIndex((call) => call.name === name) : byId
    const [call] = at === -1 ? [] : this.open.splice(at, 1)
    if (call === undefined) {
      this.notes.refuse(path, `answers no call of "${name}" in the turn before it`)
      return []
    }
    for (const member of ['scheduling', 'willContinue'])
      if (field(result, member) !== undefined)
        this.notes.drop(`contents[].parts[].functionResponse.${member}`)
    const { text, isError } = resultText(field(result, 'response'))
    const media = objectsOf(field(result, 'parts'))
      .map((inner, place) => readMedia(inner, `${path}.parts[${place}]`, this.notes))
      .filter((inner) => inner !== null)
    const parts: readonly NeutralPart[] = text === '' ? media : [{ kind: 'text', text }, ...media]
    return [{ kind: 'tool_result', id: call.id, name: call.name, parts, isError }]
  }
}

/** The system instruction is text; Google reads nothing else there either. */
export function readSystem(body: JsonObject, notes: Notes): readonly NeutralPart[] {
  return objectsOf(field(body, 'systemInstruction')).flatMap((content) =>
    listOf(field(content, 'parts')).flatMap((part, at): NeutralPart[] => {
      const text = isObject(part) ? field(part, 'text') : undefined
      if (typeof text !== 'string') notes.refuse(`systemInstruction.parts[${at}]`, 'must be a text')
      return typeof text === 'string' && text !== '' ? [{ kind: 'text', text }] : []
    }),
  )
}
