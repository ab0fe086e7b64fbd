import type { Claim, Idempotency, StoredAnswer } from './idempotency.ts'
import type { AttemptOutcome } from './types.ts'

/** What was, or would have been, sent: the whole answer, or the stream as far as it went. */
export interface Sent {
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

interface Ended {
  readonly outcome: AttemptOutcome['kind']
  readonly charged: boolean
  /** Null for a stream. */
  whole(): Sent | null
  stream(): Sent
}

const stored = ({ headers, body }: Sent): Omit<StoredAnswer, 'requestId'> => ({ status: 200, headers, body })

/** Stored before the caller can know the end of the answer, so that a repeat right after it finds it. */
export async function keepAnswer(idempotency: Idempotency, claim: Claim, ended: Ended): Promise<void> {
  const { outcome } = ended
  // Who retries without a key asks for an answer, not for the same failure.
  if ((outcome === 'left' && !ended.charged) || (claim.unkeyed && outcome === 'broke'))
    return idempotency.release(claim)
  const whole = ended.whole()
  if (outcome === 'left' && whole === null) return idempotency.store(claim, null)
  return idempotency.store(claim, stored(whole ?? ended.stream()))
}
