import type { LedgerOp, OpResult, Verdict } from '../../src/ledger/index.ts'

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
}

interface Ended {
  readonly kind: string
  readonly accountId: bigint
  readonly asked: bigint
  readonly moved: bigint
  readonly reserved: { readonly asked: bigint; readonly amount: bigint } | null
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
const answer = (verdict: Verdict, figureNano = 0n): OpResult => ({ verdict, figureNano })

export class Oracle {
  readonly accounts = new Map<bigint, OracleAccount>()
  readonly holds = new Map<string, Hold>()
  readonly ended = new Map<string, Ended>()

  open(orgId: string, accountId: bigint): void {
    this.accounts.set(accountId, { orgId, posted: 0n, held: 0n, seq: 0n })
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
      return answer(ended.kind === 'refused' && ended.asked === op.amountNano ? 'refused_before' : 'conflict')
    }
    const available = own.posted - own.held
    const amount = min(op.amountNano, max0(available))
    const enough = amount === op.amountNano || (amount > 0n && amount >= op.minimumNano)
    if (!enough) {
      const asked = op.amountNano
      this.ended.set(key, { kind: 'refused', accountId: op.accountId, asked, moved: 0n, reserved: null })
      return answer('insufficient', available)
    }
    own.held += amount
    const past = op.ttlMs <= 0
    this.holds.set(key, { accountId: op.accountId, asked: op.amountNano, amount, past, progress: null })
    return answer('done', amount)
  }

  private change(op: LedgerOp & { kind: 'extend' | 'renew' }, own: OracleAccount): OpResult {
    const hold = this.holds.get(`${op.orgId}/${op.id}`)
    if (hold === undefined || hold.accountId !== op.accountId) return answer('no_hold')
    if (op.kind === 'extend' && op.amountNano > hold.amount) {
      const total = min(op.amountNano, hold.amount + max0(own.posted - own.held))
      if (total < op.amountNano && total < op.minimumNano) return answer('insufficient', total)
      own.held += total - hold.amount
      hold.amount = total
    }
    hold.past = op.ttlMs <= 0
    hold.progress = op.progress ?? hold.progress
    return answer('done', hold.amount)
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
