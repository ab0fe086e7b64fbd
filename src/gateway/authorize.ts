import type { ServerResponse } from 'node:http'
import type { RouteChannel } from '../catalog/index.ts'
import type { Platform } from '../platforms/index.ts'
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
  private readonly renewed: RouteChannel[] = []
  private refused: (() => boolean) | null = null

  constructor(deps: Pick<GatewayDeps, 'platforms' | 'upstreams' | 'clock' | 'log'>) {
    this.deps = deps
  }

  /** @param res of the caller, who may leave meanwhile */
  ready(target: RouteChannel, call: PreparedCall, res: ServerResponse): Ready | Promise<Ready> {
    this.refused = null
    return call.platform === null ? { ok: true, call } : this.authorized(target, call, call.platform, res)
  }

  private async authorized(
    target: RouteChannel,
    call: PreparedCall,
    platform: Platform,
    res: ServerResponse,
  ): Promise<Ready> {
    const { deps } = this
    const startMs = deps.clock.monotonicMs()
    const { origin, basePath } = deps.upstreams.of(target.channel)
    const authorized = await platform.authorize({
      origin,
      path: joinPaths(basePath, call.path),
      headers: { 'content-type': 'application/json', ...call.headers },
      body: call.body,
    })
    const latencyMs = deps.clock.monotonicMs() - startMs
    if (res.destroyed)
      return { ok: false, result: uncalled({ kind: 'left', reading: null, accepted: false }, latencyMs) }
    if (!authorized.ok) {
      deps.log.warn(
        { channel: target.channel.name, problem: authorized.problem },
        'a channel has no access token',
      )
      return { ok: false, result: uncalled(failedTransport(authorized.code), latencyMs) }
    }
    this.refused = authorized.refused
    const headers = { ...call.headers, ...authorized.headers }
    return { ok: true, call: { ...call, headers, ownHeaders: null } }
  }

  /** A token that expired or was revoked on the way: @returns true, once a channel, when another is worth a call. */
  mayRetry(target: RouteChannel, outcome: AttemptOutcome): boolean {
    if (outcome.kind !== 'failed' || !CODES_OF_A_BAD_TOKEN.has(outcome.code)) return false
    if (this.refused?.() !== true || this.renewed.includes(target)) return false
    this.renewed.push(target)
    return true
  }
}
