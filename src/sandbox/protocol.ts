import type { IncomingHttpHeaders } from 'node:http'

import type { Clock, IdSource, Json, Uuid } from '../kernel/index.ts'
import type { FaultStatus, Switches } from './switches.ts'

/** One wire format. A further protocol is a folder with one of these and a row in server.ts. */
export interface SandboxProtocol {
  /** @returns null when the request is not of this protocol */
  route(line: RequestLine): SandboxOperation | null
  /** Headers the real API puts on every answer. `requestUuid` is fresh; `elapsedMs` is a whole number. */
  headers(requestUuid: Uuid, elapsedMs: number): ReadonlyArray<readonly [name: string, value: string]>
  /** Whether `retry-after` is a header, or said in the body of the error. */
  readonly retryAfterHeader: boolean
  /** What the API answers when it is overloaded. */
  readonly overloadedStatus: FaultStatus
  readonly contentType: string
  errorBody(fault: ProtocolFault): string
}

/** The head of a request; `path` comes without switches and query. */
export interface RequestLine {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
}

export interface SandboxOperation {
  /** Where a person can write switches: the text of the last message of the user. */
  lastUserText(body: Json | undefined): string
  answer(request: ProtocolRequest): ProtocolAnswer
}

export interface ProtocolRequest {
  readonly line: RequestLine
  /** Undefined when the body was no JSON. */
  readonly body: Json | undefined
  readonly switches: Switches
  readonly clock: Clock
  readonly ids: IdSource
  /** Names this request in headers and error bodies. */
  readonly requestUuid: Uuid
}

export interface ProtocolFault {
  readonly status: FaultStatus
  readonly requestUuid: Uuid
  /** Text to repeat in the message. */
  readonly secret: string | undefined
  /** For 429: the account is empty rather than too fast. */
  readonly quota: boolean
  readonly retryAfterS?: number | undefined
  /** Replaces the usual message of that status. */
  readonly message?: string
}

export type ProtocolAnswer =
  | { readonly kind: 'whole'; readonly status: number; readonly body: string }
  /** `events` are complete frames; they are made one by one, as fast as the caller reads. */
  | { readonly kind: 'stream'; readonly events: Iterable<string>; readonly contentType?: string }

/** An operation without messages of a person. */
export function plainOperation(answer: SandboxOperation['answer']): SandboxOperation {
  return { lastUserText: () => '', answer }
}

export function wholeAnswer(status: number, body: string): ProtocolAnswer {
  return { kind: 'whole', status, body }
}

/** `text` with the secret of the switch behind it, as providers repeat keys in their messages. */
export function withSecret(text: string, secret: string | undefined): string {
  return secret === undefined ? text : `${text} (${secret})`
}
