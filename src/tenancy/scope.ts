import type { Policy, RouteType } from '../contract/index.ts'
import type { ApiKeyRecord } from './records.ts'

/** What a key may use, apart from its money. Pure; the gateway refuses by it and the catalog explains by it. */

export type RouteAccess = 'allowed' | 'key_excludes' | 'policy_excludes'

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
  route: { readonly name: string; readonly type: RouteType },
): RouteAccess {
  if (key.routes !== null && !key.routes.has(route.name) && !key.routes.has(route.type)) return 'key_excludes'
  return EXCLUDED[key.policy].includes(route.type) ? 'policy_excludes' : 'allowed'
}
