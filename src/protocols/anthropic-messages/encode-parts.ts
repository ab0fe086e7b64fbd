import { isObject, type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import type { CacheTtl, MediaSource, NeutralPart } from '../neutral.ts'
import { ORIGIN } from './decode-parts.ts'
import { type Notes, Refusal } from './notes.ts'
import { toolId } from './tool-ids.ts'

type Part<K extends NeutralPart['kind']> = Extract<NeutralPart, { readonly kind: K }>

export function cacheControl(cache: CacheTtl | undefined): JsonObject {
  if (cache === undefined) return {}
  return { cache_control: cache === '1h' ? { type: 'ephemeral', ttl: '1h' } : { type: 'ephemeral' } }
}

/** The format takes objects only: what the model wrote instead goes along as it is. */
export function callInput(text: string): JsonObject {
  if (text.trim() === '') return {}
  const parsed = parseJson(text)
  return parsed.ok && isObject(parsed.value) ? parsed.value : { raw_arguments: text }
}

const FOREIGN_FILE =
  'files belong to the account they were uploaded to and cannot be sent through another one'

function mediaSource(source: MediaSource, path: string): JsonObject {
  switch (source.kind) {
    case 'data':
      return { type: 'base64', media_type: source.mediaType, data: source.base64 }
    case 'url':
      return { type: 'url', url: source.url }
    case 'file_id':
      throw new Refusal(path, FOREIGN_FILE)
  }
}

function imageBlock(part: Part<'image'>, path: string, notes: Notes): JsonObject {
  if (part.detail !== undefined && part.detail !== 'auto') notes.drop(`${path}.detail`)
  return { type: 'image', source: mediaSource(part.source, path), ...cacheControl(part.cache) }
}

function fileBlock(part: Part<'file'>, path: string): JsonObject {
  const { source } = part
  const rest = { ...(part.name === null ? {} : { title: part.name }), ...cacheControl(part.cache) }
  if (source.kind !== 'data' || source.mediaType === 'application/pdf')
    return { type: 'document', source: mediaSource(source, path), ...rest }
  if (source.mediaType.startsWith('image/'))
    return { type: 'image', source: mediaSource(source, path), ...cacheControl(part.cache) }
  if (!source.mediaType.startsWith('text/'))
    throw new Refusal(
      path,
      `a file of type ${source.mediaType} cannot be sent to this model: only PDF, text and images`,
    )
  const data = Buffer.from(source.base64, 'base64').toString('utf8')
  return { type: 'document', source: { type: 'text', media_type: 'text/plain', data }, ...rest }
}

function resultBlock(part: Part<'tool_result'>, path: string, notes: Notes): JsonObject {
  const blocks = encodeParts(part.parts, `${path}.content`, notes)
  const [only] = blocks
  const text = blocks.length === 1 && only?.['type'] === 'text' && only['cache_control'] === undefined
  const content: Json | undefined = text ? only['text'] : blocks
  return {
    type: 'tool_result',
    tool_use_id: toolId(part.id),
    ...(blocks.length === 0 ? {} : { content: content ?? '' }),
    ...(part.isError ? { is_error: true } : {}),
    ...cacheControl(part.cache),
  }
}

function callBlock(part: Part<'tool_call'>, path: string, notes: Notes): JsonObject {
  if (part.signature !== undefined) notes.drop(`${path}.signature`)
  return {
    type: 'tool_use',
    id: toolId(part.id),
    name: part.name,
    input: callInput(part.arguments),
    ...cacheControl(part.cache),
  }
}

/** Only thinking that Anthropic has sealed comes back to it: it refuses any other. */
function thinkingBlock(part: Part<'reasoning'>, path: string, notes: Notes): JsonObject | null {
  if (part.origin === ORIGIN && part.redacted !== undefined)
    return { type: 'redacted_thinking', data: part.redacted }
  if (part.origin === ORIGIN && part.signature !== undefined)
    return { type: 'thinking', thinking: part.text, signature: part.signature }
  notes.drop(path)
  return null
}

function textBlock(part: Part<'text'>, path: string, notes: Notes): JsonObject | null {
  if (part.citations !== undefined && part.citations.length > 0) notes.drop(`${path}.citations`)
  // The provider refuses text blocks without a visible character.
  if (part.text.trim() !== '') return { type: 'text', text: part.text, ...cacheControl(part.cache) }
  if (part.text !== '') notes.drop(path)
  return null
}

function encodePart(part: NeutralPart, path: string, notes: Notes): JsonObject | null {
  switch (part.kind) {
    case 'text':
      return textBlock(part, path, notes)
    case 'refusal':
      // What the model said is part of the conversation, whatever it was.
      return part.text.trim() === '' ? null : { type: 'text', text: part.text }
    case 'image':
      return imageBlock(part, path, notes)
    case 'file':
      return fileBlock(part, path)
    case 'audio':
      throw new Refusal(path, 'audio cannot be sent to this model')
    case 'tool_call':
      return callBlock(part, path, notes)
    case 'tool_result':
      return resultBlock(part, path, notes)
    case 'reasoning':
      return thinkingBlock(part, path, notes)
  }
}

/** @param path of the list that holds them, for refusals and the list of what is dropped */
export function encodeParts(parts: readonly NeutralPart[], path: string, notes: Notes): JsonObject[] {
  return parts
    .map((part, index) => encodePart(part, `${path}[${index}]`, notes))
    .filter((block) => block !== null)
}
