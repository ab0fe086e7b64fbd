import type { Json, JsonObject } from '../kernel/index.ts'
import type { EmbedAnswer, EmbedRequest } from './embeddings/neutral.ts'
import type { MemberEdit } from './json-span.ts'
import type { DecodeResult, EncodeResult, NeutralAnswer, NeutralEvent, NeutralRequest } from './neutral.ts'
import type { ReadUsage, UsageResult } from './usage.ts'

/**
 * What a wire format can do, on both of its sides: the caller's (read what is asked, answer, fail) and the upstream's
 * (ask, read what is answered). Everything is a pure function of bytes and JSON; sockets and time are the gateway's.
 * A new format is a folder that fills in this interface and a row in `index.ts`; the conformance suite runs over all.
 */

export const PROTOCOL_NAMES = [
  'openai-chat',
  'openai-responses',
  'anthropic-messages',
  'gemini-generate',
] as const
export type ProtocolName = (typeof PROTOCOL_NAMES)[number]

/** Formats that generate nothing but speak the same interface: they have no streams. */
export const EMBED_NAMES = ['openai-embeddings', 'gemini-embed'] as const
export type WireName = ProtocolName | (typeof EMBED_NAMES)[number] | 'openai-compaction'

export interface RequestInput {
  readonly body: JsonObject
  /** Bytes of the whole body: no tokenizer makes more tokens than bytes of text. */
  readonly byteLength: number
  /** Gemini names model and method in the path: `/models/{model}:streamGenerateContent?alt=sse`. */
  readonly path: { readonly model: string; readonly stream: boolean; readonly sse: boolean } | null
}

/** What routing, holding and metering need of a request, whatever its format. */
export interface RequestFacts {
  readonly model: string
  readonly stream: boolean
  /** False when the caller did not ask for usage in a stream and must not see what we asked for ourselves. */
  readonly wantsUsage: boolean
  /** The caller's output limit for one choice; null when there is none. */
  readonly maxOutputTokens: number | null
  readonly choices: number
  /** In lower case: formats that translate it do not mind the case, and what is bought is what is held for. */
  readonly serviceTier: string | null
  /** Where the caller wants it computed, when that has a price of its own; absent: anywhere. */
  readonly geography?: string
  /** No request of these bytes can have more input tokens (media by a bound of their own). */
  readonly inputTokensMax: number
  /** Billable searches the request may make at most; 0 when it can make none. */
  readonly webSearchCallsMax: number
  /** Further models that the request itself names (advisors, fallbacks), as the provider calls them. */
  readonly otherModels?: readonly string[]
}

export type RequestResult<F extends RequestFacts = RequestFacts> =
  | { readonly ok: true; readonly request: F }
  | { readonly ok: false; readonly param: string; readonly problem: string }

/** What was delivered of a stream, by our own count. */
export interface DeltaCount {
  /** Events that carried output (text, reasoning, refusal, tool names and arguments, media). */
  events: number
  /** UTF-8 bytes of output, escapes included. */
  bytes: number
  /** Tokens by protocols/estimate.ts; fractional while a stream runs. */
  tokens: number
}

export interface StreamState {
  /** Raw usage as `readUsage` takes it: the last one, or what the format's own rule makes of several. */
  usage: Json | undefined
  usageSeen: boolean
  /** Bytes of the stream up to the block with the last usage: what came after it cannot be among its tokens. */
  usageAtBytes: number
  /** `delivered.events` as of the last usage, its own event included: output that came later is not among its tokens. */
  usageAtEvents: number
  /** The model said why it stopped. */
  finishSeen: boolean
  /** The protocol's own end was seen. */
  doneSeen: boolean
  /** Message of an error event, as the upstream worded it (not for customers). */
  error: string | null
  servedModel: string | null
  serviceTier: string | null
  /** The provider does not bill this answer, whatever it reports; absent: it does. */
  unbilled?: boolean
  readonly delivered: DeltaCount
}

export type FeedResult =
  | {
      readonly ok: true
      /** What the caller of the same protocol gets: the bytes as they came, but for what was injected; null for nothing. */
      readonly forward: Buffer | null
      /** The complete events themselves, for a translation; the same bytes before anything was taken out or added. */
      readonly events: Buffer | null
      /** True when there was output among them. */
      readonly output: boolean
    }
  | { readonly ok: false; readonly reason: 'event_too_large' | 'bad_frame' }

/** Reads a stream of bytes as it passes, split anywhere; meters on the side. Error events are not forwarded. */
export interface StreamReader {
  readonly state: StreamState
  feed(chunk: Buffer): FeedResult
  /** What is left when the stream ended without its last blank line. */
  flush(): FeedResult
}

export interface StreamReaderOptions {
  readonly wantsUsage: boolean
  /** What to put as `tf` into the last usage object that the caller sees, given the raw usage; null for nothing. */
  readonly annotate: (usage: Json) => JsonObject | null
  /** How the caller wants the stream framed; only Gemini knows anything but server-sent events. */
  readonly frame?: 'sse' | 'array'
}

/** One server-sent event, decoded. */
export interface SseEvent {
  readonly name: string | null
  readonly data: string
}

export interface StreamDecoder {
  /** Never throws: what it cannot read gives no events. */
  feed(event: SseEvent): readonly NeutralEvent[]
}

export interface EncoderContext {
  /** Our request id, for formats that want an id of the answer where the source has none. */
  readonly requestId: string
  /** The model name the caller used. */
  readonly requestedModel: string
  readonly createdSeconds: number
  readonly wantsUsage: boolean
  /** The caller's request as JSON: formats that repeat it in their answers (responses) take it from here. */
  readonly requestBody: JsonObject
  /** As in StreamReaderOptions, for the usage object of the encoded answer; called once, at the last usage. */
  readonly annotate: () => JsonObject | null
  /** How the caller wants the stream framed; only Gemini knows anything but server-sent events. */
  readonly frame?: 'sse' | 'array'
}

export interface StreamEncoder {
  /** Text to send now; '' for nothing yet. */
  push(event: NeutralEvent): string
  /** The protocol's own end. After an `error` event nothing more is sent. */
  end(): string
}

export interface WireError {
  readonly status: number
  /** Our own code, e.g. `model_not_found`. */
  readonly code: string
  readonly message: string
  readonly param: string | null
  /** When a repeat may succeed, for formats that say so in the body. */
  readonly retryAfterMs?: number
  /** The upstream has failed for so long that the client should stop trying. */
  readonly hopeless?: true
  /** request_id, receipt, reason, next_step, ledger … beside the protocol's own members. */
  readonly extra: JsonObject
}

export interface ErrorAnswer {
  /** Formats have their own status for some faults (OpenAI: 429 insufficient_quota for an empty balance). */
  readonly status: number
  readonly body: string
}

/** A stream that is ended here, since its caller may have no more. */
export interface StreamCut {
  /** Choices that have not ended by themselves. */
  readonly choices: readonly number[]
  /** What the caller is told of usage; null where nothing was asked, or nothing can be said. */
  readonly usage: { readonly read: ReadUsage; readonly note: JsonObject | null } | null
}

/** What metering needs of a whole answer. */
export interface AnswerFacts {
  readonly usage: Json | undefined
  readonly servedModel: string | null
  readonly serviceTier: string | null
  readonly hasOutput: boolean
  /** The provider does not bill this answer, whatever it reports; absent: it does. */
  readonly unbilled?: boolean
  /** Output tokens by our own count; may be a getter, it is asked only when nothing was reported. */
  readonly tokensEstimated: number
  readonly body: JsonObject
}

export type AnswerResult =
  | { readonly ok: true; readonly answer: AnswerFacts }
  | { readonly ok: false; readonly message: string }

export interface UpstreamCallInput {
  readonly upstreamModel: string
  readonly stream: boolean
  /** True for a channel that refuses to be asked for usage in a stream; it is counted here instead. */
  readonly withoutUsage?: boolean
}

export interface EncodeCallInput extends UpstreamCallInput {
  /** The output limit to send; null leaves the request's own (which may be none). */
  readonly maxOutputTokens: number | null
  /** For formats that demand a limit (Anthropic) when neither side gave one. */
  readonly modelMaxOutputTokens: number
}

/**
 * @typeParam F what the format itself reads of a request
 * @typeParam Q the neutral request, @typeParam A the neutral answer: the gateway hands what one format decodes only to
 * another of the same operation
 */
export interface Protocol<F extends RequestFacts = RequestFacts, Q = NeutralRequest, A = NeutralAnswer> {
  readonly name: WireName

  // ---- the caller's side ----
  readRequest(input: RequestInput): RequestResult<F>
  /** Input tokens by our own count, for when the upstream reports none. */
  estimateInput(body: JsonObject): number
  decodeRequest(body: JsonObject, facts: F): DecodeResult<Q>
  encodeAnswer(answer: A, context: EncoderContext): JsonObject
  createStreamEncoder(context: EncoderContext): StreamEncoder
  errorAnswer(error: WireError): ErrorAnswer
  /** A failure after the stream has begun: the format's own event, as text to send. */
  streamError(error: WireError, frame?: 'sse' | 'array'): string
  /** Ends a stream of this format the way it says that a limit was reached. @param first an event of the stream */
  lengthEnding(first: Buffer | null, frame?: 'sse' | 'array', cut?: StreamCut): Buffer

  // ---- the upstream's side ----
  /** Path below the channel's base URL, with its query. @param facts on a route of the same protocol */
  callPath(call: UpstreamCallInput, facts?: F): string
  /** Credential and version headers. */
  callHeaders(apiKey: string): Readonly<Record<string, string>>
  /** Headers of the caller that go through unchanged on a route of the same protocol, lower case. */
  readonly forwardedHeaders: readonly string[]
  /** Members to set in the caller's own bytes on a route of the same protocol. */
  passEdits(
    request: F,
    call: UpstreamCallInput & { readonly maxOutputTokens: number | null },
  ): readonly MemberEdit[]
  encodeRequest(request: Q, call: EncodeCallInput): EncodeResult
  readAnswer(text: string): AnswerResult
  decodeAnswer(body: JsonObject): DecodeResult<A>
  createStreamReader(options: StreamReaderOptions): StreamReader
  createStreamDecoder(): StreamDecoder
  /** @param raw as `StreamState.usage` or `AnswerFacts.usage` */
  readUsage(raw: Json | undefined): UsageResult
  /** Message and code of an error body, whatever its shape; both are the upstream's and not for customers as they are. */
  readError(text: string): { readonly message: string; readonly code: string | null }
}

export type EmbedProtocol<F extends RequestFacts> = Protocol<F, EmbedRequest, EmbedAnswer>
