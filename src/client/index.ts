export { signWebhook, type Verified, verifyWebhook, type WebhookDoubt } from '../contract/index.ts'
export { type Client, type ClientOptions, createClient, type Query } from './client.ts'
export { ClientError, type ClientErrorKind } from './client-error.ts'
