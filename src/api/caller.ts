import { hash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { type Fault, fault } from '../contract/index.ts'
import { keyRefusal, type NetworkSet, senderAddress, type Tenancy } from '../tenancy/index.ts'
import type { Caller } from './operation.ts'

/** Who calls: the operator token, or an API key by any of the three headers that SDKs use for one. */

const BEARER = /^bearer +(\S+) *$/i

function digestOf(text: string): Buffer {
  return hash('sha256', text, 'buffer')
}

function single(value: string | string[] | undefined): string | null {
  return typeof value === 'string' && value !== '' ? value : null
}

/** The secret that was sent, or null. */
export function credentialOf(headers: IncomingHttpHeaders): string | null {
  if (headers.authorization !== undefined) return BEARER.exec(headers.authorization)?.[1] ?? null
  return single(headers['x-api-key']) ?? single(headers['x-goog-api-key'])
}

export type Authenticate = (req: Pick<IncomingMessage, 'headers' | 'socket'>) => Promise<Caller | Fault>

export function createAuthenticate(
  operatorToken: string,
  tenancy: Pick<Tenancy, 'findKey' | 'touch'>,
  trustedProxies: NetworkSet,
): Authenticate {
  const operator = digestOf(operatorToken)
  // One sentence for a key that is unknown, revoked or expired: the difference would tell a guesser that one exists.
  const refused = fault('invalid_api_key', 'The request carries no valid API key or operator token.')

  return async (req) => {
    const secret = credentialOf(req.headers)
    if (secret === null) return refused
    // Digests have one length, so that the comparison takes one time whatever was sent.
    if (timingSafeEqual(digestOf(secret), operator)) return { kind: 'operator' }
    const key = await tenancy.findKey(secret)
    const refusal = keyRefusal(key, () => senderAddress(req, trustedProxies))
    if (refusal !== null) return refusal.code === 'invalid_api_key' ? refused : refusal
    if (key === null) return refused
    tenancy.touch(key.secretId)
    return { kind: 'key', key }
  }
}
