import type { EventStreamCodec } from '@smithy/core/event-streams'
import type { SignatureV4 } from '@smithy/signature-v4'
import type { BedrockSettings } from '../../catalog/index.ts'
import type { Clock } from '../../kernel/index.ts'
import { type Authorized, type OutgoingCall, type Platform, plain } from '../platform.ts'
import { shapeAnthropic } from './anthropic.ts'
import { EventStreamUnframer } from './event-stream.ts'
import { readRefusal } from './refusal.ts'

const EVENT_STREAM = 'application/vnd.amazon.eventstream'

interface Tools {
  /** Null where an API key goes instead. */
  readonly signer: SignatureV4 | null
  readonly codec: EventStreamCodec
}

/** Loaded on the first call: a gateway without such channels never reads them. */
async function loadTools({ region, keys }: BedrockSettings): Promise<Tools> {
  const [signing, streams, checksums, serde] = await Promise.all([
    import('@smithy/signature-v4'),
    import('@smithy/core/event-streams'),
    import('@smithy/core/checksum'),
    import('@smithy/core/serde'),
  ])
  const codec = new streams.EventStreamCodec(serde.toUtf8, serde.fromUtf8)
  if (keys === null) return { signer: null, codec }
  const { accessKeyId, secretAccessKey, sessionToken } = keys
  const signer = new signing.SignatureV4({
    service: 'bedrock',
    region,
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken === null ? {} : { sessionToken }) },
    sha256: checksums.Sha256,
  })
  return { signer, codec }
}

async function sign(signer: SignatureV4, call: OutgoingCall, atMs: number): Promise<Authorized> {
  const { protocol, hostname, host, pathname, searchParams } = new URL(call.path, call.origin)
  const signed = await signer.sign(
    {
      method: 'POST',
      protocol,
      hostname,
      path: pathname,
      query: Object.fromEntries(searchParams),
      headers: { ...call.headers, host },
      body: call.body,
    },
    { signingDate: new Date(atMs) },
  )
  // The connection says where it leads; everything else is sent as it was signed.
  const { host: _host, ...headers } = signed.headers
  // The keys are the only ones: the same call signed again would be refused again.
  return { ok: true, headers, refused: () => false }
}

/** Amazon Bedrock, by its own API key (a bearer token) or by signatures of an access key. */
export function bedrock(settings: BedrockSettings, apiKey: string, clock: Clock): Platform {
  let loading: Promise<Tools> | null = null
  let tools: Tools | null = null
  return {
    shapes: {
      'anthropic-messages': shapeAnthropic(settings.betas),
      'openai-chat': plain,
      'openai-responses': plain,
    },
    async authorize(call) {
      loading ??= loadTools(settings)
      tools ??= await loading
      if (tools.signer !== null) return sign(tools.signer, call, clock.nowMs())
      return { ok: true, headers: { authorization: `Bearer ${apiKey}` }, refused: () => false }
    },
    unframer: (contentType) =>
      tools !== null && contentType.startsWith(EVENT_STREAM) ? new EventStreamUnframer(tools.codec) : null,
    readRefusal,
  }
}
