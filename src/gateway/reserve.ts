import type { Clock, Deadlines, Waiting } from '../kernel/index.ts'
import { LedgerFault, type LedgerWriter, type OpResult, type ReserveOp } from '../ledger/index.ts'

/** Asking the ledger to set money aside, and for how long an answer is waited for. */

/** How long a caller waits for the ledger before 503. */
const LEDGER_PATIENCE_MS = 5_000

export interface ReserveDeps {
  readonly writer: LedgerWriter
  readonly clock: Clock
  readonly deadlines: Deadlines
}

/** The op is answered some day in any case; a caller is told to come back after a while, and the late hold is released. */
class Reservation implements Waiting {
  private readonly deps: ReserveDeps
  private readonly op: ReserveOp
  private readonly resolve: (answer: OpResult | Error) => void
  private readonly untilMs: number
  private waiting = true

  constructor(deps: ReserveDeps, op: ReserveOp, resolve: (answer: OpResult | Error) => void) {
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

/** Never rejects; an error says why nothing was set aside, as far as can be known. */
export function reserve(deps: ReserveDeps, op: ReserveOp): Promise<OpResult | Error> {
  return new Promise((resolve) => new Reservation(deps, op, resolve))
}
