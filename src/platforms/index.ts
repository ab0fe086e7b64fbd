import type { Channel, PlatformSettings } from '../catalog/index.ts'
import type { PlatformKind } from '../contract/index.ts'
import type { Clock } from '../kernel/index.ts'
import { bedrock } from './bedrock/index.ts'
import type { Platform } from './platform.ts'
import { vertex } from './vertex/index.ts'

export type { BodyChange, PlainCall, Platform, PlatformCall, Unframer } from './platform.ts'

type Held<K extends PlatformKind> = Extract<PlatformSettings, { kind: K }>

const PLATFORMS: {
  readonly [K in PlatformKind]: (settings: Held<K>, apiKey: string, clock: Clock) => Platform
} = {
  bedrock,
  vertex: (settings, _apiKey, clock) => vertex(settings, clock),
}

export interface Platforms {
  /** Null for a channel that is the provider itself. */
  of(channel: Channel): Platform | null
}

/** Channels of one credential share its tokens, also when forge.yaml is read anew. */
export function createPlatforms(clock: Clock): Platforms {
  const byChannel = new WeakMap<Channel, Platform>()
  const bySettings = new Map<string, Platform>()
  const open = (channel: Channel, settings: PlatformSettings): Platform => {
    const name = JSON.stringify([settings, channel.apiKey])
    const make = PLATFORMS[settings.kind] as (
      settings: PlatformSettings,
      apiKey: string,
      clock: Clock,
    ) => Platform
    const platform = bySettings.get(name) ?? make(settings, channel.apiKey, clock)
    bySettings.set(name, platform)
    byChannel.set(channel, platform)
    return platform
  }
  return {
    of: (channel) =>
      channel.platform === undefined ? null : (byChannel.get(channel) ?? open(channel, channel.platform)),
  }
}
