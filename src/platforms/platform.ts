import type { Json, JsonObject } from '../kernel/index.ts'
import type { WireName } from '../protocols/index.ts'

/**
 * What a cloud puts around a wire format: where the model stands, which members and headers it takes, how a call is
 * authorized and a stream framed. The format itself stays what it is, and so do usage, tiers and prices.
 */

/** A call as the format alone would make it. */
export interface PlainCall {
  readonly upstreamModel: string
  readonly stream: boolean
  readonly path: string
  /** Lower case; the format's own credential headers among them. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: JsonObject
}

export interface BodyChange {
  readonly name: string
  /** Null leaves the member out. */
  readonly value: Json
}

/** What is different about the call on the platform. */
export interface PlatformCall {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly changes: readonly BodyChange[]
  /** What the platform cannot carry. */
  readonly dropped: readonly string[]
}

/** Adapts the calls of one format. */
export type Shape = (call: PlainCall) => PlatformCall

/** The request as it will be sent. */
export interface OutgoingCall {
  readonly origin: string
  /** With the path of the base URL, and the query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

export type Authorized =
  | {
      readonly ok: true
      /** To be set in addition. */
      readonly headers: Readonly<Record<string, string>>
      /** The upstream did not take them. @returns true when the next ones are others */
      readonly refused: () => boolean
    }
  | { readonly ok: false; readonly code: string; readonly problem: string }

/** Takes a stream out of a frame of the platform's own, split anywhere; what comes out are server-sent events. */
export interface Unframer {
  /** @returns null when the bytes are no such frames */
  feed(chunk: Buffer): Buffer | null
}

/** A refusal in the platform's own words. */
export interface Refusal {
  readonly message: string
  readonly code: string | null
  /** Set when a status that blames the request is really the channel's fault: the code of the attempt. */
  readonly channelFault: string | null
}

export interface Platform {
  readonly shapes: Readonly<Partial<Record<WireName, Shape>>>
  authorize(call: OutgoingCall): Promise<Authorized>
  /** Null for bodies that are framed as usual. Only after `authorize`, which loads what is needed for it. */
  unframer(contentType: string): Unframer | null
  /** Null when the body is not the platform's own. */
  readRefusal(headers: Readonly<Record<string, string | string[] | undefined>>, text: string): Refusal | null
}

/** Credentials that the format would have sent belong to the provider itself. */
const CREDENTIALS = new Set(['authorization', 'x-api-key', 'x-goog-api-key'])

export function withoutHeaders(
  headers: Readonly<Record<string, string>>,
  ...names: readonly string[]
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !CREDENTIALS.has(name) && !names.includes(name)),
  )
}

/** Formats that the platform speaks as they are. */
export const plain: Shape = ({ path, headers }) => ({
  path,
  headers: withoutHeaders(headers),
  changes: [],
  dropped: [],
})
