export { type BudgetAt, type BudgetBook, openBudgets, type Spending } from './book.ts'
export type { Budget, BudgetState, Window } from './records.ts'
export {
  type BudgetFilter,
  type BudgetStore,
  createBudgetStore,
  type NewBudget,
} from './store.ts'
export { type Period, periodsOf, windowOf } from './windows.ts'
