export type * from './deps.ts'
export { openApiDocument } from './openapi.ts'
export { type Api, createApi, type ListenOptions } from './server.ts'
