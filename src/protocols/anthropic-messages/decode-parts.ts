import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { CacheTtl, MediaSource, NeutralPart } from '../neutral.ts'
import { asksNothing, type Notes, Refusal } from './notes.ts'

/** Whose opaque seals these are: only this format gives them back to its provider. */
export const ORIGIN = 'anthropic'

export function cacheOf(block: JsonObject): { readonly cache?: CacheTtl } {
  const control = block['cache_control']
  if (!isObject(control)) return {}
  return { cache: control['ttl'] === '1h' ? '1h' : '5m' }
}

function textOf(block: JsonObject, member: string, path: string): string {
  const text = block[member]
  if (typeof text !== 'string') throw new Refusal(`${path}.${member}`, 'must be a string')
  return text
}

function dropUnread(block: JsonObject, path: string, read: readonly string[], notes: Notes): void {
  for (const [name, value] of Object.entries(block))
    if (!asksNothing(value) && !read.includes(name)) notes.drop(`${path}.${name}`)
}

function mediaSource(value: Json | undefined, path: string): MediaSource {
  const source = isObject(value) ? value : {}
  const { type, data, media_type: mediaType, url, file_id: id } = source
  if (type === 'base64' && typeof data === 'string' && typeof mediaType === 'string')
    return { kind: 'data', mediaType, base64: data }
  if (type === 'url' && typeof url === 'string') return { kind: 'url', url, mediaType: null }
  if (type === 'file' && typeof id === 'string') return { kind: 'file_id', id }
  throw new Refusal(`${path}.source`, 'must be of type base64, url or file')
}

/** Text without a document's form: every model reads it, whatever its protocol. */
function flatDocument(block: JsonObject, source: JsonObject, path: string, notes: Notes): NeutralPart[] {
  const heads = [block['title'], block['context']].filter(
    (head): head is string => typeof head === 'string' && head !== '',
  )
  const head: NeutralPart[] = heads.length === 0 ? [] : [{ kind: 'text', text: heads.join('\n') }]
  if (isObject(block['citations'])) notes.drop(`${path}.citations`)
  if (source['type'] === 'text')
    return [...head, { kind: 'text', text: textOf(source, 'data', `${path}.source`) }]
  const { content } = source
  if (typeof content === 'string') return [...head, { kind: 'text', text: content }]
  return [...head, ...decodeParts(content, `${path}.source.content`, notes)]
}

function documentParts(block: JsonObject, path: string, notes: Notes): NeutralPart[] {
  const { source } = block
  if (isObject(source) && (source['type'] === 'text' || source['type'] === 'content')) {
    const parts = flatDocument(block, source, path, notes)
    const last = parts.at(-1)
    return last === undefined ? [] : [...parts.slice(0, -1), { ...last, ...cacheOf(block) } as NeutralPart]
  }
  dropUnread(block, path, ['type', 'source', 'title', 'cache_control'], notes)
  const title = block['title']
  return [
    {
      kind: 'file',
      source: mediaSource(source, path),
      name: typeof title === 'string' && title !== '' ? title : null,
      ...cacheOf(block),
    },
  ]
}

function searchResultParts(block: JsonObject, path: string, notes: Notes): NeutralPart[] {
  if (isObject(block['citations'])) notes.drop(`${path}.citations`)
  const head = [block['title'], block['source']].filter((line) => typeof line === 'string').join('\n')
  const parts: NeutralPart[] = [
    { kind: 'text', text: head },
    ...decodeParts(block['content'], `${path}.content`, notes),
  ]
  const last = parts.at(-1)
  return last === undefined ? [] : [...parts.slice(0, -1), { ...last, ...cacheOf(block) } as NeutralPart]
}

function thinkingPart(block: JsonObject, path: string): NeutralPart {
  const { signature } = block
  return {
    kind: 'reasoning',
    text: textOf(block, 'thinking', path),
    ...(typeof signature === 'string' && signature !== '' ? { signature } : {}),
    origin: ORIGIN,
  }
}

function callPart(block: JsonObject, path: string, notes: Notes): NeutralPart {
  const id = textOf(block, 'id', path)
  const name = textOf(block, 'name', path)
  notes.callNames.set(id, name)
  dropUnread(block, path, ['type', 'id', 'name', 'input', 'cache_control'], notes)
  return { kind: 'tool_call', id, name, arguments: JSON.stringify(block['input'] ?? {}), ...cacheOf(block) }
}

function resultPart(block: JsonObject, path: string, notes: Notes): NeutralPart {
  const id = textOf(block, 'tool_use_id', path)
  dropUnread(block, path, ['type', 'tool_use_id', 'content', 'is_error', 'cache_control'], notes)
  return {
    kind: 'tool_result',
    id,
    name: notes.callNames.get(id) ?? null,
    parts: decodeParts(block['content'], `${path}.content`, notes),
    isError: block['is_error'] === true,
    ...cacheOf(block),
  }
}

function decodeBlock(block: JsonObject, path: string, notes: Notes): NeutralPart[] {
  switch (block['type']) {
    case 'text':
      dropUnread(block, path, ['type', 'text', 'cache_control'], notes)
      return [{ kind: 'text', text: textOf(block, 'text', path), ...cacheOf(block) }]
    case 'image':
      dropUnread(block, path, ['type', 'source', 'cache_control'], notes)
      return [{ kind: 'image', source: mediaSource(block['source'], path), ...cacheOf(block) }]
    case 'document':
      return documentParts(block, path, notes)
    case 'search_result':
      return searchResultParts(block, path, notes)
    case 'thinking':
      return [thinkingPart(block, path)]
    case 'redacted_thinking':
      return [{ kind: 'reasoning', text: '', redacted: textOf(block, 'data', path), origin: ORIGIN }]
    case 'tool_use':
      return [callPart(block, path, notes)]
    case 'tool_result':
      return [resultPart(block, path, notes)]
    case 'compaction':
      // The summary stands for the conversation before it; a model that knows no compaction reads it as text.
      return typeof block['content'] === 'string' ? [{ kind: 'text', text: block['content'] }] : []
    case 'fallback':
      // A mark that the provider does not show to the model.
      notes.drop(path)
      return []
    default:
      throw new Refusal(path, `a block of type ${String(block['type'])} exists only at Anthropic`)
  }
}

/** @param path of the content, for refusals and the list of what is dropped */
export function decodeParts(content: Json | undefined, path: string, notes: Notes): NeutralPart[] {
  if (content === undefined || content === null || content === '') return []
  if (typeof content === 'string') return [{ kind: 'text', text: content }]
  if (!isArray(content)) throw new Refusal(path, 'must be a string or a list of blocks')
  return content.flatMap((block, index) => {
    if (!isObject(block)) throw new Refusal(`${path}[${index}]`, 'must be an object')
    return decodeBlock(block, `${path}[${index}]`, notes)
  })
}
