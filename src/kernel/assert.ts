/** A broken assumption of ours, never a fault of input: it ends the request, not the process. */
export class AssertionFailed extends Error {
  override name = 'AssertionFailed'
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailed(message)
}

/** A number of tokens, calls or the like. */
export function assertCount(count: number, what: string): void {
  if (!Number.isSafeInteger(count) || count < 0) throw new AssertionFailed(`${what} is not a count: ${count}`)
}

/** For the default branch of a switch over a closed union. */
export function unreachable(value: never): never {
  throw new AssertionFailed(`unreachable: ${String(value)}`)
}
