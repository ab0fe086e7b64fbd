import { PLATFORM_KINDS, type PlatformKind } from '../contract/index.ts'
import { type ConfigFault, faultAt, type Path } from './fault.ts'
import { platformProtocols } from './platform-address.ts'
import { isTreeMap, type Tree, type TreeMap } from './yaml-tree.ts'

/** What the settings of a channel and those of its platform say about each other. */

/** The credential a channel needs, by platform. @returns setting (below the channel) and problem */
type Check = (channel: TreeMap, platform: TreeMap) => ReadonlyArray<readonly [Path, string]>

const has = (map: TreeMap, name: string): boolean => {
  const value = map[name]
  return value !== undefined && value !== null && value !== ''
}

const bedrockKeys: Check = (channel, platform) => {
  const [id, secret] = [has(platform, 'access_key_id'), has(platform, 'secret_access_key')]
  if (id !== secret) return [[['platform', id ? 'secret_access_key' : 'access_key_id'], 'is missing']]
  if (id && has(channel, 'api_key'))
    return [[['api_key'], 'cannot stand beside platform.access_key_id; one of them pays for the calls']]
  if (!id && has(platform, 'session_token'))
    return [[['platform', 'session_token'], 'means nothing without access_key_id and secret_access_key']]
  if (id || has(channel, 'api_key')) return []
  return [
    [
      ['platform'],
      'needs access_key_id and secret_access_key, or the channel an api_key (a Bedrock API key)',
    ],
  ]
}

const vertexKeys: Check = (channel) =>
  has(channel, 'api_key')
    ? [[['api_key'], 'is not used on vertex; its credential is platform.credentials']]
    : []

const CHECKS = { bedrock: bedrockKeys, vertex: vertexKeys } as const satisfies Record<PlatformKind, Check>

export function platformFaults(channel: Tree | undefined, path: Path): ConfigFault[] {
  if (!isTreeMap(channel)) return []
  const { platform, protocol } = channel
  if (platform === undefined || platform === null)
    return channel['base_url'] === undefined || channel['base_url'] === null
      ? [faultAt([...path, 'base_url'], 'is missing')]
      : []
  const kind = isTreeMap(platform) ? PLATFORM_KINDS.find((known) => known === platform['kind']) : undefined
  if (kind === undefined || !isTreeMap(platform)) return []
  const spoken = platformProtocols(kind)
  const faults = CHECKS[kind](channel, platform).map(([at, problem]) => faultAt([...path, ...at], problem))
  if (typeof protocol === 'string' && !spoken.includes(protocol))
    faults.push(faultAt([...path, 'protocol'], `must be one of ${spoken.join(', ')} on ${kind}`))
  return faults
}
