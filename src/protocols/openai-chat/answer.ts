import { isArray, isObject, type Json, parseJson } from '../../kernel/index.ts'
import { estimateTextTokens } from '../estimate.ts'
import type { AnswerResult, StreamCut } from '../protocol.ts'
import { writeUsage } from './encode-usage.ts'
import { findUsage } from './usage.ts'

const OUTPUT_MEMBERS = [
  'content',
  'reasoning_content',
  'reasoning',
  'refusal',
  'tool_calls',
  'function_call',
  'audio',
] as const

function estimateOutput(value: Json | undefined): number {
  if (typeof value === 'string') return estimateTextTokens(value)
  if (isArray(value)) return value.reduce<number>((sum, member) => sum + estimateOutput(member), 0)
  if (isObject(value))
    return Object.values(value).reduce<number>((sum, member) => sum + estimateOutput(member), 0)
  return 0
}

function isEmpty(value: Json | undefined): boolean {
  return value === undefined || value === null || value === '' || (isArray(value) && value.length === 0)
}

/** What metering needs of a whole answer; refused when it is none: not JSON, an error in a 200, no choices. */
export function readChatAnswer(text: string): AnswerResult {
  const parsed = parseJson(text)
  if (!parsed.ok || !isObject(parsed.value)) return { ok: false, message: 'the answer is not JSON' }
  const body = parsed.value
  const error = body['error']
  if (error !== undefined && error !== null)
    return {
      ok: false,
      message:
        isObject(error) && typeof error['message'] === 'string'
          ? error['message']
          : 'an error in a 200 answer',
    }
  const choices = body['choices']
  if (!isArray(choices)) return { ok: false, message: 'the answer has no choices' }
  const messages = choices
    .map((choice) => (isObject(choice) ? choice['message'] : undefined))
    .filter(isObject)
  return {
    ok: true,
    answer: {
      usage: findUsage(body),
      servedModel: typeof body['model'] === 'string' ? body['model'] : null,
      serviceTier: typeof body['service_tier'] === 'string' ? body['service_tier'] : null,
      hasOutput: messages.some((message) =>
        [...OUTPUT_MEMBERS, 'images'].some((member) => !isEmpty(message[member])),
      ),
      get tokensEstimated() {
        return messages.reduce(
          (sum, message) =>
            sum + OUTPUT_MEMBERS.reduce((n, member) => n + estimateOutput(message[member]), 0),
          0,
        )
      },
      body,
    },
  }
}

const ONE: StreamCut = { choices: [0], usage: null }

/**
 * The end of a stream that is cut here: a chunk with `finish_reason: "length"` for each choice in the style of the chunks
 * before it, the usage, and the end mark.
 * @param firstEvent an event of the stream, for its id and model
 */
export function lengthEnding(firstEvent: Buffer | null, _frame?: 'sse' | 'array', cut = ONE): Buffer {
  const line = firstEvent
    ?.toString('utf8')
    .split('\n')
    .find((text) => text.startsWith('data:') && text.includes('{'))
  const parsed = line === undefined ? null : parseJson(line.slice(5))
  const first = parsed?.ok && isObject(parsed.value) ? parsed.value : {}
  const head = {
    id: first['id'] ?? 'chatcmpl-cut',
    object: 'chat.completion.chunk',
    created: first['created'] ?? 0,
    model: first['model'] ?? '',
  }
  const { usage } = cut
  const chunks = cut.choices.map((index) => ({
    ...head,
    choices: [{ index, delta: {}, logprobs: null, finish_reason: 'length' }],
    ...(usage === null ? {} : { usage: null }),
  }))
  const last = usage === null ? [] : [{ ...head, choices: [], usage: writeUsage(usage.read, usage.note) }]
  const text = [...chunks, ...last].map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join('')
  return Buffer.from(`${text}data: [DONE]\n\n`)
}
