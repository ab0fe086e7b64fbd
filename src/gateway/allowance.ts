import { boundNano, outputTokensAffordable } from '../catalog/index.ts'
import type { ReceiptLimit } from '../contract/index.ts'
import type { Nano } from '../kernel/index.ts'
import type { LedgerWriter } from '../ledger/index.ts'
import { askedContext, HOLD_TTL_MS, othersNano } from './hold.ts'
import { limitOf } from './shortage.ts'
import type { Held } from './types.ts'

/** Ask for more when so much of the window is used: the answer takes about a commit. */
const EXTEND_AT = 0.6
/** Our own count may be off by so much before a stream is cut for it. */
const COUNT_TOLERANCE = 1.25

/**
 * How far a stream may go on what is held. A window smaller than the caller's limit is extended while the stream runs;
 * when the balance gives no more, the stream ends with the protocol's "length".
 */
export class Allowance {
  private readonly writer: LedgerWriter
  private readonly held: Held
  /** Output tokens of all choices together. */
  private windowTokens: number
  private readonly wantedTokens: number
  private amount: Nano
  private asking = false
  private exhausted = false
  /** The budget that gave no more. */
  private stoppedBy: ReceiptLimit | null = null
  private readonly waiting: Array<() => void> = []

  constructor(writer: LedgerWriter, held: Held) {
    const { choices } = held.planned.admitted.inbound.facts
    this.writer = writer
    this.held = held
    this.windowTokens = held.outputTokensMax * choices
    this.wantedTokens = held.outputTokensBound * choices
    this.amount = held.heldNano
  }

  get amountNano(): Nano {
    return this.amount
  }

  get limit(): ReceiptLimit | null {
    return this.stoppedBy
  }

  /** What is held in the end. An answer still on its way is waited for: the receipt has to name the ledger's sum. */
  settledNano(): Nano | Promise<Nano> {
    if (!this.asking) return this.amount
    return new Promise<void>((resolve) => this.waiting.push(resolve)).then(() => this.amount)
  }

  /**
   * @param events chunks with output: no chunk has less than a token
   * @returns a promise when the window is used up before the ledger has answered whether there is more
   */
  mayGoOn(tokensEstimated: number, events: number): boolean | Promise<boolean> {
    if (
      this.windowTokens < this.wantedTokens &&
      !this.exhausted &&
      !this.asking &&
      tokensEstimated > this.windowTokens * EXTEND_AT
    )
      this.extend(tokensEstimated)
    if (tokensEstimated <= this.windowTokens * COUNT_TOLERANCE || events <= this.windowTokens) return true
    if (!this.asking) return false
    return new Promise<void>((resolve) => this.waiting.push(resolve)).then(() =>
      this.mayGoOn(tokensEstimated, events),
    )
  }

  private answered(): void {
    this.asking = false
    for (const resolve of this.waiting.splice(0)) resolve()
  }

  private granted(tokens: number, costNano: Nano, amountNano: Nano): void {
    this.amount = amountNano
    if (amountNano >= costNano) {
      this.windowTokens = tokens
      return
    }
    this.exhausted = true
    const { planned, plan, inputTokensMax } = this.held
    // What further models may use is counted at the window that was asked for: never too little is left for them.
    const ownNano = amountNano - othersNano(planned, plan, tokens)
    const payable = outputTokensAffordable(plan.price.sheet, askedContext(planned), inputTokensMax, ownNano)
    this.windowTokens = Math.max(this.windowTokens, Math.min(payable, tokens))
  }

  private extend(tokensEstimated: number): void {
    const { held } = this
    const { inbound } = held.planned.admitted
    const nextTokens = Math.min(
      this.wantedTokens,
      Math.max(this.windowTokens, Math.ceil(tokensEstimated)) * 2,
    )
    const costNano =
      othersNano(held.planned, held.plan, nextTokens) +
      boundNano(held.plan.price.sheet, {
        ...askedContext(held.planned),
        inputTokensMax: held.inputTokensMax,
        outputTokensMax: nextTokens,
      })
    this.asking = true
    this.writer.enqueue(
      {
        kind: 'extend',
        orgId: inbound.key.orgId,
        id: held.holdId,
        accountId: held.accountId,
        amountNano: costNano,
        // What is there is taken, as for the first window: the stream goes as far as the money does.
        minimumNano: 0n,
        ttlMs: HOLD_TTL_MS,
      },
      true,
      (result) => {
        if (result.limit !== undefined) this.stoppedBy = limitOf(held.budgets, result.limit, costNano)
        if (result.verdict === 'done') this.granted(nextTokens, costNano, result.figureNano)
        else this.exhausted = true
        this.answered()
      },
      () => {
        this.exhausted = true
        this.answered()
      },
    )
  }
}
