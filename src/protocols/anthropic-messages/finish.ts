import type { Finish } from '../neutral.ts'

const FINISH_OF: Readonly<Record<string, Finish>> = {
  end_turn: 'stop',
  max_tokens: 'length',
  stop_sequence: 'stop_sequence',
  tool_use: 'tool_calls',
  pause_turn: 'pause',
  compaction: 'pause',
  refusal: 'refusal',
  model_context_window_exceeded: 'context_exceeded',
  error: 'error',
}

const REASON_OF: Readonly<Record<Finish, string>> = {
  stop: 'end_turn',
  length: 'max_tokens',
  stop_sequence: 'stop_sequence',
  tool_calls: 'tool_use',
  content_filter: 'refusal',
  refusal: 'refusal',
  context_exceeded: 'model_context_window_exceeded',
  pause: 'pause_turn',
  // Not one of Anthropic's words, which are all good ends.
  error: 'error',
}

/** An unknown reason is a stop: the raw word goes along. */
export function finishOf(stopReason: string): Finish {
  return Object.hasOwn(FINISH_OF, stopReason) ? (FINISH_OF[stopReason] ?? 'stop') : 'stop'
}

/**
 * @param raw the source's own word, kept when it is one of ours and means the same
 * @param calls whether the answer calls tools: other formats say `stop` when a call was forced, and clients of this one
 *   would then not run it
 */
export function stopReasonOf(finish: Finish, raw: string, calls: boolean): string {
  if (finish === 'stop' && calls) return 'tool_use'
  return Object.hasOwn(FINISH_OF, raw) && FINISH_OF[raw] === finish ? raw : REASON_OF[finish]
}
