export * from './errors.ts'
export * from './receipt.ts'
export * from './vocabulary.ts'
