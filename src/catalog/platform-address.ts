import type { ChannelProtocol, PlatformKind } from '../contract/index.ts'
import type { BedrockSettings, PlatformSettings, VertexSettings } from './types.ts'

/** Which formats each platform speaks, and where, unless forge.yaml names another address. */

type Addresses<S> = Readonly<Partial<Record<ChannelProtocol, (settings: S) => string>>>

function bedrockHost({ region }: BedrockSettings): string {
  return `https://bedrock-runtime.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`
}

const BEDROCK: Addresses<BedrockSettings> = {
  anthropic: bedrockHost,
  openai: (settings) => `${bedrockHost(settings)}/openai/v1`,
  'openai-responses': (settings) => `${bedrockHost(settings)}/openai/v1`,
}

/** Two of the locations that span regions have names of their own. */
const VERTEX_HOSTS: Readonly<Record<string, string>> = {
  global: 'aiplatform.googleapis.com',
  us: 'aiplatform.us.rep.googleapis.com',
  eu: 'aiplatform.eu.rep.googleapis.com',
}

function vertexVersion({ location }: VertexSettings): string {
  return `https://${VERTEX_HOSTS[location] ?? `${location}-aiplatform.googleapis.com`}/v1`
}

const VERTEX: Addresses<VertexSettings> = {
  anthropic: vertexVersion,
  gemini: vertexVersion,
  openai: (settings) =>
    `${vertexVersion(settings)}/projects/${settings.project}/locations/${settings.location}/endpoints/openapi`,
}

const ADDRESSES = { bedrock: BEDROCK, vertex: VERTEX } as const satisfies Record<PlatformKind, object>

export function platformProtocols(kind: PlatformKind): readonly string[] {
  return Object.keys(ADDRESSES[kind])
}

export function platformBaseUrl(settings: PlatformSettings, protocol: ChannelProtocol): string {
  const addresses = ADDRESSES[settings.kind] as Addresses<PlatformSettings>
  return addresses[protocol]?.(settings) ?? ''
}
