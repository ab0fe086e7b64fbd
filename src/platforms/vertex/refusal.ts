import { isArray, isObject, type Json, parseJson } from '../../kernel/index.ts'
import type { Platform, Refusal } from '../platform.ts'

/** Google's error envelope, which stands around the refusals of every format there; a list when a stream was asked for. */

/** Words that may come with 400 and are none of the caller's doing. */
const CHANNEL_FAULTS: ReadonlyMap<string, string> = new Map([
  ['FAILED_PRECONDITION', 'upstream_forbidden'],
  ['PERMISSION_DENIED', 'upstream_forbidden'],
  ['UNAUTHENTICATED', 'upstream_unauthorized'],
  ['NOT_FOUND', 'upstream_not_found'],
])

function envelope(value: Json): Json | undefined {
  const outer = isArray(value) ? value[0] : value
  return isObject(outer) ? outer['error'] : undefined
}

export const readRefusal: Platform['readRefusal'] = (_headers, text): Refusal | null => {
  const parsed = parseJson(text)
  const error = parsed.ok ? envelope(parsed.value) : undefined
  // The model's own errors have a type and no status.
  if (!isObject(error) || typeof error['status'] !== 'string') return null
  const { status, message } = error
  return {
    message: typeof message === 'string' ? message : '',
    code: status,
    channelFault: CHANNEL_FAULTS.get(status) ?? null,
  }
}
