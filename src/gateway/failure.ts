import { type Fault, fault } from '../contract/index.ts'
import type { AttemptOutcome, AttemptRecord } from './types.ts'

type Failed = Extract<AttemptOutcome, { kind: 'failed' }>

/** What the caller is told when every attempt failed. */
export function failureFault(attempts: readonly AttemptRecord[]): Fault {
  const failures = attempts
    .map((attempt) => attempt.outcome)
    .filter((outcome): outcome is Failed => outcome.kind === 'failed')
  const final = failures.at(-1)?.final
  if (final != null)
    return fault(final.status === 413 ? 'body_too_large' : 'upstream_rejected', final.message)
  const tried = `${failures.length} attempt${failures.length === 1 ? '' : 's'}`
  if (failures.length > 0 && failures.every((failure) => failure.overloaded)) {
    const waits = failures.map((failure) => failure.retryAfterMs).filter((ms) => ms !== null)
    return fault(
      'overloaded',
      `Every channel of the route is over its limit (${tried}).`,
      waits.length === 0 ? {} : { retryAfterMs: Math.min(...waits) },
    )
  }
  if (failures.length > 0 && failures.every((failure) => failure.timeout))
    return fault('upstream_timeout', `No channel of the route answered in time (${tried}).`)
  return fault(
    'upstream_error',
    `No channel of the route could serve the request (${tried}); nothing was charged.`,
  )
}

export function brokenOff(timeout: boolean): Fault {
  return fault(timeout ? 'upstream_timeout' : 'upstream_error', 'The model provider broke off the answer.')
}

/** Something of ours threw, and the request has its receipt nevertheless. */
export class SettledFailure extends Error {
  override name = 'SettledFailure'
}
