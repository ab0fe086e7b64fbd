import { isArray, isObject, parseJson } from '../../kernel/index.ts'
import type { AnswerResult, DeltaCount } from '../protocol.ts'
import { errorOf } from './errors.ts'
import { countOutput } from './output.ts'
import { servedTier } from './tier.ts'
import { findUsage, hasCounts } from './usage.ts'

/**
 * A whole answer. A blocked prompt is one too: 200, no candidates, the reason in `promptFeedback`, and its input is
 * billed; so is an answer of usage alone.
 */
export function readAnswer(text: string): AnswerResult {
  const parsed = parseJson(text)
  if (!parsed.ok) return { ok: false, message: 'the answer is not JSON' }
  const failed = errorOf(parsed.value)
  if (failed !== null) return { ok: false, message: failed.message || 'an error in a 200 answer' }
  const body = parsed.value
  if (!isObject(body)) return { ok: false, message: 'the answer is no object' }
  const usage = body['usageMetadata']
  if (!isArray(body['candidates']) && !isObject(body['promptFeedback']) && !hasCounts(usage))
    return { ok: false, message: 'the answer has no candidates' }
  const count: DeltaCount = { events: 0, bytes: 0, tokens: 0 }
  const model = body['modelVersion']
  const hasOutput = countOutput(body, count)
  return {
    ok: true,
    answer: {
      usage: findUsage(body),
      servedModel: typeof model === 'string' && model !== '' ? model : null,
      serviceTier: isObject(usage) ? servedTier(usage) : null,
      hasOutput,
      tokensEstimated: Math.ceil(count.tokens),
      body,
    },
  }
}
