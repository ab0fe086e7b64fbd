import { isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { CacheTtl, MediaSource, NeutralPart } from '../neutral.ts'
import type { Notes } from './notes.ts'

/** Content parts that are no text, both ways. */

const DATA_URL = /^data:([^;,]*)(?:;[^;,]*)*?;base64,/i

/** @returns null for a data URL that is not base64 */
function sourceOf(url: string): MediaSource | null {
  if (!/^data:/i.test(url)) return { kind: 'url', url, mediaType: null }
  const match = DATA_URL.exec(url)
  if (match === null) return null
  return { kind: 'data', mediaType: (match[1] ?? '').toLowerCase(), base64: url.slice(match[0].length) }
}

function urlOf(source: MediaSource): string {
  if (source.kind === 'data') return `data:${source.mediaType};base64,${source.base64}`
  return source.kind === 'url' ? source.url : ''
}

/** OpenAI's own breakpoints (half an hour) and the ones that OpenRouter and Qwen took over from Anthropic. */
export function cacheOf(part: JsonObject): { readonly cache?: CacheTtl } {
  if (isObject(part['prompt_cache_breakpoint'])) return { cache: '5m' }
  const control = part['cache_control']
  if (!isObject(control)) return {}
  return { cache: control['ttl'] === '1h' ? '1h' : '5m' }
}

function readImage(part: JsonObject, path: string, notes: Notes): NeutralPart | null {
  const image = part['image_url']
  const url = isObject(image) ? image['url'] : image
  const source = typeof url === 'string' && url !== '' ? sourceOf(url) : null
  if (source === null) {
    notes.refuse(`${path}.image_url.url`, 'must be a URL or a base64 data URL')
    return null
  }
  const detail = isObject(image) ? image['detail'] : undefined
  return { kind: 'image', source, ...(typeof detail === 'string' ? { detail } : {}), ...cacheOf(part) }
}

function readAudio(part: JsonObject, path: string, notes: Notes): NeutralPart | null {
  const audio = part['input_audio']
  const data = isObject(audio) ? audio['data'] : undefined
  const format = isObject(audio) ? audio['format'] : undefined
  if (typeof data !== 'string' || typeof format !== 'string') {
    notes.refuse(`${path}.input_audio`, 'must have data and format')
    return null
  }
  return { kind: 'audio', format, base64: data }
}

function readFile(part: JsonObject, path: string, notes: Notes): NeutralPart | null {
  const file = isObject(part['file']) ? part['file'] : {}
  const name = typeof file['filename'] === 'string' ? file['filename'] : null
  const id = file['file_id']
  if (typeof id === 'string' && id !== '')
    return { kind: 'file', source: { kind: 'file_id', id }, name, ...cacheOf(part) }
  const data = file['file_data']
  const source = typeof data === 'string' && data !== '' ? sourceOf(data) : null
  if (source === null) {
    notes.refuse(`${path}.file.file_data`, 'must be a base64 data URL')
    return null
  }
  return { kind: 'file', source, name, ...cacheOf(part) }
}

const READERS: Readonly<
  Record<string, (part: JsonObject, path: string, notes: Notes) => NeutralPart | null>
> = { image_url: readImage, input_audio: readAudio, file: readFile }

/** @returns null when the part was refused (in the notes) */
export function readMedia(part: JsonObject, path: string, notes: Notes): NeutralPart | null {
  const type = part['type']
  const reader = typeof type === 'string' ? READERS[type] : undefined
  if (reader !== undefined) return reader(part, path, notes)
  notes.refuse(`${path}.type`, `${JSON.stringify(type ?? null)} cannot be carried to this model's provider`)
  return null
}

/** Image parts of an answer, as OpenRouter puts them beside the text. */
export function readImages(value: Json | undefined): NeutralPart[] {
  if (!Array.isArray(value)) return []
  const parts: NeutralPart[] = []
  for (const part of value as readonly Json[]) {
    const image = isObject(part) ? part['image_url'] : undefined
    const url = isObject(image) ? image['url'] : undefined
    const source = typeof url === 'string' && url !== '' ? sourceOf(url) : null
    if (source !== null) parts.push({ kind: 'image', source })
  }
  return parts
}

const AUDIO_FORMATS = new Set(['wav', 'mp3'])

/** The content part of an image, file or audio; null when it was refused (in the notes). */
export function writeMedia(
  part: Extract<NeutralPart, { kind: 'image' | 'file' | 'audio' }>,
  path: string,
  notes: Notes,
): JsonObject | null {
  if (part.kind === 'audio') {
    if (!AUDIO_FORMATS.has(part.format)) notes.refuse(path, `audio of format ${part.format} is not supported`)
    return { type: 'input_audio', input_audio: { data: part.base64, format: part.format } }
  }
  if (part.source.kind === 'file_id') {
    notes.refuse(path, 'a file id belongs to one account of one provider and cannot be carried to another')
    return null
  }
  const url = urlOf(part.source)
  if (part.kind === 'image')
    return {
      type: 'image_url',
      image_url: { url, ...(part.detail === undefined ? {} : { detail: part.detail }) },
    }
  if (part.source.kind === 'url') {
    notes.refuse(path, 'a file must be sent as data: this format takes no URL of one')
    return null
  }
  return { type: 'file', file: { filename: part.name ?? fileName(part.source.mediaType), file_data: url } }
}

/** The format demands a name, and some servers choose the reader by its ending. */
function fileName(mediaType: string): string {
  if (mediaType === 'application/pdf') return 'file.pdf'
  return mediaType.startsWith('text/') ? 'file.txt' : 'file'
}
