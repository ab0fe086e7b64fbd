import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { Citation } from '../neutral.ts'

const text = (value: Json | undefined): string | null =>
  typeof value === 'string' && value !== '' ? value : null

/** Where it stands in a document is lost: no other format has it. */
export function decodeCitation(value: Json): Citation | null {
  if (!isObject(value)) return null
  const quote = text(value['cited_text'])
  switch (value['type']) {
    case 'web_search_result_location':
      return { url: text(value['url']), title: text(value['title']), quote }
    case 'search_result_location':
      return { url: text(value['source']), title: text(value['title']), quote }
    default:
      return { url: null, title: text(value['document_title']), quote }
  }
}

export function decodeCitations(value: Json | undefined): readonly Citation[] {
  return isArray(value) ? value.map(decodeCitation).filter((citation) => citation !== null) : []
}

export function encodeCitation(citation: Citation): JsonObject {
  const { url, title, quote } = citation
  // Clients switch over the type and read its members: those that only Anthropic can fill are there, empty.
  return url === null
    ? {
        type: 'char_location',
        cited_text: quote ?? '',
        document_index: 0,
        document_title: title,
        start_char_index: 0,
        end_char_index: 0,
        file_id: null,
      }
    : { type: 'web_search_result_location', cited_text: quote ?? '', url, title, encrypted_index: '' }
}
