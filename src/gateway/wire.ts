import type { ChannelProtocol, Endpoint } from '../contract/index.ts'
import { PROTOCOLS, type Protocol } from '../protocols/index.ts'

/** Which wire format is spoken where: by each endpoint towards callers, by each kind of channel towards upstreams. */

/** Base URLs are written with or without the version that the format's own paths begin with. */
const VERSIONED = /^\/(v\d+\w*)\//

export const CHANNEL_FORMATS: Readonly<Record<ChannelProtocol, Protocol>> = {
  openai: PROTOCOLS['openai-chat'],
  'openai-responses': PROTOCOLS['openai-responses'],
  anthropic: PROTOCOLS['anthropic-messages'],
  gemini: PROTOCOLS['gemini-generate'],
}

/** @returns base path and call path joined, a version they both name said once */
export function joinPaths(basePath: string, callPath: string): string {
  const version = VERSIONED.exec(callPath)?.[1]
  const base = version !== undefined && basePath.endsWith(`/${version}`) ? basePath.slice(0, -version.length - 1) : basePath
  return `${base}${callPath}`
}

/** What a caller asked for by path: which format it speaks, and what the path itself says. */
export interface GenerateCall {
  readonly endpoint: Endpoint
  readonly protocol: Protocol
  /** Gemini names model and method in the path. */
  readonly path: { readonly model: string; readonly stream: boolean; readonly sse: boolean } | null
}

const CHAT: GenerateCall = { endpoint: 'openai.chat_completions', protocol: PROTOCOLS['openai-chat'], path: null }
const RESPONSES: GenerateCall = { endpoint: 'openai.responses', protocol: PROTOCOLS['openai-responses'], path: null }
const MESSAGES: GenerateCall = { endpoint: 'anthropic.messages', protocol: PROTOCOLS['anthropic-messages'], path: null }

/** Exact paths; clients write Anthropic's with and without a prefix of their own. */
const EXACT: ReadonlyMap<string, GenerateCall> = new Map([
  ['/v1/chat/completions', CHAT],
  ['/v1/responses', RESPONSES],
  ['/v1/messages', MESSAGES],
  ['/anthropic/v1/messages', MESSAGES],
])

const GEMINI = /^\/(?:v1|v1beta|v1alpha)\/models\/([^/:]+(?:%2F|\/)?[^/:]*):(generateContent|streamGenerateContent)$/

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** @returns null when the path generates nothing */
export function matchGenerate(path: string, query: string): GenerateCall | null {
  const exact = EXACT.get(path)
  if (exact !== undefined) return exact
  const match = GEMINI.exec(path)
  if (match === null) return null
  return {
    endpoint: 'gemini.generate_content',
    protocol: PROTOCOLS['gemini-generate'],
    path: {
      model: decoded(match[1] ?? ''),
      stream: match[2] === 'streamGenerateContent',
      sse: /(?:^|&)alt=sse(?:&|$)/.test(query),
    },
  }
}

/** Whose manners an unknown path is answered in. */
export function protocolOfPath(path: string): Protocol {
  if (path.startsWith('/v1/messages') || path.startsWith('/anthropic/')) return PROTOCOLS['anthropic-messages']
  if (/^\/(?:v1beta|v1alpha)\//.test(path) || /^\/v1\/models\/[^/]+:/.test(path)) return PROTOCOLS['gemini-generate']
  return PROTOCOLS['openai-chat']
}
