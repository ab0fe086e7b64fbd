import { isIP, type LookupFunction } from 'node:net'
import { Agent, buildConnector, errors } from 'undici'
import type { SignedHeaders } from '../contract/index.ts'
import type { Clock } from '../kernel/index.ts'
import { AddressRefused, type AddressRules, guardedLookup, isLoopback, mayConnect } from './addresses.ts'

/** One attempt to hand a delivery over, whatever stands on the other side. */

export interface Sending {
  readonly url: string
  readonly body: string
  readonly headers: SignedHeaders
}

export interface SendResult {
  /** Null where no answer came. */
  readonly status: number | null
  readonly latencyMs: number
  /** Null when it was taken. Never a word of the receiver. */
  readonly error: string | null
  /** As the receiver asks. */
  readonly retryAfterMs: number | null
}

export interface Sender {
  send(sending: Sending): Promise<SendResult>
  close(): Promise<void>
}

export interface SenderOptions {
  readonly rules: AddressRules
  readonly clock: Clock
  readonly version: string
  readonly lookup: LookupFunction
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 10_000
const CONNECT_TIMEOUT_MS = 5_000
const ANSWER_BYTES_MAX = 1_024
const CONNECTIONS_A_RECEIVER = 4

function guardedConnector({ rules, lookup }: SenderOptions): buildConnector.connector {
  const connect = buildConnector({ timeout: CONNECT_TIMEOUT_MS, lookup: guardedLookup(rules, lookup) })
  return (options, callback) => {
    // An address in the URL is connected to without a resolver.
    const host = options.hostname.replace(/^\[(.*)\]$/, '$1')
    if (isIP(host) !== 0 && !mayConnect(host, rules)) {
      callback(new AddressRefused('the address may not be called'), null)
      return
    }
    connect(options, (...given: Parameters<buildConnector.Callback>) => {
      // Without a socket undici gives the error alone, whatever its types say.
      const socket = given[1] ?? null
      if (socket === null) {
        callback(given[0] ?? new Error('no connection'), null)
        return
      }
      const reached = socket.remoteAddress ?? ''
      // Plain text leaves this machine for nobody, and nothing is said before this is known.
      if (mayConnect(reached, rules) && (options.protocol === 'https:' || isLoopback(reached)))
        callback(null, socket)
      else {
        socket.destroy()
        callback(new AddressRefused('the address may not be called'), null)
      }
    })
  }
}

/** A word of a closed list, or the code of the system; a text could carry what the receiver wrote. */
function failureOf(thrown: unknown): string {
  if (thrown instanceof AddressRefused) return 'address_not_allowed'
  if (thrown instanceof Error && thrown.name === 'TimeoutError') return 'timeout'
  if (thrown instanceof errors.ConnectTimeoutError || thrown instanceof errors.HeadersTimeoutError)
    return 'timeout'
  const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : ''
  if (
    /^HPE_/.test(code) ||
    thrown instanceof errors.HTTPParserError ||
    thrown instanceof errors.HeadersOverflowError
  )
    return 'not_http'
  if (/^(?:ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO)/.test(code)) return 'tls_failed'
  return /^[A-Z][A-Z0-9_]{2,40}$/.test(code) ? code.toLowerCase() : 'connection_failed'
}

function retryAfter(value: string | string[] | undefined): number | null {
  return typeof value === 'string' && /^\d{1,6}$/.test(value) ? Number.parseInt(value, 10) * 1000 : null
}

function errorOf(status: number): string | null {
  if (status >= 200 && status < 300) return null
  return status >= 300 && status < 400 ? 'redirect_not_followed' : `status_${status}`
}

export function createSender(options: SenderOptions): Sender {
  const { clock, timeoutMs = TIMEOUT_MS } = options
  const agent = new Agent({
    connect: guardedConnector(options),
    connections: CONNECTIONS_A_RECEIVER,
    pipelining: 1,
    keepAliveTimeout: 4_000,
    keepAliveMaxTimeout: 30_000,
    maxHeaderSize: 16_384,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  })
  return {
    async send({ url, body, headers }) {
      const begun = clock.monotonicMs()
      const took = (): number => Math.round(clock.monotonicMs() - begun)
      const { origin, pathname, search } = new URL(url)
      const signal = AbortSignal.timeout(timeoutMs)
      try {
        const answer = await agent.request({
          origin,
          path: `${pathname}${search}`,
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'user-agent': `Tokens-Forge/${options.version} (webhooks)`,
            ...headers,
          },
          body,
          signal,
        })
        const { statusCode: status } = answer
        const result = { status, latencyMs: took(), error: errorOf(status) }
        // The answer is its status. The rest is read only as far as the connection needs to be used again.
        await answer.body.dump({ limit: ANSWER_BYTES_MAX, signal }).catch(() => undefined)
        return { ...result, retryAfterMs: retryAfter(answer.headers['retry-after']) }
      } catch (thrown) {
        return { status: null, latencyMs: took(), error: failureOf(thrown), retryAfterMs: null }
      }
    },
    close: () => agent.destroy(),
  }
}
