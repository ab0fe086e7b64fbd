import { isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import type { EncoderContext } from '../protocol.ts'
import type { ReadUsage } from '../usage.ts'
import { writeToolUsage, writeUsage } from './usage.ts'

/** The response object of an answer of ours: it repeats what the request asked for, as OpenAI's does. */

const UNFIT = /[^a-zA-Z0-9_]/g

export interface Head {
  readonly id: string
  readonly model: string
  readonly createdSeconds: number
  /** What all ids of the answer's items are made of. */
  readonly suffix: string
}

export function headOf(
  source: { readonly id: string; readonly model: string; readonly createdSeconds: number | null },
  context: EncoderContext,
): Head {
  const id = source.id === '' ? context.requestId : source.id
  const suffix = id.startsWith('resp_') ? id.slice('resp_'.length) : id.replace(UNFIT, '_')
  return {
    id: `resp_${suffix}`,
    model: source.model === '' ? context.requestedModel : source.model,
    createdSeconds: source.createdSeconds ?? context.createdSeconds,
    suffix,
  }
}

/** Members that stand in the answer as they were asked for, or with OpenAI's default. */
const REPEATED: ReadonlyArray<readonly [string, Json]> = [
  ['instructions', null],
  ['max_output_tokens', null],
  ['max_tool_calls', null],
  ['parallel_tool_calls', true],
  ['previous_response_id', null],
  ['prompt_cache_key', null],
  ['safety_identifier', null],
  ['temperature', 1],
  ['tool_choice', 'auto'],
  ['tools', []],
  ['top_logprobs', 0],
  ['top_p', 1],
  ['truncation', 'disabled'],
  ['user', null],
  ['metadata', {}],
]

function repeated(body: JsonObject): JsonObject {
  const text = isObject(body['text']) ? body['text'] : {}
  const reasoning = isObject(body['reasoning']) ? body['reasoning'] : {}
  return {
    ...Object.fromEntries(REPEATED.map(([name, standard]) => [name, body[name] ?? standard])),
    reasoning: { ...reasoning, effort: reasoning['effort'] ?? null, summary: reasoning['summary'] ?? null },
    text: { ...text, format: text['format'] ?? { type: 'text' }, verbosity: text['verbosity'] ?? 'medium' },
  }
}

export interface ResponseState {
  readonly status: 'in_progress' | 'completed' | 'incomplete' | 'failed'
  readonly incomplete_details?: JsonObject | null
  readonly error?: JsonObject | null
  readonly output: readonly JsonObject[]
  readonly usage: ReadUsage | null
  readonly serviceTier: string | null
}

/** What other formats call the class of service that OpenAI calls `default`. */
function writeTier(tier: string | null, body: JsonObject): Json {
  if (tier === null) return body['service_tier'] ?? 'auto'
  return tier.toLowerCase() === 'standard' ? 'default' : tier
}

export class ResponseWriter {
  private readonly context: EncoderContext
  private readonly head: Head
  private readonly repeated: JsonObject

  constructor(context: EncoderContext, head: Head) {
    this.context = context
    this.head = head
    this.repeated = repeated(context.requestBody)
  }

  /** @param state with usage at the very end only: the note of its charge is asked for once */
  write(state: ResponseState): JsonObject {
    const { usage } = state
    const tools = writeToolUsage(usage)
    return {
      id: this.head.id,
      object: 'response',
      created_at: this.head.createdSeconds,
      status: state.status,
      background: false,
      error: state.error ?? null,
      incomplete_details: state.incomplete_details ?? null,
      model: this.head.model,
      output: state.output,
      ...this.repeated,
      service_tier: writeTier(state.serviceTier, this.context.requestBody),
      // A translated answer is kept nowhere, whatever was asked.
      store: false,
      ...(tools === null ? {} : { tool_usage: tools }),
      usage: usage === null ? null : writeUsage(usage, this.context.annotate()),
    }
  }
}
