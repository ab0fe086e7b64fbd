import type { Clock } from '../../kernel/index.ts'

/** An access token that is fetched once for everybody, renewed before it expires, and dropped when it is refused. */

export interface AccessToken {
  readonly text: string
  /** Wall clock. */
  readonly expiresAtMs: number
}

/** Short of the five minutes from which Google's metadata server gives a new one. */
const RENEW_BEFORE_MS = 4 * 60_000
/** A token that could not be renewed is not asked for again with every request. */
const RENEW_PAUSE_MS = 10_000
/** On the way to the upstream no time may run out. */
const USABLE_MS = 5_000

export class TokenSource {
  private readonly exchange: () => Promise<AccessToken>
  private readonly clock: Clock
  private token: AccessToken | null = null
  private renewAtMs = 0
  private fetching: Promise<AccessToken> | null = null

  constructor(exchange: () => Promise<AccessToken>, clock: Clock) {
    this.exchange = exchange
    this.clock = clock
  }

  /** Rejects as the exchange does. */
  async get(): Promise<AccessToken> {
    const nowMs = this.clock.nowMs()
    const { token } = this
    if (token === null || token.expiresAtMs - USABLE_MS <= nowMs) return this.renew()
    if (nowMs >= this.renewAtMs) {
      this.renewAtMs = nowMs + RENEW_PAUSE_MS
      // This one is still good; who finds it expired meets the same fault and reports it.
      this.renew().catch(() => undefined)
    }
    return token
  }

  /** @returns true when the token is no longer the one that is given out */
  drop(token: AccessToken): boolean {
    if (this.token === token) this.token = null
    return true
  }

  private renew(): Promise<AccessToken> {
    this.fetching ??= this.exchange()
      .then((token) => {
        this.token = token
        const leftMs = token.expiresAtMs - this.clock.nowMs()
        this.renewAtMs = token.expiresAtMs - Math.min(RENEW_BEFORE_MS, leftMs / 4)
        return token
      })
      .finally(() => {
        this.fetching = null
      })
    return this.fetching
  }
}
