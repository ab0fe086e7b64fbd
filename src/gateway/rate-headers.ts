import type { ServerResponse } from 'node:http'
import { isoTime } from '../kernel/index.ts'
import type { RateUse } from '../rates/index.ts'

/**
 * How far the tightest limits are used, in the words that clients of the caller's format read. They are set on the
 * response itself: whatever is answered carries them, and an answer that is stored for a repeat does not.
 */

interface Reading {
  readonly limit: number
  readonly remaining: number
  readonly resetMs: number
}

type Form = (kind: 'requests' | 'tokens', reading: Reading, nowMs: number) => Record<string, string | number>

/** As Go writes durations: `450ms`, `12s`, `1m1s`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.ceil(ms)}ms`
  const seconds = Math.ceil(ms / 1_000)
  const minutes = Math.floor(seconds / 60)
  return minutes === 0 ? `${seconds}s` : `${minutes}m${seconds % 60}s`
}

const openaiForm: Form = (kind, { limit, remaining, resetMs }) => ({
  [`x-ratelimit-limit-${kind}`]: limit,
  [`x-ratelimit-remaining-${kind}`]: remaining,
  [`x-ratelimit-reset-${kind}`]: duration(resetMs),
})

const anthropicForm: Form = (kind, { limit, remaining, resetMs }, nowMs) => ({
  [`anthropic-ratelimit-${kind}-limit`]: limit,
  [`anthropic-ratelimit-${kind}-remaining`]: remaining,
  [`anthropic-ratelimit-${kind}-reset`]: isoTime(Math.ceil((nowMs + resetMs) / 1_000) * 1_000).replace(
    '.000Z',
    'Z',
  ),
})

function tightest(
  uses: readonly RateUse[],
  measure: 'requests_per_minute' | 'tokens_per_minute',
): Reading | null {
  let found: Reading | null = null
  for (const use of uses) {
    const limit = use.amounts[measure]
    if (limit === null) continue
    const used = measure === 'requests_per_minute' ? use.requests : use.tokens
    const remaining = Math.max(0, limit - used)
    if (found === null || remaining < found.remaining) found = { limit, remaining, resetMs: use.resetMs }
  }
  return found
}

/** Google's clients read no headers of this kind; they get OpenAI's, and `RetryInfo` in the refusal itself. */
export function setRateHeaders(
  res: ServerResponse,
  protocol: string,
  uses: readonly RateUse[],
  nowMs: number,
): void {
  if (res.headersSent || res.destroyed) return
  const form = protocol === 'anthropic-messages' ? anthropicForm : openaiForm
  const [requests, tokens] = [tightest(uses, 'requests_per_minute'), tightest(uses, 'tokens_per_minute')]
  const headers = {
    ...(requests === null ? {} : form('requests', requests, nowMs)),
    ...(tokens === null ? {} : form('tokens', tokens, nowMs)),
  }
  for (const name of Object.keys(headers)) res.setHeader(name, headers[name] ?? '')
}
