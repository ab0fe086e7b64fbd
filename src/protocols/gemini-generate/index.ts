import type { Protocol } from '../protocol.ts'
import { readAnswer } from './answer.ts'
import { estimateInput } from './bound.ts'
import { decodeAnswer } from './decode-answer.ts'
import { decodeRequest } from './decode-request.ts'
import { createStreamDecoder } from './decode-stream.ts'
import { callHeaders, callPath, passEdits } from './edits.ts'
import { encodeAnswer } from './encode-answer.ts'
import { encodeRequest } from './encode-request.ts'
import { createStreamEncoder } from './encode-stream.ts'
import { errorAnswer, lengthEnding, readError, streamError } from './errors.ts'
import { type GeminiFacts, readRequest } from './request.ts'
import { createStreamReader } from './stream-reader.ts'
import { readUsage } from './usage.ts'

export type { GeminiFacts } from './request.ts'

/** Google's `generateContent` and `streamGenerateContent`, as events or as one array. */
export const geminiGenerate: Protocol<GeminiFacts> = {
  name: 'gemini-generate',
  readRequest,
  estimateInput,
  decodeRequest,
  encodeAnswer,
  createStreamEncoder,
  errorAnswer,
  streamError,
  lengthEnding,
  callPath,
  callHeaders,
  forwardedHeaders: ['x-goog-api-client'],
  passEdits,
  encodeRequest,
  readAnswer,
  decodeAnswer,
  createStreamReader,
  createStreamDecoder,
  readUsage,
  readError,
}
