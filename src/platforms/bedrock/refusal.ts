import { isObject, type Json, parseJson } from '../../kernel/index.ts'
import type { Platform, Refusal } from '../platform.ts'

/** Bedrock's errors: the kind in a header, a message in the body. */

const KIND_HEADER = 'x-amzn-errortype'

/** Kinds that may come with 400 and are none of the caller's doing. */
const CHANNEL_FAULTS: Readonly<Record<string, string>> = {
  AccessDeniedException: 'upstream_forbidden',
  ExpiredTokenException: 'upstream_unauthorized',
  IncompleteSignatureException: 'upstream_unauthorized',
  InvalidSignatureException: 'upstream_unauthorized',
  MissingAuthenticationTokenException: 'upstream_unauthorized',
  UnrecognizedClientException: 'upstream_unauthorized',
  ResourceNotFoundException: 'upstream_not_found',
  ServiceQuotaExceededException: 'rate_limited',
  ThrottlingException: 'rate_limited',
}

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
  const channelFault = aboutModel ? 'upstream_not_found' : (CHANNEL_FAULTS[kind ?? ''] ?? null)
  return { message, code: kind, channelFault }
}
