import type { ChannelProtocol, Endpoint } from '../contract/index.ts'
import { COMPACTION_FORMAT, EMBED_FORMATS, PROTOCOLS, type Protocol } from '../protocols/index.ts'

/** Which wire format is spoken where: by each endpoint towards callers, by each kind of channel towards upstreams. */

export type Operation = 'generate' | 'embed' | 'compact'

/** What a caller asked for by path: which format it speaks, and what the path itself says. */
export interface EndpointCall {
  readonly endpoint: Endpoint
  readonly operation: Operation
  readonly protocol: Protocol
  /** Gemini names model and method in the path. */
  readonly path: { readonly model: string; readonly stream: boolean; readonly sse: boolean } | null
}

type Formats = Readonly<Partial<Record<Operation, Protocol>>>

/** Each kind of channel and what it speaks; an operation that is missing cannot be asked of it. */
const CHANNEL_FORMATS: Readonly<Record<ChannelProtocol, Formats>> = {
  openai: { generate: PROTOCOLS['openai-chat'], embed: EMBED_FORMATS['openai-embeddings'] },
  'openai-responses': {
    generate: PROTOCOLS['openai-responses'],
    embed: EMBED_FORMATS['openai-embeddings'],
    compact: COMPACTION_FORMAT,
  },
  anthropic: { generate: PROTOCOLS['anthropic-messages'] },
  gemini: { generate: PROTOCOLS['gemini-generate'], embed: EMBED_FORMATS['gemini-embed'] },
}

export function formatOf(channel: ChannelProtocol, operation: Operation): Protocol | null {
  return CHANNEL_FORMATS[channel][operation] ?? null
}

/** Base URLs are written with or without the version that the format's own paths begin with. */
const VERSIONED = /^\/(v\d\w*)\//

/** @returns base path and call path joined, a version they both name said once */
export function joinPaths(basePath: string, callPath: string): string {
  const version = VERSIONED.exec(callPath)?.[1]
  const base =
    version !== undefined && basePath.endsWith(`/${version}`)
      ? basePath.slice(0, -version.length - 1)
      : basePath
  return `${base}${callPath}`
}

const call = (endpoint: Endpoint, operation: Operation, protocol: Protocol): EndpointCall => ({
  endpoint,
  operation,
  protocol,
  path: null,
})

export const CHAT_CALL = call('openai.chat_completions', 'generate', PROTOCOLS['openai-chat'])
const RESPONSES_CALL = call('openai.responses', 'generate', PROTOCOLS['openai-responses'])
const COMPACT_CALL = call('openai.responses_compact', 'compact', COMPACTION_FORMAT)
const MESSAGES_CALL = call('anthropic.messages', 'generate', PROTOCOLS['anthropic-messages'])
const EMBEDDINGS_CALL = call('openai.embeddings', 'embed', EMBED_FORMATS['openai-embeddings'])
const GENERATE_CALL = call('gemini.generate_content', 'generate', PROTOCOLS['gemini-generate'])
const EMBED_CALL = call('gemini.embed_content', 'embed', EMBED_FORMATS['gemini-embed'])

/** Exact paths; clients write Anthropic's with and without a prefix of their own. */
const EXACT: ReadonlyMap<string, EndpointCall> = new Map([
  ['/v1/chat/completions', CHAT_CALL],
  ['/v1/responses', RESPONSES_CALL],
  ['/v1/responses/compact', COMPACT_CALL],
  ['/v1/messages', MESSAGES_CALL],
  ['/anthropic/v1/messages', MESSAGES_CALL],
  ['/v1/embeddings', EMBEDDINGS_CALL],
])

/** Model names may hold slashes; a route suffix comes before the method: `gpt-5:official:generateContent`. */
const GEMINI = /^\/(?:v1|v1beta|v1alpha)\/models\/(.+):([A-Za-z]+)$/

const GEMINI_METHODS: Readonly<Record<string, EndpointCall>> = {
  generateContent: GENERATE_CALL,
  streamGenerateContent: GENERATE_CALL,
  embedContent: EMBED_CALL,
  batchEmbedContents: EMBED_CALL,
}

/** Percent signs that stand for nothing are left as they are. */
export function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** The model and method of a Gemini path; null for any other. */
export function geminiPath(path: string): { readonly model: string; readonly method: string } | null {
  const match = GEMINI.exec(path)
  return match === null ? null : { model: decoded(match[1] ?? ''), method: match[2] ?? '' }
}

/** @returns null when the path neither generates nor embeds anything */
export function matchCall(path: string, query: string): EndpointCall | null {
  const exact = EXACT.get(path)
  if (exact !== undefined) return exact
  const parts = geminiPath(path)
  const found = parts === null ? undefined : GEMINI_METHODS[parts.method]
  if (parts === null || found === undefined) return null
  const stream = parts.method === 'streamGenerateContent'
  return {
    ...found,
    path: { model: parts.model, stream, sse: !stream || /(?:^|&)alt=sse(?:&|$)/.test(query) },
  }
}

/** In whose manners a path that is no endpoint is answered. */
export function callOfPath(path: string): EndpointCall {
  if (path.startsWith('/v1/messages') || path.startsWith('/anthropic/')) return MESSAGES_CALL
  if (/^\/(?:v1beta|v1alpha)\//.test(path) || geminiPath(path) !== null) return GENERATE_CALL
  return path.startsWith('/v1/responses') ? RESPONSES_CALL : CHAT_CALL
}

export function callOfProtocol(name: keyof typeof PROTOCOLS): EndpointCall {
  return {
    'openai-chat': CHAT_CALL,
    'openai-responses': RESPONSES_CALL,
    'anthropic-messages': MESSAGES_CALL,
    'gemini-generate': GENERATE_CALL,
  }[name]
}
