import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import {
  isCount,
  optionalCount,
  type ReadUsage,
  type UsageFlag,
  type UsageResult,
  withoutZeros,
} from '../usage.ts'

/**
 * `usageMetadata` as disjoint classes. Cached tokens lie inside `promptTokenCount`; thoughts lie outside
 * `candidatesTokenCount`; what hosted tools fed to the model lies outside both, in `toolUsePromptTokenCount`. The details
 * tell sound and images from the rest; video and documents are billed as text. Sources: types of Google's SDK, recorded
 * answers.
 */

const COUNTS = [
  'promptTokenCount',
  'candidatesTokenCount',
  'thoughtsTokenCount',
  'cachedContentTokenCount',
  'toolUsePromptTokenCount',
  'totalTokenCount',
] as const

/** Members of ours in raw usage: searches stand elsewhere in an answer, cache writes are no notion of Google's. */
export const SEARCHES = 'webSearchQueryCount'
export const CACHE_WRITE = 'cacheWriteTokenCount'
export const CACHE_WRITE_1H = 'cacheWrite1hTokenCount'

/** False for what Vertex sends before the last event: a traffic type and no count. */
export function hasCounts(usage: Json | undefined): usage is JsonObject {
  return isObject(usage) && COUNTS.some((name) => usage[name] !== undefined && usage[name] !== null)
}

/** Distinct texts that Google searched the web for; it bills a query that it repeats once. */
export function addSearches(body: JsonObject, queries: Set<string>): void {
  const { candidates } = body
  if (!isArray(candidates)) return
  for (const candidate of candidates) {
    const grounding = isObject(candidate) ? candidate['groundingMetadata'] : undefined
    const searched = isObject(grounding) ? grounding['webSearchQueries'] : undefined
    if (!isArray(searched)) continue
    for (const query of searched) if (typeof query === 'string' && query.trim() !== '') queries.add(query)
  }
}

/** Raw usage with the searches that were seen beside it. */
export function withSearches(usage: JsonObject, queries: ReadonlySet<string>): JsonObject {
  return queries.size === 0 ? usage : { ...usage, [SEARCHES]: queries.size }
}

/** Raw usage of a whole answer; undefined when it reports none. */
export function findUsage(body: JsonObject): Json | undefined {
  const usage = body['usageMetadata']
  if (!isObject(usage)) return usage
  const queries = new Set<string>()
  addSearches(body, queries)
  return withSearches(usage, queries)
}

interface Modalities {
  readonly audio: number
  readonly image: number
  readonly given: boolean
}

/** @returns null when a count in it is none */
function modalities(value: Json | undefined): Modalities | null {
  if (value === undefined || value === null) return { audio: 0, image: 0, given: false }
  if (!isArray(value)) return null
  let audio = 0
  let image = 0
  for (const entry of value) {
    if (!isObject(entry)) return null
    const tokens = optionalCount(entry['tokenCount'])
    if (tokens < 0) return null
    if (entry['modality'] === 'AUDIO') audio += tokens
    if (entry['modality'] === 'IMAGE') image += tokens
  }
  return { audio, image, given: true }
}

interface Parts {
  readonly prompt: number
  readonly cached: number
  readonly tool: number
  readonly candidates: number
  readonly candidatesGiven: boolean
  readonly thoughts: number | null
  readonly total: number | null
  readonly promptKinds: Modalities
  readonly cachedKinds: Modalities
  readonly toolKinds: Modalities
  readonly candidateKinds: Modalities
  readonly written: number
  readonly written1h: number
}

function readParts(usage: JsonObject): Parts | null {
  const given = (name: string): boolean => usage[name] !== undefined && usage[name] !== null
  const prompt = usage['promptTokenCount']
  const numbers = [...COUNTS, CACHE_WRITE, CACHE_WRITE_1H].map((name) => optionalCount(usage[name]))
  if (!isCount(prompt) || Math.min(...numbers) < 0) return null
  const promptKinds = modalities(usage['promptTokensDetails'] ?? usage['promptTokenDetails'])
  const cachedKinds = modalities(usage['cacheTokensDetails'])
  const toolKinds = modalities(usage['toolUsePromptTokensDetails'])
  const candidateKinds = modalities(usage['candidatesTokensDetails'])
  if (promptKinds === null || cachedKinds === null || toolKinds === null || candidateKinds === null)
    return null
  return {
    prompt,
    cached: optionalCount(usage['cachedContentTokenCount']),
    tool: optionalCount(usage['toolUsePromptTokenCount']),
    candidates: optionalCount(usage['candidatesTokenCount']),
    candidatesGiven: given('candidatesTokenCount'),
    thoughts: given('thoughtsTokenCount') ? optionalCount(usage['thoughtsTokenCount']) : null,
    total: given('totalTokenCount') ? optionalCount(usage['totalTokenCount']) : null,
    promptKinds,
    cachedKinds,
    toolKinds,
    candidateKinds,
    written: optionalCount(usage[CACHE_WRITE]),
    written1h: optionalCount(usage[CACHE_WRITE_1H]),
  }
}

/** What had to be worked out, as flags. */
interface Doubts {
  readonly flags: Set<UsageFlag>
  exact: boolean
}

function doubt(doubts: Doubts, flag: UsageFlag): void {
  doubts.flags.add(flag)
  doubts.exact = false
}

interface Input {
  readonly text: number
  readonly cached: number
  readonly audio: number
  readonly image: number
}

/** The prompt in four heaps that add up to it, whatever the details claim. */
function readInput(parts: Parts, doubts: Doubts): Input {
  const { prompt, promptKinds, cachedKinds } = parts
  if (parts.cached > prompt) doubt(doubts, 'cached_exceeds_input')
  const cached = Math.min(parts.cached, prompt)
  const audioAll = Math.min(promptKinds.audio, prompt)
  const imageAll = Math.min(promptKinds.image, prompt - audioAll)
  if (audioAll + imageAll < promptKinds.audio + promptKinds.image) doubt(doubts, 'usage_total_mismatch')
  const untold = cached > 0 && audioAll + imageAll > 0 && !cachedKinds.given
  if (untold) doubt(doubts, 'cached_modalities_unknown')
  // Untold, the dearer kinds count as cached first: a doubt is not the customer's to pay for.
  const cachedAudio = Math.min(untold ? cached : cachedKinds.audio, audioAll, cached)
  const cachedImage = Math.min(untold ? cached : cachedKinds.image, imageAll, cached - cachedAudio)
  const fresh = prompt - cached
  const audio = Math.min(audioAll - cachedAudio, fresh)
  const image = Math.min(imageAll - cachedImage, fresh - audio)
  if (audio + cachedAudio < audioAll || image + cachedImage < imageAll) doubt(doubts, 'usage_total_mismatch')
  return { text: fresh - audio - image, cached, audio, image }
}

/** Thoughts lie beside the candidates, except where the total says that they are inside (some relays). */
function readOutput(parts: Parts, doubts: Doubts): number {
  const { prompt, tool, candidates, total } = parts
  const thoughts = parts.thoughts ?? 0
  if (!parts.candidatesGiven) {
    // Google leaves out a count of none, and its total agrees; without a total only what was written can tell.
    if (total === null) doubts.flags.add('output_not_reported')
    else if (total > prompt + tool + thoughts) {
      doubts.exact = false
      return total - prompt - tool
    }
  }
  if (total === null || total === prompt + tool + candidates + thoughts) return candidates + thoughts
  if (thoughts > 0 && thoughts <= candidates && total === prompt + tool + candidates) {
    doubt(doubts, 'reasoning_inside_output')
    return candidates
  }
  doubts.flags.add('usage_total_mismatch')
  return candidates + thoughts
}

export function readUsage(raw: Json | undefined): UsageResult {
  if (raw === undefined || raw === null) return { kind: 'missing' }
  if (!isObject(raw)) return { kind: 'invalid' }
  if (!hasCounts(raw)) return { kind: 'missing' }
  const parts = readParts(raw)
  if (parts === null) return { kind: 'invalid' }
  const doubts: Doubts = { flags: new Set(), exact: true }
  const input = readInput(parts, doubts)
  const output = readOutput(parts, doubts)
  const audioOut = Math.min(parts.candidateKinds.audio, parts.candidates)
  const toolAudio = Math.min(parts.toolKinds.audio, parts.tool)
  const toolImage = Math.min(parts.toolKinds.image, parts.tool - toolAudio)
  const written = Math.min(parts.written, input.text)
  const written1h = Math.min(parts.written1h, written)
  const searches = raw[SEARCHES]
  const usage: ReadUsage = {
    counts: withoutZeros({
      input: input.text - written + parts.tool - toolAudio - toolImage,
      cache_read: input.cached,
      cache_write_5m: written - written1h,
      cache_write_1h: written1h,
      input_audio: input.audio + toolAudio,
      input_image: input.image + toolImage,
      output: output - audioOut,
      output_audio: audioOut,
    }),
    reasoning: parts.thoughts,
    calls: isCount(searches) && searches > 0 ? { web_search: searches } : {},
    others: [],
    exact: doubts.exact,
    flags: [...doubts.flags],
  }
  return { kind: 'reported', usage }
}
