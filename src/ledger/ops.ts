import type { Nano, Uuid } from '../kernel/index.ts'

/**
 * What can be asked of the ledger. Every op carries an id its maker chose beforehand, so that an op whose answer was
 * lost can be sent again blindly: it is done once, and answers the same.
 */

/** The document of a request, written in the commit of the op it rides on. Opaque to the ledger but for its labels. */
export interface ReceiptRecord {
  readonly id: Uuid
  readonly projectId: Uuid
  readonly apiKeyId: Uuid
  readonly runId: Uuid | null
  readonly status: string
  readonly bucket: string | null
  readonly route: string | null
  readonly model: string | null
  readonly chargeNano: Nano
  readonly createdAtMs: number
  /** JSON text, frozen. */
  readonly document: string
}

interface Target {
  readonly orgId: Uuid
  readonly id: Uuid
  /** The customer account of the organization and bucket. */
  readonly accountId: bigint
}

/** A budget, and the window of it that counts, by its beginning. */
export interface BudgetWindow {
  readonly id: Uuid
  readonly startMs: number
}

/**
 * Sets money aside: all of `amountNano`, or what is available when that is at least `minimumNano` (and above 0). A
 * refusal is remembered: the id answers `refused_before` from then on.
 */
export interface ReserveOp extends Target {
  readonly kind: 'reserve'
  readonly amountNano: Nano
  readonly minimumNano: Nano
  readonly ttlMs: number
  /** What recovery needs to write a receipt if this process dies. */
  readonly intent: string
  /** The budgets of this account that it falls under; they are held and used with the money, whenever it ends. */
  readonly budgets?: readonly BudgetWindow[]
}

/**
 * Raises an open hold to a new total (not by a delta, so that a repeat changes nothing), or to what is available when
 * that makes `minimumNano`, and renews it.
 */
export interface ExtendOp extends Target {
  readonly kind: 'extend'
  readonly amountNano: Nano
  readonly minimumNano: Nano
  readonly ttlMs: number
  readonly progress?: string
}

export interface RenewOp extends Target {
  readonly kind: 'renew'
  readonly ttlMs: number
  readonly progress?: string
}

/** Ends a hold with a charge of at most what it set aside; the rest of `amountNano` is written off to the operator. */
export interface SettleOp extends Target {
  readonly kind: 'settle'
  readonly amountNano: Nano
  readonly receipt?: ReceiptRecord
}

/** Ends a hold without a charge. */
export interface VoidOp extends Target {
  readonly kind: 'void'
  readonly reason: string
  readonly receipt?: ReceiptRecord
}

/** Ends a hold whose time has passed by the database's clock; refused while it has not. */
export interface ExpireOp extends Target {
  readonly kind: 'expire'
  readonly reason: string
  readonly receipt?: ReceiptRecord
}

export interface FundOp extends Target {
  readonly kind: 'grant' | 'topup'
  readonly amountNano: Nano
  readonly reason: string
  /** Seconds until what is unspent expires; 0 for never. */
  readonly expiresInSeconds?: number
}

/** A correction by an operator, either way, never below zero, never by zero (LedgerFault). */
export interface AdjustOp extends Target {
  readonly kind: 'adjust'
  readonly amountNano: Nano
  readonly reason: string
}

/** Money given back outside; the one movement that may leave a debt, which then blocks the bucket. */
export interface RefundOp extends Target {
  readonly kind: 'refund'
  readonly amountNano: Nano
  readonly reason: string
}

/** Writes a receipt where no money moves: refusals. The first document of an id stands; a repeat is `done` as well. */
export interface RecordOp {
  readonly kind: 'record'
  readonly orgId: Uuid
  readonly id: Uuid
  readonly receipt: ReceiptRecord
}

export type LedgerOp =
  | ReserveOp
  | ExtendOp
  | RenewOp
  | SettleOp
  | VoidOp
  | ExpireOp
  | FundOp
  | AdjustOp
  | RefundOp
  | RecordOp

export const VERDICTS = [
  'done',
  'repeated',
  'insufficient',
  'conflict',
  'no_hold',
  'not_expired',
  'no_account',
  'refused_before',
  'over_budget',
] as const
export type Verdict = (typeof VERDICTS)[number]

/** The budget that refused an op or gave it less than it asked for, as it was before. */
export interface BudgetLimit {
  readonly budgetId: Uuid
  readonly windowStartMs: number
  readonly amountNano: Nano
  readonly usedNano: Nano
  readonly heldNano: Nano
}

export interface OpResult {
  readonly verdict: Verdict
  /**
   * reserve: set aside (insufficient: available; over_budget: its room) · extend, renew: the total (refused: what was possible) ·
   * settle: paid by the customer · void, expire: 0 · funding: the signed movement (adjust, insufficient: available) ·
   * 0 with every other verdict. A reserve that is `repeated` after its hold ended answers what was set aside then.
   */
  readonly figureNano: Nano
  readonly limit?: BudgetLimit
}

/** One op as the columns of ledger.apply. */
interface Columns {
  readonly code: number
  readonly amount: (op: never) => Nano
  readonly minimum: (op: never) => Nano
  readonly ttl: (op: never) => number
  readonly note: (op: never) => string | null
}

const none = { amount: () => 0n, minimum: () => 0n, ttl: () => 0, note: () => null }

/** Each kind declares its own columns; the numbers are those of ledger.apply in migrations/0001_ledger.sql. */
export const OP_COLUMNS = {
  reserve: {
    code: 1,
    amount: (op: ReserveOp) => op.amountNano,
    minimum: (op: ReserveOp) => op.minimumNano,
    ttl: (op: ReserveOp) => op.ttlMs,
    note: (op: ReserveOp) => op.intent,
  },
  extend: {
    ...none,
    code: 2,
    amount: (op: ExtendOp) => op.amountNano,
    minimum: (op: ExtendOp) => op.minimumNano,
    ttl: (op: ExtendOp) => op.ttlMs,
    note: (op: ExtendOp) => op.progress ?? null,
  },
  renew: { ...none, code: 3, ttl: (op: RenewOp) => op.ttlMs, note: (op: RenewOp) => op.progress ?? null },
  settle: { ...none, code: 4, amount: (op: SettleOp) => op.amountNano },
  void: { ...none, code: 5, note: (op: VoidOp) => op.reason },
  expire: { ...none, code: 6, note: (op: ExpireOp) => op.reason },
  grant: {
    ...none,
    code: 7,
    amount: (op: FundOp) => op.amountNano,
    ttl: (op: FundOp) => op.expiresInSeconds ?? 0,
    note: (op: FundOp) => op.reason,
  },
  topup: {
    ...none,
    code: 8,
    amount: (op: FundOp) => op.amountNano,
    ttl: (op: FundOp) => op.expiresInSeconds ?? 0,
    note: (op: FundOp) => op.reason,
  },
  adjust: { ...none, code: 9, amount: (op: AdjustOp) => op.amountNano, note: (op: AdjustOp) => op.reason },
  refund: { ...none, code: 10, amount: (op: RefundOp) => op.amountNano, note: (op: RefundOp) => op.reason },
  record: { ...none, code: 11 },
} as const satisfies Record<LedgerOp['kind'], Columns>
