import { isArray, isObject, type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import { estimateTextTokens } from '../estimate.ts'
import type { MemberEdit } from '../json-span.ts'
import { openaiChatProtocol } from '../openai-chat/index.ts'
import type { EmbedProtocol, RequestFacts, RequestResult } from '../protocol.ts'
import { isCount } from '../usage.ts'
import { type EmbedAnswer, fromBase64, toBase64 } from './neutral.ts'
import { noStreams } from './no-streams.ts'

/** POST /v1/embeddings. Errors are those of OpenAI's other formats. */

const INPUTS_MAX = 2_048

export interface EmbedFacts extends RequestFacts {
  readonly inputs: number
}

/** A text, a list of texts, a list of token ids, or a list of those. */
function inputFault(input: Json | undefined): string | null {
  if (typeof input === 'string') return input === '' ? 'must not be empty' : null
  if (!isArray(input) || input.length === 0) return 'must be a text or a list of texts'
  if (input.length > INPUTS_MAX && typeof input[0] !== 'number')
    return `must have at most ${INPUTS_MAX} texts`
  const fits = (item: Json): boolean =>
    typeof item === 'string' || isCount(item) || (isArray(item) && item.every(isCount))
  return input.every(fits) ? null : 'must hold texts or token ids only'
}

export function embedFacts(model: string, byteLength: number, inputs: number): EmbedFacts {
  return {
    model,
    stream: false,
    wantsUsage: true,
    // No embedding has output tokens.
    maxOutputTokens: 0,
    choices: 1,
    serviceTier: null,
    inputTokensMax: byteLength + inputs * 8,
    webSearchCallsMax: 0,
    inputs,
  }
}

function readRequest(body: JsonObject, byteLength: number): RequestResult<EmbedFacts> {
  const model = body['model']
  if (typeof model !== 'string' || model === '')
    return { ok: false, param: 'model', problem: 'must name a model' }
  const input = body['input']
  const problem = inputFault(input)
  if (problem !== null) return { ok: false, param: 'input', problem }
  const format = body['encoding_format']
  if (format !== undefined && format !== 'float' && format !== 'base64')
    return { ok: false, param: 'encoding_format', problem: 'must be float or base64' }
  const dimensions = body['dimensions']
  if (dimensions !== undefined && dimensions !== null && !(isCount(dimensions) && dimensions > 0))
    return { ok: false, param: 'dimensions', problem: 'must be a positive integer' }
  return { ok: true, request: embedFacts(model, byteLength, isArray(input) ? input.length : 1) }
}

function estimateInput(body: JsonObject): number {
  const input = body['input']
  const one = (item: Json): number =>
    typeof item === 'string' ? estimateTextTokens(item) : isArray(item) ? item.length : 1
  return isArray(input) ? input.reduce<number>((sum, item) => sum + one(item), 0) : one(input ?? '')
}

function readVectors(body: JsonObject): readonly (readonly number[])[] | null {
  const data = body['data']
  if (!isArray(data)) return null
  const vectors: number[][] = []
  for (const item of data) {
    const embedding = isObject(item) ? item['embedding'] : undefined
    if (typeof embedding === 'string') vectors.push(fromBase64(embedding))
    else if (isArray(embedding)) vectors.push(embedding.filter((value) => typeof value === 'number'))
    else return null
  }
  return vectors
}

function decodeAnswer(body: JsonObject): ReturnType<EmbedProtocol<EmbedFacts>['decodeAnswer']> {
  const vectors = readVectors(body)
  if (vectors === null) return { ok: false, param: 'data', problem: 'holds no embeddings' }
  const usage = body['usage']
  const tokens = isObject(usage) ? usage['prompt_tokens'] : undefined
  const model = body['model']
  return {
    ok: true,
    value: {
      model: typeof model === 'string' ? model : null,
      vectors,
      inputTokens: isCount(tokens) ? tokens : null,
      dropped: [],
    },
  }
}

function encodeAnswer(answer: EmbedAnswer, requestBody: JsonObject, tf: JsonObject | null): JsonObject {
  const base64 = requestBody['encoding_format'] === 'base64'
  const tokens = answer.inputTokens ?? estimateInput(requestBody)
  return {
    object: 'list',
    data: answer.vectors.map((vector, index) => ({
      object: 'embedding',
      index,
      embedding: base64 ? toBase64(vector) : vector,
    })),
    model: answer.model ?? '',
    usage: { prompt_tokens: tokens, total_tokens: tokens, ...(tf === null ? {} : { tf }) },
  }
}

export const openaiEmbeddings: EmbedProtocol<EmbedFacts> = {
  ...noStreams,
  name: 'openai-embeddings',
  readRequest: ({ body, byteLength }) => readRequest(body, byteLength),
  estimateInput,
  decodeRequest(body) {
    const input = body['input']
    const inputs = isArray(input) ? input : [input ?? '']
    if (!inputs.every((item) => typeof item === 'string'))
      return { ok: false, param: 'input', problem: 'must be text: token ids belong to one tokenizer' }
    const dimensions = body['dimensions']
    return {
      ok: true,
      value: {
        inputs: inputs as string[],
        dimensions: isCount(dimensions) ? dimensions : null,
        dropped: body['user'] === undefined ? [] : ['user'],
      },
    }
  },
  encodeAnswer: (answer, context) => encodeAnswer(answer, context.requestBody, context.annotate()),
  errorAnswer: (error) => openaiChatProtocol.errorAnswer(error),
  callPath: () => '/embeddings',
  callHeaders: (apiKey) => ({ authorization: `Bearer ${apiKey}` }),
  forwardedHeaders: ['openai-beta'],
  passEdits(facts, call): readonly MemberEdit[] {
    return facts.model === call.upstreamModel
      ? []
      : [{ name: 'model', json: JSON.stringify(call.upstreamModel) }]
  },
  encodeRequest: (request, call) => ({
    ok: true,
    body: {
      model: call.upstreamModel,
      input: [...request.inputs],
      encoding_format: 'float',
      ...(request.dimensions === null ? {} : { dimensions: request.dimensions }),
    },
    dropped: [],
  }),
  readAnswer(text) {
    const parsed = parseJson(text)
    if (!parsed.ok || !isObject(parsed.value)) return { ok: false, message: 'the answer is not JSON' }
    const body = parsed.value
    if (!isArray(body['data'])) return { ok: false, message: 'the answer has no embeddings' }
    const model = body['model']
    return {
      ok: true,
      answer: {
        usage: body['usage'],
        servedModel: typeof model === 'string' ? model : null,
        serviceTier: null,
        hasOutput: body['data'].length > 0,
        tokensEstimated: 0,
        body,
      },
    }
  },
  decodeAnswer,
  readUsage(raw) {
    if (raw === undefined || raw === null) return { kind: 'missing' }
    const tokens = isObject(raw) ? raw['prompt_tokens'] : undefined
    if (!isCount(tokens)) return { kind: 'invalid' }
    return {
      kind: 'reported',
      usage: {
        counts: tokens === 0 ? {} : { input: tokens },
        reasoning: null,
        calls: {},
        others: [],
        exact: true,
        flags: [],
      },
    }
  },
  readError: (text) => openaiChatProtocol.readError(text),
}
