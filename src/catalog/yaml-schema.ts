import { z } from 'zod'
import { CHANNEL_PROTOCOLS, POLICIES, ROUTE_TYPES } from '../contract/index.ts'
import { platformSchema } from './platform-schema.ts'
import { currencyCode, referencePrice, routePrice } from './price-schema.ts'
import { closed, integer } from './yaml-schema-parts.ts'

const TOKENS_MAX = 1_000_000_000_000
const MS_MAX = 24 * 60 * 60 * 1000
const TIMEOUTS = { connect_ms: 3000, first_token_ms: 60_000, idle_ms: 60_000, total_ms: 600_000 } as const

const text = z.string().min(1).max(1024)
const timeoutMs = integer(1, MS_MAX).nullish()

const timeouts = closed({
  connect_ms: timeoutMs,
  first_token_ms: timeoutMs,
  idle_ms: timeoutMs,
  total_ms: timeoutMs,
})
  .nullish()
  .transform((read) => ({
    connectMs: read?.connect_ms ?? TIMEOUTS.connect_ms,
    firstTokenMs: read?.first_token_ms ?? TIMEOUTS.first_token_ms,
    idleMs: read?.idle_ms ?? TIMEOUTS.idle_ms,
    totalMs: read?.total_ms ?? TIMEOUTS.total_ms,
  }))

/** The value is never quoted in a fault: it may carry a credential. */
const baseUrl = z.string().transform((value, context) => {
  const fault = (message: string): never => {
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
  if (!URL.canParse(value)) return fault('must be an address such as https://api.example.com/v1')
  const url = new URL(value)
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return fault('must begin with https:// or http://')
  if (url.username !== '' || url.password !== '')
    return fault('must not carry a user or password; use api_key')
  if (url.search !== '' || url.hash !== '' || /[\s?#]/.test(value))
    return fault('must not carry a query, a fragment or spaces')
  return value.replace(/\/+$/, '')
})

/** Goes into a header: a line break in it (the end of a file that was read whole) breaks every call of the channel. */
const apiKey = z
  .string()
  .max(8192)
  .regex(/^[\x21-\x7e]*$/, 'must be one word without spaces or line breaks')

export const bucketSchema = closed({ currency: currencyCode, name: text.nullish() })

export const channelSchema = closed({
  protocol: z.enum(CHANNEL_PROTOCOLS),
  /** Only a platform has an address of its own (platform-faults.ts). */
  base_url: baseUrl.nullish(),
  api_key: apiKey.nullish(),
  platform: platformSchema.nullish(),
  public_name: text.nullish(),
  timeouts,
  sandbox: z.boolean().nullish(),
  add_prompt_cache_key: z.boolean().nullish(),
})

const routeChannel = closed({
  channel: text,
  upstream_model: text.nullish(),
  priority: integer(0, 1000).nullish(),
  weight: integer(1, 1_000_000).nullish(),
})

const routeShape = {
  type: z.enum(ROUTE_TYPES),
  bucket: text,
  price: routePrice,
  hold_window: integer(1, TOKENS_MAX).nullish(),
}

const modelShape = {
  context: integer(1, TOKENS_MAX),
  max_output: integer(1, TOKENS_MAX),
  family: text.nullish(),
  capabilities: z.array(text).nullish(),
  /** Where the numbers come from; for people, so any shape will do. */
  sources: z.unknown().optional(),
  retires: text.nullish(),
  policy: z.enum(POLICIES).nullish(),
  reference_price: referencePrice.nullish(),
}

const route = closed({ ...routeShape, channels: z.array(routeChannel).min(1) })
const seedRoute = closed({ ...routeShape, upstream_model: text.nullish() })

const modelSchema = closed({ ...modelShape, routes: z.record(z.string(), route) })

/** One file of the starter catalog. */
export const seedSchema = closed({ ...modelShape, model: text, routes: z.record(z.string(), seedRoute) })

export const fileSchema = closed({
  buckets: z.record(z.string(), bucketSchema).nullish(),
  channels: z.record(z.string(), channelSchema).nullish(),
  models: z.record(z.string(), modelSchema).nullish(),
})

export type WrittenFile = z.output<typeof fileSchema>
export type WrittenModel = z.output<typeof modelSchema>
export type WrittenModelBase = Omit<WrittenModel, 'routes'>
export type WrittenRouteBase = Omit<z.output<typeof route>, 'channels'>
