import type { JsonObject } from '../../kernel/index.ts'
import { plainOperation, type RequestLine, type SandboxOperation, wholeAnswer } from '../protocol.ts'
import { errorJson } from './errors.ts'

const MODELS: ReadonlyArray<readonly [id: string, name: string, methods: readonly string[]]> = [
  ['gemini-3-pro-preview', 'Sandbox Gemini 3 Pro', ['generateContent', 'countTokens']],
  ['gemini-2.5-pro', 'Sandbox Gemini 2.5 Pro', ['generateContent', 'countTokens']],
  ['gemini-2.5-flash', 'Sandbox Gemini 2.5 Flash', ['generateContent', 'countTokens']],
  ['gemini-embedding-001', 'Sandbox Gemini Embedding', ['embedContent', 'batchEmbedContents']],
]

/** The model list and single models. Under `/v1` the path is OpenAI's too: there a key of Google's kind decides. */
export function modelsOperation({ method, path, headers, query }: RequestLine): SandboxOperation | null {
  const match = /^\/(v1|v1beta|v1alpha)\/models(?:\/([^/:]+))?$/.exec(path)
  if (method !== 'GET' || match === null) return null
  const [, version = '', id] = match
  const keyed = headers['x-goog-api-key'] !== undefined || query.has('key')
  if (version === 'v1' && !keyed) return null
  return id === undefined ? LIST : retrieve(id, version)
}

const LIST = plainOperation(() => wholeAnswer(200, JSON.stringify({ models: MODELS.map(modelInfo) })))

function retrieve(id: string, version: string): SandboxOperation {
  return plainOperation(() => {
    const model = MODELS.find(([known]) => known === id)
    if (model !== undefined) return wholeAnswer(200, JSON.stringify(modelInfo(model)))
    const message = `models/${id} is not found for API version ${version}.`
    return wholeAnswer(404, errorJson(404, message, 'NOT_FOUND'))
  })
}

function modelInfo([id, displayName, methods]: (typeof MODELS)[number]): JsonObject {
  return {
    name: `models/${id}`,
    version: '001',
    displayName,
    description: 'No real model: the Tokens Forge sandbox.',
    inputTokenLimit: 1_048_576,
    outputTokenLimit: 65_536,
    supportedGenerationMethods: methods,
  }
}
