import type { ApiKeyChange, NewApiKey } from '../../contract/index.ts'
import { type Nano, parseNano } from '../../kernel/index.ts'
import { type KeyChange, wrongNetwork } from '../../tenancy/index.ts'
import type { ApiDeps } from '../deps.ts'
import { InvalidRequest } from '../problem.ts'
import type { FieldError } from '../validate.ts'
import { nameOf } from './name-of.ts'

/** What a key may do, as it is sent: every fault is told at once, each with its field. */

type Terms = Omit<ApiKeyChange & NewApiKey, 'project' | 'state'>

function labelOf(text: string): string {
  return text === '' ? '' : nameOf(text, 'label')
}

function bucketFault(deps: ApiDeps, name: string): string | null {
  const { buckets } = deps.catalog.snapshot()
  return buckets.has(name) ? null : `is not a bucket; there are ${[...buckets.keys()].join(', ')}`
}

function faultsOf(deps: ApiDeps, terms: Partial<Terms>): FieldError[] {
  const faults: FieldError[] = []
  const add = (field: string, message: string | null): void => {
    if (message !== null) faults.push({ field, message })
  }
  for (const [i, bucket] of (terms.buckets ?? []).entries()) add(`buckets.${i}`, bucketFault(deps, bucket))
  for (const [bucket, amount] of Object.entries(terms.max_charge ?? {})) {
    add(`max_charge.${bucket}`, bucketFault(deps, bucket))
    const nano = parseNano(amount)
    if (nano === null || nano <= 0n)
      add(
        `max_charge.${bucket}`,
        'must be a plain decimal above zero with at most nine decimals, like "0.50"',
      )
  }
  const wrong = wrongNetwork(terms.allowed_networks ?? [])
  if (wrong !== null)
    add(
      `allowed_networks.${(terms.allowed_networks ?? []).indexOf(wrong)}`,
      'is no address and no CIDR network, like 203.0.113.0/24 or 2001:db8::/32',
    )
  if (terms.expires_at != null && Date.parse(terms.expires_at) <= deps.clock.nowMs())
    add('expires_at', 'has passed')
  return faults
}

function chargesOf(amounts: Readonly<Record<string, string>>): ReadonlyMap<string, Nano> | null {
  const charges = new Map(Object.entries(amounts).map(([bucket, text]) => [bucket, parseNano(text) ?? 0n]))
  return charges.size === 0 ? null : charges
}

/** @returns the members that were sent, checked; what was not sent is left out */
export function keyTerms(deps: ApiDeps, terms: Partial<Terms>): Omit<KeyChange, 'state'> {
  const faults = faultsOf(deps, terms)
  if (faults.length > 0) throw new InvalidRequest('body', faults)
  const { label, policy, models, routes, buckets } = terms
  const { allow_cross_balance: crossing, max_charge: charges, allowed_networks: networks } = terms
  const { max_attempts: attempts, expires_at: expires } = terms
  return {
    ...(label === undefined ? {} : { label: labelOf(label) }),
    ...(policy === undefined ? {} : { policy }),
    ...(crossing === undefined ? {} : { allowCrossBalance: crossing }),
    ...(models === undefined ? {} : { models }),
    ...(routes === undefined ? {} : { routes }),
    ...(buckets === undefined ? {} : { buckets }),
    ...(charges === undefined ? {} : { maxCharge: charges === null ? null : chargesOf(charges) }),
    ...(networks === undefined ? {} : { networks }),
    ...(attempts === undefined ? {} : { maxAttempts: attempts }),
    ...(expires === undefined ? {} : { expiresAtMs: expires === null ? null : Date.parse(expires) }),
  }
}
