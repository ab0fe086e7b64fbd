import { BlockList, isIP, type LookupFunction } from 'node:net'

/**
 * Where deliveries may go. A customer names the address, our network is around us: what is not on the public internet is
 * refused, by the address that is connected to and not by what the name said a moment ago.
 */

export interface AddressRules {
  /** Also loopback and private networks, for those who host for themselves; never link-local, where clouds keep secrets. */
  readonly privateTargets: boolean
}

function listOf(networks: ReadonlyArray<readonly [string, number]>): BlockList {
  const list = new BlockList()
  for (const [address, bits] of networks)
    list.addSubnet(address, bits, address.includes(':') ? 'ipv6' : 'ipv4')
  return list
}

/** Special-purpose addresses of IPv4 (IANA), but those of `OWN`. */
const NEVER_V4 = listOf([
  ['0.0.0.0', 8],
  ['169.254.0.0', 16],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
])
const OWN_V4 = listOf([
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
])
const PUBLIC_V6 = listOf([['2000::', 3]])
/** Inside the public ones: tunnels and translations, whose real address is inside, documentation. */
const NEVER_V6 = listOf([
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
])
const OWN_V6 = listOf([
  ['::1', 128],
  ['fc00::', 7],
])
/** In every cloud's private range, and never a customer's. */
const METADATA = new Set(['fd00:ec2::254', 'fd20:ce::254', '100.100.100.200'])

const MAPPED = /^::ffff:(?:(\d{1,3}(?:\.\d{1,3}){3})|([0-9a-f]{1,4}):([0-9a-f]{1,4}))$/

/** @returns the IPv4 address inside, where a v6 spelling only maps one */
function unmapped(address: string): string {
  const [plain = ''] = address.toLowerCase().split('%', 1)
  // Every spelling of one address becomes one: the parser of URLs writes them the same way.
  const canonical = isIP(plain) === 6 ? new URL(`http://[${plain}]/`).hostname.slice(1, -1) : plain
  const match = MAPPED.exec(canonical)
  if (match === null) return canonical
  if (match[1] !== undefined) return match[1]
  const value = Number.parseInt(match[2] ?? '0', 16) * 65_536 + Number.parseInt(match[3] ?? '0', 16)
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join('.')
}

/** @param address as a resolver or a URL wrote it, without brackets */
export function mayConnect(address: string, rules: AddressRules): boolean {
  const plain = unmapped(address)
  const family = isIP(plain)
  if (family === 0 || METADATA.has(plain)) return false
  if (family === 4) return !NEVER_V4.check(plain) && (rules.privateTargets || !OWN_V4.check(plain))
  if (OWN_V6.check(plain, 'ipv6')) return rules.privateTargets
  return PUBLIC_V6.check(plain, 'ipv6') && !NEVER_V6.check(plain, 'ipv6')
}

export function isLoopback(address: string): boolean {
  const plain = unmapped(address)
  return plain === '::1' || (isIP(plain) === 4 && plain.startsWith('127.'))
}

/** The host of a URL as an address, or null when it is a name. */
export function literalOf(url: URL): string | null {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  return isIP(host) === 0 ? null : host
}

const NOT_PUBLIC = 'must lead to the public internet'
const LOCAL_NAME = /(?:^|\.)(?:localhost|local|internal|localdomain|home\.arpa)\.?$/i

/**
 * What is wrong with a URL as a target, as far as it can be told without asking a resolver.
 * @returns a sentence without the URL, or the URL in normal form
 */
export function targetOf(text: string, rules: AddressRules): URL | string {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null) return 'must be a URL with https://'
  if (url.username !== '' || url.password !== '') return 'must carry no user and no password'
  if (url.hash !== '') return 'must carry no fragment'
  if (/[\s\\]/.test(text)) return 'must not contain spaces or backslashes'
  const literal = literalOf(url)
  const local = literal === null ? LOCAL_NAME.test(url.hostname) : isLoopback(literal)
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && rules.privateTargets && local))
    return rules.privateTargets ? 'must be https://, or http:// to loopback' : 'must be https://'
  if (literal !== null && !mayConnect(literal, rules)) return NOT_PUBLIC
  if (literal === null && local && !rules.privateTargets) return NOT_PUBLIC
  return url
}

/**
 * As {@link targetOf}, and what the name leads to now. A name that leads nowhere yet is taken.
 * @returns a sentence, or the URL in normal form
 */
export async function checkTarget(
  text: string,
  rules: AddressRules,
  lookup: LookupFunction,
): Promise<URL | string> {
  const url = targetOf(text, rules)
  if (typeof url === 'string' || literalOf(url) !== null) return url
  const refused = await new Promise<boolean>((resolve) => {
    guardedLookup(rules, lookup)(url.hostname, { all: true }, (error) =>
      resolve(error instanceof AddressRefused),
    )
  })
  return refused ? NOT_PUBLIC : url
}

export class AddressRefused extends Error {
  override name = 'AddressRefused'
  readonly code = 'address_not_allowed'
}

/**
 * A resolver that gives out only what may be connected to. The socket connects to exactly what this answers, so a name
 * that answers otherwise a moment later changes nothing. One bad address among good ones refuses the name: which of
 * them is taken is not ours to say.
 */
export function guardedLookup(rules: AddressRules, lookup: LookupFunction): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) {
        callback(error, [])
        return
      }
      const all = typeof found === 'string' ? [{ address: found, family: isIP(found) }] : found
      const [first] = all
      if (first === undefined || !all.every(({ address }) => mayConnect(address, rules)))
        callback(new AddressRefused('the name leads to an address that may not be called'), [])
      else if (options.all === true) callback(null, [...all])
      else callback(null, first.address, first.family)
    })
  }
}
