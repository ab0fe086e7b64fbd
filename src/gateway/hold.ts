import type { BudgetAt, BudgetBook } from '../budgets/index.ts'
import {
  type BoundContext,
  boundNano,
  outputTokensAffordable,
  type PriceVersion,
  priceVersionAt,
} from '../catalog/index.ts'
import { fault } from '../contract/index.ts'
import type { Database } from '../db/index.ts'
import { childUuid, type Nano } from '../kernel/index.ts'
import {
  type AccountBook,
  LedgerOverloaded,
  type OpResult,
  type ReserveOp,
  type Verdict,
} from '../ledger/index.ts'
import type { DecisionReason } from '../receipts/index.ts'
import { chargeLimit, limitOfCharge, overLimit, tokensWithinLimit } from './charge-limit.ts'
import { intentOf } from './intent.ts'
import { type ReserveDeps, reserve } from './reserve.ts'
import { limitOf, overBudget, shortage, spendingOf, windowNamed } from './shortage.ts'
import type { Held, Planned, RoutePlan, StageResult } from './types.ts'

/**
 * Sets aside the most the request can cost in the bucket of a route, before anything is sent. When the bucket cannot
 * afford the whole output window, a smaller one is held and becomes the limit the upstream is told.
 */

/** The smallest output window that is worth a request. */
export const WINDOW_TOKENS_MIN = 1_024
/** A hold lives so long unless it is renewed; only dead processes fail to renew. */
export const HOLD_TTL_MS = 60_000

const REFUSED: ReadonlySet<Verdict> = new Set(['insufficient', 'over_budget', 'refused_before'])

export interface HoldDeps extends ReserveDeps {
  readonly database: Database
  readonly accounts: AccountBook
  readonly budgets: Pick<BudgetBook, 'under'>
}

/** The price of another model on a route of the same type and bucket; null when the catalog has none. */
export function priceOfOther(planned: Planned, plan: RoutePlan, name: string): PriceVersion | null {
  const { snapshot, inbound } = planned.admitted
  const same = snapshot.models
    .get(name)
    ?.routes.find((route) => route.type === plan.route.type && route.bucket.id === plan.route.bucket.id)
  return same === undefined ? null : priceVersionAt(same.prices, inbound.exchange.startedAtMs)
}

/** Further models that the request names may use as much as its own once more, at the price of the dearest. */
export function othersNano(planned: Planned, plan: RoutePlan, outputTokensMax: number): Nano {
  const { inbound, snapshot, model } = planned.admitted
  const { facts, exchange } = inbound
  if (facts.otherModels === undefined) return 0n
  return facts.otherModels.reduce<Nano>((most, name) => {
    const { sheet } = priceOfOther(planned, plan, name) ?? plan.price
    const context = snapshot.models.get(name)?.contextTokens ?? model.contextTokens
    const nano = boundNano(sheet, {
      admittedAtMs: exchange.startedAtMs,
      serviceTier: null,
      inputTokensMax: Math.min(facts.inputTokensMax, context),
      outputTokensMax,
    })
    return nano > most ? nano : most
  }, 0n)
}

/** What the price of a request depends on besides its tokens, as far as it is known before the answer. */
export function askedContext(planned: Planned): BoundContext {
  const { facts, exchange } = planned.admitted.inbound
  return {
    admittedAtMs: exchange.startedAtMs,
    serviceTier: facts.serviceTier,
    geography: facts.geography ?? null,
    webSearchCallsMax: facts.webSearchCallsMax,
  }
}

export interface HoldWindow {
  readonly inputTokensMax: number
  /** Output tokens of one choice that the caller and the model allow. */
  readonly outputTokensWanted: number
  readonly outputTokensHeld: number
  readonly choices: number
  /** For further models that the request names; inside the other two amounts. */
  readonly besidesNano: Nano
  readonly wantedNano: Nano
  readonly minimumNano: Nano
  /** The key's own limit on one request in this bucket. */
  readonly limitNano: Nano | null
  /** Fewer tokens are wanted because of it. */
  readonly capped: boolean
}

export function holdWindow(planned: Planned, plan: RoutePlan): HoldWindow {
  const { inbound, model } = planned.admitted
  const { facts } = inbound
  const sheet = plan.price.sheet
  const context = askedContext(planned)
  const inputTokensMax = Math.min(facts.inputTokensMax, model.contextTokens)
  const outputTokensAllowed = Math.min(facts.maxOutputTokens ?? model.maxOutputTokens, model.maxOutputTokens)
  const limitNano = chargeLimit(inbound.key, plan)
  const outputTokensWanted =
    limitNano === null
      ? outputTokensAllowed
      : tokensWithinLimit(
          plan,
          context,
          { inputTokensMax, outputTokens: outputTokensAllowed, choices: facts.choices },
          Math.min(WINDOW_TOKENS_MIN, outputTokensAllowed),
          limitNano - othersNano(planned, plan, outputTokensAllowed * facts.choices),
        )
  // Only a stream can be extended while it runs; a whole answer needs its whole window at once.
  const outputTokensHeld =
    facts.stream && plan.route.holdWindowTokens !== null
      ? Math.min(outputTokensWanted, plan.route.holdWindowTokens)
      : outputTokensWanted
  const besidesNano = othersNano(planned, plan, outputTokensHeld * facts.choices)
  const cost = (outputTokens: number): Nano =>
    besidesNano +
    boundNano(sheet, { ...context, inputTokensMax, outputTokensMax: outputTokens * facts.choices })
  const wantedNano = cost(outputTokensHeld)
  return {
    inputTokensMax,
    outputTokensWanted,
    outputTokensHeld,
    choices: facts.choices,
    besidesNano,
    wantedNano,
    minimumNano: outputTokensHeld <= WINDOW_TOKENS_MIN ? wantedNano : cost(WINDOW_TOKENS_MIN),
    limitNano,
    capped: outputTokensWanted < outputTokensAllowed,
  }
}

/** Output tokens of one choice that an amount pays for. */
export function windowFor(planned: Planned, plan: RoutePlan, window: HoldWindow, amountNano: Nano): number {
  if (amountNano >= window.wantedNano) return window.outputTokensHeld
  const { facts } = planned.admitted.inbound
  const tokens = outputTokensAffordable(
    plan.price.sheet,
    askedContext(planned),
    window.inputTokensMax,
    amountNano - window.besidesNano,
  )
  return Math.min(Math.floor(tokens / facts.choices), window.outputTokensHeld)
}

const unavailable = fault(
  'ledger_unavailable',
  'The ledger does not answer, so nothing was sent and nothing was charged.',
  {
    retryAfterMs: 1_000,
  },
)

/** One hold that is wanted: for which route, and why that one. */
export interface HoldWanted {
  readonly planned: Planned
  readonly plan: RoutePlan
  /** The how-manieth hold of the request this is. */
  readonly n: number
  readonly reason: DecisionReason
  /** Another balance pays than that of the first route. */
  readonly crossed: boolean
}

interface Sized extends HoldWanted {
  readonly accountId: bigint
  readonly window: HoldWindow
}

type HoldResult = StageResult<Held>

/** The ledger said yes: what that means for the request. */
function heldOf(wanted: Sized, op: ReserveOp, budgets: readonly BudgetAt[], result: OpResult): Held {
  const { planned, plan, window, accountId } = wanted
  const { inbound } = planned.admitted
  const { limitNano } = window
  const outputTokensMax = windowFor(planned, plan, window, result.figureNano)
  const lowered = outputTokensMax < window.outputTokensHeld
  const { maxOutputTokens } = inbound.facts
  const overModel = window.capped || (maxOutputTokens !== null && maxOutputTokens > window.outputTokensWanted)
  return {
    planned,
    plan,
    holdId: op.id,
    accountId,
    heldNano: result.figureNano,
    inputTokensMax: window.inputTokensMax,
    outputTokensMax,
    sentLimit: lowered ? outputTokensMax : overModel ? window.outputTokensWanted : null,
    outputTokensBound: lowered ? outputTokensMax : window.outputTokensWanted,
    lowered: lowered || overModel,
    budgets,
    limit:
      lowered && result.limit !== undefined
        ? limitOf(budgets, result.limit, window.wantedNano)
        : window.capped && limitNano !== null
          ? limitOfCharge(inbound.key, plan, limitNano, window.wantedNano)
          : null,
  }
}

function judge(
  deps: HoldDeps,
  wanted: Sized,
  op: ReserveOp,
  budgets: readonly BudgetAt[],
  result: OpResult | Error,
): HoldResult | Promise<HoldResult> {
  if (result instanceof LedgerOverloaded)
    return {
      ok: false,
      fault: fault('overloaded', 'Too many requests wait for the ledger.', { retryAfterMs: 1_000 }),
    }
  if (result instanceof Error) return { ok: false, fault: unavailable }
  const { planned, plan, window } = wanted
  if (REFUSED.has(result.verdict))
    return result.limit === undefined
      ? shortage(deps.database, planned, plan, window)
      : overBudget(budgets, result.limit, window.minimumNano)
  // A reply that was lost on the way is given again as `repeated`: the hold is there.
  if (result.verdict !== 'done' && result.verdict !== 'repeated')
    return { ok: false, fault: fault('internal_error', `The hold could not be made (${result.verdict}).`) }
  return { ok: true, value: heldOf(wanted, op, budgets, result) }
}

function holdUnder(deps: HoldDeps, wanted: Sized, budgets: readonly BudgetAt[]): Promise<HoldResult> {
  const { planned, plan, window, accountId } = wanted
  const { exchange, key } = planned.admitted.inbound
  const op: ReserveOp = {
    kind: 'reserve',
    orgId: key.orgId,
    id: childUuid(exchange.requestId, wanted.n),
    accountId,
    amountNano: window.wantedNano,
    minimumNano: window.minimumNano,
    ttlMs: HOLD_TTL_MS,
    intent: intentOf(planned, plan, wanted, window),
  }
  const asked = reserve(deps, budgets.length === 0 ? op : { ...op, budgets: budgets.map(windowNamed) })
  return asked.then((result) => judge(deps, wanted, op, budgets, result))
}

function holdFrom(deps: HoldDeps, wanted: HoldWanted, accountId: bigint): HoldResult | Promise<HoldResult> {
  const { planned, plan } = wanted
  const window = holdWindow(planned, plan)
  const { limitNano } = window
  if (limitNano !== null && window.minimumNano > limitNano) {
    const { key } = planned.admitted.inbound
    return { ok: false, fault: overLimit(key, plan, limitNano, window.minimumNano) }
  }
  const sized: Sized = { ...wanted, accountId, window }
  const budgets = deps.budgets.under(spendingOf(planned, plan))
  return budgets instanceof Promise
    ? budgets.then((found) => holdUnder(deps, sized, found))
    : holdUnder(deps, sized, budgets)
}

export function hold(deps: HoldDeps, wanted: HoldWanted): HoldResult | Promise<HoldResult> {
  if (!deps.writer.healthy) return { ok: false, fault: unavailable }
  const { planned, plan } = wanted
  const { orgId } = planned.admitted.inbound.key
  const { bucket } = plan.route
  const known = deps.accounts.known(orgId, bucket.id)
  return known === null
    ? deps.accounts.open(orgId, bucket.id, bucket.currency).then((id) => holdFrom(deps, wanted, id))
    : holdFrom(deps, wanted, known)
}
