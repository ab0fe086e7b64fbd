import { BlockList, isIP, isIPv4 } from 'node:net'

/** Networks of a key or of trusted proxies, and whose address a request comes from. */

export interface NetworkSet {
  /** In normal form; IPv4-mapped ones are IPv4. */
  readonly texts: readonly string[]
  /** @param address as the socket or a proxy wrote it */
  has(address: string): boolean
}

const MAPPED = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i
const MAPPED_BITS = 96
/** `::ffff:7b7b:7b7b`, the other spelling of the same. */
const MAPPED_HEX = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i

/** One spelling for an address: no zone, no port, IPv4 also where it came mapped into IPv6. Null when it is none. */
export function plainAddress(text: string): string | null {
  const trimmed = text.trim()
  const bare = (/^\[([^\]]+)\](?::\d+)?$/.exec(trimmed)?.[1] ?? trimmed).replace(/%.*/s, '')
  const ported = /^(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}$/.exec(bare)?.[1] ?? bare
  if (isIP(ported) === 0) return null
  const hex = MAPPED_HEX.exec(ported)
  if (hex !== null) {
    const value = (Number.parseInt(hex[1] ?? '', 16) << 16) | Number.parseInt(hex[2] ?? '', 16)
    return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff).join('.')
  }
  return MAPPED.exec(ported)?.[1] ?? ported.toLowerCase()
}

interface Network {
  readonly address: string
  readonly bits: number
}

function parseNetwork(text: string): Network | null {
  const [host = '', length, ...rest] = text.trim().split('/')
  if (rest.length > 0 || /[\s[\]%]/.test(host) || isIP(host) === 0) return null
  const address = plainAddress(host)
  if (address === null) return null
  const most = isIPv4(host) ? 32 : 128
  if (length !== undefined && !/^\d{1,3}$/.test(length)) return null
  const written = length === undefined ? most : Number.parseInt(length, 10)
  if (written > most) return null
  const mapped = isIPv4(address) && !isIPv4(host)
  // A wider network than the mapped ones would be no IPv4 network, and would not mean what it looks like.
  if (mapped && written < MAPPED_BITS) return null
  return { address, bits: mapped ? written - MAPPED_BITS : written }
}

/** @returns the first text that is no address or CIDR network, or null */
export function wrongNetwork(texts: readonly string[]): string | null {
  return texts.find((text) => parseNetwork(text) === null) ?? null
}

/** @throws Error for text that {@link wrongNetwork} would name */
export function networksOf(texts: readonly string[]): NetworkSet {
  const list = new BlockList()
  const shown = texts.map((text) => {
    const network = parseNetwork(text)
    if (network === null) throw new Error(`not a network: ${text}`)
    list.addSubnet(network.address, network.bits, isIPv4(network.address) ? 'ipv4' : 'ipv6')
    return `${network.address}/${network.bits}`
  })
  return Object.freeze({
    texts: Object.freeze(shown),
    has(address: string) {
      const plain = plainAddress(address)
      return plain !== null && list.check(plain, isIPv4(plain) ? 'ipv4' : 'ipv6')
    },
  })
}

export const NO_NETWORKS: NetworkSet = networksOf([])

export interface Sender {
  readonly socket: { readonly remoteAddress?: string | undefined }
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/**
 * Whose request it is. `x-forwarded-for` is anybody's to write, so it is read from its right end, and only as far as
 * each writer is a trusted proxy: the first address that is none is the sender's.
 * @returns null when a trusted proxy passed on something that is no address
 */
export function senderAddress({ socket, headers }: Sender, trusted: NetworkSet): string | null {
  let address = plainAddress(socket.remoteAddress ?? '')
  const written = headers['x-forwarded-for']
  if (written === undefined || trusted.texts.length === 0) return address
  const hops = (Array.isArray(written) ? written.join(',') : written).split(',')
  while (address !== null && trusted.has(address)) {
    const hop = hops.pop()
    if (hop === undefined) break
    address = plainAddress(hop)
  }
  return address
}
