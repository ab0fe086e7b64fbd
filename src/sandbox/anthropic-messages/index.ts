import { isObject } from '../../kernel/index.ts'
import { NO_THINKING, planAnswer, REPLY_TOKENS, type Thinking } from '../plan.ts'
import {
  type ProtocolAnswer,
  type ProtocolRequest,
  type SandboxOperation,
  type SandboxProtocol,
  wholeAnswer,
} from '../protocol.ts'
import { failsInBody } from '../stream-faults.ts'
import { splitTokens } from '../tokens.ts'
import { type Language, reasoningText } from '../wording.ts'
import { type AnswerFacts, blocksOf, endingOf, freshMessageId, messageJson } from './answer.ts'
import { dialectOf } from './dialects.ts'
import { faultJson, invalidJson, midStreamJson, requestName } from './errors.ts'
import { modelsOperation } from './models.ts'
import { problemIn } from './problems.ts'
import { PromptCache } from './prompt-cache.ts'
import { lastUserText, type MessagesRequest, readMessages } from './request.ts'
import { messagesStream } from './stream.ts'

const MESSAGES = new Set(['/v1/messages', '/messages'])
const COUNT = new Set(['/v1/messages/count_tokens', '/messages/count_tokens'])

/** Anthropic's Messages with its token counter and model list. Remembers cached prefixes, so each sandbox needs its own. */
export function createAnthropicMessages(): SandboxProtocol {
  const cache = new PromptCache()
  const messages: SandboxOperation = { lastUserText, answer: (request) => answerMessages(request, cache) }
  const count: SandboxOperation = { lastUserText, answer: countTokens }
  return {
    route(line) {
      if (line.method === 'POST' && MESSAGES.has(line.path)) return messages
      if (line.method === 'POST' && COUNT.has(line.path)) return count
      return modelsOperation(line)
    },
    headers: (requestUuid) => [
      ['request-id', requestName(requestUuid)],
      ['anthropic-organization-id', '00000000-0000-4000-8000-000000000000'],
      // The shared account's limits: no business of a gateway's customers.
      ['anthropic-ratelimit-requests-limit', '4000'],
      ['anthropic-ratelimit-requests-remaining', '3999'],
    ],
    retryAfterHeader: true,
    overloadedStatus: 529,
    contentType: 'application/json',
    errorBody: faultJson,
  }
}

type ReadRequest =
  | { readonly ok: true; readonly request: MessagesRequest }
  | { readonly ok: false; readonly answer: ProtocolAnswer }

function readRequest({ body, line, switches, requestUuid }: ProtocolRequest, counting: boolean): ReadRequest {
  const version = String(line.headers['anthropic-version'] ?? '')
  const problem = problemIn(body, { counting, strict: switches.flags.has('strict'), version })
  if (problem === null && isObject(body)) return { ok: true, request: readMessages(body) }
  return { ok: false, answer: wholeAnswer(400, invalidJson(problem ?? '', requestUuid)) }
}

function countTokens(asked: ProtocolRequest): ProtocolAnswer {
  const read = readRequest(asked, true)
  if (!read.ok) return read.answer
  const tokens = read.request.pieces.reduce((sum, piece) => sum + piece.tokens, REPLY_TOKENS)
  return wholeAnswer(200, JSON.stringify({ input_tokens: tokens }))
}

function answerMessages(asked: ProtocolRequest, cache: PromptCache): ProtocolAnswer {
  const read = readRequest(asked, false)
  if (!read.ok) return read.answer
  const facts = factsOf(read.request, asked, cache)
  if (read.request.stream) return { kind: 'stream', events: messagesStream(facts) }
  const { switches, requestUuid } = asked
  const body = failsInBody(switches) ? midStreamJson(switches, requestUuid) : messageJson(facts)
  return wholeAnswer(200, body)
}

/** A refusal before any output still counts a few tokens, as recorded. */
const REFUSED_TOKENS = 5

function factsOf(request: MessagesRequest, asked: ProtocolRequest, cache: PromptCache): AnswerFacts {
  const { switches, ids, clock, requestUuid } = asked
  const dialect = dialectOf(request.model)
  const plan = planAnswer(request, switches, (language, text) => think(request, language, text))
  const model = switches.texts.fallback ?? switches.texts.model ?? request.model
  return {
    id: freshMessageId(ids),
    model,
    dialect,
    request,
    switches,
    blocks: blocksOf(plan, request, switches, ids),
    ending: endingOf(plan, dialect),
    endless: plan.endless,
    requestUuid,
    usage: {
      input: cache.use(request.model, request.pieces, REPLY_TOKENS, clock.nowMs()),
      outputTokens: plan.choices[0]?.finish === 'refusal' ? REFUSED_TOKENS : plan.outputTokens,
      thinkingTokens: plan.reasoningTokens,
      searches: switches.counts.websearch ?? 0,
      askedModel: request.model,
      servedModel: model,
      dialect,
      request,
      switches,
    },
  }
}

function think({ thinks }: MessagesRequest, language: Language, asked: string): Thinking {
  if (!thinks) return NO_THINKING
  return { pieces: splitTokens(reasoningText(language, asked)), shown: true }
}
