export { openRates, type RateBook, type RateSet } from './book.ts'
export { createFailureWatch, type FailureWatch } from './failures.ts'
export { type Limiter, openLimiter } from './limiter.ts'
export {
  type RateAmounts,
  type RateLimit,
  type RateRefusal,
  type RateUse,
  type Reservation,
  shownScopeId,
} from './records.ts'
export { createRateStore, type RateStore } from './store.ts'
