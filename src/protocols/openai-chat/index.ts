import type { Protocol } from '../protocol.ts'
import { lengthEnding, readChatAnswer } from './answer.ts'
import { decodeAnswer } from './decode-answer.ts'
import { decodeRequest } from './decode-request.ts'
import { createStreamDecoder } from './decode-stream.ts'
import { encodeAnswer } from './encode-answer.ts'
import { encodeRequest } from './encode-request.ts'
import { createStreamEncoder } from './encode-stream.ts'
import { errorAnswer, streamError, upstreamErrorMessage } from './errors.ts'
import { type ChatFacts, chatRequestEdits, estimateChatInput, readChatRequest } from './request.ts'
import { createChatStreamReader } from './stream.ts'
import { readChatUsage } from './usage.ts'

/** OpenAI chat completions and the many servers that are compatible with it. */
export const openaiChatProtocol: Protocol<ChatFacts> = {
  name: 'openai-chat',

  readRequest: ({ body, byteLength }) => readChatRequest(body, byteLength),
  estimateInput: estimateChatInput,
  decodeRequest,
  encodeAnswer,
  createStreamEncoder,
  errorAnswer,
  streamError,
  lengthEnding,

  callPath: () => '/chat/completions',
  callHeaders: (apiKey) => ({ authorization: `Bearer ${apiKey}` }),
  forwardedHeaders: ['openai-beta'],
  passEdits: (request, call) =>
    chatRequestEdits(request, call.upstreamModel, call.maxOutputTokens, call.withoutUsage),
  encodeRequest,
  readAnswer: readChatAnswer,
  decodeAnswer,
  createStreamReader: createChatStreamReader,
  createStreamDecoder,
  readUsage: readChatUsage,
  readError: upstreamErrorMessage,
}
