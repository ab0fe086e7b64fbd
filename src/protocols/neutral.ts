import type { Json, JsonObject } from '../kernel/index.ts'
import type { ReadUsage } from './usage.ts'

/**
 * What all wire formats have in common, as values: the form between any two of them. A protocol decodes into it and
 * encodes out of it; it never knows another protocol. What one format has and this form lacks is listed as dropped,
 * never silently lost.
 */

/** Where bytes of an image or file are. File ids belong to one account and cannot be carried elsewhere. */
export type MediaSource =
  | { readonly kind: 'data'; readonly mediaType: string; readonly base64: string }
  | { readonly kind: 'url'; readonly url: string; readonly mediaType: string | null }
  | { readonly kind: 'file_id'; readonly id: string }

/** A cache breakpoint behind the part that carries it. */
export type CacheTtl = '5m' | '1h'

export interface Citation {
  readonly url: string | null
  readonly title: string | null
  readonly quote: string | null
}

export type NeutralPart =
  | {
      readonly kind: 'text'
      readonly text: string
      readonly cache?: CacheTtl
      readonly citations?: readonly Citation[]
    }
  | {
      readonly kind: 'image'
      readonly source: MediaSource
      readonly detail?: string
      readonly cache?: CacheTtl
    }
  | {
      readonly kind: 'file'
      readonly source: MediaSource
      readonly name: string | null
      readonly cache?: CacheTtl
    }
  | { readonly kind: 'audio'; readonly format: string; readonly base64: string }
  /** `arguments` is JSON text as the model wrote it; '' means none. `signature` must come back with the call (Gemini). */
  | {
      readonly kind: 'tool_call'
      readonly id: string
      readonly name: string
      readonly arguments: string
      readonly signature?: string
      readonly cache?: CacheTtl
    }
  | {
      readonly kind: 'tool_result'
      readonly id: string
      readonly name: string | null
      readonly parts: readonly NeutralPart[]
      readonly isError: boolean
      readonly cache?: CacheTtl
    }
  /**
   * Thinking of the model. `signature` (Anthropic), `encrypted` (OpenAI) and `redacted` (Anthropic) are opaque, and only
   * their own provider accepts them back: `origin` says whose they are.
   */
  | {
      readonly kind: 'reasoning'
      readonly text: string
      readonly signature?: string
      readonly encrypted?: string
      readonly redacted?: string
      readonly id?: string
      readonly origin: string
    }
  | { readonly kind: 'refusal'; readonly text: string }

export interface NeutralMessage {
  /** Tool results stand in `user` messages of their own order; system text stands apart, but for mid-conversation ones. */
  readonly role: 'system' | 'user' | 'assistant'
  readonly parts: readonly NeutralPart[]
}

export interface NeutralTool {
  readonly name: string
  readonly description: string | null
  /** JSON schema of the arguments. */
  readonly parameters: JsonObject
  readonly strict: boolean | null
  readonly cache?: CacheTtl
}

export type NeutralToolChoice =
  | { readonly kind: 'auto' | 'none' | 'required' }
  | { readonly kind: 'tool'; readonly name: string }

export type NeutralFormat =
  | { readonly kind: 'text' }
  | { readonly kind: 'json' }
  | {
      readonly kind: 'schema'
      readonly name: string
      readonly schema: JsonObject
      readonly strict: boolean | null
      readonly description: string | null
    }

export const EFFORTS = ['none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max'] as const
export type Effort = (typeof EFFORTS)[number]

export interface NeutralReasoning {
  readonly effort: Effort | null
  readonly budgetTokens: number | null
  /** The caller wants to see the thinking (a summary, thought parts). */
  readonly visible: boolean | null
}

export interface NeutralRequest {
  readonly system: readonly NeutralPart[]
  readonly messages: readonly NeutralMessage[]
  readonly tools: readonly NeutralTool[]
  readonly toolChoice: NeutralToolChoice | null
  readonly parallelTools: boolean | null
  readonly maxOutputTokens: number | null
  readonly temperature: number | null
  readonly topP: number | null
  readonly topK: number | null
  readonly stop: readonly string[]
  readonly seed: number | null
  readonly presencePenalty: number | null
  readonly frequencyPenalty: number | null
  readonly choices: number
  readonly logprobs: number | null
  readonly format: NeutralFormat
  readonly reasoning: NeutralReasoning | null
  readonly user: string | null
  readonly serviceTier: string | null
  /** Paths of members of the source that this form cannot hold and whose loss changes no meaning, e.g. `store`. */
  readonly dropped: readonly string[]
}

/** Why a model stopped, without loss between formats; `raw` is the provider's own word. */
export const FINISHES = [
  'stop',
  'length',
  'stop_sequence',
  'tool_calls',
  'content_filter',
  'refusal',
  'context_exceeded',
  'pause',
  'error',
] as const
export type Finish = (typeof FINISHES)[number]

/** How likely a token of the text was; `top` are the likeliest at its place. */
export interface TokenLogprob {
  readonly token: string
  readonly logprob: number
  readonly bytes: readonly number[] | null
  readonly top: readonly {
    readonly token: string
    readonly logprob: number
    readonly bytes: readonly number[] | null
  }[]
}

export interface NeutralChoice {
  readonly parts: readonly NeutralPart[]
  /** Of the choice's text, in its order; absent when none were asked for or the format has none. */
  readonly logprobs?: readonly TokenLogprob[]
  readonly finish: Finish
  readonly finishRaw: string
}

export interface NeutralAnswer {
  readonly id: string
  readonly model: string
  /** Seconds since 1970; null when the format does not say. */
  readonly createdSeconds: number | null
  readonly choices: readonly NeutralChoice[]
  readonly usage: ReadUsage | null
  readonly serviceTier: string | null
  readonly dropped: readonly string[]
}

/**
 * A stream as events. Parts of one choice never overlap: a part begins with its first delta and ends when another begins
 * or the choice finishes; parallel tool calls are told apart by `index`, which counts from 0 in order of appearance.
 */
export type NeutralEvent =
  | {
      readonly kind: 'start'
      readonly id: string
      readonly model: string
      readonly createdSeconds: number | null
    }
  | {
      readonly kind: 'text'
      readonly choice: number
      readonly text: string
      readonly logprobs?: readonly TokenLogprob[]
    }
  | { readonly kind: 'citation'; readonly choice: number; readonly citation: Citation }
  | { readonly kind: 'refusal'; readonly choice: number; readonly text: string }
  | { readonly kind: 'reasoning'; readonly choice: number; readonly text: string }
  /** Closes the reasoning part before it with what must come back; `redacted` stands for a whole part. */
  | {
      readonly kind: 'reasoning_seal'
      readonly choice: number
      readonly signature?: string
      readonly encrypted?: string
      readonly redacted?: string
      readonly id?: string
      readonly origin: string
    }
  | {
      readonly kind: 'tool_begin'
      readonly choice: number
      readonly index: number
      readonly id: string
      readonly name: string
      readonly signature?: string
    }
  | {
      readonly kind: 'tool_arguments'
      readonly choice: number
      readonly index: number
      readonly fragment: string
    }
  | { readonly kind: 'finish'; readonly choice: number; readonly finish: Finish; readonly finishRaw: string }
  /** Cumulative: the last one counts. */
  | { readonly kind: 'usage'; readonly usage: ReadUsage; readonly serviceTier: string | null }
  | { readonly kind: 'error'; readonly message: string; readonly code: string | null }

/** Members of the source that could not be carried over, as paths. */
export type Dropped = readonly string[]

export type EncodeResult =
  | { readonly ok: true; readonly body: JsonObject; readonly dropped: Dropped }
  /** Leaving the member out would change what was asked for: the caller must be told. */
  | { readonly ok: false; readonly param: string; readonly problem: string }

export type DecodeResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly param: string; readonly problem: string }

export type { Json }
