import { isObject, type JsonObject } from '../../kernel/index.ts'
import type { Finish } from '../neutral.ts'

/** Why an answer ended: a status, and a reason where it is not whole. */

const REASONS: Readonly<Record<string, Finish>> = {
  max_output_tokens: 'length',
  content_filter: 'content_filter',
  // Cut by the caller's own limit of messages, or by what the caller said meanwhile: it may go on.
  max_messages: 'pause',
  steered: 'pause',
}

export interface Ending {
  readonly finish: Finish
  readonly finishRaw: string
}

export function readEnding(
  response: JsonObject,
  saw: { readonly calls: boolean; readonly refusal: boolean },
): Ending {
  const { status, incomplete_details: details } = response
  if (status === 'incomplete') {
    const reason =
      isObject(details) && typeof details['reason'] === 'string' ? details['reason'] : 'incomplete'
    return { finish: REASONS[reason] ?? 'length', finishRaw: reason }
  }
  const finishRaw = typeof status === 'string' ? status : 'completed'
  return { finish: saw.calls ? 'tool_calls' : saw.refusal ? 'refusal' : 'stop', finishRaw }
}

export interface Status {
  readonly status: 'completed' | 'incomplete' | 'failed'
  readonly incomplete_details: JsonObject | null
}

/** @param refused whether the refusal's own words are in the output */
export function writeEnding(finish: Finish, refused: boolean): Status {
  switch (finish) {
    case 'length':
    case 'context_exceeded':
      return { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } }
    case 'content_filter':
      return { status: 'incomplete', incomplete_details: { reason: 'content_filter' } }
    case 'refusal':
      return refused
        ? { status: 'completed', incomplete_details: null }
        : { status: 'incomplete', incomplete_details: { reason: 'content_filter' } }
    case 'error':
      return { status: 'failed', incomplete_details: null }
    default:
      return { status: 'completed', incomplete_details: null }
  }
}
