import type { IncomingMessage } from 'node:http'
import type { CatalogModel, CatalogSnapshot } from '../catalog/index.ts'
import { type Fault, fault } from '../contract/index.ts'
import { andThen, isObject, type JsonObject, parseJson } from '../kernel/index.ts'
import { objectSpans } from '../protocols/index.ts'
import { type ApiKeyRecord, keyRefusal, senderAddress } from '../tenancy/index.ts'
import type { GatewayDeps } from './deps.ts'
import type { Pin } from './pins.ts'
import { sessionOf } from './sessions.ts'
import type { Admitted, Exchange, Inbound, RunRef, StageResult } from './types.ts'

/** Who asks, for what, and whether they may: everything that can be refused before money is looked at. */

const JSON_DEPTH_MAX = 64
const JSON_VALUES_MAX = 500_000
const IDEMPOTENCY_KEY_MAX = 255
/** Names of models are plain: whatever looks alike but is another character is another, unknown name. */
const MODEL_NAME = /^[A-Za-z0-9._:/@-]{1,160}$/
export function header(req: IncomingMessage, name: string): string | null {
  const value = req.headers[name]
  const text = Array.isArray(value) ? value[0] : value
  return text === undefined || text === '' ? null : text
}

export function readCredential(req: IncomingMessage): string | null {
  const authorization = header(req, 'authorization')
  if (authorization !== null) {
    const match = /^bearer\s+(\S+)$/i.exec(authorization.trim())
    if (match?.[1] !== undefined) return match[1]
  }
  const named = header(req, 'x-api-key') ?? header(req, 'x-goog-api-key')
  return named ?? queryKey(req.url ?? '')
}

/** Gemini clients may send `?key=`; on other paths a key in the query is refused, since queries end up in logs. */
export function takesKeyInQuery(url: string): boolean {
  return /^\/(?:v1beta|v1alpha)\/|^\/v1\/models(?:\/|\?|$)/.test(url)
}

function queryKey(url: string): string | null {
  const mark = url.indexOf('?')
  if (mark === -1 || !takesKeyInQuery(url)) return null
  return new URLSearchParams(url.slice(mark + 1)).get('key')
}

/** What speaks against the key of a request, before anything of the request is read. */
export function keyFault(
  deps: Pick<GatewayDeps, 'trustedProxies' | 'failures'>,
  key: ApiKeyRecord | null,
  req: IncomingMessage,
): Fault | null {
  const sender = (): string | null => senderAddress(req, deps.trustedProxies)
  const refused = keyRefusal(key, sender)
  return refused?.code === 'invalid_api_key' ? (deps.failures.failed(sender()) ?? refused) : refused
}

export function parseBody(bytes: Buffer): StageResult<{ body: JsonObject; spans: Inbound['spans'] }> {
  const walked = objectSpans(bytes, { depthMax: JSON_DEPTH_MAX, valuesMax: JSON_VALUES_MAX })
  if (!walked.ok)
    return {
      ok: false,
      fault:
        walked.reason === 'too_deep'
          ? fault('json_too_deep', `The JSON is nested more than ${JSON_DEPTH_MAX} levels deep.`)
          : fault('invalid_json', `The JSON holds more than ${JSON_VALUES_MAX} values.`),
    }
  const parsed = parseJson(bytes.toString('utf8'))
  if (!parsed.ok)
    return { ok: false, fault: fault('invalid_json', `The body is not valid JSON: ${parsed.reason}.`) }
  if (!isObject(parsed.value))
    return { ok: false, fault: fault('invalid_json', 'The body must be one JSON object.') }
  // Readers of the same bytes would disagree about it, and the one that holds must be the one that is billed for.
  const twice = walked.spans.repeated[0]
  if (twice !== undefined)
    return {
      ok: false,
      fault: fault('invalid_parameter', `"${twice.slice(0, 100)}" is given more than once.`, {
        param: twice.slice(0, 100),
      }),
    }
  return { ok: true, value: { body: parsed.value, spans: walked.spans } }
}

/** Decodes what was sent. The model of the body is read even when something else is wrong, for the receipt. */
export function decode(exchange: Exchange, key: ApiKeyRecord, bytes: Buffer): StageResult<Inbound> {
  const parsed = parseBody(bytes)
  if (!parsed.ok) return parsed
  const { body, spans } = parsed.value
  const { protocol, path } = exchange.call
  const read = protocol.readRequest({ body, byteLength: bytes.length, path })
  if (!read.ok)
    return {
      ok: false,
      fault: fault('invalid_parameter', `"${read.param}" ${read.problem}.`, { param: read.param }),
    }
  const idempotencyKey = header(exchange.req, 'idempotency-key')
  if (
    idempotencyKey !== null &&
    (idempotencyKey.length > IDEMPOTENCY_KEY_MAX || !/^[\x21-\x7e]+$/.test(idempotencyKey))
  )
    return {
      ok: false,
      fault: fault(
        'invalid_parameter',
        `Idempotency-Key must be 1 to ${IDEMPOTENCY_KEY_MAX} visible ASCII characters.`,
        { param: 'idempotency-key' },
      ),
    }
  return { ok: true, value: { exchange, key, bytes, spans, body, facts: read.request, idempotencyKey } }
}

interface Asked {
  readonly model: CatalogModel | null
  readonly route: string | null
  readonly by: 'header' | 'suffix' | null
}

/** `gpt-5-mini:official` names a route unless the catalog has a model of that whole name. */
function askedModel(snapshot: CatalogSnapshot, name: string, headerRoute: string | null): Asked {
  const whole = snapshot.models.get(name)
  if (whole !== undefined)
    return { model: whole, route: headerRoute, by: headerRoute === null ? null : 'header' }
  const colon = name.lastIndexOf(':')
  const base = colon > 0 ? snapshot.models.get(name.slice(0, colon)) : undefined
  if (base === undefined) return { model: null, route: null, by: null }
  return { model: base, route: name.slice(colon + 1), by: 'suffix' }
}

/** A route named twice over must be one route: which of two would pay is not ours to guess. */
function routeFault(asked: Asked, headerRoute: string | null): Fault | null {
  const { model, route, by } = asked
  if (by !== 'suffix' || headerRoute === null || headerRoute === route || model === null) return null
  const named = (name: string | null): readonly string[] =>
    model.routes.filter((one) => one.name === name || one.type === name).map((one) => one.name)
  const [first, second] = [named(route), named(headerRoute)]
  if (first.length > 0 && first.join() === second.join()) return null
  return fault(
    'invalid_parameter',
    `The model asks for the route "${route?.slice(0, 100)}" and x-tf-route for "${headerRoute.slice(0, 100)}"; name one.`,
    { param: 'x-tf-route' },
  )
}

function modelFault(key: ApiKeyRecord, asked: Asked, name: string): Fault | null {
  const shown = name.length > 160 ? `${name.slice(0, 160)}…` : name
  if (!MODEL_NAME.test(name) || asked.model === null)
    return fault('model_not_found', `There is no model "${shown}" in the catalog.`, { param: 'model' })
  if (key.models !== null && !key.models.has(asked.model.name))
    return fault('model_not_allowed', `This key may not use the model ${asked.model.name}.`, {
      param: 'model',
    })
  return null
}

/** What a request lets answer or be asked besides is the key's to use as well, and must have a price. */
function otherModelFault(
  snapshot: CatalogSnapshot,
  key: ApiKeyRecord,
  names: readonly string[],
): Fault | null {
  for (const name of names) {
    const refused = modelFault(key, askedModel(snapshot, name, null), name)
    if (refused !== null) return refused
  }
  return null
}

/** The model alone, for calls that are not planned: it exists and the key may use it. */
export function modelAsked(
  snapshot: CatalogSnapshot,
  key: ApiKeyRecord,
  name: string,
): StageResult<CatalogModel> {
  const asked = askedModel(snapshot, name, null)
  const refused = modelFault(key, asked, name)
  if (refused !== null || asked.model === null)
    return { ok: false, fault: refused ?? fault('model_not_found', 'There is no such model.') }
  return { ok: true, value: asked.model }
}

type RunResult = StageResult<RunRef | null>

const NO_RUN: RunResult = { ok: true, value: null }

function openRun(deps: GatewayDeps, inbound: Inbound): RunResult | Promise<RunResult> {
  const { key, exchange, body } = inbound
  const asked = header(exchange.req, 'x-tf-run')
  const nameOrId = asked ?? sessionOf(exchange.req, body)
  if (nameOrId === null) return NO_RUN
  const opened = deps.tenancy.openRun({ orgId: key.orgId, projectId: key.projectId, nameOrId })
  return andThen(opened, (run): RunResult => {
    if (run === null) {
      // A session that an agent names is a convenience; only a run that was asked for is owed.
      if (asked === null) return NO_RUN
      return {
        ok: false,
        fault: fault('invalid_parameter', 'x-tf-run names no run of this project.', { param: 'x-tf-run' }),
      }
    }
    const step = header(exchange.req, 'x-tf-step')
    return { ok: true, value: { ...run, step: step === null ? null : step.slice(0, 128) } }
  })
}

/** What continues a stored response must go to the channel that keeps it. */
async function pinOf(deps: GatewayDeps, inbound: Inbound): Promise<StageResult<Pin | null>> {
  const id = inbound.body['previous_response_id']
  const { endpoint } = inbound.exchange.call
  if (typeof id !== 'string' || (endpoint !== 'openai.responses' && endpoint !== 'openai.responses_compact'))
    return { ok: true, value: null }
  const pin = await deps.pins.find(inbound.key.orgId, inbound.key.projectId, id)
  if (pin !== null) return { ok: true, value: pin }
  return {
    ok: false,
    fault: fault('invalid_parameter', `There is no stored response "${id.slice(0, 100)}" of this project.`, {
      param: 'previous_response_id',
    }),
  }
}

function admitted(
  deps: GatewayDeps,
  inbound: Inbound,
  run: RunRef | null,
): StageResult<Admitted> | Promise<StageResult<Admitted>> {
  const { key, facts, exchange } = inbound
  // Its usage would come after the answer to this call, when nobody asks for it any more.
  if (exchange.call.endpoint === 'openai.responses' && inbound.body['background'] === true)
    return {
      ok: false,
      fault: fault('unsupported_parameter', '"background" is not supported; stream the response instead.', {
        param: 'background',
      }),
    }
  const snapshot = deps.catalog.snapshot()
  const headerRoute = header(exchange.req, 'x-tf-route')
  const asked = askedModel(snapshot, facts.model, headerRoute)
  const refused =
    modelFault(key, asked, facts.model) ??
    routeFault(asked, headerRoute) ??
    (facts.otherModels === undefined ? null : otherModelFault(snapshot, key, facts.otherModels))
  const { model, route: askedRoute, by: askedBy } = asked
  if (refused !== null || model === null)
    return { ok: false, fault: refused ?? fault('model_not_found', 'There is no such model.') }
  // The permission of a key is about its policy; a request that pins a route lifts the pin only by its own header.
  const byRequest = header(exchange.req, 'x-tf-allow-cross-balance') === 'true'
  const mayCross = byRequest || (key.allowCrossBalance && askedRoute === null)
  const admission = { inbound, snapshot, model, askedRoute, askedBy, mayCross, run, pin: null }
  if (inbound.body['previous_response_id'] === undefined) return { ok: true, value: admission }
  return pinOf(deps, inbound).then((pin) =>
    pin.ok ? { ok: true, value: { ...admission, pin: pin.value } } : pin,
  )
}

/** What is turned away belongs to its run too: a session that failed for its model's name shows why. */
export type Admission =
  | { readonly ok: true; readonly value: Admitted }
  | { readonly ok: false; readonly fault: Fault; readonly run: RunRef | null }

function underRun(deps: GatewayDeps, inbound: Inbound, opened: RunResult): Admission | Promise<Admission> {
  if (!opened.ok) return { ...opened, run: null }
  const run = opened.value
  const result = admitted(deps, inbound, run)
  const told = (found: StageResult<Admitted>): Admission => (found.ok ? found : { ...found, run })
  return result instanceof Promise ? result.then(told) : told(result)
}

/** Without a promise where neither a run nor a stored response has to be asked for. */
export function admit(deps: GatewayDeps, inbound: Inbound): Admission | Promise<Admission> {
  const opened = openRun(deps, inbound)
  return opened instanceof Promise
    ? opened.then((run) => underRun(deps, inbound, run))
    : underRun(deps, inbound, opened)
}
