import type { Meter, Settlement } from '../../src/contract/index.ts'
import type { JsonObject, UsageCounts, UsageSource } from '../../src/kernel/index.ts'
import type { ProtocolName } from '../../src/protocols/index.ts'
import type { Answering } from './bodies.ts'

/** One way in which a provider reports and we charge. Expected figures are worked out by hand, never by our own code. */
export interface CostCase {
  readonly name: string
  readonly format: ProtocolName
  readonly answer: Answering
  /** Members of the request beside model, text and limit. */
  readonly ask?: JsonObject
  /** As in forge.yaml; PRICE when left out. */
  readonly price?: object
  /** Prices of other models in the catalog. */
  readonly prices?: Readonly<Record<string, object>>
  /** Tells which service tier the request asks for, where the format has another word for it in `ask`. */
  readonly tierAsked?: string
  readonly at?: string
  readonly counts: UsageCounts
  readonly reasoning?: number
  readonly searches?: number
  readonly source?: UsageSource
  readonly settlement?: Settlement
  readonly flags?: readonly string[]
  /** Meter, quantity, amount in nano. */
  readonly lines: ReadonlyArray<
    readonly [meter: Meter | `${Meter} (${string})`, quantity: number, nano: bigint]
  >
  /** 0n: nothing is charged. */
  readonly total: bigint
  /** Also through the whole gateway, with a receipt. */
  readonly whole?: true
  /** Another name than the one asked for, in what the answer calls itself. */
  readonly answeredBy?: string
  /** Why the product does not do this yet. */
  readonly todo?: string
}

/**
 * Nano a token: input 2,000, cache read 200, writes 2,500 and 4,000, output 8,000, audio 16,000 in and 32,000 out, image
 * 3,000; a search is 10,000,000.
 */
export const PRICE = {
  input: '2',
  cache_read: '0.2',
  cache_write_5m: '2.5',
  cache_write_1h: '4',
  output: '8',
  input_audio: '16',
  output_audio: '32',
  input_image: '3',
  web_search: { per: 1000, price: '10' },
}

/** Above 200,000: 4,000, 400, 12,000; above 272,000: 5,000, 500, 15,000. */
export const TIERED = {
  ...PRICE,
  above: {
    200000: { input: '4', cache_read: '0.4', output: '12' },
    272000: { input: '5', cache_read: '0.5', output: '15' },
  },
}

/** flex 1,000 and 4,000; priority 3,500 and 14,000; batch 1,000 and 4,000; fast 12,000 and 48,000. */
export const SERVED = {
  ...PRICE,
  service_tiers: {
    flex: { input: '1', output: '4' },
    batch: { input: '1', output: '4' },
    priority: { input: '3.5', output: '14' },
    fast: { input: '12', output: '48' },
  },
}
