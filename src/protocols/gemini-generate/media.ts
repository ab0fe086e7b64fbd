import type { JsonObject } from '../../kernel/index.ts'
import type { MediaSource, NeutralPart } from '../neutral.ts'
import { objectField, textField } from './fields.ts'
import type { Notes } from './notes.ts'

/** Images, sound, documents and videos: `inlineData` and `fileData`, both ways. */

type Media = Extract<NeutralPart, { kind: 'image' | 'file' | 'audio' }>

/** Only Google's own account can open these: what was uploaded to it, its storage, its videos. */
const GOOGLES: ReadonlyArray<readonly [RegExp, string]> = [
  [
    /^(?:files\/|https?:\/\/[^/?#]*generativelanguage\.googleapis\.com\/)/i,
    'is a file of one account, which no other provider can open; send its bytes as inlineData',
  ],
  [/^gs:/i, 'lies in Google storage, which no other provider can open; send its bytes as inlineData'],
  [
    /^https?:\/\/(?:[^/?#]*\.)?(?:youtube\.com|youtu\.be)(?:[/?#:]|$)/i,
    'is a video that only Google can watch',
  ],
]

const AUDIO_FORMATS: Readonly<Record<string, string>> = {
  mpeg: 'mp3',
  'x-wav': 'wav',
  wave: 'wav',
  'x-flac': 'flac',
}

const IMAGE_TYPES: Readonly<Record<string, string>> = {
  png: 'image/png',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  webp: 'image/webp',
  gif: 'image/gif',
  heic: 'image/heic',
  pdf: 'application/pdf',
}

function mediaOf(source: MediaSource, mediaType: string, name: string | null): Media {
  return mediaType.startsWith('image/') ? { kind: 'image', source } : { kind: 'file', source, name }
}

/** @returns null when the part has neither, or a file that cannot be carried, which `notes` then says */
export function readMedia(part: JsonObject, path: string, notes: Notes): Media | null {
  const inline = objectField(part, 'inlineData')
  if (inline !== null) {
    const mediaType = textField(inline, 'mimeType')?.toLowerCase() ?? 'application/octet-stream'
    const base64 = textField(inline, 'data') ?? ''
    if (mediaType.startsWith('audio/')) {
      const format = mediaType.slice('audio/'.length)
      return { kind: 'audio', format: AUDIO_FORMATS[format] ?? format, base64 }
    }
    return mediaOf({ kind: 'data', mediaType, base64 }, mediaType, textField(inline, 'displayName'))
  }
  const file = objectField(part, 'fileData')
  if (file === null) return null
  const url = textField(file, 'fileUri') ?? ''
  const mediaType = textField(file, 'mimeType')?.toLowerCase() ?? null
  const problem = /^https?:\/\//i.test(url) ? undefined : 'must be an http(s) URL'
  const foreign = GOOGLES.find(([pattern]) => pattern.test(url))?.[1] ?? problem
  if (foreign !== undefined) {
    notes.refuse(`${path}.fileData.fileUri`, foreign)
    return null
  }
  return mediaOf({ kind: 'url', url, mediaType }, mediaType ?? '', textField(file, 'displayName'))
}

/** Where a URL does not say what it leads to, Google finds out itself. */
function guessedType(url: string): string | null {
  const extension = /\.([a-z]{3,4})(?:[?#]|$)/i.exec(url)?.[1]?.toLowerCase() ?? ''
  return IMAGE_TYPES[extension] ?? null
}

/** @returns null when it cannot be carried, which `notes` then says */
export function writeMedia(part: Media, path: string, notes: Notes): JsonObject | null {
  if (part.kind === 'audio') return { inlineData: { mimeType: `audio/${part.format}`, data: part.base64 } }
  if (part.kind === 'image' && part.detail !== undefined && part.detail !== 'auto')
    notes.drop('messages[].image.detail')
  if (part.kind === 'file' && part.name !== null) notes.drop('messages[].file.name')
  const { source } = part
  if (source.kind === 'data') return { inlineData: { mimeType: source.mediaType, data: source.base64 } }
  if (source.kind === 'file_id') {
    notes.refuse(path, 'is a file id of another provider, which this one cannot open')
    return null
  }
  const mimeType = source.mediaType ?? guessedType(source.url)
  return { fileData: { ...(mimeType === null ? {} : { mimeType }), fileUri: source.url } }
}
