import type { Receipt, ReceiptUsage } from '../contract/index.ts'
import { formatId, formatNano, isoTime, type Nano, type USAGE_CLASSES, type Uuid } from '../kernel/index.ts'
import type { AttemptFacts, ReceiptDocument, UsageFacts } from './document.ts'
import { BILLED_TEXT, CANDIDATE_TEXT, DECISION_TEXT, explain, NO_CHARGE_TEXT, nextStep } from './explain.ts'

/** An entry the request caused, read from the ledger beside the stored document. */
export interface PostedEntry {
  readonly transferId: Uuid
  readonly line: number
  readonly bucket: string
  readonly accountKind: string
  readonly currency: string
  readonly amountNano: Nano
  readonly balanceAfterNano: Nano | null
}

/** Operators see channel names; customers see public names and nothing of the upstream's side. */
export type View = 'customer' | 'operator'

function renderUsage(usage: UsageFacts): ReceiptUsage {
  const known = usage.source !== 'unknown'
  const count = (usageClass: (typeof USAGE_CLASSES)[number]): number | null =>
    known ? (usage.counts[usageClass] ?? 0) : null
  return {
    input: count('input'),
    cache_read: count('cache_read'),
    cache_write_5m: count('cache_write_5m'),
    cache_write_1h: count('cache_write_1h'),
    output: count('output'),
    reasoning: usage.reasoning ?? null,
    ...(usage.counts.input_audio === undefined ? {} : { input_audio: usage.counts.input_audio }),
    ...(usage.counts.output_audio === undefined ? {} : { output_audio: usage.counts.output_audio }),
    ...(usage.counts.input_image === undefined ? {} : { input_image: usage.counts.input_image }),
    ...(usage.webSearches === undefined ? {} : { web_search: usage.webSearches }),
    source: usage.source,
    ...(usage.raw === undefined ? {} : { raw: usage.raw }),
  }
}

function renderAttempt(attempt: AttemptFacts, n: number, view: View): Receipt['attempts'][number] {
  return {
    n,
    route: attempt.route,
    channel: view === 'operator' ? attempt.channel : attempt.public,
    role: attempt.role,
    upstream_model: attempt.upstream,
    served_model: attempt.served ?? null,
    result: attempt.result,
    status: attempt.status ?? null,
    code: attempt.code ?? null,
    started_at: isoTime(attempt.at),
    latency_ms: attempt.latency,
    time_to_first_token_ms: attempt.ttft ?? null,
    // A relay may put its own name into it, which customers are not told.
    ...(view === 'operator' ? { upstream_request_id: attempt.upstreamId ?? null } : {}),
    usage: null,
    billed: attempt.billed,
    billed_reason: BILLED_TEXT[attempt.why].en,
    next: attempt.next,
  }
}

function renderDecision(doc: ReceiptDocument, view: View): Receipt['decision'] {
  const decision = doc.decision
  if (decision === undefined) return null
  return {
    policy: decision.policy,
    rule: decision.rule,
    route: decision.route ?? null,
    route_type: decision.type ?? null,
    bucket: decision.bucket ?? null,
    reason: DECISION_TEXT[decision.reason].en,
    candidates: decision.candidates.map((candidate) => ({
      route: candidate.route,
      channel: (view === 'operator' ? candidate.channel : candidate.public) ?? null,
      role: candidate.role ?? null,
      outcome: candidate.outcome,
      reason: CANDIDATE_TEXT[candidate.reason].en,
    })),
  }
}

function renderBalance(entries: readonly PostedEntry[]): Receipt['balance'] {
  const own = entries.find((entry) => entry.accountKind === 'customer' && entry.balanceAfterNano !== null)
  if (own === undefined || own.balanceAfterNano === null) return null
  return {
    bucket: own.bucket,
    currency: own.currency,
    before: formatNano(own.balanceAfterNano - own.amountNano),
    after: formatNano(own.balanceAfterNano),
  }
}

function renderMoney(doc: ReceiptDocument, entries: readonly PostedEntry[]) {
  const { charge } = doc
  return {
    usage: doc.usage === undefined ? null : renderUsage(doc.usage),
    charge:
      charge === undefined
        ? null
        : {
            bucket: charge.bucket,
            currency: charge.currency,
            total: charge.total,
            settlement: doc.settlement,
            price_version: charge.version,
            lines: charge.lines.map(([meter, quantity, unit_price, per, amount]) => ({
              meter,
              quantity,
              unit_price,
              per,
              amount,
            })),
            reference: charge.reference ?? null,
          },
    no_charge_reason: doc.noCharge === undefined ? null : NO_CHARGE_TEXT[doc.noCharge].en,
    settlement: doc.status === 'pending' ? null : doc.settlement,
    hold: doc.hold ?? null,
    balance: renderBalance(entries),
    ledger: entries.map((entry) => ({
      entry: `${entry.transferId}/${entry.line}`,
      account: entry.accountKind === 'customer' ? entry.bucket : `${entry.bucket}:${entry.accountKind}`,
      amount: formatNano(entry.amountNano),
      currency: entry.currency,
    })),
  }
}

export function renderReceipt(
  id: Uuid,
  doc: ReceiptDocument,
  entries: readonly PostedEntry[],
  view: View,
): Receipt {
  const pending = doc.status === 'pending'
  const last = doc.attempts.at(-1)
  const retries = doc.attempts.filter(
    (attempt, i) => i > 0 && attempt.channel === doc.attempts[i - 1]?.channel,
  ).length
  return {
    id: formatId('req', id),
    object: 'receipt',
    version: 1,
    status: doc.status,
    sandbox: doc.sandbox === true,
    created_at: isoTime(doc.at),
    finished_at: pending ? null : isoTime(doc.ended),
    latency_ms: pending ? null : doc.latency,
    time_to_first_token_ms: doc.ttft ?? null,
    explanation: explain(doc),
    organization: doc.org,
    project: doc.project,
    api_key: doc.key,
    run: doc.run === undefined ? null : { id: doc.run.id, name: doc.run.name, step: doc.run.step ?? null },
    endpoint: doc.endpoint,
    streamed: doc.streamed,
    idempotency_key: doc.idempotency ?? null,
    replay_of: doc.replayOf ?? null,
    requested_model: doc.requested ?? null,
    catalog_model: doc.model ?? null,
    served_model: doc.served ?? null,
    decision: renderDecision(doc, view),
    attempts: doc.attempts.map((attempt, i) => renderAttempt(attempt, i + 1, view)),
    retries,
    fallback: last !== undefined && last.channel !== doc.attempts[0]?.channel,
    crossed_balance: doc.crossed === true,
    max_output_tokens: doc.maxOutput ?? null,
    max_output_tokens_lowered: doc.lowered === true,
    dropped: [...(doc.dropped ?? [])],
    ...renderMoney(doc, entries),
    flags: [...(doc.flags ?? [])],
    limit: doc.limit ?? null,
    error: doc.error ?? null,
    next_step: nextStep(doc),
  }
}
