import type { Readable } from 'node:stream'
import type { z } from 'zod'
import type { ErrorCode, Permission, Role } from '../contract/index.ts'
import type { Uuid } from '../kernel/index.ts'
import type { Actor, ApiKeyRecord } from '../tenancy/index.ts'
import type { ApiDeps } from './deps.ts'
import type { Person } from './people.ts'

/**
 * An operation declares everything about itself: who may call it, what it takes and answers. The routes, the checks and
 * /openapi.json are all made of these declarations, so that they cannot differ.
 */

export type Caller =
  | { readonly kind: 'anyone' }
  /** Null: by the token, which operators have between them. */
  | { readonly kind: 'operator'; readonly person: Person | null }
  /** `roles`: of the organizations in which the person may do what is asked. */
  | { readonly kind: 'person'; readonly person: Person; readonly roles: ReadonlyMap<Uuid, Role> }
  | { readonly kind: 'key'; readonly key: ApiKeyRecord }

export interface Call<P, Q, B> {
  readonly deps: ApiDeps
  readonly caller: Caller
  /** Who is named in the audit log for what the operation changes. */
  readonly by: Actor
  /** Id for what the operation makes: a repeat with the same Idempotency-Key brings the same one. */
  readonly newId: Uuid
  readonly params: P
  readonly query: Q
  readonly body: B
}

export interface OperationSpec<
  P extends z.ZodType,
  Q extends z.ZodType,
  B extends z.ZodType | null,
  R extends z.ZodType,
> {
  /** Name in /openapi.json, and of the client's method. */
  readonly id: string
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** The answer shows a secret, so it is never kept: a repeat with the same Idempotency-Key is told what was made. */
  readonly secret?: true
  /** With `{name}` for each member of `params`. */
  readonly path: string
  readonly summary: string
  /** People are no callers of their own accord: see `permission`. */
  readonly callers: ReadonlyArray<Exclude<Caller['kind'], 'person'>>
  /** What people need of an organization to call it for that organization. Left out: no people but operators. */
  readonly permission?: Permission | 'signed_in'
  readonly params: P
  readonly query: Q
  readonly body: B
  readonly response: R
  /** `text/plain` answers a string, or a stream of them, as it is. */
  readonly contentType?: string
  readonly status?: number | ((answer: z.input<R>) => number)
  /** Codes besides those that every operation can answer. */
  readonly faults: readonly ErrorCode[]
  run(
    call: Call<z.output<P>, z.output<Q>, B extends z.ZodType ? z.output<B> : null>,
  ): Promise<z.input<R> | Readable> | z.input<R> | Readable
}

export interface Operation
  extends Omit<OperationSpec<z.ZodType, z.ZodType, z.ZodType | null, z.ZodType>, 'run' | 'status'> {
  readonly status: (answer: unknown) => number
  run(call: Call<unknown, unknown, unknown>): Promise<unknown>
}

/** Checks the declaration's types against each other, then forgets them: the registry holds all operations alike. */
export function operation<
  P extends z.ZodType,
  Q extends z.ZodType,
  B extends z.ZodType | null,
  R extends z.ZodType,
>(spec: OperationSpec<P, Q, B, R>): Operation {
  const status = spec.status ?? 200
  return {
    ...spec,
    status: typeof status === 'number' ? () => status : (answer) => status(answer as z.input<R>),
    // The values come out of the very schemas that the spec names, so they are of its types.
    run: async (call) => await spec.run(call as Parameters<typeof spec.run>[0]),
  }
}
