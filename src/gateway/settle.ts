import { type RateSelector, referenceSheetAt } from '../catalog/index.ts'
import type { Fault, ReceiptLimit } from '../contract/index.ts'
import { errorText, formatId, type Nano } from '../kernel/index.ts'
import type { LedgerOp, OpResult } from '../ledger/index.ts'
import type { DecisionReason } from '../receipts/index.ts'
import type { ApiKeyRecord } from '../tenancy/index.ts'
import { faultAnswer, sendFault } from './answer.ts'
import { charge, writeOff } from './charge.ts'
import { chargeLimit } from './charge-limit.ts'
import { countUp, type GatewayDeps } from './deps.ts'
import { HOLD_TTL_MS, priceOfOther } from './hold.ts'
import { meter } from './meter.ts'
import { composeDocument, receiptRecord, type Story } from './receipt.ts'
import type { Shortage } from './shortage.ts'
import type {
  Admitted,
  AttemptRecord,
  Ending,
  Exchange,
  Held,
  Inbound,
  Metered,
  Planned,
  Priced,
  Reading,
  RejectedRoute,
  RoutePlan,
  RunRef,
  SkippedChannel,
} from './types.ts'

/**
 * The one exit of every request: usage, price, receipt and the op that moves the money (or gives it back). Nothing else
 * ends a hold while this process lives; recover.ts does it for processes that died.
 */

export interface Refusal {
  readonly exchange: Exchange
  readonly key: ApiKeyRecord
  readonly fault: Fault
  readonly inbound?: Inbound
  readonly run?: RunRef | null
  readonly admitted?: Admitted
  readonly planned?: Planned
  readonly rejected?: readonly RejectedRoute[]
  readonly shortages?: ReadonlyMap<RoutePlan, Shortage>
  /** The body was not read to its end, so the connection cannot be used again. */
  readonly close?: boolean
}

const NO_SHORTAGES: ReadonlyMap<RoutePlan, Shortage> = new Map()

/** What is told of a request for which no route was chosen. */
function refusalStory(refusal: Omit<Refusal, 'fault'> & { readonly fault?: Fault }): Story {
  const { inbound, admitted, planned } = refusal
  return {
    exchange: refusal.exchange,
    key: refusal.key,
    endpoint: refusal.exchange.call.endpoint,
    streamed: inbound?.facts.stream ?? false,
    idempotencyKey: inbound?.idempotencyKey ?? null,
    requestedModel: inbound?.facts.model.slice(0, 200) ?? null,
    catalogModel: (admitted ?? planned?.admitted)?.model.name ?? null,
    run: (admitted ?? planned?.admitted)?.run ?? refusal.run ?? null,
    planned: planned ?? null,
    rejected: refusal.rejected ?? planned?.rejected ?? [],
    plan: null,
    decisionReason: 'none',
    crossed: false,
    attempts: [],
    skipped: [],
    dropped: [],
    hold: null,
    maxOutputTokens: null,
    lowered: false,
    shortages: refusal.shortages ?? NO_SHORTAGES,
    limit: refusal.fault?.limit ?? null,
  }
}

/** Answers a request that is turned away here, and writes its receipt. Nothing was sent, so nothing is charged. */
export function refuse(deps: GatewayDeps, refusal: Refusal): void {
  const { exchange, fault } = refusal
  // A key that is no longer valid leaves a receipt for its owner, but whoever holds it is told nothing of that: neither by
  // the answer nor, as the receipt is made after it, by its time.
  sendFault(
    exchange.res,
    faultAnswer(exchange, fault, fault.code !== 'invalid_api_key' && fault.code !== 'too_many_failures'),
    refusal.close === true ? { connection: 'close' } : {},
  )
  exchange.req.resume()
  record(deps, refusalStory(refusal), { kind: 'refused', fault })
}

/** The receipt of a request that was answered with the stored answer of another one, which paid for it. */
export function recordReplay(deps: GatewayDeps, inbound: Inbound, replayOf: string): void {
  const { exchange, key } = inbound
  record(deps, { ...refusalStory({ exchange, key, inbound }), replayOf }, { kind: 'replayed' })
}

/** Writes the receipt of a request for which no money moves. */
function record(deps: GatewayDeps, story: Story, ending: Ending): void {
  const fault = ending.kind === 'refused' ? ending.fault : null
  const priced: Priced = { ...meter(ending, NO_BOUNDS), totalNano: 0n, charge: null }
  const document = composeDocument(story, ending, priced, fault, deps.clock)
  const receipt = receiptRecord(story, document, 0n)
  submit(deps, { kind: 'record', orgId: story.key.orgId, id: story.exchange.requestId, receipt })
  countUp(deps.counters.byStatus, document.status)
  countUp(deps.counters.bySettlement, document.settlement)
}

const NO_BOUNDS = { inputTokensMax: 0, outputTokensMax: 0, inputTokensEstimated: () => 0 }

/** Endings ride with the next batch; their caller has been answered. */
function submit(deps: GatewayDeps, op: LedgerOp): void {
  deps.writer.enqueue(
    op,
    false,
    (result) => {
      if (result.verdict === 'done' || result.verdict === 'repeated') return
      // The hold was ended by recovery while this process was thought dead: its receipt stands, this one is late.
      deps.counters.lateSettlements++
      deps.log.error(
        { op: op.kind, request: formatId('req', op.id), verdict: result.verdict },
        'a settlement came too late',
      )
    },
    (error) =>
      deps.log.error(
        { op: op.kind, request: formatId('req', op.id), error: errorText(error) },
        'a settlement could not be written',
      ),
  )
}

export interface Finished {
  readonly planned: Planned
  readonly plan: RoutePlan
  readonly held: Held
  /** With what an extension added. */
  readonly heldNano: Nano
  readonly attempts: readonly AttemptRecord[]
  readonly decisionReason: DecisionReason
  readonly crossed: boolean
  readonly ending: Ending
  readonly fault: Fault | null
  readonly skipped: readonly SkippedChannel[]
  readonly dropped: readonly string[]
  readonly shortages: ReadonlyMap<RoutePlan, Shortage>
  readonly limit: ReceiptLimit | null
}

function lastReading(finished: Finished): Reading | null {
  const { ending } = finished
  return ending.kind === 'attempt' && 'reading' in ending.outcome ? ending.outcome.reading : null
}

export function meterRequest(planned: Planned, held: Held, ending: Ending): Metered {
  const { inbound } = planned.admitted
  return meter(ending, {
    inputTokensMax: held.inputTokensMax,
    outputTokensMax: held.outputTokensBound * inbound.facts.choices,
    webSearchCallsMax: inbound.facts.webSearchCallsMax,
    otherInputTokensMax: inbound.facts.inputTokensMax,
    inputTokensEstimated: () => inbound.exchange.call.protocol.estimateInput(inbound.body),
  })
}

export function servedRate(reading: Reading | null): RateSelector {
  if (reading === null) return { serviceTier: null }
  const { usage, serviceTier } = reading
  return {
    serviceTier: serviceTier?.toLowerCase() ?? null,
    geography: (usage.kind === 'reported' ? usage.usage.geography : null) ?? null,
  }
}

export function priceRequest(
  planned: Planned,
  plan: RoutePlan,
  metered: Metered,
  reading: Reading | null,
): Priced {
  const { inbound, model } = planned.admitted
  const admittedAtMs = inbound.exchange.startedAtMs
  return charge(metered, {
    plan,
    admittedAtMs,
    served: servedRate(reading),
    referencePrice: referenceSheetAt(model, admittedAtMs),
    priceOf: (name) => priceOfOther(planned, plan, name),
  })
}

/** A charge, and the hold that pays it. */
interface Covered {
  readonly priced: Priced
  readonly heldNano: Nano
}

/**
 * What the provider reports above the hold is taken from what is available, by extending the hold first; what even
 * that cannot pay is written off. The receipt can then say exactly what is paid, before it is.
 */
function coverExcess(deps: GatewayDeps, finished: Finished, priced: Priced): Covered | Promise<Covered> {
  const { held, heldNano, planned, plan } = finished
  const { key } = planned.admitted.inbound
  const limitNano = chargeLimit(key, plan)
  const payableNano = limitNano === null || priced.totalNano < limitNano ? priced.totalNano : limitNano
  // Whoever allowed so much for one request pays no more, whatever a provider reports.
  if (payableNano <= heldNano) return { priced: writeOff(priced, heldNano), heldNano }
  const extended = new Promise<OpResult | null>((resolve) =>
    deps.writer.enqueue(
      {
        kind: 'extend',
        orgId: key.orgId,
        id: held.holdId,
        accountId: held.accountId,
        amountNano: payableNano,
        minimumNano: 0n,
        ttlMs: HOLD_TTL_MS,
      },
      true,
      resolve,
      () => resolve(null),
    ),
  )
  return extended.then((result) => {
    const coveredNano = result?.verdict === 'done' ? result.figureNano : heldNano
    return {
      priced: coveredNano < priced.totalNano ? writeOff(priced, coveredNano) : priced,
      heldNano: coveredNano,
    }
  })
}

function storyOf(finished: Finished, heldNano: Nano, captured: boolean): Story {
  const { planned, held, plan } = finished
  const { inbound, model, run } = planned.admitted
  return {
    exchange: inbound.exchange,
    key: inbound.key,
    endpoint: inbound.exchange.call.endpoint,
    streamed: inbound.facts.stream,
    idempotencyKey: inbound.idempotencyKey,
    requestedModel: inbound.facts.model,
    catalogModel: model.name,
    run,
    planned,
    rejected: planned.rejected,
    plan,
    decisionReason: finished.decisionReason,
    crossed: finished.crossed,
    attempts: finished.attempts,
    skipped: finished.skipped,
    dropped: finished.dropped,
    hold: { amountNano: heldNano, captured },
    maxOutputTokens: held.sentLimit,
    lowered: held.lowered,
    shortages: finished.shortages,
    limit: finished.limit,
  }
}

/** What a request costs is decided; the money moves on `commit`. */
export class Settling {
  readonly priced: Priced
  private readonly deps: GatewayDeps
  private readonly finished: Finished
  private readonly heldNano: Nano
  /** Of the hold; 0 when it is given back. */
  private readonly paidNano: Nano
  /** What the ledger is asked for: what is above the hold it writes off. Null when nothing is charged. */
  private readonly settledNano: Nano | null

  constructor(deps: GatewayDeps, finished: Finished, { priced, heldNano }: Covered) {
    this.deps = deps
    this.finished = finished
    this.heldNano = heldNano
    const paidNano = priced.totalNano < heldNano ? priced.totalNano : heldNano
    const charged = priced.charge !== null && paidNano > 0n
    this.priced =
      charged || priced.charge === null ? priced : { ...priced, charge: null, noCharge: 'nothing_delivered' }
    this.paidNano = charged ? paidNano : 0n
    this.settledNano = priced.charge === null ? null : priced.totalNano
  }

  /** Writes the receipt and ends the hold. */
  commit(): void {
    const { deps, finished, priced, paidNano } = this
    const { held, ending, planned } = finished
    const story = storyOf(finished, this.heldNano, paidNano > 0n)
    const document = composeDocument(story, ending, priced, finished.fault, deps.clock)
    const { orgId } = planned.admitted.inbound.key
    const { holdId: id, accountId } = held
    const receipt = receiptRecord(story, document, paidNano)
    submit(
      deps,
      this.settledNano === null
        ? { kind: 'void', orgId, id, accountId, reason: 'nothing was charged', receipt }
        : { kind: 'settle', orgId, id, accountId, amountNano: this.settledNano, receipt },
    )
    deps.openHolds.remove(id)
    countUp(deps.counters.byStatus, document.status)
    countUp(deps.counters.bySettlement, document.settlement)
  }
}

/** Decides what is charged. A promise only where the hold must be extended for it. */
export function settle(deps: GatewayDeps, finished: Finished): Settling | Promise<Settling> {
  const { planned, plan, held, heldNano, ending } = finished
  const metered = meterRequest(planned, held, ending)
  const priced = priceRequest(planned, plan, metered, lastReading(finished))
  const covered = priced.totalNano > heldNano ? coverExcess(deps, finished, priced) : { priced, heldNano }
  return covered instanceof Promise
    ? covered.then((by) => new Settling(deps, finished, by))
    : new Settling(deps, finished, covered)
}

/** Gives a hold back that another one replaced. */
export function releaseHold(deps: GatewayDeps, held: Held): void {
  const { orgId } = held.planned.admitted.inbound.key
  submit(deps, {
    kind: 'void',
    orgId,
    id: held.holdId,
    accountId: held.accountId,
    reason: 'another route was held for',
  })
  deps.openHolds.remove(held.holdId)
}
