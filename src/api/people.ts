import type { IncomingMessage } from 'node:http'
import type { Uuid } from '../kernel/index.ts'

/** The people who sign in, as the API needs them. */

export interface Person {
  readonly id: Uuid
  readonly email: string
  readonly emailVerified: boolean
  readonly name: string
  /** Null: no operator. An auditor may look at everything, and change nothing. */
  readonly operatorRole: 'admin' | 'auditor' | null
}

export interface People {
  /** Whose session a request carries; null without a good one. */
  personOf(req: Pick<IncomingMessage, 'headers'>): Promise<Person | null>
  /** Whether a change that carries a session was asked for by a page of this installation. */
  isSameOrigin(req: Pick<IncomingMessage, 'headers'>): boolean
  /** Names to show; who is not there any more is left out. */
  describe(
    ids: readonly Uuid[],
  ): Promise<ReadonlyMap<Uuid, { readonly email: string; readonly name: string }>>
}
