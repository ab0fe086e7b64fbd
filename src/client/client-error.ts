import type { Problem } from '../contract/index.ts'

/** `refused`: the server said no, see `problem`. The others never reached it, or were not understood. */
export type ClientErrorKind = 'refused' | 'unreachable' | 'timeout' | 'unexpected'

export class ClientError extends Error {
  override name = 'ClientError'
  readonly kind: ClientErrorKind
  readonly problem: Problem | null
  constructor(kind: ClientErrorKind, message: string, problem: Problem | null = null) {
    super(message)
    this.kind = kind
    this.problem = problem
  }
}
