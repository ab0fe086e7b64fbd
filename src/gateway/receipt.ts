import type { ReceiptLimit, ReceiptStatus } from '../contract/index.ts'
import { ERRORS, type Fault } from '../contract/index.ts'
import { type Clock, formatId, formatNano, type Json, type Nano, storableJson } from '../kernel/index.ts'
import type { ReceiptRecord } from '../ledger/index.ts'
import type {
  AttemptFacts,
  BilledReason,
  CandidateFacts,
  CandidateReason,
  DecisionFacts,
  DecisionReason,
  ReceiptDocument,
  ReceiptFlag,
} from '../receipts/index.ts'
import type { ApiKeyRecord } from '../tenancy/index.ts'
import type { Shortage } from './shortage.ts'
import type {
  AttemptRecord,
  Ending,
  Exchange,
  Planned,
  Priced,
  RejectedRoute,
  RoutePlan,
  RunRef,
  SkippedChannel,
} from './types.ts'

type OutcomeKind = AttemptRecord['outcome']['kind']

/** Composes the stored document of a request from the values of the stages. Pure: what happened is in them. */

export interface Story {
  readonly exchange: Exchange
  readonly key: ApiKeyRecord
  readonly endpoint: string
  readonly streamed: boolean
  readonly idempotencyKey: string | null
  /** The request whose answer was given again, as callers see it. */
  readonly replayOf?: string
  readonly requestedModel: string | null
  readonly catalogModel: string | null
  readonly run: RunRef | null
  readonly planned: Planned | null
  readonly rejected: readonly RejectedRoute[]
  readonly plan: RoutePlan | null
  readonly decisionReason: DecisionReason
  readonly crossed: boolean
  readonly attempts: readonly AttemptRecord[]
  /** Channels that were not asked since their format cannot express the request. */
  readonly skipped: readonly SkippedChannel[]
  /** What a translation could not carry. */
  readonly dropped: readonly string[]
  readonly hold: { readonly amountNano: Nano; readonly captured: boolean } | null
  readonly maxOutputTokens: number | null
  readonly lowered: boolean
  /** Routes that were left for a balance or budget that did not suffice. */
  readonly shortages?: ReadonlyMap<RoutePlan, Shortage>
  /** The budget that stopped or shortened the request. */
  readonly limit?: ReceiptLimit | null
}

type Who = Pick<ReceiptDocument, 'org' | 'project' | 'key'>

/** Who sent a request changes only with the key's record, which is replaced whole: made once for it. */
const whoByKey = new WeakMap<ApiKeyRecord, Who>()

function whoOf(key: ApiKeyRecord): Who {
  const known = whoByKey.get(key)
  if (known !== undefined) return known
  const who: Who = {
    org: { id: formatId('org', key.orgId), name: key.orgName },
    project: { id: formatId('prj', key.projectId), name: key.projectName },
    key: { id: formatId('key', key.id), label: key.label, prefix: key.prefix },
  }
  whoByKey.set(key, who)
  return who
}

/** The part that is known when the hold is made; kept with it for recovery and for pending receipts. */
/** @param candidates only known at the end, and long: left out of what is kept while the request runs */
export function baseDocument(
  story: Story,
  candidates: boolean,
): Omit<ReceiptDocument, 'status' | 'ended' | 'latency' | 'settlement' | 'attempts'> {
  const { key, exchange, run } = story
  return {
    v: 1,
    at: exchange.startedAtMs,
    ...whoOf(key),
    run:
      run === null
        ? undefined
        : {
            id: formatId('run', run.id),
            name: run.name,
            step: run.step ?? undefined,
          },
    endpoint: story.endpoint,
    streamed: story.streamed,
    idempotency: story.idempotencyKey ?? undefined,
    replayOf: story.replayOf,
    requested: story.requestedModel ?? undefined,
    model: story.catalogModel ?? undefined,
    sandbox: story.plan?.channels.some(({ target }) => target.channel.sandbox) ? (true as const) : undefined,
    decision: decisionOf(story, candidates),
    crossed: story.crossed ? (true as const) : undefined,
    maxOutput: story.maxOutputTokens ?? undefined,
    dropped: story.dropped.length === 0 ? undefined : story.dropped,
    lowered: story.lowered ? (true as const) : undefined,
    limit: story.limit ?? undefined,
  }
}

function decisionOf(story: Story, candidates: boolean): DecisionFacts | undefined {
  const { planned, plan, key } = story
  if (planned === null && story.rejected.length === 0) return undefined
  const route = plan?.route
  return {
    policy: key.policy,
    rule: 'bucket.by_route',
    route: route?.name,
    type: route?.type,
    bucket: route?.bucket.id,
    bucketName: route?.bucket.name,
    currency: route?.bucket.currency,
    reason: route === undefined ? 'none' : story.decisionReason,
    candidates: candidates ? candidatesOf(story) : [],
  }
}

const REASONS: Readonly<Record<OutcomeKind, CandidateReason>> = {
  served: 'served',
  cut: 'served',
  failed: 'failed',
  broke: 'failed',
  left: 'caller_left',
}

const NOT_NEEDED: ReadonlySet<CandidateReason> = new Set(['first_served', 'caller_left'])

/** Why the channels that come after the last attempt were not tried. */
function reasonUntried({ planned, attempts }: Story): CandidateReason {
  const last = attempts.at(-1)?.outcome
  if (last === undefined) return 'balance_insufficient'
  if (last.kind === 'served' || last.kind === 'cut') return 'first_served'
  if (last.kind === 'left') return 'caller_left'
  if (last.kind === 'broke') return 'output_had_begun'
  if (last.final !== null) return 'request_refused'
  return planned !== null && attempts.length >= planned.attemptsMax
    ? 'attempts_used_up'
    : 'balance_insufficient'
}

function candidatesOf(story: Story): CandidateFacts[] {
  const { planned, attempts } = story
  // The last one, where a channel was asked more than once.
  const attemptAt = (route: string, channel: string): AttemptRecord | undefined =>
    attempts.findLast(
      (attempt) => attempt.channel.target.channel.name === channel && attempt.plan.route.name === route,
    )
  const paying = (story.plan === null ? undefined : planned?.routes.indexOf(story.plan)) ?? -1
  const untried = reasonUntried(story)
  const fromPlan = (planned?.routes ?? []).flatMap((plan, place) =>
    plan.channels.map(({ target, role }): CandidateFacts => {
      const base = {
        route: plan.route.name,
        channel: target.channel.name,
        public: target.channel.publicName,
        role,
      }
      const attempt = attemptAt(plan.route.name, target.channel.name)
      if (attempt !== undefined) return { ...base, outcome: 'tried', reason: REASONS[attempt.outcome.kind] }
      if (story.skipped.some((skipped) => skipped.channel.target === target))
        return { ...base, outcome: 'unavailable', reason: 'cannot_translate' }
      const left = !attempts.some((other) => other.plan === plan)
      const shortage = left ? story.shortages?.get(plan) : undefined
      // A route before the one that pays was left without a try for one cause only.
      const reason = shortage ?? (left && place < paying ? 'balance_insufficient' : untried)
      return { ...base, outcome: NOT_NEEDED.has(reason) ? 'not_needed' : 'unavailable', reason }
    }),
  )
  const rejected = story.rejected.map(
    ({ route, reason }): CandidateFacts => ({ route: route.name, outcome: 'not_allowed', reason }),
  )
  return [...fromPlan, ...rejected]
}

/** A name an upstream gave itself: it may be of any length. */
function shownName(name: string): string {
  return name.length > 200 ? `${name.slice(0, 200)}…` : name
}

const RESULTS: Readonly<Record<OutcomeKind, AttemptFacts['result']>> = {
  served: 'ok',
  failed: 'error',
  broke: 'error',
  left: 'cancelled',
  cut: 'ok',
}

function whyBilled(attempt: AttemptRecord, priced: Priced, last: boolean): BilledReason {
  if (!last || attempt.outcome.kind === 'failed') return 'nothing_delivered'
  if (priced.charge !== null) return attempt.outcome.kind === 'served' ? 'answer_delivered' : 'part_delivered'
  if (priced.noCharge === 'empty_completion') return 'empty_answer'
  return priced.noCharge === 'reported_nothing' ? 'reported_nothing' : 'nothing_delivered'
}

function attemptFacts(attempt: AttemptRecord, next: AttemptRecord | undefined, priced: Priced): AttemptFacts {
  const { outcome, channel, plan } = attempt
  const reading = 'reading' in outcome ? outcome.reading : null
  const status = outcome.kind === 'failed' ? outcome.status : (reading?.status ?? null)
  const timeout = (outcome.kind === 'failed' || outcome.kind === 'broke') && outcome.timeout
  return {
    route: plan.route.name,
    channel: channel.target.channel.name,
    public: channel.target.channel.publicName,
    role: channel.role,
    upstream: channel.target.upstreamModel,
    served: reading?.servedModel == null ? undefined : shownName(reading.servedModel),
    result: timeout ? 'timeout' : RESULTS[outcome.kind],
    status: status === null ? undefined : status,
    code: 'code' in outcome ? outcome.code : undefined,
    at: attempt.startedAtMs,
    latency: Math.round(attempt.latencyMs),
    ttft: attempt.firstTokenMs === null ? undefined : Math.round(attempt.firstTokenMs),
    upstreamId: attempt.upstreamId ?? undefined,
    billed: next === undefined && priced.charge !== null,
    why: whyBilled(attempt, priced, next === undefined),
    next:
      next === undefined
        ? outcome.kind === 'served' || outcome.kind === 'cut'
          ? 'answer'
          : 'none'
        : next.plan === plan
          ? 'backup'
          : 'other_route',
  }
}

const STATUSES: Readonly<Record<OutcomeKind, ReceiptStatus>> = {
  served: 'completed',
  failed: 'failed',
  broke: 'failed',
  left: 'cancelled',
  cut: 'completed',
}

export function statusOf(ending: Ending): ReceiptStatus {
  return ending.kind === 'attempt' ? STATUSES[ending.outcome.kind] : ending.kind
}

/** `gpt-5-mini` answered by `gpt-5-mini-2025-08-07` is the same model; another name is told. */
function modelMismatch(attempts: readonly AttemptRecord[]): boolean {
  const last = attempts.at(-1)
  const reading = last !== undefined && 'reading' in last.outcome ? last.outcome.reading : null
  if (last === undefined || reading === null || reading.servedModel === null) return false
  const bare = (name: string): string => name.toLowerCase().split('/').at(-1) ?? ''
  return !bare(reading.servedModel).startsWith(
    bare(last.channel.target.upstreamModel).replace(/-latest$/, ''),
  )
}

/** The provider's own words, bounded: a document must stay small whatever an upstream writes. */
const RAW_USAGE_MAX = 4_000

/** @param size of the whole answer: the usage is no larger than what it is in */
function rawUsageOf(raw: Json | null, size: number): { raw?: Json } {
  if (raw === null) return {}
  return size <= RAW_USAGE_MAX || JSON.stringify(raw).length <= RAW_USAGE_MAX ? { raw } : {}
}

export function composeDocument(
  story: Story,
  ending: Ending,
  priced: Priced,
  error: Fault | null,
  clock: Clock,
): ReceiptDocument {
  const { attempts, hold, plan } = story
  const ended = clock.nowMs()
  const latency = Math.round(clock.monotonicMs() - story.exchange.startedMonotonicMs)
  const last = attempts.at(-1)
  const reading = last !== undefined && 'reading' in last.outcome ? last.outcome.reading : null
  const flags: ReceiptFlag[] = [
    ...priced.flags,
    ...(modelMismatch(attempts) ? (['model_mismatch'] as const) : []),
  ]
  const base = baseDocument(story, true)
  const beforeLast = last === undefined ? 0 : last.startedAtMs - story.exchange.startedAtMs
  return {
    ...base,
    status: statusOf(ending),
    ended,
    latency,
    ttft: last?.firstTokenMs == null ? undefined : Math.round(beforeLast + last.firstTokenMs),
    served: reading?.servedModel == null ? undefined : shownName(reading.servedModel),
    attempts: attempts.map((attempt, i) => attemptFacts(attempt, attempts[i + 1], priced)),
    usage:
      priced.usage === null
        ? undefined
        : {
            counts: priced.usage.counts,
            reasoning: priced.usage.reasoning === null ? undefined : priced.usage.reasoning,
            webSearches:
              priced.usage.calls.web_search === undefined ? undefined : priced.usage.calls.web_search,
            source: priced.usage.source,
            ...rawUsageOf(reading?.rawUsage ?? null, reading?.bytesRead ?? 0),
          },
    charge: priced.charge === null ? undefined : priced.charge,
    noCharge: priced.noCharge === null ? undefined : priced.noCharge,
    settlement: priced.settlement,
    hold:
      hold === null || plan === null
        ? undefined
        : {
            bucket: plan.route.bucket.id,
            currency: plan.route.bucket.currency,
            amount: formatNano(hold.amountNano),
            state: hold.captured ? ('captured' as const) : ('released' as const),
          },
    flags: flags.length === 0 ? undefined : flags,
    limit: story.limit ?? undefined,
    error:
      error === null
        ? undefined
        : { code: error.code, message: error.message, status: ERRORS[error.code].status },
  }
}

export function receiptRecord(story: Story, document: ReceiptDocument, chargeNano: Nano): ReceiptRecord {
  return {
    id: story.exchange.requestId,
    projectId: story.key.projectId,
    apiKeyId: story.key.id,
    runId: story.run?.id ?? null,
    status: document.status,
    bucket: story.plan?.route.bucket.id ?? null,
    route: story.plan?.route.name ?? null,
    model: story.catalogModel,
    chargeNano,
    createdAtMs: story.exchange.startedAtMs,
    document: storableJson(document),
  }
}
