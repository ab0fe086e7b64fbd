import type { Protocol } from '../protocol.ts'
import { readAnswer } from './answer.ts'
import { decodeAnswer } from './decode-answer.ts'
import { decodeRequest } from './decode-request.ts'
import { createStreamDecoder } from './decode-stream.ts'
import { encodeAnswer } from './encode-answer.ts'
import { encodeRequest } from './encode-request.ts'
import { createStreamEncoder } from './encode-stream.ts'
import { errorAnswer, readError, streamError } from './errors.ts'
import { lengthEnding } from './length-ending.ts'
import { estimateInput, passEdits, type ResponsesFacts, readRequest } from './request.ts'
import { createStreamReader } from './stream-reader.ts'
import { readUsage } from './usage.ts'

export type { ResponsesFacts } from './request.ts'

/** OpenAI's responses: stateless towards any other format, and whatever OpenAI keeps on a route of its own. */
export const openaiResponses: Protocol<ResponsesFacts> = {
  name: 'openai-responses',
  readRequest,
  estimateInput,
  decodeRequest,
  encodeAnswer,
  createStreamEncoder,
  errorAnswer,
  streamError,
  lengthEnding,
  callPath: () => '/responses',
  callHeaders: (apiKey) => ({ authorization: `Bearer ${apiKey}` }),
  forwardedHeaders: ['openai-beta'],
  passEdits,
  encodeRequest,
  readAnswer,
  decodeAnswer,
  createStreamReader,
  createStreamDecoder,
  readUsage,
  readError,
}
