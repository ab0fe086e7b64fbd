import type { Bucket, CatalogSnapshot } from '../../catalog/index.ts'
import { type Nano, parseNano } from '../../kernel/index.ts'
import { InvalidRequest } from '../problem.ts'

export function bucketOf(snapshot: CatalogSnapshot, id: string, field = 'bucket'): Bucket {
  const bucket = snapshot.buckets.get(id)
  if (bucket !== undefined) return bucket
  const message = `is not a bucket; there are ${[...snapshot.buckets.keys()].join(', ')}`
  throw new InvalidRequest('body', [{ field, message }])
}

/** What the columns of the ledger can hold. */
const NANO_MAX = 2n ** 63n - 1n

export function amountOf(text: string, leastNano: Nano, field = 'amount'): Nano {
  const amount = parseNano(text)
  if (amount !== null && amount >= leastNano && amount <= NANO_MAX) return amount
  const least = leastNano > 0n ? 'above zero' : 'of zero or more'
  const message = `must be a plain decimal ${least} with at most nine decimals, like "10.00"`
  throw new InvalidRequest('body', [{ field, message }])
}
