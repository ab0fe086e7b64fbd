import { anthropicMessages } from './anthropic-messages/index.ts'
import { geminiEmbed } from './embeddings/gemini.ts'
import { openaiEmbeddings } from './embeddings/openai.ts'
import { geminiGenerate } from './gemini-generate/index.ts'
import { openaiChatProtocol } from './openai-chat/index.ts'
import { openaiCompaction } from './openai-responses/compaction.ts'
import { openaiResponses } from './openai-responses/index.ts'
import type { EMBED_NAMES, Protocol, ProtocolName } from './protocol.ts'

/** Every wire format. The conformance suite runs over this table, so none can be added untested. */
export const PROTOCOLS: Readonly<Record<ProtocolName, Protocol>> = {
  'openai-chat': openaiChatProtocol,
  'openai-responses': openaiResponses,
  'anthropic-messages': anthropicMessages,
  'gemini-generate': geminiGenerate,
}

/**
 * Formats of embeddings. Their neutral form is another one; the type says otherwise so that the stages need not know: what
 * one of them decodes is only ever encoded by another of them.
 */
export const EMBED_FORMATS = {
  'openai-embeddings': openaiEmbeddings as unknown as Protocol,
  'gemini-embed': geminiEmbed as unknown as Protocol,
} satisfies Record<(typeof EMBED_NAMES)[number], Protocol>

/** Compacting has one format and no neutral form. */
export const COMPACTION_FORMAT: Protocol = openaiCompaction

export * from './json-span.ts'
export { familyOf } from './model-family.ts'
export type * from './neutral.ts'
export type * from './protocol.ts'
export { readEvents } from './sse.ts'
export type * from './usage.ts'
