import type { Protocol } from '../protocol.ts'
import { readAnswer } from './answer.ts'
import { estimateInput } from './count-input.ts'
import { decodeAnswer } from './decode-answer.ts'
import { decodeRequest } from './decode-request.ts'
import { createStreamDecoder } from './decode-stream.ts'
import { encodeAnswer } from './encode-answer.ts'
import { encodeRequest } from './encode-request.ts'
import { createStreamEncoder } from './encode-stream.ts'
import { lengthEnding } from './ending.ts'
import { errorAnswer, readError, streamError } from './errors.ts'
import { type MessagesFacts, passEdits, readRequest } from './request.ts'
import { createStreamReader } from './stream-reader.ts'
import { readUsage } from './usage.ts'

export type { MessagesFacts } from './request.ts'

/** The newest version whose requests may carry sampling parameters; a caller's own version goes before it. */
const VERSION = '2023-06-01'

/**
 * Anthropic's Messages API. `callPath` starts with `/v1` because base URLs of this format are given without it; the gateway
 * takes it off where a base URL already ends in `/v1`.
 */
export const anthropicMessages: Protocol<MessagesFacts> = {
  name: 'anthropic-messages',
  readRequest,
  estimateInput,
  decodeRequest,
  encodeAnswer,
  createStreamEncoder,
  errorAnswer,
  streamError,
  lengthEnding,
  callPath: () => '/v1/messages',
  callHeaders: (apiKey) => ({ 'x-api-key': apiKey, 'anthropic-version': VERSION }),
  forwardedHeaders: ['anthropic-version', 'anthropic-beta'],
  passEdits,
  encodeRequest,
  readAnswer,
  decodeAnswer,
  createStreamReader,
  createStreamDecoder,
  readUsage,
  readError,
}
