import { type Fault, fault, type RateMeasure, type ReceiptRateLimit } from '../contract/index.ts'
import { formatId, isoTime, totalInput, totalOutput } from '../kernel/index.ts'
import { familyOf } from '../protocols/index.ts'
import {
  type Limiter,
  type RateBook,
  type RateLimit,
  type RateRefusal,
  type RateSet,
  type RateUse,
  type Reservation,
  shownScopeId,
} from '../rates/index.ts'
import type { GatewayDeps } from './deps.ts'
import { duration, setRateHeaders } from './rate-headers.ts'
import { scopeName } from './shortage.ts'
import type { Planned, Priced, RoutePlan } from './types.ts'

/** The rate limits of one request: taken before money is set aside, given back once, however the request ends. */

export interface RateDeps {
  readonly rates: Pick<RateBook, 'of'>
  readonly limiter: Limiter
  readonly clock: GatewayDeps['clock']
}

/**
 * Output tokens of one choice that are reserved, where the caller and the model allow as many. Agents allow themselves
 * tens of thousands and use some hundreds; what an answer has beyond this is counted when it ends.
 */
const OUTPUT_EXPECTED = 1_024

const MEASURES: Readonly<Record<RateMeasure, string>> = {
  requests_per_minute: 'requests a minute',
  tokens_per_minute: 'tokens a minute',
  concurrency: 'requests at one time',
}

function expectedTokens({ admitted }: Planned, plan: RoutePlan): number {
  const { inbound, model } = admitted
  const { facts, body, exchange } = inbound
  const { factor } = familyOf(plan.channels[0]?.target.upstreamModel ?? model.name)
  const input = Math.ceil(exchange.call.protocol.estimateInput(body) * factor)
  const output = Math.min(facts.maxOutputTokens ?? OUTPUT_EXPECTED, model.maxOutputTokens, OUTPUT_EXPECTED)
  return input + output * facts.choices
}

/** Tokens that count: all that were read and written, cached ones as well. */
export function tokensUsed({ usage, others }: Pick<Priced, 'usage' | 'others'>): number {
  let tokens = usage === null ? 0 : totalInput(usage.counts) + totalOutput(usage.counts)
  for (const { counts } of others) tokens += totalInput(counts) + totalOutput(counts)
  return tokens
}

function refusalFault(refusal: RateRefusal, nowMs: number): Fault {
  const { limit, measure, amount, used, needed, waitMs } = refusal
  const told: ReceiptRateLimit = {
    scope: limit.scope,
    scope_id: shownScopeId(limit),
    rate_limit: formatId('rl', limit.id),
    measure,
    amount: String(amount),
    used: String(used),
    needed: String(needed),
    resets_at: isoTime(nowMs + waitMs),
  }
  const allowed = `The rate limit of ${scopeName(limit.scope)} is ${amount} ${MEASURES[measure]}`
  if (refusal.never)
    return fault(
      'rate_limit_exceeded',
      `${allowed}, and this request alone needs ${needed}. It can never be served under this limit.`,
      { limit: told, hopeless: true },
    )
  const again =
    measure === 'concurrency'
      ? 'Try again when one of them has ended.'
      : `There is room again in ${duration(waitMs)}.`
  const message = `${allowed}: ${used} used, and this request needs ${needed}. ${again}`
  return fault('rate_limit_exceeded', message, { limit: told, retryAfterMs: waitMs })
}

/** True when no other route could help: the limit is of who asks, not of the route. */
export function isLimitedAnyway({ code, limit }: Fault): boolean {
  return code === 'rate_limit_exceeded' && limit !== undefined && limit.scope !== 'route'
}

export class RateGate {
  private readonly deps: RateDeps
  private readonly planned: Planned
  private set: RateSet | null = null
  private held: readonly Reservation[] = []
  private uses: readonly RateUse[] = []

  constructor(deps: RateDeps, planned: Planned) {
    this.deps = deps
    this.planned = planned
  }

  private get inbound() {
    return this.planned.admitted.inbound
  }

  /** Takes what the route falls under, and is not held yet; gives back what belonged to a route before it alone. */
  take(plan: RoutePlan): Fault | null | Promise<Fault | null> {
    const set = this.set ?? this.deps.rates.of(this.inbound.key.orgId)
    return set instanceof Promise ? set.then((loaded) => this.under(loaded, plan)) : this.under(set, plan)
  }

  private under(set: RateSet, plan: RoutePlan): Fault | null | Promise<Fault | null> {
    this.set = set
    if (set.isEmpty) return null
    const { key, exchange } = this.inbound
    const { name: route, type: routeType } = plan.route
    const wanted = [
      ...set.of({ orgId: key.orgId, projectId: key.projectId, apiKeyId: key.id }),
      ...set.ofRoute({ model: this.planned.admitted.model.name, route, routeType }),
    ]
    const missing = wanted.filter((limit) => !this.held.some((one) => one.limit === limit))
    const counted = missing.some(({ amounts }) => amounts.tokens_per_minute !== null)
    const tokens = counted ? expectedTokens(this.planned, plan) : 0
    if (missing.length === 0) return this.taken(wanted, [], [])
    const verdict = this.deps.limiter.admit(missing, tokens, exchange.requestId)
    const conclude = (given: Awaited<typeof verdict>): Fault | null =>
      given.ok ? this.taken(wanted, given.reservations, given.uses) : this.refused(given.refusal, given.uses)
    return verdict instanceof Promise ? verdict.then(conclude) : conclude(verdict)
  }

  private taken(
    wanted: readonly RateLimit[],
    reservations: readonly Reservation[],
    uses: readonly RateUse[],
  ): null {
    const isWanted = ({ limit }: { readonly limit: RateLimit }): boolean => wanted.includes(limit)
    const past = this.held.filter((one) => !isWanted(one))
    if (past.length > 0) this.deps.limiter.end(past, 0)
    this.held = [...this.held.filter(isWanted), ...reservations]
    this.uses = [...this.uses.filter(isWanted), ...uses]
    this.tell(this.uses)
    return null
  }

  private refused(refusal: RateRefusal, uses: readonly RateUse[]): Fault {
    this.tell(uses)
    return refusalFault(refusal, this.deps.clock.nowMs())
  }

  private tell(uses: readonly RateUse[]): void {
    const { res, call } = this.inbound.exchange
    setRateHeaders(res, call.protocol.name, uses, this.deps.clock.nowMs())
  }

  /** @param tokens what the request has really used */
  end(tokens: number): void {
    const { held } = this
    this.held = []
    if (held.length > 0) this.deps.limiter.end(held, tokens)
  }
}
