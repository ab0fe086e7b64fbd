import type { RouteChannel } from '../catalog/index.ts'
import type { CallResult } from './call.ts'
import { failedTransport } from './classify.ts'
import type { GatewayDeps } from './deps.ts'
import type { PreparedCall } from './outbound.ts'
import type { AttemptOutcome } from './types.ts'
import { joinPaths } from './wire.ts'

/** The credentials of one request's calls where a platform makes them: signatures and tokens, asked for call by call. */

export type Ready =
  | { readonly ok: true; readonly call: PreparedCall }
  | { readonly ok: false; readonly result: CallResult }

const CODES_OF_A_BAD_TOKEN = new Set(['upstream_unauthorized'])

function uncalled(outcome: AttemptOutcome, latencyMs: number): CallResult {
  return { outcome, latencyMs, firstTokenMs: null, answer: null, streamBegin: null, upstreamId: null }
}

export class Authorization {
  private readonly deps: Pick<GatewayDeps, 'platforms' | 'upstreams' | 'clock' | 'log'>
  private readonly renewed = new Set<RouteChannel>()
  private refused: (() => boolean) | null = null

  constructor(deps: Pick<GatewayDeps, 'platforms' | 'upstreams' | 'clock' | 'log'>) {
    this.deps = deps
  }

  /** @param isGone whether the caller has left meanwhile */
  async ready(target: RouteChannel, call: PreparedCall, isGone: () => boolean): Promise<Ready> {
    const { deps } = this
    this.refused = null
    if (call.platform === null) return { ok: true, call }
    const startMs = deps.clock.monotonicMs()
    const { origin, basePath } = deps.upstreams.of(target.channel)
    const authorized = await call.platform.authorize({
      origin,
      path: joinPaths(basePath, call.path),
      headers: { 'content-type': 'application/json', ...call.headers },
      body: call.body,
    })
    const latencyMs = deps.clock.monotonicMs() - startMs
    if (isGone())
      return { ok: false, result: uncalled({ kind: 'left', reading: null, accepted: false }, latencyMs) }
    if (!authorized.ok) {
      deps.log.warn(
        { channel: target.channel.name, problem: authorized.problem },
        'a channel has no access token',
      )
      return { ok: false, result: uncalled(failedTransport(authorized.code), latencyMs) }
    }
    this.refused = authorized.refused
    return { ok: true, call: { ...call, headers: { ...call.headers, ...authorized.headers } } }
  }

  /** A token that expired or was revoked on the way: @returns true, once a channel, when another is worth a call. */
  mayRetry(target: RouteChannel, outcome: AttemptOutcome): boolean {
    if (outcome.kind !== 'failed' || !CODES_OF_A_BAD_TOKEN.has(outcome.code)) return false
    if (this.refused?.() !== true || this.renewed.has(target)) return false
    this.renewed.add(target)
    return true
  }
}
