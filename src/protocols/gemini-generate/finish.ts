import type { Finish } from '../neutral.ts'

/**
 * Why a candidate ended. Google says `STOP` for tool calls and for stop sequences too. Reasons of blocked prompts stand
 * here as well: such an answer has no candidate and its reason in `promptFeedback`.
 */
const FINISH: Readonly<Record<string, Finish>> = {
  STOP: 'stop',
  MAX_TOKENS: 'length',
  CONTINUATION: 'pause',
  SAFETY: 'content_filter',
  RECITATION: 'content_filter',
  LANGUAGE: 'content_filter',
  BLOCKLIST: 'content_filter',
  PROHIBITED_CONTENT: 'content_filter',
  SPII: 'content_filter',
  MODEL_ARMOR: 'content_filter',
  JAILBREAK: 'content_filter',
  IMAGE_SAFETY: 'content_filter',
  IMAGE_PROHIBITED_CONTENT: 'content_filter',
  IMAGE_RECITATION: 'content_filter',
  BLOCKED_REASON_UNSPECIFIED: 'content_filter',
  BLOCK_REASON_UNSPECIFIED: 'content_filter',
  OTHER: 'error',
  IMAGE_OTHER: 'error',
  NO_IMAGE: 'error',
  MALFORMED_FUNCTION_CALL: 'error',
  UNEXPECTED_TOOL_CALL: 'error',
  TOO_MANY_TOOL_CALLS: 'error',
  MISSING_THOUGHT_SIGNATURE: 'error',
  MALFORMED_RESPONSE: 'error',
}

/** Some relays put it into every event; it says nothing. */
export const UNSPECIFIED = 'FINISH_REASON_UNSPECIFIED'

const WORDS: Readonly<Record<Finish, string>> = {
  stop: 'STOP',
  stop_sequence: 'STOP',
  tool_calls: 'STOP',
  length: 'MAX_TOKENS',
  context_exceeded: 'MAX_TOKENS',
  content_filter: 'SAFETY',
  refusal: 'PROHIBITED_CONTENT',
  pause: 'CONTINUATION',
  error: 'OTHER',
}

/** A reason that is not known yet is none of the good ends. */
export function readFinish(raw: string, called: boolean): Finish {
  if (raw === 'STOP' && called) return 'tool_calls'
  return Object.hasOwn(FINISH, raw) ? (FINISH[raw] ?? 'error') : 'error'
}

/** A prompt can be blocked for `OTHER` and `SAFETY` alike: whatever the word, nothing was let through. */
export function readBlock(raw: string): Finish {
  const finish = readFinish(raw, false)
  return finish === 'error' ? 'content_filter' : finish
}

/** Google's own word comes back as it was; another format's is translated. */
export function writeFinish(finish: Finish, raw: string): string {
  const own = /^[A-Z]+(?:_[A-Z]+)*$/.test(raw)
  if (own && raw !== 'STOP' && readFinish(raw, false) === finish) return raw
  return WORDS[finish]
}
