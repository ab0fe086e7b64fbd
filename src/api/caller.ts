import { hash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { type Fault, fault } from '../contract/index.ts'
import type { FailureWatch } from '../rates/index.ts'
import { keyRefusal, type NetworkSet, senderAddress, type Tenancy } from '../tenancy/index.ts'
import { asCaller } from './fence.ts'
import type { Caller, Operation } from './operation.ts'
import type { People } from './people.ts'

/** Who calls: the operator token, an API key by any of the three headers that SDKs use for one, or a session. */

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

export type Authenticate = (
  req: Pick<IncomingMessage, 'headers' | 'socket' | 'method'>,
  operation: Operation,
) => Promise<Caller | Fault>

export function createAuthenticate(
  operatorToken: string,
  tenancy: Pick<Tenancy, 'findKey' | 'touch' | 'membershipsOf'>,
  people: People,
  trustedProxies: NetworkSet,
  failures: FailureWatch,
): Authenticate {
  const operator = digestOf(operatorToken)
  // One sentence for a key that is unknown, revoked or expired: the difference would tell a guesser that one exists.
  const invalid = fault('invalid_api_key', 'The request carries no valid API key or operator token.')

  async function bySession(
    req: Parameters<Authenticate>[0],
    operation: Operation,
    refused: () => Fault,
  ): Promise<Caller | Fault> {
    const person = req.headers.cookie === undefined ? null : await people.personOf(req)
    if (person === null) return refused()
    if (operation.method !== 'GET' && !people.isSameOrigin(req))
      return fault('csrf', 'A session may be used by the pages of this installation only.')
    return asCaller(operation, person, await tenancy.membershipsOf(person.id))
  }

  return async (req, operation) => {
    const refused = (): Fault => failures.failed(senderAddress(req, trustedProxies)) ?? invalid
    const secret = credentialOf(req.headers)
    if (secret === null)
      // A credential that cannot be read is no reason to look for another one.
      return req.headers.authorization === undefined ? bySession(req, operation, refused) : refused()
    // Digests have one length, so that the comparison takes one time whatever was sent.
    if (timingSafeEqual(digestOf(secret), operator)) return { kind: 'operator', person: null }
    const key = await tenancy.findKey(secret)
    const refusal = keyRefusal(key, () => senderAddress(req, trustedProxies))
    if (refusal !== null) return refusal.code === 'invalid_api_key' ? refused() : refusal
    if (key === null) return refused()
    tenancy.touch(key.secretId)
    return { kind: 'key', key }
  }
}
