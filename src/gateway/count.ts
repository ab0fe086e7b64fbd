import type { CatalogModel, RouteChannel } from '../catalog/index.ts'
import { fault } from '../contract/index.ts'
import { isObject, type Json, type JsonObject, parseJson } from '../kernel/index.ts'
import { familyOf, PROTOCOLS, type ProtocolName, spliceMembers } from '../protocols/index.ts'
import type { ApiKeyRecord } from '../tenancy/index.ts'
import { keyFault, modelAsked, parseBody, readCredential } from './admit.ts'
import { faultAnswer, sendFault } from './answer.ts'
import { readBody } from './body.ts'
import type { GatewayDeps } from './deps.ts'
import { headersGoingOn } from './headers.ts'
import { orderRoutes } from './plan.ts'
import { relay } from './relay.ts'
import { refuse } from './settle.ts'
import type { Exchange } from './types.ts'
import { formatOf, geminiPath } from './wire.ts'

/**
 * Counting input tokens before a request. Free: a channel that speaks the caller's format is asked, since only the
 * provider's own count is exact; else our own count answers, and says so in `x-tf-estimated`.
 */

interface Shape {
  /** Below the base URL of a channel of the same format. */
  readonly path: (upstreamModel: string) => string
  readonly answer: (tokens: number) => Json
}

const SHAPES: Readonly<Record<ProtocolName, Shape | null>> = {
  'openai-chat': null,
  'openai-responses': {
    path: () => '/responses/input_tokens',
    answer: (tokens) => ({ object: 'response.input_tokens', input_tokens: tokens }),
  },
  'anthropic-messages': {
    path: () => '/v1/messages/count_tokens',
    answer: (tokens) => ({ input_tokens: tokens }),
  },
  'gemini-generate': {
    path: (model) => `/models/${encodeURIComponent(model)}:countTokens`,
    answer: (tokens) => ({ totalTokens: tokens }),
  },
}

function nativeChannel(
  deps: GatewayDeps,
  key: ApiKeyRecord,
  model: CatalogModel,
  name: string,
): RouteChannel | null {
  const order = orderRoutes({
    model,
    key,
    askedRoute: null,
    askedBy: null,
    mayCross: key.allowCrossBalance,
    atMs: deps.clock.nowMs(),
    random: deps.random,
  })
  if (!order.ok) return null
  const channels = order.routes.flatMap((route) => route.channels)
  return (
    channels.find(
      ({ target }) =>
        target.channel.platform === undefined && formatOf(target.channel.protocol, 'generate')?.name === name,
    )?.target ?? null
  )
}

function answerCount(exchange: Exchange, body: string, estimated: boolean): void {
  const id = exchange.publicId
  exchange.res.writeHead(200, {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'x-request-id': id,
    'request-id': id,
    ...(estimated ? { 'x-tf-estimated': 'true' } : {}),
  })
  exchange.res.end(body)
}

interface CountRequest {
  readonly body: JsonObject
  readonly bytes: Buffer
  readonly spans: Parameters<typeof spliceMembers>[1]
  readonly model: CatalogModel
}

async function countNatively(
  deps: GatewayDeps,
  exchange: Exchange,
  key: ApiKeyRecord,
  request: CountRequest,
): Promise<string | null> {
  const { protocol } = exchange.call
  const shape = SHAPES[protocol.name as ProtocolName]
  const target = shape === null ? null : nativeChannel(deps, key, request.model, protocol.name)
  if (shape === null || target === null) return null
  const edits =
    request.body['model'] === undefined ? [] : [{ name: 'model', json: JSON.stringify(target.upstreamModel) }]
  const headers = headersGoingOn(exchange.req, protocol.forwardedHeaders) ?? {}
  const answer = await relay(deps, target.channel, {
    method: 'POST',
    path: shape.path(target.upstreamModel),
    headers,
    body: spliceMembers(request.bytes, request.spans, edits),
  })
  if (answer === null || answer.status !== 200) return null
  const text = answer.body.toString('utf8')
  const parsed = parseJson(text)
  return parsed.ok && isObject(parsed.value) ? text : null
}

/** The body of Gemini's count may hold the request one level down. */
function countedBody(body: JsonObject): JsonObject {
  const inner = body['generateContentRequest'] ?? body['generate_content_request']
  return isObject(inner) ? inner : body
}

export async function serveCount(deps: GatewayDeps, exchange: Exchange): Promise<void> {
  const { req, res, call } = exchange
  const secret = readCredential(req)
  const key = secret === null ? null : await deps.tenancy.findKey(secret)
  const refused = keyFault(deps, key, req)
  if (refused !== null || key === null) {
    if (refused !== null) sendFault(res, faultAnswer(exchange, refused, false))
    return
  }
  const bytes = await readBody(req)
  if (bytes === 'gone') return
  const parsed = bytes.ok ? parseBody(bytes.value) : bytes
  if (!parsed.ok || !bytes.ok) {
    if (!parsed.ok) refuse(deps, { exchange, key, fault: parsed.fault })
    return
  }
  const { body, spans } = parsed.value
  const path = (req.url ?? '').split('?')[0] ?? ''
  const named = geminiPath(path)?.model ?? body['model']
  const asked = modelAsked(deps.catalog.snapshot(), key, typeof named === 'string' ? named : '')
  if (!asked.ok) return refuse(deps, { exchange, key, fault: asked.fault })
  // What another project stored is not counted for this one: it would tell that it is there, and how long it is.
  const continued = body['previous_response_id']
  const foreign =
    typeof continued === 'string' && (await deps.pins.find(key.orgId, key.projectId, continued)) === null
  if (foreign)
    return refuse(deps, {
      exchange,
      key,
      fault: fault('invalid_parameter', 'There is no such stored response of this project.', {
        param: 'previous_response_id',
      }),
    })
  const native = await countNatively(deps, exchange, key, {
    body,
    bytes: bytes.value,
    spans,
    model: asked.value,
  })
  if (native !== null) return answerCount(exchange, native, false)
  const shape = SHAPES[call.protocol.name as ProtocolName]
  if (shape === null)
    return refuse(deps, {
      exchange,
      key,
      fault: fault('not_found', 'This format has no way to count tokens.'),
    })
  const tokens = PROTOCOLS[call.protocol.name as ProtocolName].estimateInput(countedBody(body))
  const { factor } = familyOf(asked.value.routes[0]?.channels[0]?.upstreamModel ?? '')
  answerCount(exchange, JSON.stringify(shape.answer(Math.ceil(tokens * factor))), true)
}
