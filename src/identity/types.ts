import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { AuditActor, Fault, Role } from '../contract/index.ts'
import type { Database, Listener, ListenHandlers, Queryable } from '../db/index.ts'
import type { IdSource, Json, Log, Uuid } from '../kernel/index.ts'
import type { Mailer } from '../mail/index.ts'
import type { Keyring } from '../secrets/index.ts'
import type { OperatorBook, OperatorRole } from './operators.ts'

/** Who is signed in. */
export interface Person {
  readonly id: Uuid
  /** Lower case. */
  readonly email: string
  readonly emailVerified: boolean
  readonly name: string
  readonly operatorRole: OperatorRole | null
  readonly sessionId: Uuid
  /** Whether a second factor is asked of this person. */
  readonly twoFactor: boolean
}

/** Who may make an account: whom an invitation names, also whom the provider vouches for, or everybody. */
export const SIGN_UP_MODES = ['invited', 'oidc', 'open'] as const
export type SignUpMode = (typeof SIGN_UP_MODES)[number]

export interface OidcSettings {
  /** As the provider writes it in its tokens. */
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string
}

/** As the audit log takes it. */
export interface EventActor {
  readonly kind: AuditActor
  readonly id: Uuid | null
  readonly requestId: Uuid | null
  readonly address: string | null
}

export interface IdentityEvent {
  readonly orgId: null
  readonly action: string
  readonly objectKind: 'person' | 'operator_link'
  readonly objectId: Uuid
  readonly before?: Json
  readonly after?: Json
}

export interface SeenInvitation {
  readonly orgId: Uuid
  /** The organization's name. */
  readonly organization: string
  readonly email: string
  readonly role: Role
  /** Null: an operator. */
  readonly invitedBy: Uuid | null
  readonly expiresAtMs: number
}

/** What tenancy knows of where people belong, as the pages need it. */
export interface Joining {
  /** Null when there is no open invitation of that token; changes nothing. */
  seeInvitation(token: string): Promise<SeenInvitation | null>
  accept(
    token: string,
    person: Pick<Person, 'id' | 'email' | 'emailVerified'>,
    by: EventActor,
  ): Promise<
    | { readonly ok: true; readonly member: { readonly orgId: Uuid } }
    | { readonly ok: false; readonly reason: 'unknown' | 'exceeds' | 'other_address' | 'member_already' }
  >
  membershipsOf(personId: Uuid): Promise<ReadonlyMap<Uuid, Role>>
  getOrganization(id: Uuid): Promise<{ readonly name: string } | null>
}

export interface IdentityOptions {
  readonly database: Database
  readonly listen: (database: Database, channels: readonly string[], handlers: ListenHandlers) => Listener
  readonly keyring: Pick<Keyring, 'keyOf'>
  readonly mailer: Mailer
  readonly ids: IdSource
  readonly log: Log
  readonly signUp: SignUpMode
  readonly oidc: OidcSettings | null
  /** Under which people reach this installation, the one for mails first; asked for when the server listens. */
  readonly origins: () => readonly string[]
  /** Where a request comes from, behind proxies that are trusted. */
  readonly addressOf: (req: Pick<IncomingMessage, 'headers' | 'socket'>) => string | null
  /**
   * Whether this address may make an account. With a token: whether the token is of an open invitation of this very
   * address. Without one it is asked for an address that the provider has verified.
   */
  readonly maySignUp: (email: string, token: string | null) => Promise<boolean>
  readonly joining: Joining
  /** Uses up the code of an operator link within the transaction; true for exactly one asker. */
  readonly redeemOperatorCode: (tx: Pick<Queryable, 'maybeOne'>, code: string) => Promise<boolean>
  /** Whether the code could be redeemed now; changes nothing. */
  readonly operatorCodeLives: (database: Database, code: string) => Promise<boolean>
  /** Ends all operator links that were not used yet. */
  readonly endOperatorCodes: (tx: Pick<Queryable, 'query'>) => Promise<void>
  readonly recordEvent: (tx: Queryable, by: EventActor, event: IdentityEvent) => Promise<void>
  /** Shown to whoever opens an operator link and asks for it. */
  readonly operatorToken: string
}

/** Sign-in of people: serves its own paths, and tells who a request is from. */
export interface Identity {
  /** @param path without the query */
  owns(path: string): boolean
  /** Answers, or says with which refusal to answer. The headers that every answer has are set already. */
  handle(req: IncomingMessage, res: ServerResponse, requestId: Uuid): Promise<Fault | null>
  /** Null: nobody is signed in, or no longer. */
  personOf(req: { readonly headers: IncomingHttpHeaders }): Promise<Person | null>
  isSameOrigin(req: { readonly headers: IncomingHttpHeaders }): boolean
  /** Names to show; who has no account any more is left out. */
  describe(
    ids: readonly Uuid[],
  ): Promise<ReadonlyMap<Uuid, { readonly email: string; readonly name: string }>>
  readonly operators: OperatorBook
  close(): Promise<void>
}
