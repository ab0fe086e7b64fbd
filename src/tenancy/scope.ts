import { type Fault, fault, type Policy, type RouteType } from '../contract/index.ts'
import type { ApiKeyRecord } from './records.ts'

/** What a key may use, apart from its money. Pure; the gateway refuses by it and the catalog explains by it. */

export type RouteAccess = 'allowed' | 'key_excludes' | 'bucket_excluded' | 'policy_excludes'

/** Route types that a policy never uses, also when the request asks for them. */
const EXCLUDED: Readonly<Record<Policy, readonly RouteType[]>> = {
  ordinary_then_official: [],
  official_then_ordinary: [],
  official_only: ['ordinary'],
  ordinary_only: ['official'],
  cheapest: [],
}

export function mayUseModel(key: ApiKeyRecord, model: string): boolean {
  return key.models === null || key.models.has(model)
}

export function routeAccess(
  key: ApiKeyRecord,
  route: { readonly name: string; readonly type: RouteType; readonly bucket: { readonly id: string } },
): RouteAccess {
  if (key.routes !== null && !key.routes.has(route.name) && !key.routes.has(route.type)) return 'key_excludes'
  if (key.buckets !== null && !key.buckets.has(route.bucket.id)) return 'bucket_excluded'
  return EXCLUDED[key.policy].includes(route.type) ? 'policy_excludes' : 'allowed'
}

/**
 * Whether a key may be used at all, from where it is used. Unknown, revoked and expired keys are answered alike: a stranger
 * learns nothing of which keys exist.
 * @param sender null when it cannot be known
 */
export function keyRefusal(key: ApiKeyRecord | null, sender: () => string | null): Fault | null {
  if (key === null || key.state === 'revoked' || key.state === 'expired')
    return fault('invalid_api_key', 'The API key is missing, unknown, revoked or expired.')
  if (key.networks !== null) {
    const address = sender()
    if (address === null || !key.networks.has(address))
      return fault(
        'address_not_allowed',
        `The API key ${key.prefix}… may not be used from ${address ?? 'an address that is not known'}.`,
        { facts: { limit: 'api_key.allowed_networks' } },
      )
  }
  if (key.state === 'paused') return fault('api_key_paused', `The API key ${key.prefix}… is paused.`)
  if (key.projectState === 'paused')
    return fault('project_paused', `The project of the API key ${key.prefix}… is paused.`)
  return null
}
