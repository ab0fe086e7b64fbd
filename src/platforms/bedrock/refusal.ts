import { isObject, type Json, parseJson } from '../../kernel/index.ts'
import type { Platform, Refusal } from '../platform.ts'

/** Bedrock's errors: the kind in a header, a message in the body. */

const KIND_HEADER = 'x-amzn-errortype'

/** Kinds (some are also written without `Exception`) that are none of the caller's doing, though some come with 400. */
const CHANNEL_FAULTS: ReadonlyMap<string, string> = new Map([
  ['AccessDenied', 'upstream_forbidden'],
  ['NotAuthorized', 'upstream_forbidden'],
  ['OptInRequired', 'upstream_forbidden'],
  ['ExpiredToken', 'upstream_unauthorized'],
  ['IncompleteSignature', 'upstream_unauthorized'],
  ['InvalidClientTokenId', 'upstream_unauthorized'],
  ['InvalidSignature', 'upstream_unauthorized'],
  ['MissingAuthenticationToken', 'upstream_unauthorized'],
  ['RequestExpired', 'upstream_unauthorized'],
  ['UnrecognizedClient', 'upstream_unauthorized'],
  ['InvalidAction', 'upstream_not_found'],
  ['ResourceNotFound', 'upstream_not_found'],
  ['ServiceQuotaExceeded', 'rate_limited'],
  ['Throttling', 'rate_limited'],
])

/** A ValidationException that is about the model's id, which forge.yaml chose: another channel may know it. */
const ABOUT_MODEL = /model identifier|on-demand throughput|inference profile|model access|end of its life/i

function textOf(value: Json | undefined): string | null {
  return typeof value === 'string' ? value : null
}

export const readRefusal: Platform['readRefusal'] = (headers, text): Refusal | null => {
  const given = headers[KIND_HEADER]
  const name = (Array.isArray(given) ? given[0] : given)?.split(':')[0] ?? null
  const parsed = parseJson(text)
  const body = parsed.ok && isObject(parsed.value) ? parsed.value : {}
  // An error in the model's own format is the format's to read.
  if (isObject(body['error'])) return null
  const kind = name ?? textOf(body['__type'])?.split('#').at(-1) ?? null
  const message = textOf(body['message']) ?? textOf(body['Message']) ?? ''
  const aboutModel = kind === 'ValidationException' && ABOUT_MODEL.test(message)
  const channelFault = aboutModel
    ? 'upstream_not_found'
    : (CHANNEL_FAULTS.get(kind?.replace(/Exception$/, '') ?? '') ?? null)
  return { message, code: kind, channelFault }
}
