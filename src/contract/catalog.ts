import { z } from 'zod'
import { priceSchema } from './management.ts'
import { CHANNEL_PROTOCOLS, PLATFORM_KINDS, POLICIES, PRICE_STATES, ROUTE_TYPES } from './vocabulary.ts'

/** What the catalog is made of, as it crosses HTTP. Never a credential, and of an address the host only. */

const time = z.string().describe('RFC 3339, UTC')

export const channelSchema = z.object({
  name: z.string(),
  public_name: z.string().describe('what customers see'),
  protocol: z.enum(CHANNEL_PROTOCOLS),
  host: z.string(),
  platform: z
    .object({
      kind: z.enum(PLATFORM_KINDS),
      place: z.string().describe('region or location'),
    })
    .nullable(),
  timeouts: z.object({
    connect_ms: z.number(),
    first_token_ms: z.number(),
    idle_ms: z.number(),
    total_ms: z.number(),
  }),
  sandbox: z.boolean().describe('true when no model answers there, only the built-in sandbox'),
  used_by: z.array(
    z.object({
      model: z.string(),
      route: z.string(),
      role: z.string().describe('primary, backup 1, …'),
      upstream_model: z.string(),
      weight: z.number(),
    }),
  ),
})
export type ChannelView = z.infer<typeof channelSchema>

export const routeSchema = z.object({
  model: z.string(),
  route: z.string(),
  route_type: z.enum(ROUTE_TYPES),
  bucket: z.string(),
  currency: z.string(),
  policy: z
    .enum(POLICIES)
    .nullable()
    .describe('what a key without a policy of its own does with the model; null: that of the installation'),
  price_version: z.string().nullable().describe('pv_… in force now; null: none is yet'),
  channels: z.array(
    z.object({
      channel: z.string(),
      role: z.string(),
      upstream_model: z.string().optional().describe('for operators only'),
    }),
  ),
})
export type RouteView = z.infer<typeof routeSchema>

export const priceVersionSchema = z.object({
  id: z.string().describe('pv_…, as charges name it'),
  model: z.string(),
  route: z.string(),
  bucket: z.string(),
  currency: z.string(),
  state: z
    .enum(PRICE_STATES)
    .describe(
      'current: in force now; scheduled: will be; past: was, or was replaced before it came into force',
    ),
  effective_from: time.nullable().describe('null: since ever'),
  created_at: time,
  price: priceSchema,
})
export type PriceVersionView = z.infer<typeof priceVersionSchema>
