export * from './errors.ts'
export * from './management.ts'
export * from './receipt.ts'
export * from './vocabulary.ts'
