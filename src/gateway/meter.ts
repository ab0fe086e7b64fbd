import type { Settlement } from '../contract/index.ts'
import { totalInput, totalOutput, type Usage, type UsageCounts } from '../kernel/index.ts'
import type { OtherModelUsage } from '../protocols/index.ts'
import type { NoChargeReason, ReceiptFlag } from '../receipts/index.ts'
import type { Ending, Metered, Reading } from './types.ts'

/**
 * Usage of a request, with where each number comes from, and the row of the settlement matrix. Pure. The rule for what
 * is charged is here and nowhere else: reported usage when it is possible, its provable bound when it is not, our own
 * count when there is none.
 */

export interface MeterBounds {
  /** The request's bytes cannot hold more input tokens. */
  readonly inputTokensMax: number
  /** All choices together: the limit the upstream was told, or the model's own. */
  readonly outputTokensMax: number
  /** Searches that the request may make; absent where nobody asks for a bound. */
  readonly webSearchCallsMax?: number
  /** Input of all further models together, whose passes over the context are not bounded by one context. */
  readonly otherInputTokensMax?: number
  /** Our own count of the input; asked only when it is needed. */
  readonly inputTokensEstimated: () => number
}

/** The bounds of a request, and whose tokens our own counts are told in. */
interface Measure extends MeterBounds {
  readonly tokenFactor: number
}

interface Counted {
  readonly usage: Usage
  readonly others: readonly OtherModelUsage[]
  readonly how: 'reported' | 'estimated' | 'bounded'
  readonly flags: readonly ReceiptFlag[]
}

const FREE = { usage: null, others: [], flags: [] } as const

function nothing(settlement: Settlement, noCharge: NoChargeReason): Metered {
  return { ...FREE, settlement, noCharge }
}

/** Takes the excess off the dearest-to-prove classes first: plain input, then cache writes, reads, media. */
const INPUT_ORDER = [
  'input',
  'cache_write_5m',
  'cache_write_1h',
  'cache_read',
  'input_image',
  'input_audio',
] as const

function capInput(counts: UsageCounts, max: number): UsageCounts {
  let excess = totalInput(counts) - max
  if (excess <= 0) return counts
  const capped: Record<string, number> = { ...counts }
  for (const usageClass of INPUT_ORDER) {
    const take = Math.min(excess, capped[usageClass] ?? 0)
    if (take > 0) capped[usageClass] = (capped[usageClass] ?? 0) - take
    excess -= take
  }
  return capped
}

function capOutput(counts: UsageCounts, max: number): UsageCounts {
  const audio = Math.min(counts.output_audio ?? 0, max)
  const output = Math.min(counts.output ?? 0, max - audio)
  return { ...counts, output, output_audio: audio }
}

function bounded(
  counts: UsageCounts,
  reasoning: number | null,
  reading: Reading,
  bounds: MeterBounds,
): UsageCounts {
  // What is visible cannot have more tokens than the answer had bytes; what is hidden is bound by the limit alone.
  const hidden = reasoning ?? 0
  const outputMax = Math.min(bounds.outputTokensMax, hidden + reading.bytesRead)
  return capOutput(capInput(counts, bounds.inputTokensMax), outputMax)
}

/** What ran on further models is the request's too: together they cannot have more than it allows. */
function boundedOthers(others: readonly OtherModelUsage[], bounds: MeterBounds): readonly OtherModelUsage[] {
  if (others.length === 0) return others
  let inputMax = bounds.otherInputTokensMax ?? Number.MAX_SAFE_INTEGER
  let outputMax = bounds.outputTokensMax
  const capped = others.map(({ model, counts }) => {
    const fitting = capOutput(capInput(counts, inputMax), outputMax)
    inputMax -= totalInput(fitting)
    outputMax -= totalOutput(fitting)
    return { model, counts: fitting }
  })
  return capped.every(({ counts }, at) => sameCounts(counts, others[at]?.counts ?? {})) ? others : capped
}

function boundedCalls(calls: Usage['calls'], bounds: MeterBounds): Usage['calls'] {
  const searches = calls.web_search ?? 0
  const max = bounds.webSearchCallsMax ?? searches
  if (searches <= max) return calls
  return max === 0 ? {} : { web_search: max }
}

function sameCounts(a: UsageCounts, b: UsageCounts): boolean {
  return totalInput(a) === totalInput(b) && totalOutput(a) === totalOutput(b)
}

function inModel(tokens: number, { tokenFactor }: Measure): number {
  return Math.ceil(tokens * tokenFactor)
}

function estimate(reading: Reading, bounds: Measure, flags: readonly ReceiptFlag[]): Counted {
  const counts = {
    input: Math.min(inModel(bounds.inputTokensEstimated(), bounds), bounds.inputTokensMax),
    output: Math.min(inModel(reading.tokensEstimated, bounds), bounds.outputTokensMax),
  }
  return {
    usage: { counts, reasoning: null, calls: {}, source: 'estimated' },
    others: [],
    how: 'estimated',
    flags,
  }
}

/**
 * Usage that came before the output it is about (Anthropic's first event says one token) is completed by what was
 * delivered since.
 */
function withDelivered(counts: UsageCounts, reading: Reading, bounds: Measure): UsageCounts {
  const missing = inModel(reading.tokensEstimated, bounds) - totalOutput(counts)
  return missing > 0 ? { ...counts, output: (counts.output ?? 0) + missing } : counts
}

function count(reading: Reading, bounds: Measure): Counted {
  const read = reading.usage
  if (read.kind === 'missing') return estimate(reading, bounds, ['usage_missing'])
  if (read.kind === 'invalid') return estimate(reading, bounds, ['usage_invalid'])
  const { reasoning, exact, calls, others } = read.usage
  const untold = read.usage.flags.includes('output_not_reported')
  const counts =
    reading.usageWhole && !untold ? read.usage.counts : withDelivered(read.usage.counts, reading, bounds)
  // Left out where nothing more was written: there was none to report.
  const counted = untold && counts !== read.usage.counts
  const flags =
    untold && !counted ? read.usage.flags.filter((flag) => flag !== 'output_not_reported') : read.usage.flags
  const capped = bounded(counts, reasoning, reading, bounds)
  const otherCounts = boundedOthers(others, bounds)
  const callCounts = boundedCalls(calls, bounds)
  const possible =
    sameCounts(capped, counts) &&
    otherCounts === others &&
    callCounts === calls &&
    !flags.includes('cached_exceeds_input')
  const zero = totalInput(counts) + totalOutput(counts) === 0
  const usage: Usage = {
    counts: capped,
    reasoning: reasoning === null ? null : Math.min(reasoning, totalOutput(capped)),
    calls: callCounts,
    source: counted
      ? 'estimated'
      : possible && exact && counts === read.usage.counts
        ? 'reported'
        : 'derived',
  }
  const more: ReceiptFlag[] = []
  for (const flag of flags) if (flag !== 'usage_invalid') more.push(flag)
  if (!possible) more.push('usage_impossible')
  if (zero && reading.hasOutput) more.push('usage_zero_with_output')
  const how = !possible ? 'bounded' : counted ? 'estimated' : 'reported'
  return { usage, others: otherCounts, how, flags: more }
}

/** A part of an answer: the upstream's own figures if they came, else what was delivered. */
function part(settlement: Settlement, reading: Reading, bounds: Measure): Metered {
  const counted = count(reading, bounds)
  const flags = counted.flags.filter((flag) => flag !== 'usage_missing')
  return { usage: counted.usage, others: counted.others, settlement, flags, noCharge: null }
}

const COMPLETED: Readonly<Record<Counted['how'], Settlement>> = {
  reported: 'completed_reported',
  estimated: 'completed_estimated',
  bounded: 'completed_bounded',
}

function completed(reading: Reading, bounds: Measure): Metered {
  const counted = count(reading, bounds)
  const { usage } = counted
  // Hidden reasoning that used up the limit is output: only an answer without any is empty.
  const outputReported = counted.how === 'estimated' ? 0 : totalOutput(usage.counts)
  if (reading.unbilled || (!reading.hasOutput && outputReported === 0))
    return {
      usage,
      others: [],
      settlement: 'empty_completion',
      flags: counted.flags,
      noCharge: 'empty_completion',
    }
  const reportedNothing = totalInput(usage.counts) + totalOutput(usage.counts) === 0
  return {
    usage,
    others: counted.others,
    settlement: COMPLETED[counted.how],
    flags: counted.flags,
    noCharge: reportedNothing ? 'reported_nothing' : null,
  }
}

export function meter(ending: Ending, requestBounds: MeterBounds): Metered {
  if (ending.kind === 'refused') return nothing('refused', 'refused')
  if (ending.kind === 'replayed') return nothing('replayed', 'replayed')
  const { outcome, tokenFactor = 1 } = ending
  const bounds: Measure = { ...requestBounds, tokenFactor }
  switch (outcome.kind) {
    case 'failed':
      return nothing('failed_before_output', 'nothing_delivered')
    case 'left':
      if (!outcome.accepted) return nothing('client_left_before_output', 'client_left_before_output')
      return part('client_left', outcome.reading ?? NOTHING_READ, bounds)
    case 'broke':
      return part('failed_after_output', outcome.reading, bounds)
    case 'cut': {
      const cut = part('cut_at_limit', outcome.reading, bounds)
      return { ...cut, flags: [...cut.flags, 'cut_at_limit'] }
    }
    case 'served':
      return completed(outcome.reading, bounds)
  }
}

/** The upstream had accepted the request, and nothing of its answer was passed on yet. */
const NOTHING_READ: Reading = {
  status: 200,
  usage: { kind: 'missing' },
  usageWhole: false,
  rawUsage: null,
  servedModel: null,
  serviceTier: null,
  hasOutput: false,
  unbilled: false,
  bytesRead: 0,
  tokensEstimated: 0,
}
