import type { BudgetBook } from '../budgets/index.ts'
import {
  type BoundContext,
  boundNano,
  outputTokensAffordable,
  type PriceVersion,
  priceVersionAt,
} from '../catalog/index.ts'
import { fault } from '../contract/index.ts'
import type { Database } from '../db/index.ts'
import { type Clock, childUuid, type Deadlines, type Nano, type Waiting } from '../kernel/index.ts'
import {
  type AccountBook,
  LedgerFault,
  LedgerOverloaded,
  type LedgerWriter,
  type OpResult,
  type ReserveOp,
  type Verdict,
} from '../ledger/index.ts'
import { chargeLimit, limitOfCharge, overLimit, tokensWithinLimit } from './charge-limit.ts'
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
/** How long a caller waits for the ledger before 503. */
const LEDGER_PATIENCE_MS = 5_000

const REFUSED: ReadonlySet<Verdict> = new Set(['insufficient', 'over_budget', 'refused_before'])

export interface HoldDeps {
  readonly database: Database
  readonly writer: LedgerWriter
  readonly accounts: AccountBook
  readonly budgets: Pick<BudgetBook, 'under'>
  readonly clock: Clock
  readonly deadlines: Deadlines
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
  return (facts.otherModels ?? []).reduce<Nano>((most, name) => {
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

/** The op is answered some day in any case; a caller is told to come back after a while, and the late hold is released. */
class Reservation implements Waiting {
  private readonly deps: HoldDeps
  private readonly op: ReserveOp
  private readonly resolve: (answer: OpResult | Error) => void
  private readonly untilMs: number
  private waiting = true

  constructor(deps: HoldDeps, op: ReserveOp, resolve: (answer: OpResult | Error) => void) {
    this.deps = deps
    this.op = op
    this.resolve = resolve
    this.untilMs = deps.clock.monotonicMs() + LEDGER_PATIENCE_MS
    deps.deadlines.watch(this)
    deps.writer.enqueue(
      op,
      true,
      (result) => this.answered(result),
      (error) => this.end(error),
    )
  }

  dueMs(): number {
    return this.untilMs
  }

  overdue(): void {
    this.end(new LedgerFault('no answer in time'))
  }

  private end(answer: OpResult | Error): void {
    if (!this.waiting) return
    this.waiting = false
    this.deps.deadlines.unwatch(this)
    this.resolve(answer)
  }

  private answered(result: OpResult): void {
    if (this.waiting) this.end(result)
    else if (result.verdict === 'done' || result.verdict === 'repeated') this.release()
  }

  private release(): void {
    const { orgId, id, accountId } = this.op
    const reason = 'the caller was answered before the hold was made'
    this.deps.writer.enqueue(
      { kind: 'void', orgId, id, accountId, reason },
      false,
      () => {},
      () => {},
    )
  }
}

function reserve(deps: HoldDeps, op: ReserveOp): Promise<OpResult | Error> {
  return new Promise((resolve) => new Reservation(deps, op, resolve))
}

/**
 * @param n the how-manieth hold of the request this is
 * @param intent what recovery needs, as JSON
 */
export async function hold(
  deps: HoldDeps,
  planned: Planned,
  plan: RoutePlan,
  n: number,
  intent: (window: HoldWindow) => string,
): Promise<StageResult<Held>> {
  const { inbound } = planned.admitted
  const { orgId } = inbound.key
  const { bucket } = plan.route
  if (!deps.writer.healthy) return { ok: false, fault: unavailable }
  const accountId =
    deps.accounts.known(orgId, bucket.id) ?? (await deps.accounts.open(orgId, bucket.id, bucket.currency))
  const window = holdWindow(planned, plan)
  const { limitNano } = window
  if (limitNano !== null && window.minimumNano > limitNano)
    return { ok: false, fault: overLimit(inbound.key, plan, limitNano, window.minimumNano) }
  const found = deps.budgets.under(spendingOf(planned, plan))
  const budgets = found instanceof Promise ? await found : found
  const holdId = childUuid(inbound.exchange.requestId, n)
  const op: ReserveOp = {
    kind: 'reserve',
    orgId,
    id: holdId,
    accountId,
    amountNano: window.wantedNano,
    minimumNano: window.minimumNano,
    ttlMs: HOLD_TTL_MS,
    intent: intent(window),
  }
  const result = await reserve(deps, budgets.length === 0 ? op : { ...op, budgets: budgets.map(windowNamed) })
  if (result instanceof LedgerOverloaded)
    return {
      ok: false,
      fault: fault('overloaded', 'Too many requests wait for the ledger.', { retryAfterMs: 1_000 }),
    }
  if (result instanceof Error) return { ok: false, fault: unavailable }
  if (REFUSED.has(result.verdict))
    return result.limit === undefined
      ? shortage(deps.database, planned, plan, window)
      : overBudget(budgets, result.limit, window.minimumNano)
  // A reply that was lost on the way is given again as `repeated`: the hold is there.
  if (result.verdict !== 'done' && result.verdict !== 'repeated')
    return { ok: false, fault: fault('internal_error', `The hold could not be made (${result.verdict}).`) }
  const outputTokensMax = windowFor(planned, plan, window, result.figureNano)
  const lowered = outputTokensMax < window.outputTokensHeld
  const { maxOutputTokens } = inbound.facts
  const overModel = window.capped || (maxOutputTokens !== null && maxOutputTokens > window.outputTokensWanted)
  return {
    ok: true,
    value: {
      planned,
      plan,
      holdId,
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
    },
  }
}
