import { isArray, isObject, type JsonObject, parseJson } from '../../kernel/index.ts'
import { estimateTextTokens } from '../estimate.ts'
import type { AnswerResult } from '../protocol.ts'
import { failureMessage } from './errors.ts'
import { hasMedia, outputTexts } from './output-text.ts'
import { rawUsage } from './usage.ts'

function refuse(message: string): AnswerResult {
  return { ok: false, message }
}

/** A whole (not streamed) answer; refused when it is none: not JSON, an error in a 200, a failed response. */
export function readAnswer(text: string): AnswerResult {
  const parsed = parseJson(text)
  if (!parsed.ok || !isObject(parsed.value)) return refuse('the answer is not JSON')
  const body = parsed.value
  const failure = failureMessage(body)
  if (failure !== null) return refuse(failure)
  const { output, model, service_tier: tier } = body
  if (!isArray(output)) return refuse('the answer has no output')
  const items: readonly JsonObject[] = output.filter(isObject)
  return {
    ok: true,
    answer: {
      usage: rawUsage(body),
      servedModel: typeof model === 'string' ? model : null,
      serviceTier: typeof tier === 'string' ? tier : null,
      hasOutput: items.some((item) => hasMedia(item) || outputTexts(item).length > 0),
      get tokensEstimated() {
        return items.flatMap(outputTexts).reduce((sum, words) => sum + estimateTextTokens(words), 0)
      },
      body,
    },
  }
}
