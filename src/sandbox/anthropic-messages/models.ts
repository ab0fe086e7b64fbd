import type { JsonObject } from '../../kernel/index.ts'
import { plainOperation, type RequestLine, type SandboxOperation, wholeAnswer } from '../protocol.ts'
import { errorJson } from './errors.ts'

const MODELS: ReadonlyArray<readonly [id: string, name: string]> = [
  ['claude-opus-5-5', 'Sandbox Opus 5.5'],
  ['claude-sonnet-5-5', 'Sandbox Sonnet 5.5'],
  ['claude-haiku-5-5', 'Sandbox Haiku 5.5'],
  ['claude-sonnet-4-5', 'Sandbox Sonnet 4.5'],
]
const LIMIT_DEFAULT = 20

/** The model list and single models; only for callers that say which version of Anthropic's API they speak. */
export function modelsOperation({ method, path, headers }: RequestLine): SandboxOperation | null {
  if (method !== 'GET' || headers['anthropic-version'] === undefined) return null
  const match = /^(?:\/v1)?\/models(?:\/([^/]+))?$/.exec(path)
  if (match === null) return null
  const [, id] = match
  return id === undefined ? LIST : retrieve(id)
}

const LIST = plainOperation(({ line }) => {
  const asked = Number.parseInt(line.query.get('limit') ?? '', 10)
  const limit = asked > 0 ? asked : LIMIT_DEFAULT
  const after = MODELS.findIndex(([id]) => id === line.query.get('after_id'))
  const data = MODELS.slice(after + 1, after + 1 + limit).map(modelInfo)
  return wholeAnswer(
    200,
    JSON.stringify({
      data,
      has_more: after + 1 + limit < MODELS.length,
      first_id: data.at(0)?.['id'] ?? null,
      last_id: data.at(-1)?.['id'] ?? null,
    }),
  )
})

function retrieve(id: string): SandboxOperation {
  return plainOperation(({ requestUuid }) => {
    const model = MODELS.find(([known]) => known === id)
    if (model !== undefined) return wholeAnswer(200, JSON.stringify(modelInfo(model)))
    return wholeAnswer(404, errorJson({ type: 'not_found_error', message: `model: ${id}` }, requestUuid))
  })
}

function modelInfo([id, name]: readonly [string, string]): JsonObject {
  // A fixed day, so that the list is the same every time.
  return { type: 'model', id, display_name: name, created_at: '2026-01-01T00:00:00Z' }
}
