import assert from 'node:assert/strict'
import type { NewRateLimit, RateLimitView } from '../../src/contract/index.ts'
import { formatId } from '../../src/kernel/index.ts'
import { type Account, type Forge, OPERATOR_TOKEN } from '../forge.ts'

/** Rate limits over the management API, as an operator makes them. */

export async function manage(forge: Forge, method: string, path: string, body?: object): Promise<Response> {
  return await fetch(`${forge.url}/api/v1/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${OPERATOR_TOKEN}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

export async function limitRate(forge: Forge, body: NewRateLimit): Promise<RateLimitView> {
  const response = await manage(forge, 'POST', 'rate-limits', body)
  assert.equal(response.status, 201, await response.clone().text())
  return (await response.json()) as RateLimitView
}

export const ofKey = (account: Account, amounts: Omit<NewRateLimit, 'scope' | 'scope_id'>): NewRateLimit => ({
  scope: 'key',
  scope_id: formatId('key', account.keyId),
  ...amounts,
})

export const ofRoute = (
  account: Account,
  route: string,
  amounts: Omit<NewRateLimit, 'scope' | 'scope_id'>,
): NewRateLimit => ({
  scope: 'route',
  scope_id: route,
  organization: formatId('org', account.orgId),
  ...amounts,
})
