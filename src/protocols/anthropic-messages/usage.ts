import { isArray, isObject, type Json, type JsonObject, type UsageCounts } from '../../kernel/index.ts'
import {
  isCount,
  type OtherModelUsage,
  optionalCount,
  type UsageFlag,
  type UsageResult,
  withoutZeros,
} from '../usage.ts'

/**
 * Usage of the Messages API as disjoint classes. `input_tokens` excludes both caches. `iterations[]`, where present, is
 * the bill: its compaction and advisor entries are not inside the top-level figures. Source: the types of Anthropic's
 * SDK 1.12.0, recorded answers.
 */

interface Entry {
  readonly input: number
  readonly cacheRead: number
  readonly write5m: number
  readonly write1h: number
  readonly output: number
  /** Part of the cache write has no TTL, or the TTLs do not add up to it. */
  readonly splitLost: boolean
}

/** null when one of the figures is no count. */
function readEntry(usage: JsonObject): Entry | null {
  const input = optionalCount(usage['input_tokens'])
  const output = optionalCount(usage['output_tokens'])
  const cacheRead = optionalCount(usage['cache_read_input_tokens'])
  const written = usage['cache_creation_input_tokens']
  const total = optionalCount(written)
  const split = isObject(usage['cache_creation']) ? usage['cache_creation'] : {}
  const split5m = optionalCount(split['ephemeral_5m_input_tokens'])
  const split1h = optionalCount(split['ephemeral_1h_input_tokens'])
  if (Math.min(input, output, cacheRead, total, split5m, split1h) < 0) return null
  const entry = { input, output, cacheRead }
  if (written === undefined || written === null)
    return { ...entry, write5m: split5m, write1h: split1h, splitLost: false }
  // message_delta raises the total without the split, and the request's TTL is not known here: the remainder is taken
  // for the cheaper write. A split above the total is cut down to it, the dearer write first.
  const write1h = Math.min(split1h, Math.max(0, total - split5m))
  return { ...entry, write5m: total - write1h, write1h, splitLost: split5m + split1h !== total }
}

function countsOf(entries: readonly Entry[]): UsageCounts {
  const sum = (pick: (entry: Entry) => number): number => entries.reduce((n, entry) => n + pick(entry), 0)
  return withoutZeros({
    input: sum((entry) => entry.input),
    cache_read: sum((entry) => entry.cacheRead),
    cache_write_5m: sum((entry) => entry.write5m),
    cache_write_1h: sum((entry) => entry.write1h),
    output: sum((entry) => entry.output),
  })
}

interface Iteration {
  readonly type: string
  readonly model: string | null
  readonly entry: Entry
}

/** null when there is something that is no iteration. */
function readIterations(list: readonly Json[]): Iteration[] | null {
  const iterations: Iteration[] = []
  for (const item of list) {
    const entry = isObject(item) ? readEntry(item) : null
    if (!isObject(item) || entry === null) return null
    const { type, model } = item
    iterations.push({
      type: typeof type === 'string' ? type : 'message',
      model: typeof model === 'string' && model !== '' ? model : null,
      entry,
    })
  }
  return iterations
}

/** The model that the request asked for: the one of the first message entry. null when entries do not say. */
export function mainModelOf(usage: Json | undefined): string | null {
  const list = isObject(usage) ? usage['iterations'] : undefined
  if (!isArray(list)) return null
  const first = list.find((item) => isObject(item) && item['type'] === 'message')
  return isObject(first) && typeof first['model'] === 'string' ? first['model'] : null
}

interface Shares {
  readonly main: readonly Entry[]
  readonly others: ReadonlyMap<string, readonly Entry[]>
}

function share(iterations: readonly Iteration[], top: Entry, main: string | null): Shares {
  const fallbacks = new Set(
    iterations.filter((one) => one.type === 'fallback_message').map((one) => one.model),
  )
  const own: Entry[] = []
  const others = new Map<string, Entry[]>()
  for (const { type, model, entry } of iterations) {
    const foreign =
      type === 'advisor_message' || type === 'fallback_message'
        ? model !== main
        : main === null
          ? fallbacks.has(model)
          : model !== main
    if (model === null || !foreign) own.push(entry)
    else others.set(model, [...(others.get(model) ?? []), entry])
  }
  // A list of nothing but compactions and advisors leaves the answer itself to the top-level figures.
  const sampled = iterations.some((one) => one.type !== 'compaction' && one.type !== 'advisor_message')
  return { main: sampled ? own : [top, ...own], others }
}

const sizeOf = (entries: readonly Entry[]): string =>
  [
    entries.reduce((n, one) => n + one.input + one.cacheRead + one.write5m + one.write1h, 0),
    entries.reduce((n, one) => n + one.output, 0),
  ].join()

/** The top-level figures are the sum of the sampling entries, or of those of the model that answered in the end. */
function agrees(iterations: readonly Iteration[], top: Entry): boolean {
  const sampling = iterations.filter((one) => one.type === 'message' || one.type === 'fallback_message')
  if (sampling.length === 0) return true
  const last = sampling.at(-1)?.model ?? null
  const sums = [sampling, sampling.filter((one) => one.model === last)]
  return sums.some((sum) => sizeOf(sum.map((one) => one.entry)) === sizeOf([top]))
}

function flagsOf(usage: JsonObject, entries: readonly Entry[], others: number, agreed: boolean): UsageFlag[] {
  const credit = usage['fallback_credit']
  const flags: UsageFlag[] = []
  if (entries.some((entry) => entry.splitLost)) flags.push('cache_write_split_lost')
  if (credit !== undefined && credit !== null) flags.push('provider_repriced')
  if (others > 0) flags.push('other_models_used')
  if (!agreed) flags.push('usage_total_mismatch')
  return flags
}

/** @param raw the `usage` of an answer, or of a stream as `mergeUsage` leaves it */
export function readUsage(raw: Json | undefined): UsageResult {
  if (raw === undefined || raw === null) return { kind: 'missing' }
  if (!isObject(raw)) return { kind: 'invalid' }
  const top = readEntry(raw)
  const details = isObject(raw['output_tokens_details']) ? raw['output_tokens_details'] : {}
  const tools = isObject(raw['server_tool_use']) ? raw['server_tool_use'] : {}
  const thinking = details['thinking_tokens']
  const searches = optionalCount(tools['web_search_requests'])
  if (top === null || searches < 0 || optionalCount(thinking) < 0) return { kind: 'invalid' }
  if (!isCount(raw['input_tokens']) || !isCount(raw['output_tokens'])) return { kind: 'missing' }
  const list = isArray(raw['iterations']) ? raw['iterations'] : []
  const iterations = readIterations(list)
  if (iterations === null) return { kind: 'invalid' }
  const shares: Shares =
    iterations.length === 0 ? { main: [top], others: new Map() } : share(iterations, top, mainModelOf(raw))
  const others: OtherModelUsage[] = [...shares.others].map(([model, entries]) => ({
    model,
    counts: countsOf(entries),
  }))
  const counts = countsOf(shares.main)
  const flags = flagsOf(
    raw,
    [...shares.main, ...[...shares.others.values()].flat()],
    others.length,
    agrees(iterations, top),
  )
  return {
    kind: 'reported',
    usage: {
      counts,
      reasoning: isCount(thinking) ? Math.min(thinking, counts.output ?? 0) : null,
      calls: searches > 0 ? { web_search: searches } : {},
      others,
      exact: !flags.includes('cache_write_split_lost'),
      ...placeOf(raw['inference_geo']),
      flags,
    },
  }
}

/**
 * What a stream has reported so far: figures are cumulative, so each one that is not null replaces the one before it and
 * nothing is ever added up.
 * @param keep true for a `message_start`, which bad relays repeat: it only fills in what is still missing
 */
export function mergeUsage(before: JsonObject | null, next: JsonObject, keep: boolean): JsonObject {
  const merged: Record<string, Json> = { ...before }
  for (const [name, value] of Object.entries(next))
    if (value !== null && !(keep && merged[name] !== undefined && merged[name] !== null)) merged[name] = value
  return merged
}

/** What selects the rate: fast mode has its own, else the tier that served the request. */
export function tierOf(usage: Json | undefined): string | null {
  if (!isObject(usage)) return null
  if (usage['speed'] === 'fast') return 'fast'
  return typeof usage['service_tier'] === 'string' ? usage['service_tier'] : null
}

/** Models that cannot be placed answer `not_available`; `global` is anywhere. */
export function placeOf(place: Json | undefined): { readonly geography?: string } {
  const named = typeof place === 'string' && place !== '' && place !== 'global' && place !== 'not_available'
  return named ? { geography: place } : {}
}
