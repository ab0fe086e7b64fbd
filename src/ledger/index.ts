export {
  type AccountBook,
  type Balance,
  createAccountBook,
  openAccount,
  readBalances,
  readStatement,
  type StatementLine,
} from './accounts.ts'
export { type AuditCheck, auditLedger, INVARIANTS } from './audit.ts'
export type * from './ops.ts'
export { type AbandonedHold, findAbandoned, type Recovery, startRecovery } from './recovery.ts'
export { createLedgerWriter, LedgerFault, LedgerOverloaded, type LedgerWriter } from './writer.ts'
