import type { RouteChannel } from '../catalog/index.ts'
import type { AttemptOutcome } from './types.ts'

/**
 * Which servers refuse to be asked for usage in a stream (`stream_options`, which older compatible ones do not know).
 * They are asked without it from then on, and their tokens are counted here. Forgotten with the process.
 */
export interface StreamUsage {
  refuses(target: RouteChannel): boolean
  /** @returns true when this refusal says so for the first time: the same server may be asked once more */
  learn(target: RouteChannel, outcome: AttemptOutcome): boolean
}

const NAMED = /stream_options|include_usage/

export function createStreamUsage(): StreamUsage {
  const refusing = new Set<string>()
  const name = ({ channel, upstreamModel }: RouteChannel): string => `${channel.baseUrl} ${upstreamModel}`
  return {
    refuses: (target) => refusing.has(name(target)),
    learn(target, outcome) {
      if (outcome.kind !== 'failed' || outcome.final === null) return false
      if (!NAMED.test(outcome.final.message) || refusing.has(name(target))) return false
      refusing.add(name(target))
      return true
    },
  }
}
