import type { CatalogModel } from '../catalog/index.ts'
import type { Json } from '../kernel/index.ts'
import type { ProtocolName } from '../protocols/index.ts'
import type { ApiKeyRecord } from '../tenancy/index.ts'
import { keyFault, readCredential } from './admit.ts'
import { faultAnswer, sendFault } from './answer.ts'
import type { GatewayDeps } from './deps.ts'
import { orderRoutes } from './plan.ts'
import type { Exchange } from './types.ts'

/** The models that a key can call now, in the caller's own format: one path, three shapes. */

/** By the same rules that plan a request. */
export function callableModels(
  deps: Pick<GatewayDeps, 'catalog' | 'clock' | 'random'>,
  key: ApiKeyRecord,
): readonly CatalogModel[] {
  return [...deps.catalog.snapshot().models.values()].filter((model) => {
    if (key.models !== null && !key.models.has(model.name)) return false
    return orderRoutes({
      model,
      key,
      askedRoute: null,
      askedBy: null,
      mayCross: key.allowCrossBalance,
      atMs: deps.clock.nowMs(),
      random: deps.random,
    }).ok
  })
}

/** A date that every client can parse; catalogs do not say when a model was born. */
const CREATED = '2026-01-01T00:00:00Z'

interface Shape {
  list(models: readonly CatalogModel[]): Json
  one(model: CatalogModel): Json
}

const openai: Shape = {
  one: (model) => ({ id: model.name, object: 'model', created: 0, owned_by: model.family ?? 'tokens-forge' }),
  list: (models) => ({ object: 'list', data: models.map(openai.one) }),
}

const anthropic: Shape = {
  one: (model) => ({ type: 'model', id: model.name, display_name: model.name, created_at: CREATED }),
  list: (models) => ({
    data: models.map(anthropic.one),
    has_more: false,
    first_id: models[0]?.name ?? null,
    last_id: models.at(-1)?.name ?? null,
  }),
}

const gemini: Shape = {
  one: (model) => ({
    name: `models/${model.name}`,
    baseModelId: model.name,
    version: '1',
    displayName: model.name,
    inputTokenLimit: model.contextTokens,
    outputTokenLimit: model.maxOutputTokens,
    supportedGenerationMethods: ['generateContent', 'streamGenerateContent', 'countTokens'],
  }),
  list: (models) => ({ models: models.map(gemini.one) }),
}

const SHAPES: Readonly<Record<ProtocolName, Shape>> = {
  'openai-chat': openai,
  'openai-responses': openai,
  'anthropic-messages': anthropic,
  'gemini-generate': gemini,
}

/** `/v1/models` is everybody's path; the headers tell whose caller it is. */
export function modelsProtocol(
  headers: Readonly<Record<string, unknown>>,
  path: string,
  query: string,
): ProtocolName {
  if (headers['anthropic-version'] !== undefined || path.startsWith('/anthropic/'))
    return 'anthropic-messages'
  if (
    /^\/(?:v1beta|v1alpha)\//.test(path) ||
    headers['x-goog-api-key'] !== undefined ||
    /(?:^|&)key=/.test(query)
  )
    return 'gemini-generate'
  return 'openai-chat'
}

/** @param name of one model, or null for all */
export async function serveModels(deps: GatewayDeps, exchange: Exchange, name: string | null): Promise<void> {
  const { req, res, call } = exchange
  const secret = readCredential(req)
  const found = secret === null ? null : await deps.tenancy.findKey(secret)
  const refused = keyFault(deps, found, req)
  if (refused !== null || found === null) {
    if (refused !== null) sendFault(res, faultAnswer(exchange, refused, false))
    return
  }
  const shape = SHAPES[call.protocol.name as ProtocolName]
  const models = callableModels(deps, found)
  const one = name === null ? null : models.find((model) => model.name === name)
  if (one === undefined) {
    sendFault(
      res,
      faultAnswer(
        exchange,
        { code: 'model_not_found', message: `There is no model "${name}" that this key can call.` },
        false,
      ),
    )
    return
  }
  const body = JSON.stringify(one === null ? shape.list(models) : shape.one(one))
  const id = exchange.publicId
  res.writeHead(200, {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'x-request-id': id,
    'request-id': id,
  })
  res.end(body)
}
