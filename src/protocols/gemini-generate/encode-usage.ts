import { countOf, type Json, type JsonObject, totalInput, totalOutput } from '../../kernel/index.ts'
import type { ReadUsage } from '../usage.ts'
import { CACHE_WRITE, CACHE_WRITE_1H, SEARCHES } from './usage.ts'

/** Usage as clients of this format add it up: cached inside the prompt, thoughts beside the candidates. */

function details(kinds: Readonly<Record<string, number>>): Json[] {
  return Object.entries(kinds).flatMap(([modality, tokenCount]) =>
    tokenCount > 0 ? [{ modality, tokenCount }] : [],
  )
}

const ifAny = (name: string, count: number): JsonObject => (count > 0 ? { [name]: count } : {})

/** @param note goes under `tf`; null for nothing */
export function writeUsage(
  usage: ReadUsage,
  serviceTier: string | null,
  note: JsonObject | null,
): JsonObject {
  const { counts, reasoning } = usage
  const prompt = totalInput(counts)
  const output = totalOutput(counts)
  const cached = countOf(counts, 'cache_read')
  const audio = countOf(counts, 'input_audio')
  const image = countOf(counts, 'input_image')
  const audioOut = countOf(counts, 'output_audio')
  const candidates = output - (reasoning ?? 0)
  return {
    promptTokenCount: prompt,
    ...ifAny('cachedContentTokenCount', cached),
    candidatesTokenCount: candidates,
    ...(reasoning === null ? {} : { thoughtsTokenCount: reasoning }),
    totalTokenCount: prompt + output,
    promptTokensDetails: details({ TEXT: prompt - audio - image, IMAGE: image, AUDIO: audio }),
    // Sound and images of the neutral form are the uncached ones, so whatever is cached is told as text.
    ...(cached > 0 ? { cacheTokensDetails: details({ TEXT: cached }) } : {}),
    ...(audioOut > 0
      ? { candidatesTokensDetails: details({ TEXT: candidates - audioOut, AUDIO: audioOut }) }
      : {}),
    ...ifAny(CACHE_WRITE, countOf(counts, 'cache_write_5m') + countOf(counts, 'cache_write_1h')),
    ...ifAny(CACHE_WRITE_1H, countOf(counts, 'cache_write_1h')),
    ...ifAny(SEARCHES, usage.calls.web_search ?? 0),
    ...(serviceTier === null ? {} : { serviceTier: serviceTier === 'default' ? 'standard' : serviceTier }),
    ...(note === null ? {} : { tf: note }),
  }
}
