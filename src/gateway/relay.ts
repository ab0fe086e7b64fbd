import type { Channel } from '../catalog/index.ts'
import { errorText } from '../kernel/index.ts'
import type { GatewayDeps } from './deps.ts'
import { formatOf, joinPaths } from './wire.ts'

/** A small call of a channel that costs nothing: counting tokens, looking at a stored response. */

export interface RelayCall {
  readonly method: 'GET' | 'DELETE' | 'POST'
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | null
}

export interface RelayAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: Buffer
}

const PATIENCE_MS = 15_000
const BODY_MAX = 16 * 1024 * 1024

/** @returns null when the channel does not answer usably */
export async function relay(
  deps: GatewayDeps,
  channel: Channel,
  call: RelayCall,
): Promise<RelayAnswer | null> {
  const format = formatOf(channel.protocol, 'generate')
  // Platforms have no such calls in the paths of the format.
  if (format === null || channel.platform !== undefined) return null
  const { pool, basePath } = deps.upstreams.of(channel)
  const headers: Record<string, string> = {
    'accept-encoding': 'identity',
    'user-agent': 'tokens-forge',
    ...(call.body === null ? {} : { 'content-type': 'application/json' }),
    ...format.callHeaders(channel.apiKey),
    ...call.headers,
  }
  try {
    const answer = await pool.request({
      method: call.method,
      path: joinPaths(basePath, call.path),
      headers,
      body: call.body,
      signal: AbortSignal.timeout(PATIENCE_MS),
    })
    const chunks: Buffer[] = []
    let size = 0
    for await (const chunk of answer.body) {
      size += (chunk as Buffer).length
      if (size > BODY_MAX) {
        answer.body.destroy()
        return null
      }
      chunks.push(chunk as Buffer)
    }
    const type = answer.headers['content-type']
    const contentType = (Array.isArray(type) ? type[0] : type) ?? 'application/json'
    return { status: answer.statusCode, contentType, body: Buffer.concat(chunks) }
  } catch (thrown) {
    deps.log.warn({ channel: channel.name, error: errorText(thrown) }, 'a channel did not answer a free call')
    return null
  }
}
