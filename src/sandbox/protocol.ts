import type { Clock, IdSource, Json, Uuid } from '../kernel/index.ts'
import type { FaultStatus, Switches } from './switches.ts'

/** One wire format. A further protocol is a folder with one of these and a row in the router of server.ts. */
export interface SandboxProtocol {
  /** @returns null when method and path are not of this protocol; the path comes without switches and query */
  route(method: string, path: string): SandboxOperation | null
  /** Headers the real API puts on every answer. `requestUuid` is fresh; `elapsedMs` is a whole number. */
  headers(requestUuid: Uuid, elapsedMs: number): ReadonlyArray<readonly [name: string, value: string]>
  errorBody(fault: ProtocolFault): string
}

export interface SandboxOperation {
  /** Where a person can write switches: the text of the last message of the user. */
  lastUserText(body: Json | undefined): string
  answer(request: ProtocolRequest): ProtocolAnswer
}

export interface ProtocolRequest {
  /** Undefined when the body was no JSON. */
  readonly body: Json | undefined
  readonly switches: Switches
  readonly clock: Clock
  readonly ids: IdSource
}

export interface ProtocolFault {
  readonly status: FaultStatus
  /** Text to repeat in the message. */
  readonly secret: string | undefined
  /** For 429: the account is empty rather than too fast. */
  readonly quota: boolean
  /** Replaces the usual message of that status. */
  readonly message?: string
}

export type ProtocolAnswer =
  | { readonly kind: 'whole'; readonly status: number; readonly body: string }
  /** `events` are complete frames with LF line ends; they are made one by one, as fast as the caller reads. */
  | { readonly kind: 'stream'; readonly events: Iterable<string> }
