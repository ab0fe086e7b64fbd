import type { ProtocolAnswer, ProtocolRequest, SandboxOperation, SandboxProtocol } from '../protocol.ts'
import { dialectOf } from './dialects.ts'
import { errorJson, faultJson, streamErrorFields } from './errors.ts'
import { planChat } from './plan.ts'
import { createPrefixCache, type PrefixCache } from './prefix-cache.ts'
import { type AnswerFacts, completionJson, freshAnswerId, servedTier } from './render.ts'
import { type ChatRequest, lastUserText, readChat } from './request.ts'
import { chatStream } from './stream.ts'
import { usageJson } from './usage.ts'

/** OpenAI chat completions and the model list. Remembers prompt prefixes, so each sandbox needs its own. */
export function createOpenAiChat(): SandboxProtocol {
  const cache = createPrefixCache()
  const chat: SandboxOperation = { lastUserText, answer: (request) => answerChat(request, cache) }
  return {
    route(method, path) {
      // Both with and without /v1: base URLs of compatible providers differ in that.
      if (method === 'POST' && (path === '/v1/chat/completions' || path === '/chat/completions')) return chat
      if (method === 'GET' && (path === '/v1/models' || path === '/models')) return MODELS
      return null
    },
    headers: (requestUuid, elapsedMs) => [
      ['x-request-id', `req_${requestUuid.replaceAll('-', '')}`],
      ['openai-processing-ms', String(elapsedMs)],
      ['openai-version', '2020-10-01'],
    ],
    errorBody: faultJson,
  }
}

const MODEL_NAMES = [
  'sandbox-chat',
  'sandbox-reason',
  'gpt-5',
  'gpt-4.1-mini',
  'deepseek-reasoner',
  'kimi-k2',
]
/** A fixed day, so that the list is the same every time. */
const MODELS_CREATED_S = 1_767_225_600

const MODELS: SandboxOperation = {
  lastUserText: () => '',
  answer: () => ({
    kind: 'whole',
    status: 200,
    body: JSON.stringify({
      object: 'list',
      data: MODEL_NAMES.map((id) => ({
        id,
        object: 'model',
        created: MODELS_CREATED_S,
        owned_by: 'tokens-forge-sandbox',
      })),
    }),
  }),
}

function answerChat({ body, switches, clock, ids }: ProtocolRequest, cache: PrefixCache): ProtocolAnswer {
  const read = readChat(body)
  if (!read.ok) return { kind: 'whole', status: 400, body: read.error }
  const { request } = read
  const facts = factsOf(request, { body, switches, clock, ids })
  const plan = planChat(request, switches, facts.dialect, cache)
  if (request.stream) return { kind: 'stream', events: chatStream(facts, plan) }
  const fails = switches.flags.has('error-first') || switches.counts['error-event'] !== undefined
  const usage = usageJson(facts.dialect, plan.counts, switches)
  // Without a stream the error is the whole body of a 200, as relays send it.
  const text = fails
    ? errorJson(streamErrorFields(switches.texts.secret))
    : completionJson(facts, plan, usage)
  return { kind: 'whole', status: 200, body: text }
}

function factsOf(request: ChatRequest, { switches, clock, ids }: ProtocolRequest): AnswerFacts {
  const dialect = dialectOf(request.model)
  return {
    id: freshAnswerId(dialect, ids),
    createdS: Math.floor(clock.nowMs() / 1000),
    model: switches.texts.model ?? request.model,
    serviceTier: servedTier(request.serviceTier),
    dialect,
    request,
    switches,
    ids,
  }
}
