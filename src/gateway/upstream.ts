import { Pool } from 'undici'
import type { Channel } from '../catalog/index.ts'

/**
 * One connection pool a channel, made on first use and replaced when the channel's address changes. Undici's own
 * time-outs are off: their steps are coarse and they cannot tell a first token from a header; attempt.ts keeps time.
 */

export interface Upstream {
  readonly pool: Pool
  readonly origin: string
  /** Path of the base URL, without a slash at its end. */
  readonly basePath: string
}

export interface Upstreams {
  of(channel: Channel): Upstream
  close(): Promise<void>
}

const ID_HEADERS = ['x-request-id', 'request-id', 'x-amzn-requestid', 'x-goog-request-id', 'cf-ray']

/** What looks like no id (long, or with spaces) is none. */
export function upstreamIdOf(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): string | null {
  for (const name of ID_HEADERS) {
    const value = headers[name]
    if (typeof value === 'string' && /^[\w.:/+=-]{1,128}$/.test(value)) return value
  }
  return null
}

const CONNECTIONS_MAX = 1_024

export function createUpstreams(): Upstreams {
  const open = new Map<string, Upstream>()
  return {
    of(channel) {
      const name = `${channel.baseUrl} ${channel.timeouts.connectMs}`
      let upstream = open.get(name)
      if (upstream === undefined) {
        const url = new URL(channel.baseUrl)
        upstream = {
          pool: new Pool(url.origin, {
            connections: CONNECTIONS_MAX,
            pipelining: 1,
            connect: { timeout: channel.timeouts.connectMs },
            headersTimeout: 0,
            bodyTimeout: 0,
            keepAliveTimeout: 30_000,
            maxHeaderSize: 16_384,
          }),
          origin: url.origin,
          basePath: url.pathname.replace(/\/$/, ''),
        }
        open.set(name, upstream)
      }
      return upstream
    },
    async close() {
      await Promise.all([...open.values()].map(({ pool }) => pool.destroy()))
    },
  }
}
