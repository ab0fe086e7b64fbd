import { lookup as systemLookup } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import type { LookupFunction } from 'node:net'
import type { AddressRules } from './addresses.ts'

const TIMEOUT_MS = 2_000
const TRIES = 2

/**
 * Asks name servers over the network. The system's resolver holds a thread for as long as a name server keeps silent, and two of
 * those are all there are, for calls to models too: a customer's name server must not be able to hold them.
 * @param servers for tests; those of the system when left out
 */
export function networkLookup(servers?: readonly string[]): LookupFunction {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES })
  if (servers !== undefined) resolver.setServers(servers)
  return (hostname, _options, callback) => {
    void Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]).then(([v4, v6]) => {
      const found = [
        ...(v4.status === 'fulfilled' ? v4.value : []).map((address) => ({ address, family: 4 })),
        ...(v6.status === 'fulfilled' ? v6.value : []).map((address) => ({ address, family: 6 })),
      ]
      if (found.length > 0) callback(null, found)
      else callback(Object.assign(new Error('the name leads nowhere'), { code: 'ENOTFOUND' }), [])
    })
  }
}

/** Names of own networks may stand in the system's files alone, and whoever reaches for those trusts his name servers. */
export function lookupFor(rules: AddressRules): LookupFunction {
  return rules.privateTargets ? systemLookup : networkLookup()
}
