import type { JsonObject } from '../../kernel/index.ts'

/** Service tiers: the request's, the Gemini API's in `usageMetadata.serviceTier`, and Vertex's traffic type. */

const TRAFFIC: Readonly<Record<string, string>> = {
  ON_DEMAND: 'standard',
  ON_DEMAND_PRIORITY: 'priority',
  ON_DEMAND_FLEX: 'flex',
  ON_DEMAND_OFFPEAK: 'offpeak',
  PROVISIONED_THROUGHPUT: 'provisioned',
}

/** Words of the neutral form and of other formats, in Google's; `auto` leaves it to Google. */
const ASKED: Readonly<Record<string, string | null>> = {
  auto: null,
  default: 'standard',
  standard: 'standard',
  standard_only: 'standard',
  flex: 'flex',
  priority: 'priority',
}

export function requestTier(tier: string | null): string | null {
  const word = tier?.toLowerCase().replace(/^service_tier_/, '') ?? null
  return word === 'unspecified' ? null : word
}

/** @returns what the answer says of its tier; null when it says nothing */
export function servedTier(usage: JsonObject): string | null {
  const tier = usage['serviceTier']
  if (typeof tier === 'string' && tier !== '') return requestTier(tier)
  const traffic = usage['trafficType']
  return typeof traffic === 'string' && Object.hasOwn(TRAFFIC, traffic) ? (TRAFFIC[traffic] ?? null) : null
}

/** @returns Google's word; null to ask for nothing; undefined when there is no such tier here */
export function tierWord(tier: string): string | null | undefined {
  const word = tier.toLowerCase()
  return Object.hasOwn(ASKED, word) ? ASKED[word] : undefined
}
