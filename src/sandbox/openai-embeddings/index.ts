import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { textAt, wholeAt } from '../members.ts'
import { errorJson, OPENAI_API, streamErrorFields } from '../openai-chat/errors.ts'
import {
  type ProtocolAnswer,
  type ProtocolRequest,
  plainOperation,
  type SandboxProtocol,
  wholeAnswer,
} from '../protocol.ts'
import { failsInBody } from '../stream-faults.ts'
import { countTokens } from '../tokens.ts'
import { usageText } from '../usage-text.ts'
import { vectorOf } from '../vector.ts'

const PATHS = new Set(['/v1/embeddings', '/embeddings'])
const INPUTS_MAX = 2048
const DIMENSIONS_MAX = 8192

/** OpenAI's embeddings: the same text has the same vector in every process. */
export function createOpenAiEmbeddings(): SandboxProtocol {
  const embed = plainOperation(answerEmbeddings)
  return {
    route: ({ method, path }) => (method === 'POST' && PATHS.has(path) ? embed : null),
    ...OPENAI_API,
  }
}

/** One text, or the numbers of its tokens. */
interface Input {
  readonly text: string
  readonly tokens: number
}

function answerEmbeddings({ body, switches }: ProtocolRequest): ProtocolAnswer {
  if (!isObject(body) || textAt(body, 'model') === '')
    return refused('model', 'you must provide a model parameter')
  const inputs = readInputs(body['input'])
  if (inputs === null)
    return refused('input', "Invalid 'input': the sandbox expected texts or tokens that are not empty.")
  if (inputs.length > INPUTS_MAX) return refused('input', `Invalid 'input': at most ${INPUTS_MAX} texts.`)
  const dimensions = wholeAt(body, 'dimensions') ?? dimensionsOf(textAt(body, 'model'))
  if (dimensions < 1 || dimensions > DIMENSIONS_MAX) {
    return refused('dimensions', `Invalid 'dimensions': from 1 to ${DIMENSIONS_MAX}.`)
  }
  if (failsInBody(switches)) return wholeAnswer(200, errorJson(streamErrorFields(switches)))
  const model = switches.texts.model ?? textAt(body, 'model')
  const shown = switches.flags.has('empty') ? [] : inputs
  const data = shown.map(({ text }, index) => vectorJson(body, vectorOf(text, dimensions), index))
  const tokens = inputs.reduce((sum, input) => sum + input.tokens, 0)
  const usage = usageText({ prompt_tokens: tokens, total_tokens: tokens }, switches)
  const head = JSON.stringify({ object: 'list', data, model })
  return wholeAnswer(200, usage === null ? head : `${head.slice(0, -1)},"usage":${usage}}`)
}

function refused(param: string, message: string): ProtocolAnswer {
  return wholeAnswer(400, errorJson({ message, type: 'invalid_request_error', param, code: null }))
}

function readInputs(input: Json | undefined): readonly Input[] | null {
  if (typeof input === 'string') return input === '' ? null : [textInput(input)]
  if (!isArray(input) || input.length === 0) return null
  if (typeof input[0] === 'number') return [tokensInput(input)]
  const read = input.map((one) => {
    if (typeof one === 'string' && one !== '') return textInput(one)
    return isArray(one) && one.length > 0 ? tokensInput(one) : null
  })
  return read.every((one) => one !== null) ? read : null
}

function textInput(text: string): Input {
  return { text, tokens: countTokens(text) }
}

function tokensInput(tokens: readonly Json[]): Input {
  return { text: tokens.join(), tokens: tokens.length }
}

function dimensionsOf(model: string): number {
  return model.includes('3-large') ? 3072 : 1536
}

function vectorJson(body: JsonObject, vector: readonly number[], index: number): JsonObject {
  const bare = body['encoding_format'] === 'base64'
  const embedding = bare ? Buffer.from(new Float32Array(vector).buffer).toString('base64') : vector
  return { object: 'embedding', index, embedding }
}
