import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { Citation, NeutralPart } from '../neutral.ts'

/** Text of messages and its citations, both ways. */

/** Plain text of a `content`: a string, or the text parts of a list. */
export function contentText(content: Json | undefined): string {
  if (typeof content === 'string') return content
  if (!isArray(content)) return ''
  return content
    .map((part) =>
      isObject(part) && part['type'] === 'text' && typeof part['text'] === 'string' ? part['text'] : '',
    )
    .join('')
}

const textOrNull = (value: Json | undefined): string | null =>
  typeof value === 'string' && value !== '' ? value : null

/** `annotations` of a message or a delta. */
export function readCitations(annotations: Json | undefined): readonly Citation[] {
  if (!isArray(annotations)) return []
  const citations: Citation[] = []
  for (const annotation of annotations) {
    const cited = isObject(annotation) ? annotation['url_citation'] : undefined
    if (!isObject(cited)) continue
    // `content` is what OpenRouter quotes of the page.
    citations.push({
      url: textOrNull(cited['url']),
      title: textOrNull(cited['title']),
      quote: textOrNull(cited['content']),
    })
  }
  return citations
}

/**
 * Only pages can be cited here; a citation of a document of the request has no URL and is left out.
 * @param span where the citing text lies in the message, in characters
 */
export function writeCitation(
  citation: Citation,
  span: { readonly start: number; readonly end: number },
): JsonObject | null {
  if (citation.url === null) return null
  return {
    type: 'url_citation',
    url_citation: {
      start_index: span.start,
      end_index: span.end,
      url: citation.url,
      title: citation.title ?? '',
      ...(citation.quote === null ? {} : { content: citation.quote }),
    },
  }
}

/** What a model wrote stands together as it came: blocks of one answer are pieces of one text. */
export function joinedText(parts: readonly NeutralPart[]): string {
  return parts.map((part) => (part.kind === 'text' ? part.text : '')).join('')
}
