import { isArray, type Json, type JsonObject } from '../../kernel/index.ts'
import type { Citation } from '../neutral.ts'
import { objectField, objectsOf, textField } from './fields.ts'

/** Sources of an answer: `groundingMetadata` (searches) and `citationMetadata` (recited text). */

interface PlacedCitation {
  /** Place of the part that it belongs to; null for the last text. */
  readonly partIndex: number | null
  readonly citation: Citation
}

function chunkSource(
  chunk: JsonObject | undefined,
): { readonly url: string | null; readonly title: string | null } | null {
  if (chunk === undefined) return null
  const source =
    objectField(chunk, 'web') ??
    objectField(chunk, 'retrievedContext') ??
    objectField(chunk, 'maps') ??
    objectField(chunk, 'image')
  if (source === null) return null
  return {
    url: textField(source, 'uri') ?? textField(source, 'sourceUri'),
    title: textField(source, 'title'),
  }
}

function supported(support: JsonObject, chunks: readonly JsonObject[]): PlacedCitation[] {
  const segment = objectField(support, 'segment') ?? {}
  const { partIndex } = segment
  const indices = support['groundingChunkIndices']
  if (!isArray(indices)) return []
  return indices.flatMap((index) => {
    const source = typeof index === 'number' ? chunkSource(chunks[index]) : null
    if (source === null) return []
    return [
      {
        partIndex: typeof partIndex === 'number' ? partIndex : 0,
        citation: { ...source, quote: textField(segment, 'text') },
      },
    ]
  })
}

export function readCitations(candidate: JsonObject): readonly PlacedCitation[] {
  const grounding = objectField(candidate, 'groundingMetadata') ?? {}
  const chunks = objectsOf(grounding['groundingChunks'])
  const placed = objectsOf(grounding['groundingSupports']).flatMap((support) => supported(support, chunks))
  // Without supports the sources stand for the whole answer.
  const whole = placed.length > 0 ? [] : chunks.map(chunkSource).filter((source) => source !== null)
  const recited = objectsOf(objectField(candidate, 'citationMetadata')?.['citations'])
  return [
    ...placed,
    ...whole.map((source) => ({ partIndex: null, citation: { ...source, quote: null } })),
    ...recited.map((entry) => ({
      partIndex: null,
      citation: { url: textField(entry, 'uri'), title: textField(entry, 'title'), quote: null },
    })),
  ]
}

export interface CitedText {
  readonly partIndex: number
  /** '' when it is not known any more. */
  readonly text: string
  readonly citations: readonly Citation[]
}

/** Offsets are in bytes of the part; a quote that is not found there stands for all of it. */
function segmentOf(cited: CitedText, quote: string | null): JsonObject {
  const { partIndex, text } = cited
  const at = quote === null || text === '' ? -1 : text.indexOf(quote)
  const place =
    quote === null || at === -1
      ? {}
      : {
          startIndex: Buffer.byteLength(text.slice(0, at)),
          endIndex: Buffer.byteLength(text.slice(0, at + quote.length)),
        }
  return { partIndex, ...place, ...(quote === null ? {} : { text: quote }) }
}

/** @returns an empty object when nothing is cited */
export function writeCitations(texts: readonly CitedText[]): JsonObject {
  const chunks: Json[] = []
  const supports: Json[] = []
  for (const cited of texts)
    for (const { url, title, quote } of cited.citations) {
      chunks.push({ web: { ...(url === null ? {} : { uri: url }), ...(title === null ? {} : { title }) } })
      supports.push({ segment: segmentOf(cited, quote), groundingChunkIndices: [chunks.length - 1] })
    }
  return chunks.length === 0
    ? {}
    : { groundingMetadata: { groundingChunks: chunks, groundingSupports: supports } }
}
