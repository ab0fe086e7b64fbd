export type * from './document.ts'
export { explain, type Language, NO_CHARGE_TEXT, SETTLEMENT_TEXT } from './explain.ts'
export {
  listReceipts,
  type ReceiptFilter,
  type ReceiptScope,
  type RunTotal,
  readReceipt,
  readRunTotals,
} from './read.ts'
export { type PostedEntry, renderReceipt, type View } from './render.ts'
