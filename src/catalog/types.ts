import type { ChannelProtocol, Meter, Policy, RouteType } from '../contract/index.ts'

/** Everything here is frozen once built: a snapshot is replaced whole, never edited (config reload, price change). */

export interface Bucket {
  readonly id: string
  readonly currency: string
  readonly name: string
}

/** One unit price: `pico` (10⁻¹² of the currency) for `per` units; `text` is the decimal as it was written. */
export interface UnitPrice {
  readonly pico: bigint
  readonly per: bigint
  readonly text: string
}

export type Rates = Readonly<Partial<Record<Meter, UnitPrice>>>

/** A whole-request jump: applies when the total input exceeds `aboveInputTokens`; overrides the meters it names. */
export interface PriceTier {
  readonly aboveInputTokens: number
  readonly rates: Rates
}

/** Applies while the request was admitted inside [startMinute, endMinute) of the UTC day; may wrap over midnight. */
export interface PriceWindow {
  readonly startMinute: number
  readonly endMinute: number
  /** 0 = Sunday; empty means every day. */
  readonly days: readonly number[]
  readonly rates: Rates
}

export interface PriceSheet {
  readonly currency: string
  readonly rates: Rates
  /** Ascending by `aboveInputTokens`. */
  readonly tiers: readonly PriceTier[]
  readonly serviceTiers: Readonly<Record<string, Rates>>
  readonly windows: readonly PriceWindow[]
}

export interface DatedSheet {
  /** 0 where no date was given. */
  readonly effectiveFromMs: number
  readonly sheet: PriceSheet
}

/** Immutable: the id is stored on every charge that used it. */
export interface PriceVersion {
  /** A UUID; shown as `pv_…` by `formatId('pv', id)`. */
  readonly id: string
  readonly sheet: PriceSheet
  readonly effectiveFromMs: number
}

export interface ChannelTimeouts {
  readonly connectMs: number
  readonly firstTokenMs: number
  readonly idleMs: number
  readonly totalMs: number
}

export interface Channel {
  readonly name: string
  /** What customers see; the name is for operators. */
  readonly publicName: string
  readonly protocol: ChannelProtocol
  /** Without a trailing slash. */
  readonly baseUrl: string
  readonly apiKey: string
  readonly timeouts: ChannelTimeouts
  /** True for the built-in sandbox upstream: no model answers there. */
  readonly sandbox: boolean
  /** True where a request that names no prompt cache is given its organization's name for one. */
  readonly namesCaches: boolean
  /** The cloud that the channel is reached through; absent: the provider itself. */
  readonly platform?: PlatformSettings
}

export interface BedrockSettings {
  readonly kind: 'bedrock'
  readonly region: string
  /** Those of Anthropic's that are let through; null for what the platform is known to take. */
  readonly betas: readonly string[] | null
  /** To sign with; null where the channel's own key is a Bedrock API key. */
  readonly keys: {
    readonly accessKeyId: string
    readonly secretAccessKey: string
    readonly sessionToken: string | null
  } | null
}

export interface VertexSettings {
  readonly kind: 'vertex'
  readonly project: string
  readonly location: string
  readonly betas: readonly string[] | null
  readonly credentials: GoogleCredentials
}

export type GoogleCredentials =
  /** Whatever account the machine runs as, asked of Google's metadata server. */
  | { readonly type: 'attached' }
  | {
      readonly type: 'service_account'
      readonly clientEmail: string
      readonly privateKey: string
      readonly privateKeyId: string | null
      readonly tokenUri: string
    }
  | {
      readonly type: 'authorized_user'
      readonly clientId: string
      readonly clientSecret: string
      readonly refreshToken: string
      readonly tokenUri: string
    }

export type PlatformSettings = BedrockSettings | VertexSettings

export interface RouteChannel {
  readonly channel: Channel
  readonly upstreamModel: string
  /** 0 is primary, 1 … n are backups. */
  readonly priority: number
  readonly weight: number
}

export interface Route {
  readonly name: string
  readonly type: RouteType
  readonly bucket: Bucket
  /** Ascending by effective time; never empty. */
  readonly prices: readonly PriceVersion[]
  /** Ascending by priority; never empty. */
  readonly channels: readonly RouteChannel[]
  /** Output tokens held at first and extended while a stream runs; null holds the caller's whole limit. */
  readonly holdWindowTokens: number | null
}

export interface CatalogModel {
  readonly name: string
  readonly contextTokens: number
  readonly maxOutputTokens: number
  readonly family: string | null
  readonly capabilities: readonly string[]
  /** The list price when the snapshot was built; `referenceSheetAt` knows of scheduled changes since. */
  readonly referencePrice: PriceSheet | null
  /** Every list price with its time, ascending; left out where there is none. */
  readonly referencePrices?: readonly DatedSheet[]
  /** What a key without a policy of its own does with this model. */
  readonly policy?: Policy
  /** The date on which the maker retires the model. */
  readonly retires?: string
  /** In the order of the configuration; never empty. */
  readonly routes: readonly Route[]
}

export interface CatalogSnapshot {
  /** Grows with every activation. */
  readonly revision: number
  readonly buckets: ReadonlyMap<string, Bucket>
  readonly channels: ReadonlyMap<string, Channel>
  readonly models: ReadonlyMap<string, CatalogModel>
}
