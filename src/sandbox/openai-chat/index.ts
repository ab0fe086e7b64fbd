import {
  cachedPrompt,
  effortTokens,
  hiddenThinking,
  NO_THINKING,
  planAnswer,
  type Thinking,
} from '../plan.ts'
import { createPrefixCache, type PrefixCache } from '../prefix-cache.ts'
import type { ProtocolAnswer, ProtocolRequest, SandboxOperation, SandboxProtocol } from '../protocol.ts'
import { failsInBody } from '../stream-faults.ts'
import type { Switches } from '../switches.ts'
import { splitTokens } from '../tokens.ts'
import { type Language, reasoningText } from '../wording.ts'
import { type Dialect, dialectOf, isReasoner } from './dialects.ts'
import { errorJson, OPENAI_API, streamErrorFields } from './errors.ts'
import { type AnswerFacts, type ChatPlan, completionJson, freshAnswerId, servedTier } from './render.ts'
import { type ChatRequest, lastUserText, readChat } from './request.ts'
import { chatStream } from './stream.ts'
import { usageJson } from './usage.ts'

/** OpenAI chat completions and the model list. Remembers prompt prefixes, so each sandbox needs its own. */
export function createOpenAiChat(): SandboxProtocol {
  const cache = createPrefixCache()
  const chat: SandboxOperation = { lastUserText, answer: (request) => answerChat(request, cache) }
  return {
    route({ method, path }) {
      // Both with and without /v1: base URLs of compatible providers differ in that.
      if (method === 'POST' && (path === '/v1/chat/completions' || path === '/chat/completions')) return chat
      if (method === 'GET' && (path === '/v1/models' || path === '/models')) return MODELS
      return null
    },
    ...OPENAI_API,
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

function answerChat(asked: ProtocolRequest, cache: PrefixCache): ProtocolAnswer {
  const { body, switches } = asked
  const read = readChat(body)
  if (!read.ok) return { kind: 'whole', status: 400, body: read.error }
  const { request } = read
  const facts = factsOf(request, asked)
  const plan = planChat(request, switches, facts.dialect, cache)
  if (request.stream) return { kind: 'stream', events: chatStream(facts, plan) }
  const usage = usageJson(facts.dialect, plan.counts, switches)
  // Without a stream the error is the whole body of a 200, as relays send it.
  const text = failsInBody(switches)
    ? errorJson(streamErrorFields(switches))
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

function planChat(request: ChatRequest, switches: Switches, dialect: Dialect, cache: PrefixCache): ChatPlan {
  const plan = planAnswer(request, switches, (language, asked) => think(request, dialect, language, asked))
  const counts = {
    ...cachedPrompt(request, cache),
    completion: plan.outputTokens,
    reasoning: plan.reasoningTokens,
  }
  return { ...plan, counts }
}

function think(
  { model, effort }: ChatRequest,
  dialect: Dialect,
  language: Language,
  asked: string,
): Thinking {
  const tokens = isReasoner(model) ? effortTokens(effort) : 0
  if (tokens === 0) return NO_THINKING
  // Hidden reasoning is as long as the effort says; shown reasoning as its text is.
  if (!dialect.showsReasoning) return hiddenThinking(tokens)
  return { pieces: splitTokens(reasoningText(language, asked)), shown: true }
}
