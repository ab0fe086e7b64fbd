import type { JsonObject } from '../../kernel/index.ts'
import type { CachedPrompt } from '../plan.ts'
import { IMAGE_TOKENS } from '../plan.ts'
import type { Switches } from '../switches.ts'
import { usageText } from '../usage-text.ts'

export interface GenerateCounts extends CachedPrompt {
  readonly images: number
  /** Google counts thoughts beside the answer, not inside. */
  readonly thoughts: number
  /** Results of searches, which are input outside the prompt. */
  readonly toolPrompt: number
  readonly serviceTier: string
}

/**
 * usageMetadata as JSON text.
 * @param candidates tokens of the answer so far; 0 leaves the member out, as recorded
 */
export function generateUsage(
  counts: GenerateCounts,
  candidates: number,
  switches: Switches,
  colon: ':' | ': ',
): string | null {
  return usageText(usageTree(counts, candidates), switches, { colon })
}

function usageTree(counts: GenerateCounts, candidates: number): JsonObject {
  const { prompt, cacheRead, thoughts, toolPrompt, serviceTier } = counts
  return {
    promptTokenCount: prompt,
    ...(candidates > 0 ? { candidatesTokenCount: candidates } : {}),
    totalTokenCount: prompt + candidates + thoughts + toolPrompt,
    ...(cacheRead > 0 ? { cachedContentTokenCount: cacheRead } : {}),
    promptTokensDetails: modalities(counts),
    ...(cacheRead > 0 ? { cacheTokensDetails: [{ modality: 'TEXT', tokenCount: cacheRead }] } : {}),
    ...(toolPrompt > 0
      ? {
          toolUsePromptTokenCount: toolPrompt,
          toolUsePromptTokensDetails: [{ modality: 'TEXT', tokenCount: toolPrompt }],
        }
      : {}),
    ...(thoughts > 0 ? { thoughtsTokenCount: thoughts } : {}),
    serviceTier,
  }
}

export function modalities({
  prompt,
  images,
}: Pick<GenerateCounts, 'prompt' | 'images'>): readonly JsonObject[] {
  const seen = images * IMAGE_TOKENS
  const text = { modality: 'TEXT', tokenCount: prompt - seen }
  return seen > 0 ? [text, { modality: 'IMAGE', tokenCount: seen }] : [text]
}
