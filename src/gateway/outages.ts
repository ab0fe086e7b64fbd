import { type Fault, fault } from '../contract/index.ts'
import type { Clock } from '../kernel/index.ts'
import type { Admitted } from './types.ts'

/**
 * When to stop asking clients to try again. An agent goes on for minutes while it is told that a retry may help (Claude
 * Code eleven times in three minutes, Codex thirty times); a person in front of it sees nothing of the reason. So
 * whoever has met nothing but failures for a while is told so, and every further request is still tried.
 */

const FAILURES_MIN = 3
/** A hiccup of a provider is over by then; the clients' first retries fall into it. */
const PATIENCE_MS = 5_000
/** Longer apart than this two failures are two occasions. */
const FORGET_MS = 60_000
const KNOWN_MAX = 10_000

interface Outage {
  readonly sinceMs: number
  readonly failures: number
  readonly lastMs: number
}

export interface Outages {
  /** @returns the fault as the caller shall be told it: `hopeless` when this session met nothing else for a while */
  failed(admitted: Admitted, problem: Fault): Fault
  served(admitted: Admitted): void
}

/** A session of an agent, or a run, with one model; another session's luck says nothing about a request of this one. */
function scopeOf({ inbound, model, run }: Admitted): string {
  return `${inbound.key.id} ${run?.id ?? ''} ${model.name}`
}

export function createOutages(clock: Clock): Outages {
  /** Oldest first: an entry that is written anew goes to the end. */
  const known = new Map<string, Outage>()
  return {
    failed(admitted, problem) {
      // What says when to come back, or that it is the caller's own doing, is left as it is.
      const mayHelp = problem.code !== 'upstream_error' && problem.code !== 'upstream_timeout'
      if (mayHelp && (problem.code !== 'overloaded' || problem.retryAfterMs !== undefined)) return problem
      const scope = scopeOf(admitted)
      const nowMs = clock.monotonicMs()
      const before = known.get(scope)
      const goesOn = before !== undefined && nowMs - before.lastMs < FORGET_MS
      const outage = {
        sinceMs: goesOn ? before.sinceMs : nowMs,
        failures: (goesOn ? before.failures : 0) + 1,
        lastMs: nowMs,
      }
      known.delete(scope)
      known.set(scope, outage)
      const oldest = known.keys().next()
      if (known.size > KNOWN_MAX && oldest.done !== true) known.delete(oldest.value)
      const lastedMs = nowMs - outage.sinceMs
      if (outage.failures < FAILURES_MIN || lastedMs < PATIENCE_MS) return problem
      const told = `So it has gone ${outage.failures} times in ${Math.round(lastedMs / 1000)} seconds.`
      return { ...fault(problem.code, `${problem.message} ${told}`), hopeless: true }
    },
    served(admitted) {
      if (known.size > 0) known.delete(scopeOf(admitted))
    },
  }
}
