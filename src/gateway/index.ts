export { readUpstreamSalt } from './aliases.ts'
export { createGateway, type Gateway, type GatewayOptions } from './gateway.ts'
