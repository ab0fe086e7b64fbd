import { isArray, isObject, type Json, type JsonObject, parseJson } from '../../kernel/index.ts'
import { estimateTextTokens } from '../estimate.ts'
import { geminiGenerate } from '../gemini-generate/index.ts'
import type { MemberEdit } from '../json-span.ts'
import type { EmbedProtocol } from '../protocol.ts'
import { isCount } from '../usage.ts'
import { noStreams } from './no-streams.ts'
import { type EmbedFacts, embedFacts } from './openai.ts'

/** `:embedContent` and `:batchEmbedContents`. The answers of older servers say nothing of usage; it is counted then. */

interface GeminiEmbedFacts extends EmbedFacts {
  readonly batch: boolean
  /** The body repeats the model, which must then be the one of the path. */
  readonly repeatsModel: boolean
  /** The batch whose requests repeat the model; null when none does. */
  readonly named: readonly JsonObject[] | null
}

/** The texts of one content: its parts joined, as the service embeds them. */
function textOf(request: Json | undefined): string | null {
  const content = isObject(request) ? request['content'] : undefined
  const parts = isObject(content) ? content['parts'] : undefined
  if (!isArray(parts)) return null
  const texts = parts.map((part) =>
    isObject(part) && typeof part['text'] === 'string' ? part['text'] : null,
  )
  return texts.every((text) => text !== null) ? texts.join('') : null
}

function requestsOf(body: JsonObject): readonly Json[] {
  return isArray(body['requests']) ? body['requests'] : [body]
}

function dimensionsOf(body: JsonObject): number | null {
  const [first] = requestsOf(body)
  const value = isObject(first)
    ? (first['outputDimensionality'] ?? first['output_dimensionality'])
    : undefined
  return isCount(value) && value > 0 ? value : null
}

function isBatch(body: JsonObject): boolean {
  return isArray(body['requests'])
}

function vectorOf(value: Json | undefined): readonly number[] | null {
  const values = isObject(value) ? value['values'] : undefined
  return isArray(values) ? values.filter((item) => typeof item === 'number') : null
}

export const geminiEmbed: EmbedProtocol<GeminiEmbedFacts> = {
  ...noStreams,
  name: 'gemini-embed',
  readRequest({ body, byteLength, path }) {
    const requests = requestsOf(body)
    if (requests.length === 0) return { ok: false, param: 'requests', problem: 'must not be empty' }
    if (requests.some((request) => textOf(request) === null))
      return { ok: false, param: 'content.parts', problem: 'must hold texts' }
    return {
      ok: true,
      request: {
        ...embedFacts(path?.model ?? '', byteLength, requests.length),
        batch: isBatch(body),
        repeatsModel: body['model'] !== undefined,
        named:
          isBatch(body) && requests.some((request) => isObject(request) && request['model'] !== undefined)
            ? requests.filter(isObject)
            : null,
      },
    }
  },
  estimateInput: (body) =>
    requestsOf(body).reduce<number>((sum, request) => sum + estimateTextTokens(textOf(request) ?? ''), 0),
  decodeRequest: (body) => ({
    ok: true,
    value: {
      inputs: requestsOf(body).map((request) => textOf(request) ?? ''),
      dimensions: dimensionsOf(body),
      dropped: ['taskType', 'title'].filter((name) =>
        requestsOf(body).some((request) => isObject(request) && request[name] !== undefined),
      ),
    },
  }),
  encodeAnswer(answer, context) {
    const tf = context.annotate()
    const usageMetadata = { promptTokenCount: answer.inputTokens ?? 0, ...(tf === null ? {} : { tf }) }
    if (isBatch(context.requestBody))
      return { embeddings: answer.vectors.map((values) => ({ values: [...values] })), usageMetadata }
    return { embedding: { values: [...(answer.vectors[0] ?? [])] }, usageMetadata }
  },
  errorAnswer: (error) => geminiGenerate.errorAnswer(error),
  // A translated request always takes the batch form, which serves one and many.
  callPath: ({ upstreamModel }, facts) =>
    `/models/${encodeURIComponent(upstreamModel)}:${facts?.batch === false ? 'embedContent' : 'batchEmbedContents'}`,
  callHeaders: (apiKey) => ({ 'x-goog-api-key': apiKey }),
  forwardedHeaders: ['x-goog-api-client'],
  passEdits({ repeatsModel, named }, { upstreamModel }): readonly MemberEdit[] {
    const model = `models/${upstreamModel}`
    return [
      ...(repeatsModel ? [{ name: 'model', json: JSON.stringify(model) }] : []),
      ...(named === null
        ? []
        : [{ name: 'requests', json: JSON.stringify(named.map((request) => ({ ...request, model }))) }]),
    ]
  },
  encodeRequest: (request, call) => ({
    ok: true,
    body: {
      requests: request.inputs.map((text) => ({
        model: `models/${call.upstreamModel}`,
        content: { parts: [{ text }] },
        ...(request.dimensions === null ? {} : { outputDimensionality: request.dimensions }),
      })),
    },
    dropped: [],
  }),
  readAnswer(text) {
    const parsed = parseJson(text)
    if (!parsed.ok || !isObject(parsed.value)) return { ok: false, message: 'the answer is not JSON' }
    const body = parsed.value
    if (!isArray(body['embeddings']) && !isObject(body['embedding']))
      return { ok: false, message: 'the answer has no embeddings' }
    return {
      ok: true,
      answer: {
        usage: body['usageMetadata'],
        servedModel: null,
        serviceTier: null,
        hasOutput: true,
        tokensEstimated: 0,
        body,
      },
    }
  },
  decodeAnswer(body) {
    const list = isArray(body['embeddings']) ? body['embeddings'] : [body['embedding'] ?? null]
    const vectors = list.map(vectorOf)
    if (vectors.some((vector) => vector === null))
      return { ok: false, param: 'embeddings', problem: 'holds no vectors' }
    const usage = body['usageMetadata']
    const tokens = isObject(usage) ? usage['promptTokenCount'] : undefined
    return {
      ok: true,
      value: {
        model: null,
        vectors: vectors as (readonly number[])[],
        inputTokens: isCount(tokens) ? tokens : null,
        dropped: [],
      },
    }
  },
  readUsage(raw) {
    if (raw === undefined || raw === null) return { kind: 'missing' }
    const tokens = isObject(raw) ? raw['promptTokenCount'] : undefined
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
  readError: (text) => geminiGenerate.readError(text),
}
