import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { CacheTtl, Citation, MediaSource, NeutralPart } from '../neutral.ts'
import type { Notes } from './notes.ts'

/** Content parts of messages and of tool results, both ways. */

const DATA_URL = /^data:([^;,]*)(?:;[^;,]*)*?;base64,/i

/** @returns null for a data URL that is not base64 */
function sourceOf(url: string): MediaSource | null {
  if (!/^data:/i.test(url)) return { kind: 'url', url, mediaType: null }
  const match = DATA_URL.exec(url)
  if (match === null) return null
  return { kind: 'data', mediaType: (match[1] ?? '').toLowerCase(), base64: url.slice(match[0].length) }
}

const text = (value: Json | undefined): string | null =>
  typeof value === 'string' && value !== '' ? value : null

/** OpenAI's two lifetimes are half an hour and half a day; the other formats have a short and a long one too. */
function cacheOf(part: JsonObject): { readonly cache?: CacheTtl } {
  const point = part['prompt_cache_breakpoint']
  if (!isObject(point)) return {}
  return { cache: point['ttl'] === '12h' ? '1h' : '5m' }
}

export function readCitation(annotation: Json | undefined): Citation | null {
  if (!isObject(annotation)) return null
  const { url, title, filename, type } = annotation
  if (type === 'url_citation') return { url: text(url), title: text(title), quote: null }
  return type === 'file_citation' || type === 'container_file_citation'
    ? { url: null, title: text(filename), quote: null }
    : null
}

export function readCitations(annotations: Json | undefined): readonly Citation[] {
  return isArray(annotations) ? annotations.map(readCitation).filter((found) => found !== null) : []
}

/** @param at where in its text the citation stands */
export function writeCitation(citation: Citation, at: number): JsonObject | null {
  const { url, title } = citation
  if (url === null) return null
  return { type: 'url_citation', start_index: at, end_index: at, url, title: title ?? '' }
}

type Reader = (part: JsonObject, path: string, notes: Notes) => NeutralPart | null

function readText(part: JsonObject, path: string, notes: Notes): NeutralPart | null {
  const words = part['text']
  if (typeof words !== 'string') return notes.refuse(`${path}.text`, 'must be text')
  if (words === '') return null
  const citations = readCitations(part['annotations'])
  return { kind: 'text', text: words, ...cacheOf(part), ...(citations.length === 0 ? {} : { citations }) }
}

function readImage(part: JsonObject, path: string, notes: Notes): NeutralPart | null {
  const detail = typeof part['detail'] === 'string' ? { detail: part['detail'] } : {}
  const id = text(part['file_id'])
  if (id !== null) return { kind: 'image', source: { kind: 'file_id', id }, ...detail, ...cacheOf(part) }
  const image = part['image_url']
  // Some clients keep the object of the chat format.
  const url = text(isObject(image) ? image['url'] : image)
  const source = url === null ? null : sourceOf(url)
  if (source === null) return notes.refuse(`${path}.image_url`, 'must be a URL or a base64 data URL')
  return { kind: 'image', source, ...detail, ...cacheOf(part) }
}

function fileSource(part: JsonObject, name: string | null): MediaSource | null {
  const id = text(part['file_id'])
  if (id !== null) return { kind: 'file_id', id }
  const url = text(part['file_url'])
  if (url !== null) return { kind: 'url', url, mediaType: null }
  const data = text(part['file_data'])
  if (data === null) return null
  if (/^data:/i.test(data)) return sourceOf(data)
  const mediaType =
    name?.toLowerCase().endsWith('.pdf') === true ? 'application/pdf' : 'application/octet-stream'
  return { kind: 'data', mediaType, base64: data }
}

function readFile(part: JsonObject, path: string, notes: Notes): NeutralPart | null {
  const name = text(part['filename'])
  const source = fileSource(part, name)
  if (source === null)
    return notes.refuse(path, 'must have file_data as base64 or a data URL, file_url, or file_id')
  return { kind: 'file', source, name, ...cacheOf(part) }
}

function readAudio(part: JsonObject, path: string, notes: Notes): NeutralPart | null {
  const audio = isObject(part['input_audio']) ? part['input_audio'] : {}
  const { data, format } = audio
  if (typeof data !== 'string' || typeof format !== 'string')
    return notes.refuse(`${path}.input_audio`, 'must have data and format')
  return { kind: 'audio', format, base64: data }
}

function readRefusal(part: JsonObject, path: string, notes: Notes): NeutralPart | null {
  const words = part['refusal']
  if (typeof words !== 'string') return notes.refuse(`${path}.refusal`, 'must be text')
  return words === '' ? null : { kind: 'refusal', text: words }
}

/**
 * What one agent of Codex tells another: OpenAI's models seal it, all others write it in the clear at the same place.
 * OpenAI's seals are Fernet tokens, and these begin with their version and time.
 */
function readSealedText(part: JsonObject, path: string, notes: Notes): NeutralPart | null {
  const words = part['encrypted_content']
  if (typeof words !== 'string') return notes.refuse(`${path}.encrypted_content`, 'must be text')
  if (/^gAAAA[\w-]+=*$/.test(words))
    return notes.refuse(`${path}.encrypted_content`, 'was sealed by OpenAI and cannot be read by this model')
  return words === '' ? null : { kind: 'text', text: words }
}

const READERS: Readonly<Record<string, Reader>> = {
  input_text: readText,
  output_text: readText,
  text: readText,
  refusal: readRefusal,
  input_image: readImage,
  input_file: readFile,
  input_audio: readAudio,
  encrypted_content: readSealedText,
}

/** @param content text or a list of parts; what is empty gives no part */
export function readContent(content: Json | undefined, path: string, notes: Notes): NeutralPart[] {
  if (typeof content === 'string') return content === '' ? [] : [{ kind: 'text', text: content }]
  if (content === undefined || content === null) return []
  if (!isArray(content)) {
    notes.refuse(path, 'must be text or a list of content parts')
    return []
  }
  const parts: NeutralPart[] = []
  content.forEach((part, at) => {
    const type = isObject(part) ? part['type'] : undefined
    const reader = typeof type === 'string' ? READERS[type] : undefined
    if (!isObject(part) || reader === undefined) {
      notes.refuse(
        `${path}[${at}].type`,
        `${JSON.stringify(type ?? null)} cannot be carried to this model's provider`,
      )
      return
    }
    const read = reader(part, `${path}[${at}]`, notes)
    if (read !== null) parts.push(read)
  })
  return parts
}

function urlOf(source: MediaSource): string {
  if (source.kind === 'data') return `data:${source.mediaType};base64,${source.base64}`
  return source.kind === 'url' ? source.url : ''
}

/** The format wants a name, and servers choose the reader by its ending. */
function fileName(mediaType: string): string {
  if (mediaType === 'application/pdf') return 'file.pdf'
  return mediaType.startsWith('text/') ? 'file.txt' : 'file'
}

const ACCOUNT_BOUND = 'a file id belongs to one account of one provider and cannot be carried to another'

/** A part of the caller's own words; null when it was refused (in the notes). */
export function writeInputPart(part: NeutralPart, path: string, notes: Notes): JsonObject | null {
  if ('cache' in part && part.cache !== undefined) notes.drop('cache')
  switch (part.kind) {
    case 'text':
      return { type: 'input_text', text: part.text }
    case 'image':
      if (part.source.kind === 'file_id') return notes.refuse(path, ACCOUNT_BOUND)
      return { type: 'input_image', image_url: urlOf(part.source), detail: part.detail ?? 'auto' }
    case 'file':
      if (part.source.kind === 'file_id') return notes.refuse(path, ACCOUNT_BOUND)
      if (part.source.kind === 'url') return { type: 'input_file', file_url: part.source.url }
      return {
        type: 'input_file',
        filename: part.name ?? fileName(part.source.mediaType),
        file_data: urlOf(part.source),
      }
    case 'audio':
      return notes.refuse(path, 'this model takes no audio on its provider’s responses endpoint')
    default:
      return notes.refuse(path, `a ${part.kind.replace('_', ' ')} cannot stand here`)
  }
}

/** A part of what the model said before. */
export function writeOutputPart(
  part: Extract<NeutralPart, { kind: 'text' | 'refusal' }>,
  notes: Notes,
): JsonObject {
  if (part.kind === 'refusal') return { type: 'refusal', refusal: part.text }
  if (part.cache !== undefined) notes.drop('cache')
  const annotations = (part.citations ?? [])
    .map((citation) => writeCitation(citation, part.text.length))
    .filter((written) => written !== null)
  if (annotations.length < (part.citations ?? []).length) notes.drop('citations')
  return { type: 'output_text', text: part.text, annotations }
}
