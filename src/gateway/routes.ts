import type { ServerResponse } from 'node:http'
import { type Fault, fault } from '../contract/index.ts'
import { andThen, errorText, type Nano } from '../kernel/index.ts'
import type { DecisionReason } from '../receipts/index.ts'
import { Allowance } from './allowance.ts'
import { faultAnswer, sendFault } from './answer.ts'
import { Authorization } from './authorize.ts'
import type { CallResult, WholeAnswer } from './call.ts'
import { failedTransport } from './classify.ts'
import type { GatewayDeps } from './deps.ts'
import { brokenOff, failureFault, SettledFailure } from './failure.ts'
import { headersOf } from './headers.ts'
import { hold } from './hold.ts'
import type { Claim } from './idempotency.ts'
import { keepAnswer } from './keep-answer.ts'
import { Outbound } from './outbound.ts'
import { isLimitedAnyway, RateGate, tokensUsed } from './rate-gate.ts'
import { RouteCall } from './route-call.ts'
import { type Finished, refuse, releaseHold, type Settling, settle } from './settle.ts'
import { CROSSED_FOR, SHORTAGES, type Shortage } from './shortage.ts'
import { rememberResponse } from './stored.ts'
import type {
  AttemptOutcome,
  AttemptRecord,
  Held,
  Planned,
  PlannedChannel,
  RoutePlan,
  SkippedChannel,
  StageResult,
} from './types.ts'

/** The routes and channels of one request in their order: hold, call, and on to the next, until one ends it. */

const NO_SHORTAGES: ReadonlyMap<RoutePlan, Shortage> = new Map()

interface Holding {
  readonly held: Held
  readonly allowance: Allowance
}

class RouteRun {
  private readonly deps: GatewayDeps
  private readonly planned: Planned
  private readonly claim: Claim | null
  private readonly attempts: AttemptRecord[] = []
  private readonly skipped: SkippedChannel[] = []
  private readonly outbound: Outbound
  private readonly authorization: Authorization
  private readonly rates: RateGate
  private holding: Holding | null = null
  /** The channel that was asked last. */
  private call: RouteCall | null = null
  private inputTokens: number | null = null
  private holds = 0
  private reason: DecisionReason = 'none'
  private short: Shortage | undefined
  private shortages: ReadonlyMap<RoutePlan, Shortage> = NO_SHORTAGES
  private tokens = 0

  constructor(deps: GatewayDeps, planned: Planned, claim: Claim | null) {
    this.deps = deps
    this.planned = planned
    this.claim = claim
    const { inbound, model } = planned.admitted
    this.outbound = new Outbound(inbound, model, deps.platforms, deps.upstreamSalt)
    this.authorization = new Authorization(deps)
    this.rates = new RateGate(deps, planned)
  }

  private get inbound() {
    return this.planned.admitted.inbound
  }

  private get res(): ServerResponse {
    return this.inbound.exchange.res
  }

  private get tokenFactor(): number {
    return this.call?.tokenFactor ?? 1
  }

  async go(): Promise<void> {
    try {
      let refusal: Fault | null = null
      for (const plan of this.planned.routes) {
        if (this.attempts.length >= this.planned.attemptsMax) break
        const asked = this.takeHold(plan)
        const taken = asked instanceof Promise ? await asked : asked
        if (taken.ok) {
          this.took(plan, taken.value)
          if (await this.tryChannels(plan)) return
          continue
        }
        const problem = taken.fault
        refusal = problem
        this.short = SHORTAGES[problem.code]
        const without = isLimitedAnyway(problem) ? this.planned.routes : [plan]
        if (this.short !== undefined) this.noteShort(this.short, without)
        if (isLimitedAnyway(problem)) break
        // Another route may pay, or speak a format that can say what is asked.
        if (this.short === undefined && problem.code !== 'unsupported_parameter') break
      }
      if (this.holding === null)
        await this.turnAway(refusal ?? fault('internal_error', 'No route could be tried.'))
      else await this.failed()
    } catch (thrown) {
      if (await this.giveUp()) throw new SettledFailure(errorText(thrown), { cause: thrown })
      throw thrown
    } finally {
      this.rates.end(this.tokens)
    }
  }

  private noteShort(short: Shortage, plans: readonly RoutePlan[]): void {
    this.shortages = new Map([...this.shortages, ...plans.map((plan) => [plan, short] as const)])
  }

  private async turnAway(refusal: Fault): Promise<void> {
    const { exchange, key } = this.inbound
    if (this.claim !== null) await this.deps.idempotency.release(this.claim)
    refuse(this.deps, {
      exchange,
      key,
      inbound: this.inbound,
      planned: this.planned,
      shortages: this.shortages,
      fault: refusal,
    })
  }

  // ---- hold ---------------------------------------------------------------------------------------------------------

  private reasonFor(plan: RoutePlan): DecisionReason {
    return this.short !== undefined && this.crossed(plan) ? CROSSED_FOR[this.short] : plan.reason
  }

  private crossed(plan: RoutePlan): boolean {
    return plan.route.bucket.id !== this.planned.routes[0]?.route.bucket.id
  }

  private takeHold(plan: RoutePlan): StageResult<Held> | Promise<StageResult<Held>> {
    const problem = this.untranslatable(plan)
    if (problem !== null) return { ok: false, fault: problem }
    const limited = this.rates.take(plan)
    return limited instanceof Promise
      ? limited.then((found) => this.holdUnless(found, plan))
      : this.holdUnless(limited, plan)
  }

  private holdUnless(limited: Fault | null, plan: RoutePlan): StageResult<Held> | Promise<StageResult<Held>> {
    if (limited !== null) return { ok: false, fault: limited }
    const { planned, deps } = this
    const n = this.holds++
    return hold(deps, { planned, plan, n, reason: this.reasonFor(plan), crossed: this.crossed(plan) })
  }

  private took(plan: RoutePlan, held: Held): void {
    const { deps } = this
    // The new hold stands before the old one is given back: at no moment is the request without one.
    if (this.holding !== null) releaseHold(deps, this.holding.held)
    this.holding = { held, allowance: new Allowance(deps.writer, held) }
    this.reason = this.reasonFor(plan)
    deps.openHolds.add({
      orgId: this.inbound.key.orgId,
      id: held.holdId,
      accountId: held.accountId,
      progress: () => this.progress(held),
    })
  }

  private progress(held: Held): string {
    const inModel = (tokens: number): number => Math.ceil(tokens * this.tokenFactor)
    const output = inModel(this.call?.delivered() ?? 0)
    if (output === 0) return JSON.stringify({ output })
    this.inputTokens ??= this.inbound.exchange.call.protocol.estimateInput(this.inbound.body)
    return JSON.stringify({ input: Math.min(inModel(this.inputTokens), held.inputTokensMax), output })
  }

  /** Before money is set aside: a route none of whose channels can express the request is no route for it. */
  private untranslatable(plan: RoutePlan): Fault | null {
    let problem: Fault | null = null
    let able = false
    for (const channel of plan.channels) {
      const found = this.outbound.problem(channel.target)
      if (found === null) able = true
      else {
        problem = found
        this.skipped.push({ plan, channel })
      }
    }
    return able ? null : problem
  }

  // ---- attempts -----------------------------------------------------------------------------------------------------

  /** @returns true when the request ended here */
  private async tryChannels(plan: RoutePlan): Promise<boolean> {
    const { holding } = this
    if (holding === null) return false
    let { channels } = plan
    for (let at = 0; at < channels.length; at++) {
      const channel = channels[at] as PlannedChannel
      if (this.attempts.length >= this.planned.attemptsMax) return false
      if (this.skipped.length > 0 && this.isSkipped(channel)) continue
      if (this.res.destroyed) {
        await this.end({ kind: 'left', reading: null, accepted: false }, null)
        return true
      }
      const startedAtMs = this.deps.clock.nowMs()
      const call = this.prepareCall(holding, channel)
      const asked = this.authorization.ready(channel.target, call.prepared, this.res)
      const ready = asked instanceof Promise ? await asked : asked
      if (ready.ok) call.prepared = ready.call
      const result = ready.ok ? call.ended(await call.start()) : ready.result
      const { outcome, latencyMs, firstTokenMs, upstreamId } = result
      this.attempts.push({ plan, channel, startedAtMs, latencyMs, firstTokenMs, upstreamId, outcome })
      if (outcome.kind !== 'failed') {
        const ending = this.end(outcome, result)
        if (ending !== null) await ending
        return true
      }
      if (this.mayBeMended(channel, outcome)) channels = channels.toSpliced(at + 1, 0, channel)
      else if (outcome.final !== null) {
        await this.failed()
        return true
      }
    }
    return false
  }

  private isSkipped(channel: PlannedChannel): boolean {
    return this.skipped.some((skipped) => skipped.channel === channel)
  }

  /** The same channel once more, asked without what it refused: a usage chunk, or an old token. */
  private mayBeMended({ target }: PlannedChannel, outcome: AttemptOutcome): boolean {
    if (this.inbound.facts.stream && this.deps.streamUsage.learn(target, outcome)) return true
    return this.authorization.mayRetry(target, outcome)
  }

  private prepareCall(holding: Holding, channel: PlannedChannel): RouteCall {
    const { deps } = this
    const { target } = channel
    const withoutUsage = deps.streamUsage.refuses(target)
    const prepared = this.outbound.prepare(target, holding.held.sentLimit, withoutUsage)
    // It was found able before the hold was made.
    if (!prepared.ok) throw new Error(prepared.fault.message)
    const attempt = this.attempts.length + 1
    this.call = new RouteCall(deps, holding, channel, prepared, attempt, this.claim !== null)
    return this.call
  }

  // ---- endings ------------------------------------------------------------------------------------------------------

  private settle(outcome: AttemptOutcome, problem: Fault | null): Settling | Promise<Settling> {
    const { holding } = this
    if (holding === null) throw new Error('a request without a hold cannot be settled')
    const heldNano = holding.allowance.settledNano()
    return andThen(heldNano, (nano) => settle(this.deps, this.finished(holding, nano, outcome, problem)))
  }

  private finished(
    { held, allowance }: Holding,
    heldNano: Nano,
    outcome: AttemptOutcome,
    problem: Fault | null,
  ): Finished {
    return {
      planned: this.planned,
      plan: held.plan,
      held,
      heldNano,
      attempts: this.attempts,
      decisionReason: this.reason,
      crossed: this.crossed(held.plan),
      ending: { kind: 'attempt', outcome, tokenFactor: this.tokenFactor },
      fault: problem,
      skipped: this.skipped,
      dropped: this.call?.dropped ?? [],
      shortages: this.shortages,
      limit: (outcome.kind === 'cut' ? allowance.limit : null) ?? held.limit,
    }
  }

  /** @returns null when all is done: nothing had to be asked of anybody */
  private end(outcome: AttemptOutcome, result: CallResult | null): Promise<void> | null {
    const problem = outcome.kind === 'broke' ? brokenOff(outcome.timeout) : null
    if (outcome.kind === 'served') this.deps.outages.served(this.planned.admitted)
    const settling = this.settle(outcome, problem)
    return settling instanceof Promise || this.claim !== null
      ? this.endLater(settling, outcome, result)
      : this.send(settling, result)
  }

  private async endLater(
    asked: Settling | Promise<Settling>,
    outcome: AttemptOutcome,
    result: CallResult | null,
  ): Promise<void> {
    const settling = await asked
    if (this.claim !== null) await this.keep(this.claim, outcome, settling, result?.answer ?? null)
    await this.send(settling, result)
  }

  private keep(
    claim: Claim,
    outcome: AttemptOutcome,
    settling: Settling,
    answer: WholeAnswer | null,
  ): Promise<void> {
    const { call } = this
    const nothing = { headers: {}, body: Buffer.alloc(0) }
    return keepAnswer(this.deps.idempotency, claim, {
      outcome: outcome.kind,
      charged: settling.priced.charge !== null,
      whole: () =>
        answer && call && { headers: headersOf(call.answerHead(answer, settling)), body: answer.bytes },
      stream: () => call?.storedStream() ?? nothing,
    })
  }

  private send(settling: Settling, result: CallResult | null): Promise<void> | null {
    const { call, res } = this
    this.tokens = tokensUsed(settling.priced)
    const remembered = rememberResponse(this.deps.pins, this.planned.admitted, this.attempts.at(-1), result)
    const answer = result?.answer ?? null
    if (answer === null || call === null) {
      if (!res.writableEnded) res.end()
    } else if (!res.destroyed) {
      res.writeHead(200, call.answerHead(answer, settling))
      res.end(answer.bytes)
    }
    settling.commit()
    return remembered
  }

  private async failed(): Promise<void> {
    const { call } = this
    const problem = this.deps.outages.failed(this.planned.admitted, failureFault(this.attempts))
    const last = this.attempts.at(-1)
    if (last === undefined) throw new Error('a request without attempts cannot have failed')
    const settling = await this.settle(last.outcome, problem)
    if (this.claim !== null) await this.deps.idempotency.release(this.claim)
    const answer = faultAnswer(this.inbound.exchange, problem, true)
    sendFault(this.res, answer, call?.failedHead(this.attempts.length) ?? {})
    settling.commit()
  }

  /**
   * Something of ours threw: money that is held goes back, and the receipt says so.
   * @returns false when nothing was held, so that there is no receipt
   */
  private async giveUp(): Promise<boolean> {
    const { holding } = this
    if (holding === null) return false
    if (!this.deps.openHolds.has(holding.held.holdId)) return true
    const problem = fault('internal_error', 'Something failed inside the gateway; nothing was charged.')
    const settling = await this.settle(failedTransport('internal_error'), problem)
    settling.commit()
    return true
  }
}

export function serveRoutes(deps: GatewayDeps, planned: Planned, claim: Claim | null): Promise<void> {
  return new RouteRun(deps, planned, claim).go()
}
