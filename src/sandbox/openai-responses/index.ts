import { isObject, type JsonObject } from '../../kernel/index.ts'
import { freshHex } from '../fresh-name.ts'
import { textAt } from '../members.ts'
import { isReasoner } from '../openai-chat/dialects.ts'
import { errorJson, OPENAI_API, streamErrorFields } from '../openai-chat/errors.ts'
import { cachedPrompt, effortTokens, hiddenThinking, planAnswer, promptTokens } from '../plan.ts'
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
import { compactionAnswer } from './compaction.ts'
import { outputOf } from './output.ts'
import { type Problem, problemIn, problemInItems, problemJson } from './problems.ts'
import { inputItems, lastUserText, type ResponsesRequest, readResponses } from './request.ts'
import { beginning, ending, isRecent, outputJson, type ResponseFacts, responseJson } from './response.ts'
import { ResponseStore } from './store.ts'
import { storedOperation } from './stored.ts'
import { responsesStream } from './stream.ts'

/** What one sandbox remembers for this format. */
interface Memory {
  readonly cache: PrefixCache
  readonly store: ResponseStore
}

/** OpenAI's Responses with retrieval, compaction and the token counter; stored responses live as long as the sandbox. */
export function createOpenAiResponses(): SandboxProtocol {
  const memory: Memory = { cache: createPrefixCache(), store: new ResponseStore() }
  const create: SandboxOperation = { lastUserText, answer: (asked) => answerCreate(asked, memory) }
  const compact: SandboxOperation = {
    lastUserText,
    answer: (asked) => withRequest(asked, memory, (request) => compactionAnswer(asked, request)),
  }
  const count: SandboxOperation = {
    lastUserText,
    answer: (asked) => withRequest(asked, memory, countTokens),
  }
  return {
    route({ method, path, headers }) {
      const match = /^(?:\/v1)?\/responses(?:\/(.*))?$/.exec(path)
      if (match === null) return null
      const rest = match[1] ?? ''
      if (method === 'POST' && rest === '') return create
      if (method === 'POST' && rest === 'compact') return compact
      if (method === 'POST' && rest === 'input_tokens') return count
      if (method === 'GET' && rest === '' && headers.upgrade !== undefined) return NO_WEBSOCKET
      return storedOperation(method, rest, memory.store)
    },
    ...OPENAI_API,
  }
}

/** Codex tries a WebSocket first and comes back over HTTP at once when it is told so. */
const NO_WEBSOCKET = plainOperation(() => {
  const message = 'The sandbox speaks Responses over HTTP only.'
  return wholeAnswer(426, problemJson({ status: 400, message, param: null, code: null }))
})

function refusal(problem: Problem): ProtocolAnswer {
  return wholeAnswer(problem.status, problemJson(problem))
}

/** Reads and checks the request, then answers it or says what is wrong. */
function withRequest(
  { body, switches }: ProtocolRequest,
  { store }: Memory,
  answer: (request: ResponsesRequest) => ProtocolAnswer,
): ProtocolAnswer {
  const problem = problemIn(body, switches.flags.has('strict'))
  if (problem !== null || !isObject(body)) {
    return refusal(problem ?? { status: 400, message: '', param: null, code: null })
  }
  const items = conversation(body, store)
  if ('status' in items) return refusal(items)
  const wrong = problemInItems(items.list, (id) => store.item(id) !== undefined)
  return wrong === null ? answer(readResponses(body, items.list)) : refusal(wrong)
}

/** The input after the items of the response it goes on from. */
function conversation(
  body: JsonObject,
  store: ResponseStore,
): { readonly list: readonly JsonObject[] } | Problem {
  const previous = textAt(body, 'previous_response_id')
  const before = store.get(previous)
  if (previous !== '' && before === undefined) {
    const message = `Previous response with id '${previous}' not found.`
    return { status: 400, message, param: 'previous_response_id', code: 'previous_response_not_found' }
  }
  const own = store.resolve(inputItems(body))
  if (typeof own === 'string') {
    return { status: 404, message: `Item with id '${own}' not found.`, param: 'input', code: null }
  }
  return { list: before === undefined ? own : [...before.input, ...before.output, ...own] }
}

function countTokens(request: ResponsesRequest): ProtocolAnswer {
  const count = { object: 'response.input_tokens', input_tokens: promptTokens(request) }
  return wholeAnswer(200, JSON.stringify(count))
}

function answerCreate(asked: ProtocolRequest, memory: Memory): ProtocolAnswer {
  return withRequest(asked, memory, (request) => {
    const facts = factsOf(request, asked, memory.cache)
    const { switches } = asked
    if (!request.stream && failsInBody(switches)) {
      return wholeAnswer(200, errorJson(streamErrorFields(switches)))
    }
    const body = responseJson(facts, ending(facts))
    if (request.stored) keep(facts, body, memory.store)
    if (request.stream) return { kind: 'stream', events: responsesStream(facts) }
    return wholeAnswer(200, request.background ? responseJson(facts, beginning('queued')) : body)
  })
}

function keep(facts: ResponseFacts, body: string, store: ResponseStore): void {
  const { id, request } = facts
  const running = request.background
  store.keep({
    id,
    input: request.items,
    output: outputJson(facts),
    body,
    cancelled: running ? responseJson(facts, { status: 'cancelled', output: [], usage: 'null' }) : null,
    state: running ? 'running' : 'done',
  })
}

function factsOf(
  request: ResponsesRequest,
  { switches, ids, clock }: ProtocolRequest,
  cache: PrefixCache,
): ResponseFacts {
  const tokens = isReasoner(request.model) ? effortTokens(request.effort) : 0
  const plan = planAnswer(request, switches, () => hiddenThinking(tokens))
  const recent = isRecent(request.model)
  return {
    id: `resp_0${freshHex(ids, 49)}`,
    createdS: Math.floor(clock.nowMs() / 1000),
    model: switches.texts.model ?? request.model,
    recent,
    request,
    switches,
    output: outputOf(plan, request, switches, ids, recent),
    limited: plan.choices[0]?.finish === 'length',
    counts: {
      ...cachedPrompt(request, cache),
      output: plan.outputTokens,
      reasoning: plan.reasoningTokens,
    },
    endless: plan.endless,
  }
}
