export * from './answer.ts'
export * from './request.ts'
export * from './stream.ts'
export * from './usage.ts'
