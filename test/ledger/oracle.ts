import type { BudgetLimit, BudgetWindow, LedgerOp, OpResult, Verdict } from '../../src/ledger/index.ts'

/**
 * What the ledger must answer, one op at a time, written from docs/ledger.md and not from the SQL: plain maps, no
 * batches, no locks. Time is not modelled: a hold is past its time when the op that set it gave no positive time.
 */

interface Hold {
  readonly accountId: bigint
  readonly asked: bigint
  amount: bigint
  past: boolean
  progress: string | null
  readonly budgets: readonly BudgetWindow[]
}

interface Ended {
  readonly kind: string
  readonly accountId: bigint
  readonly asked: bigint
  readonly moved: bigint
  readonly reserved: { readonly asked: bigint; readonly amount: bigint } | null
  /** The one that refused it. */
  readonly budget?: BudgetWindow
}

export interface OracleBudget {
  amount: bigint
  hard: boolean
  ended: boolean
  /** By the beginning of the window. */
  readonly windows: Map<number, { used: bigint; held: bigint }>
  /** `start/threshold/amount`, as they came. */
  readonly events: Set<string>
}

export interface OracleAccount {
  readonly orgId: string
  posted: bigint
  held: bigint
  seq: bigint
}

const ENDINGS = { settle: 'charge', void: 'release', expire: 'expire' } as const
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b)
const max0 = (a: bigint): bigint => (a > 0n ? a : 0n)
const answer = (verdict: Verdict, figureNano = 0n, limit: BudgetLimit | null = null): OpResult =>
  limit === null ? { verdict, figureNano } : { verdict, figureNano, limit }

export class Oracle {
  readonly accounts = new Map<bigint, OracleAccount>()
  readonly holds = new Map<string, Hold>()
  readonly ended = new Map<string, Ended>()
  readonly budgets = new Map<string, OracleBudget>()
  private readonly was = new Map<string, bigint>()

  open(orgId: string, accountId: bigint): void {
    this.accounts.set(accountId, { orgId, posted: 0n, held: 0n, seq: 0n })
  }

  private budget({ id, startMs }: BudgetWindow) {
    const budget = this.budgets.get(id)
    if (budget === undefined) throw new Error('the history names a budget that is not there')
    const use = budget.windows.get(startMs) ?? { used: 0n, held: 0n }
    budget.windows.set(startMs, use)
    return { budget, use }
  }

  private limit(of: BudgetWindow): BudgetLimit {
    const { budget, use } = this.budget(of)
    const [usedNano, heldNano] = [use.used, use.held]
    return { budgetId: of.id, windowStartMs: of.startMs, amountNano: budget.amount, usedNano, heldNano }
  }

  /** The budget with the least room, where that is less than what the balance has. */
  private tightest(
    under: readonly BudgetWindow[],
    available: bigint,
  ): { room: bigint; at: BudgetWindow } | null {
    let least: { room: bigint; at: BudgetWindow } | null = null
    for (const at of under) {
      const { budget, use } = this.budget(at)
      const room = budget.amount - use.used - use.held
      if (budget.hard && !budget.ended && room < (least?.room ?? available)) least = { room, at }
    }
    return least
  }

  private count(under: readonly BudgetWindow[], used: bigint, held: bigint): void {
    for (const at of under) {
      const { use } = this.budget(at)
      const key = `${at.id}/${at.startMs}`
      if (used > 0n && !this.was.has(key)) this.was.set(key, use.used)
      use.used += used
      use.held += held
    }
  }

  /** What was used is looked at when a batch is over. */
  endBatch(): void {
    for (const key of this.was.keys()) {
      const [id = '', start = ''] = key.split('/')
      const { budget, use } = this.budget({ id, startMs: Number.parseInt(start, 10) })
      for (const threshold of [50n, 80n, 100n])
        if (use.used * 100n >= budget.amount * threshold)
          budget.events.add(`${start}/${threshold}/${budget.amount}`)
    }
    this.was.clear()
  }

  apply(op: LedgerOp): OpResult {
    if (op.kind === 'record') return answer('done')
    const own = this.accounts.get(op.accountId)
    if (own === undefined || own.orgId !== op.orgId) return answer('no_account')
    switch (op.kind) {
      case 'reserve':
        return this.reserve(op, own)
      case 'extend':
      case 'renew':
        return this.change(op, own)
      case 'settle':
      case 'void':
      case 'expire':
        return this.end(op, own)
      default:
        return this.fund(op, own)
    }
  }

  private reserve(op: LedgerOp & { kind: 'reserve' }, own: OracleAccount): OpResult {
    const key = `${op.orgId}/${op.id}`
    const hold = this.holds.get(key)
    if (hold !== undefined)
      return hold.accountId === op.accountId && hold.asked === op.amountNano
        ? answer('repeated', hold.amount)
        : answer('conflict')
    const ended = this.ended.get(key)
    if (ended !== undefined) {
      if (ended.accountId !== op.accountId) return answer('conflict')
      if (ended.reserved?.asked === op.amountNano) return answer('repeated', ended.reserved.amount)
      if (ended.kind !== 'refused' || ended.asked !== op.amountNano) return answer('conflict')
      return answer('refused_before', 0n, ended.budget === undefined ? null : this.limit(ended.budget))
    }
    const budgets = (op.budgets ?? []).filter(({ id }) => this.budgets.get(id)?.ended === false)
    const available = own.posted - own.held
    const tight = this.tightest(budgets, available)
    const limit = tight === null ? null : this.limit(tight.at)
    const takes = (room: bigint): bigint | null => {
      const amount = min(op.amountNano, max0(room))
      return amount === op.amountNano || (amount > 0n && amount >= op.minimumNano) ? amount : null
    }
    const amount = takes(tight?.room ?? available)
    if (amount === null) {
      const [asked, { accountId }] = [op.amountNano, op]
      const byBudget = tight !== null && takes(available) !== null
      const refused = { kind: 'refused', accountId, asked, moved: 0n, reserved: null }
      this.ended.set(key, byBudget ? { ...refused, budget: tight.at } : refused)
      return byBudget ? answer('over_budget', tight.room, limit) : answer('insufficient', available)
    }
    own.held += amount
    this.count(budgets, 0n, amount)
    const past = op.ttlMs <= 0
    this.holds.set(key, {
      accountId: op.accountId,
      asked: op.amountNano,
      amount,
      past,
      progress: null,
      budgets,
    })
    return answer('done', amount, amount < op.amountNano ? limit : null)
  }

  private change(op: LedgerOp & { kind: 'extend' | 'renew' }, own: OracleAccount): OpResult {
    const hold = this.holds.get(`${op.orgId}/${op.id}`)
    if (hold === undefined || hold.accountId !== op.accountId) return answer('no_hold')
    let limit: BudgetLimit | null = null
    if (op.kind === 'extend' && op.amountNano > hold.amount) {
      const available = max0(own.posted - own.held)
      const tight = this.tightest(hold.budgets, available)
      const total = min(op.amountNano, hold.amount + max0(tight?.room ?? available))
      if (tight !== null && total < op.amountNano) limit = this.limit(tight.at)
      if (total < op.amountNano && total < op.minimumNano)
        return hold.amount + available < min(op.minimumNano, op.amountNano)
          ? answer('insufficient', total)
          : answer('over_budget', total, limit)
      this.count(hold.budgets, 0n, total - hold.amount)
      own.held += total - hold.amount
      hold.amount = total
    }
    hold.past = op.ttlMs <= 0
    hold.progress = op.progress ?? hold.progress
    return answer('done', hold.amount, limit)
  }

  private end(op: LedgerOp & { kind: 'settle' | 'void' | 'expire' }, own: OracleAccount): OpResult {
    const key = `${op.orgId}/${op.id}`
    const asked = op.kind === 'settle' ? op.amountNano : 0n
    const kind = ENDINGS[op.kind]
    const ended = this.ended.get(key)
    if (ended !== undefined)
      return ended.kind === kind && ended.accountId === op.accountId && ended.asked === asked
        ? answer('repeated', -ended.moved)
        : answer('conflict')
    const hold = this.holds.get(key)
    if (hold === undefined || hold.accountId !== op.accountId) return answer('no_hold')
    if (op.kind === 'expire' && !hold.past) return answer('not_expired')
    const paid = min(asked, hold.amount)
    own.held -= hold.amount
    if (paid > 0n) {
      own.posted -= paid
      own.seq += 1n
    }
    this.count(hold.budgets, paid, -hold.amount)
    this.holds.delete(key)
    const reserved = { asked: hold.asked, amount: hold.amount }
    this.ended.set(key, { kind, accountId: op.accountId, asked, moved: -paid, reserved })
    return answer('done', paid)
  }

  private fund(
    op: LedgerOp & { kind: 'grant' | 'topup' | 'adjust' | 'refund' },
    own: OracleAccount,
  ): OpResult {
    const key = `${op.orgId}/${op.id}`
    const moved = op.kind === 'refund' ? -op.amountNano : op.amountNano
    const ended = this.ended.get(key)
    if (this.holds.has(key)) return answer('conflict')
    if (ended !== undefined)
      return ended.kind === op.kind && ended.accountId === op.accountId && ended.asked === op.amountNano
        ? answer('repeated', moved)
        : answer('conflict')
    const available = own.posted - own.held
    if (op.kind === 'adjust' && moved < 0n && available + moved < 0n) return answer('insufficient', available)
    own.posted += moved
    own.seq += 1n
    this.ended.set(key, {
      kind: op.kind,
      accountId: op.accountId,
      asked: op.amountNano,
      moved,
      reserved: null,
    })
    return answer('done', moved)
  }
}
