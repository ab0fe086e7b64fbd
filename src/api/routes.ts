import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { type Fault, FaultError, fault } from '../contract/index.ts'
import { formatId, isArray, isObject, type Json, parseId, parseJson, type Uuid } from '../kernel/index.ts'
import { type Actor, keyInUrl, secretInQuery, senderAddress } from '../tenancy/index.ts'
import { type Authenticate, createAuthenticate } from './caller.ts'
import type { ApiDeps } from './deps.ts'
import { fenced } from './fence.ts'
import { idempotencyKeyOf, type Outcome, once } from './once.ts'
import { openApiDocument } from './openapi.ts'
import type { Caller, Operation } from './operation.ts'
import { OPERATIONS } from './operations/index.ts'
import { PAGE_HEADERS } from './page-headers.ts'
import { faultOf, InvalidRequest, PROBLEM_TYPE, problemOf } from './problem.ts'
import { validate } from './validate.ts'

/** The registry on the HTTP framework: one handler for all operations. */

/** Management bodies are small; what is larger is a mistake. */
const BODY_MAX_BYTES = 256 * 1024

export interface Routes {
  readonly listener: RequestListener
  ready(): Promise<void>
  close(): Promise<void>
  /** Answered requests by status, of the API alone. */
  readonly answered: ReadonlyMap<number, number>
}

function frameworkPath(path: string): string {
  return path.replace(/\{(\w+)\}/g, ':$1')
}

function sendFault(
  reply: FastifyReply,
  request: FastifyRequest,
  value: Fault,
  thrown?: unknown,
): FastifyReply {
  const problem = problemOf(value, request.id, thrown instanceof InvalidRequest ? thrown.errors : [])
  // The framework's own refusals come before the hooks that set it.
  reply.header('x-request-id', request.id)
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer')
  return reply.code(problem.status).type(PROBLEM_TYPE).send(problem)
}

function checked(where: string, schema: Parameters<typeof validate>[0], value: unknown): unknown {
  const result = validate(schema, value)
  if (!result.ok) throw new InvalidRequest(where, result.errors)
  return result.value
}

async function admit(
  operation: Operation,
  authenticate: Authenticate,
  request: FastifyRequest,
): Promise<Caller> {
  if (operation.callers.includes('anyone')) return { kind: 'anyone' }
  const caller = await authenticate(request.raw, operation)
  if ('code' in caller) throw new FaultError(caller)
  if (caller.kind !== 'person' && !operation.callers.includes(caller.kind))
    throw new FaultError(
      fault(
        'forbidden',
        `This needs ${caller.kind === 'operator' ? 'a person who is signed in' : 'the operator token'}.`,
      ),
    )
  return caller
}

function addOperation(
  app: FastifyInstance,
  deps: ApiDeps,
  authenticate: Authenticate,
  operation: Operation,
): void {
  app.route({
    method: operation.method,
    url: frameworkPath(operation.path),
    // Who calls is judged before the body is read: strangers cannot make the gateway parse.
    preParsing: async (request) => {
      callers.set(request, await admit(operation, authenticate, request))
    },
    handler: async (request, reply) => {
      const params = checked('path', operation.params, request.params)
      const query = checked('query', operation.query, request.query)
      const body = operation.body === null ? null : checked('body', operation.body, request.body)
      const caller = callers.get(request) ?? { kind: 'anyone' }
      const by = actorOf(deps, caller, request)
      const own = fenced(deps, operation, caller)
      const run = async (newId: Uuid): Promise<Outcome> => {
        const answer = await operation.run({ deps: own, caller, by, newId, params, query, body })
        return { status: operation.status(answer), answer }
      }
      const key = operation.method === 'POST' ? idempotencyKeyOf(request.headers) : null
      const outcome =
        key === null
          ? await run(deps.ids.uuid())
          : await once(deps, { by, key, secret: operation.secret === true, path: request.url, body }, run)
      if (outcome.replayed === true) reply.header('x-tf-replayed', 'true')
      reply.code(outcome.status).type(operation.contentType ?? 'application/json; charset=utf-8')
      return reply.send(outcome.answer)
    },
  })
}

/** Operators may use one token between them; where it was used from is then all that tells them apart. */
function actorOf(deps: ApiDeps, caller: Caller, request: FastifyRequest): Actor {
  return {
    kind: caller.kind === 'anyone' ? 'system' : caller.kind,
    id: idOfCaller(caller),
    requestId: parseId('req', request.id),
    address: senderAddress(request.raw, deps.trustedProxies),
  }
}

function idOfCaller(caller: Caller): Uuid | null {
  if (caller.kind === 'key') return caller.key.id
  return caller.kind === 'anyone' ? null : (caller.person?.id ?? null)
}

const callers = new WeakMap<FastifyRequest, Caller>()

/** Methods that a path takes, for telling a wrong method from a wrong path. */
function methodsOf(path: string): readonly string[] {
  const segments = path.split('/')
  const fits = (pattern: string): boolean => {
    const parts = pattern.split('/')
    return (
      parts.length === segments.length &&
      parts.every((part, i) => part.startsWith('{') || part === segments[i])
    )
  }
  return OPERATIONS.filter((operation) => fits(operation.path)).map((operation) => operation.method)
}

function notFoundHandler(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const [path = ''] = request.url.split('?', 1)
  const methods = methodsOf(path)
  if (methods.length === 0) return sendFault(reply, request, fault('not_found', `There is no ${path} here.`))
  reply.header('allow', methods.join(', '))
  return sendFault(reply, request, fault('method_not_allowed', `${path} takes ${methods.join(' and ')}.`))
}

/** Lists are asked for those of one key by its id. */
function isKeyId(name: string, value: string): boolean {
  return name === 'key' && parseId('key', value) !== null
}

function refuseKeyInUrl(deps: ApiDeps, request: FastifyRequest): void {
  const [path = '', query] = request.url.split('?', 2)
  const exposed = query === undefined ? null : secretInQuery(query, isKeyId)
  if (exposed === null) return
  const address = senderAddress(request.raw, deps.trustedProxies)
  deps.keys.noteExposed(exposed, { requestId: parseId('req', request.id) ?? '', address, path })
  throw new FaultError(keyInUrl())
}

function addHooks(app: FastifyInstance, deps: ApiDeps, answered: Map<number, number>): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({ ...PAGE_HEADERS, 'x-request-id': request.id })
    refuseKeyInUrl(deps, request)
    const encoding = request.headers['content-encoding']
    if (encoding !== undefined && encoding !== 'identity')
      throw new FaultError(fault('unsupported_encoding', 'Bodies are taken without content-encoding only.'))
  })
  app.addHook('onResponse', async (_request, reply) => {
    answered.set(reply.statusCode, (answered.get(reply.statusCode) ?? 0) + 1)
  })
  app.setErrorHandler((thrown, request, reply) =>
    sendFault(reply, request, faultOf(thrown, deps.log, request.id), thrown),
  )
  app.setNotFoundHandler(notFoundHandler)
}

/**
 * As the gateway reads its bodies: JSON.parse alone may take one name for another. A `__proto__` would become the
 * prototype of what is copied from the body, so it is refused here as it is by the framework's own parser.
 */
function parseJsonBody(
  request: FastifyRequest,
  text: string | Buffer,
  done: (error: Error | null, body?: unknown) => void,
): void {
  // Clients that always name a content type do so where there is none, too.
  const absent = request.method === 'DELETE' && text.length === 0
  const parsed = parseJson(absent ? 'null' : text.toString())
  if (!parsed.ok) done(new FaultError(fault('invalid_json', 'The body cannot be read as JSON.')))
  else if (isPoisoned(parsed.value))
    done(new FaultError(fault('invalid_json', 'The body names a prototype.')))
  else done(null, parsed.value)
}

/** Without recursion: a body is small, and may be one list in another all the same. */
function isPoisoned(body: Json): boolean {
  const left: Json[] = [body]
  for (let value = left.pop(); value !== undefined; value = left.pop()) {
    if (isArray(value)) left.push(...value)
    else if (isObject(value)) {
      if (Object.hasOwn(value, '__proto__')) return true
      left.push(...Object.values(value))
    }
  }
  return false
}

/** @param server the one server; it keeps its own listener and only lends itself to the framework */
export function createRoutes(
  deps: ApiDeps,
  server: Server,
  onClientError: (error: Error, socket: IncomingMessage['socket']) => void,
): Routes {
  let listener: (req: IncomingMessage, res: ServerResponse) => void = () => {}
  const app = fastify({
    serverFactory: (handler) => {
      listener = handler
      return server
    },
    clientErrorHandler: onClientError,
    bodyLimit: BODY_MAX_BYTES,
    genReqId: () => formatId('req', deps.ids.uuid()),
    requestIdHeader: false,
    // A HEAD that ran the operation would use up one-time links.
    exposeHeadRoutes: false,
    routerOptions: { ignoreTrailingSlash: false, ignoreDuplicateSlashes: false, maxParamLength: 128 },
    frameworkErrors: (error, request, reply) => {
      sendFault(reply as FastifyReply, request as FastifyRequest, fault('not_found', error.message))
    },
  })
  app.removeContentTypeParser(['text/plain', 'application/json'])
  app.addContentTypeParser('application/json', { parseAs: 'string' }, parseJsonBody)
  const answered = new Map<number, number>()
  const counting: ApiDeps = {
    ...deps,
    metrics: async () => [...(await deps.metrics()), answeredMetric(answered)],
  }
  addHooks(app, deps, answered)
  const authenticate = createAuthenticate(
    deps.operatorToken,
    { ...deps.keys, membershipsOf: deps.tenancy.membershipsOf },
    deps.people,
    deps.trustedProxies,
    deps.failures,
  )
  for (const operation of OPERATIONS) addOperation(app, counting, authenticate, operation)
  const document = openApiDocument(deps.version)
  app.get('/openapi.json', async () => document)

  return {
    listener: (req, res) => listener(req, res),
    ready: async () => {
      await app.ready()
    },
    close: () => app.close(),
    answered,
  }
}

function answeredMetric(answered: ReadonlyMap<number, number>) {
  return {
    name: 'forge_api_requests_total',
    help: 'Answered requests of the management API.',
    type: 'counter' as const,
    samples: [...answered].map(([status, value]) => ({ labels: { status: String(status) }, value })),
  }
}
