import { isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { freshName } from '../fresh-name.ts'
import {
  cachedPrompt,
  hiddenThinking,
  NO_THINKING,
  planAnswer,
  promptTokens,
  reasoningAbout,
} from '../plan.ts'
import { createPrefixCache, type PrefixCache } from '../prefix-cache.ts'
import {
  type ProtocolAnswer,
  type ProtocolRequest,
  plainOperation,
  type SandboxOperation,
  type SandboxProtocol,
  wholeAnswer,
} from '../protocol.ts'
import { failsInBody } from '../stream-faults.ts'
import { type GenerateFacts, generateJson } from './answer.ts'
import { batchEmbedContents, embedContent } from './embed.ts'
import { faultJson, invalidJson, midStreamJson } from './errors.ts'
import { modelsOperation } from './models.ts'
import { problemIn } from './problems.ts'
import { type GenerateRequest, lastUserText, memberObject, readGenerate } from './request.ts'
import { generateArray, generateEvents } from './stream.ts'
import { modalities } from './usage.ts'

/** Results of one search, as input of the answer. */
const SEARCH_RESULT_TOKENS = 100
const METHOD = /^\/(?:v1|v1beta|v1alpha)\/models\/([^/]+):([A-Za-z]+)$/

/** Google's generateContent with its streams, token counter, embeddings and model list. */
export function createGeminiGenerate(): SandboxProtocol {
  const cache = createPrefixCache()
  return {
    route(line) {
      const match = METHOD.exec(line.path)
      if (line.method !== 'POST' || match === null) return modelsOperation(line)
      const [, model = '', method = ''] = match
      return operationOf(decodeURIComponent(model), method, cache)
    },
    headers: (_, elapsedMs) => [
      ['server-timing', `gfet4t7; dur=${elapsedMs}`],
      ['vary', 'Origin'],
    ],
    retryAfterHeader: false,
    overloadedStatus: 503,
    contentType: 'application/json; charset=UTF-8',
    errorBody: faultJson,
  }
}

function operationOf(model: string, method: string, cache: PrefixCache): SandboxOperation | null {
  switch (method) {
    case 'generateContent':
      return { lastUserText, answer: (asked) => answerWhole(asked, model, cache) }
    case 'streamGenerateContent':
      return { lastUserText, answer: (asked) => answerStream(asked, model, cache) }
    case 'countTokens':
      return {
        lastUserText: (body) => lastUserText(countedBody(body)),
        answer: (asked) => countTokens(asked, model),
      }
    case 'embedContent':
      return plainOperation(embedContent)
    case 'batchEmbedContents':
      return plainOperation(batchEmbedContents)
    default:
      return null
  }
}

function answerWhole(asked: ProtocolRequest, model: string, cache: PrefixCache): ProtocolAnswer {
  const facts = factsOf(asked, model, false, cache)
  if (typeof facts === 'string') return wholeAnswer(400, invalidJson(facts))
  const { switches } = asked
  return wholeAnswer(200, failsInBody(switches) ? midStreamJson(switches) : generateJson(facts))
}

function answerStream(asked: ProtocolRequest, model: string, cache: PrefixCache): ProtocolAnswer {
  const facts = factsOf(asked, model, true, cache)
  if (typeof facts === 'string') return wholeAnswer(400, invalidJson(facts))
  if (asked.line.query.get('alt') === 'sse') {
    return { kind: 'stream', events: generateEvents(facts), contentType: 'text/event-stream' }
  }
  return { kind: 'stream', events: generateArray(facts), contentType: 'application/json; charset=UTF-8' }
}

/** The request may stand in the body itself or inside generateContentRequest. */
function countedBody(body: Json | undefined): Json | undefined {
  const inner = isObject(body) ? memberObject(body, 'generateContentRequest') : {}
  return Object.keys(inner).length > 0 ? inner : body
}

function countTokens({ body, switches }: ProtocolRequest, model: string): ProtocolAnswer {
  const counted = countedBody(body)
  const problem = problemIn(counted, model, switches.flags.has('strict'))
  if (problem !== null || !isObject(counted)) return wholeAnswer(400, invalidJson(problem ?? ''))
  const request = readGenerate(counted, model, false)
  const prompt = promptTokens(request)
  const promptTokensDetails = modalities({ prompt, images: imagesIn(request) })
  return wholeAnswer(200, JSON.stringify({ totalTokens: prompt, promptTokensDetails }))
}

function imagesIn({ messages }: GenerateRequest): number {
  return messages.reduce((sum, { images }) => sum + images.length, 0)
}

/** @returns what is wrong with the request, as text */
function factsOf(
  { body, switches, ids }: ProtocolRequest,
  model: string,
  stream: boolean,
  cache: PrefixCache,
): GenerateFacts | string {
  const problem = problemIn(body, model, switches.flags.has('strict'))
  if (problem !== null || !isObject(body)) return problem ?? ''
  const request = readGenerate(body as JsonObject, model, stream)
  const { thoughtTokens } = request
  const plan = planAnswer(request, switches, () =>
    thoughtTokens > 0 ? hiddenThinking(thoughtTokens) : NO_THINKING,
  )
  const thinks = request.showsThoughts && plan.reasoningTokens > 0
  return {
    responseId: freshName(ids, 23),
    model: switches.texts.model ?? model,
    request,
    switches,
    plan,
    counts: {
      ...cachedPrompt(request, cache),
      images: imagesIn(request),
      thoughts: switches.flags.has('blocked') ? 0 : plan.reasoningTokens,
      toolPrompt: (switches.counts.websearch ?? 0) * SEARCH_RESULT_TOKENS,
      serviceTier: request.serviceTier || 'standard',
    },
    thought: thinks ? reasoningAbout(request.messages) : '',
  }
}
