import type { ServerResponse } from 'node:http'
import { type Fault, fault } from '../contract/index.ts'
import { errorText, type JsonObject } from '../kernel/index.ts'
import { familyOf, type Protocol } from '../protocols/index.ts'
import type { DecisionReason } from '../receipts/index.ts'
import { Allowance } from './allowance.ts'
import { annotation, cutUsage } from './annotation.ts'
import { faultAnswer, sendFault, wireError } from './answer.ts'
import { callUpstream } from './attempt.ts'
import { Authorization } from './authorize.ts'
import type { CallResult, UpstreamCall } from './call.ts'
import { failedTransport } from './classify.ts'
import { contextOf, createDelivery } from './delivery.ts'
import type { GatewayDeps } from './deps.ts'
import { brokenOff, failureFault, SettledFailure } from './failure.ts'
import { droppedHeader, routeHeaders } from './headers.ts'
import { hold } from './hold.ts'
import type { Claim } from './idempotency.ts'
import { intentOf } from './intent.ts'
import { keepAnswer } from './keep-answer.ts'
import { Outbound } from './outbound.ts'
import { isLimitedAnyway, RateGate, tokensUsed } from './rate-gate.ts'
import { chargeHeaders, type Finished, refuse, releaseHold, type Settling, settle } from './settle.ts'
import { CROSSED_FOR, SHORTAGES, type Shortage } from './shortage.ts'
import { rememberResponse } from './stored.ts'
import { translateResult } from './translate-answer.ts'
import type {
  AttemptOutcome,
  AttemptRecord,
  Held,
  Planned,
  PlannedChannel,
  Reading,
  RoutePlan,
  SkippedChannel,
} from './types.ts'

/** The routes and channels of one request in their order: hold, call, and on to the next, until one ends it. */

class RouteRun {
  private readonly deps: GatewayDeps
  private readonly planned: Planned
  private readonly claim: Claim | null
  private readonly attempts: AttemptRecord[] = []
  private readonly kept: Buffer[] = []
  private held: Held | null = null
  private allowance: Allowance | null = null
  private call: UpstreamCall | null = null
  /** Of the model that was asked last. */
  private tokenFactor = 1
  private inputTokens: number | null = null
  private holds = 0
  private reason: DecisionReason = 'none'
  private short: Shortage | undefined
  private readonly shortages = new Map<RoutePlan, Shortage>()
  private streamHeaders: Record<string, string> = {}
  private streamContentType = 'text/event-stream'
  private readonly outbound: Outbound
  private readonly authorization: Authorization
  private readonly skipped: SkippedChannel[] = []
  readonly rates: RateGate
  tokens = 0
  private dropped: readonly string[] = []

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

  async go(): Promise<void> {
    let refusal: Fault | null = null
    for (const plan of this.planned.routes) {
      if (this.attempts.length >= this.planned.attemptsMax) break
      const fault = await this.takeHold(plan)
      if (fault !== null) {
        refusal = fault
        this.short = SHORTAGES[fault.code]
        const without = isLimitedAnyway(fault) ? this.planned.routes : [plan]
        if (this.short !== undefined) for (const left of without) this.shortages.set(left, this.short)
        if (isLimitedAnyway(fault)) break
        // Another route may pay, or speak a format that can say what is asked.
        if (this.short !== undefined || fault.code === 'unsupported_parameter') continue
        break
      }
      if (await this.tryChannels(plan)) return
    }
    if (this.held === null)
      await this.turnAway(refusal ?? fault('internal_error', 'No route could be tried.'))
    else await this.failed()
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

  private async takeHold(plan: RoutePlan): Promise<Fault | null> {
    const problem = this.untranslatable(plan)
    if (problem !== null) return problem
    const taken = this.rates.take(plan)
    const limited = taken instanceof Promise ? await taken : taken
    if (limited !== null) return limited
    const reason = this.reasonFor(plan)
    const result = await hold(this.deps, this.planned, plan, this.holds, (window) =>
      intentOf(this.planned, plan, { reason, crossed: this.crossed(plan), window }),
    )
    this.holds++
    if (!result.ok) return result.fault
    // The new hold stands before the old one is given back: at no moment is the request without one.
    if (this.held !== null) releaseHold(this.deps, this.held)
    const held = result.value
    this.held = held
    this.allowance = new Allowance(this.deps.writer, held)
    this.reason = reason
    this.deps.openHolds.add({
      orgId: this.inbound.key.orgId,
      id: held.holdId,
      accountId: held.accountId,
      progress: () => this.progress(held),
    })
    return null
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
    const { held } = this
    if (held === null) return false
    const channels = [...plan.channels]
    for (const [at, channel] of channels.entries()) {
      if (this.attempts.length >= this.planned.attemptsMax) return false
      if (this.skipped.some((skipped) => skipped.channel === channel)) continue
      if (this.res.destroyed) {
        await this.end({ kind: 'left', reading: null, accepted: false }, null)
        return true
      }
      const startedAtMs = this.deps.clock.nowMs()
      const result = await this.callChannel(plan, held, channel)
      const { outcome, latencyMs, firstTokenMs, upstreamId } = result
      this.attempts.push({ plan, channel, startedAtMs, latencyMs, firstTokenMs, upstreamId, outcome })
      if (outcome.kind !== 'failed') {
        await this.end(outcome, result)
        return true
      }
      if (this.mayBeMended(channel, outcome)) channels.splice(at + 1, 0, channel)
      else if (outcome.final !== null) {
        await this.failed()
        return true
      }
    }
    return false
  }

  /** The same channel once more, asked without what it refused: a usage chunk, or an old token. */
  private mayBeMended({ target }: PlannedChannel, outcome: AttemptOutcome): boolean {
    if (this.inbound.facts.stream && this.deps.streamUsage.learn(target, outcome)) return true
    return this.authorization.mayRetry(target, outcome)
  }

  private async callChannel(plan: RoutePlan, held: Held, channel: PlannedChannel): Promise<CallResult> {
    const { deps, inbound, allowance } = this
    const { facts, exchange } = inbound
    const { target } = channel
    const prepared = this.outbound.prepare(target, held.sentLimit, deps.streamUsage.refuses(target))
    // It was found able before the hold was made.
    if (!prepared.ok) throw new Error(prepared.fault.message)
    this.dropped = prepared.dropped
    this.tokenFactor = familyOf(target.upstreamModel).factor
    this.streamHeaders = routeHeaders({
      exchange,
      plan,
      channel,
      attempt: this.attempts.length + 1,
      lowered: held.lowered ? held.sentLimit : null,
      dropped: prepared.dropped,
    })
    const ready = await this.authorization.ready(target, prepared, () => this.res.destroyed)
    if (!ready.ok) return ready.result
    const caller = exchange.call.protocol
    const frame = exchange.call.path !== null && !exchange.call.path.sse ? 'array' : 'sse'
    const call = callUpstream({
      upstream: deps.upstreams.of(target.channel),
      channel: target.channel,
      ...ready.call,
      streamed: facts.stream,
      deliver: (annotate) => {
        const { protocol: upstream } = prepared
        return createDelivery({ caller, upstream, facts, frame, context: contextOf(inbound), annotate })
      },
      res: this.res,
      drain: deps.draining.slotOf(inbound.key.orgId),
      clock: deps.clock,
      deadlines: deps.deadlines,
      beginStream: this.beginStream,
      annotate: (_usage, reading) => this.annotate(plan, held, reading),
      mayGoOn: (tokens, events) => allowance === null || allowance.mayGoOn(tokens * this.tokenFactor, events),
      cutUsage: (reading) =>
        cutUsage(this.planned, held, reading, this.tokenFactor, this.annotate(plan, held, reading)),
      streamFault: (timeout) => wireError(brokenOff(timeout), exchange, true),
      onForward: this.claim === null ? null : (piece) => this.kept.push(piece),
    })
    this.call = call
    deps.calls.add(call)
    try {
      return this.translated(await call.result, prepared.protocol, held)
    } finally {
      deps.calls.delete(call)
    }
  }

  private translated(result: CallResult, upstream: Protocol, held: Held): CallResult {
    const translated = translateResult(this.inbound, upstream, result, (reading) =>
      this.annotate(held.plan, held, reading),
    )
    this.dropped = [...new Set([...this.dropped, ...translated.dropped])]
    return translated.result
  }

  private readonly beginStream = (res: ServerResponse, contentType: string): void => {
    this.deps.counters.streams++
    this.streamContentType = contentType
    res.writeHead(200, this.streamHead())
  }

  private streamHead(): Record<string, string> {
    return { ...this.streamHeaders, 'content-type': this.streamContentType, 'cache-control': 'no-cache' }
  }

  private annotate(plan: RoutePlan, held: Held, reading: Reading): JsonObject {
    const heldNano = this.allowance?.amountNano ?? held.heldNano
    return annotation(this.planned, plan, held, heldNano, reading, this.tokenFactor)
  }

  // ---- endings ------------------------------------------------------------------------------------------------------

  private async finished(outcome: AttemptOutcome, problem: Fault | null): Promise<Finished> {
    const { held, tokenFactor } = this
    if (held === null) throw new Error('a request without a hold cannot be settled')
    return {
      planned: this.planned,
      plan: held.plan,
      held,
      heldNano: (await this.allowance?.settledNano()) ?? held.heldNano,
      attempts: this.attempts,
      decisionReason: this.reason,
      crossed: this.crossed(held.plan),
      ending: { kind: 'attempt', outcome, tokenFactor },
      fault: problem,
      skipped: this.skipped,
      dropped: this.dropped,
      shortages: this.shortages,
      limit: (outcome.kind === 'cut' ? this.allowance?.limit : null) ?? held.limit,
    }
  }

  private async end(outcome: AttemptOutcome, result: CallResult | null): Promise<void> {
    const problem = outcome.kind === 'broke' ? brokenOff(outcome.timeout) : null
    if (outcome.kind === 'served') this.deps.outages.served(this.planned.admitted)
    const settling = await settle(this.deps, await this.finished(outcome, problem))
    this.tokens = tokensUsed(settling.priced)
    const answer = result?.answer ?? null
    if (this.claim !== null)
      await keepAnswer(this.deps.idempotency, this.claim, {
        outcome: outcome.kind,
        charged: settling.priced.charge !== null,
        whole: () => answer && { headers: this.answerHeaders(answer, settling), body: answer.bytes },
        stream: () => ({ headers: this.streamHead(), body: Buffer.concat(this.kept) }),
      })
    const remembered = rememberResponse(this.deps.pins, this.planned.admitted, this.attempts.at(-1), result)
    if (answer !== null) this.sendAnswer(answer, settling)
    else if (!this.res.writableEnded) this.res.end()
    settling.commit()
    await remembered
  }

  private sendAnswer(answer: { contentType: string; bytes: Buffer }, settling: Settling): void {
    if (this.res.destroyed) return
    this.res.writeHead(200, this.answerHeaders(answer, settling))
    this.res.end(answer.bytes)
  }

  private answerHeaders(
    answer: { contentType: string; bytes: Buffer },
    settling: Settling,
  ): Record<string, string> {
    const plan = this.held?.plan
    return {
      ...this.streamHeaders,
      ...(plan === undefined ? {} : chargeHeaders(settling.priced, plan)),
      ...droppedHeader(this.dropped),
      'content-type': answer.contentType,
      'content-length': String(answer.bytes.length),
    }
  }

  private async failed(): Promise<void> {
    const problem = this.deps.outages.failed(this.planned.admitted, failureFault(this.attempts))
    const last = this.attempts.at(-1)
    if (last === undefined) throw new Error('a request without attempts cannot have failed')
    const settling = await settle(this.deps, await this.finished(last.outcome, problem))
    if (this.claim !== null) await this.deps.idempotency.release(this.claim)
    sendFault(this.res, faultAnswer(this.inbound.exchange, problem, true), {
      ...this.streamHeaders,
      'x-tf-attempts': String(this.attempts.length),
    })
    settling.commit()
  }

  /**
   * Something of ours threw: money that is held goes back, and the receipt says so.
   * @returns false when nothing was held, so that there is no receipt
   */
  async giveUp(): Promise<boolean> {
    const { held } = this
    if (held === null) return false
    if (!this.deps.openHolds.has(held.holdId)) return true
    const problem = fault('internal_error', 'Something failed inside the gateway; nothing was charged.')
    const settling = await settle(this.deps, await this.finished(failedTransport('internal_error'), problem))
    settling.commit()
    return true
  }
}

export async function serveRoutes(deps: GatewayDeps, planned: Planned, claim: Claim | null): Promise<void> {
  const run = new RouteRun(deps, planned, claim)
  try {
    await run.go()
  } catch (thrown) {
    if (await run.giveUp()) throw new SettledFailure(errorText(thrown), { cause: thrown })
    throw thrown
  } finally {
    run.rates.end(run.tokens)
  }
}
