import { randomBytes } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

import {
  type Clock,
  createIdSource,
  errorText,
  type IdSource,
  type Json,
  type Log,
  parseJson,
  silentLog,
  systemClock,
  type Uuid,
} from '../kernel/index.ts'
import { createAnthropicMessages } from './anthropic-messages/index.ts'
import { createGeminiGenerate } from './gemini-generate/index.ts'
import { createOpenAiChat } from './openai-chat/index.ts'
import { createOpenAiEmbeddings } from './openai-embeddings/index.ts'
import { createOpenAiResponses } from './openai-responses/index.ts'
import type { ProtocolFault, RequestLine, SandboxOperation, SandboxProtocol } from './protocol.ts'
import { type OpenRecord, Recorder, type SandboxRecorder } from './recorder.ts'
import { breakConnection, type Sending, sendStream, sendWhole, waitUnlessGone } from './send.ts'
import { type FaultStatus, NO_SWITCHES, parseSwitches, type Switches, takeMarkers } from './switches.ts'

export interface SandboxOptions {
  readonly host?: string
  /** 0 takes a free port. */
  readonly port?: number
  /** Keep the bodies of requests for tests to read. */
  readonly record?: boolean
  readonly log?: Log
  readonly clock?: Clock
  readonly ids?: IdSource
}

export interface Sandbox {
  /** `http://127.0.0.1:PORT`, without a slash at the end. */
  readonly url: string
  /** A base URL whose requests all run with these switches ("delay=20, crlf"). */
  with(switches: string): string
  readonly requests: SandboxRecorder
  /** Breaks every open connection; resolves when the port is free. */
  close(): Promise<void>
}

interface Context {
  readonly protocols: readonly [...SandboxProtocol[], SandboxProtocol]
  readonly recorder: Recorder
  readonly record: boolean
  readonly log: Log
  readonly clock: Clock
  readonly ids: IdSource
}

/** The first that routes a request has it; the last also answers what none does. */
function createProtocols(): readonly [...SandboxProtocol[], SandboxProtocol] {
  return [
    createAnthropicMessages(),
    createGeminiGenerate(),
    createOpenAiResponses(),
    createOpenAiEmbeddings(),
    createOpenAiChat(),
  ]
}

const BODY_BYTES_MAX = 64 * 1024 * 1024
const JSON_TYPE = 'application/json'

/**
 * Starts an upstream that speaks the providers' wire formats with answers of its own words.
 * @throws when the port cannot be taken
 */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const clock = options.clock ?? systemClock
  const recorder = new Recorder()
  const context: Context = {
    protocols: createProtocols(),
    recorder,
    record: options.record ?? false,
    log: options.log ?? silentLog,
    clock,
    ids: options.ids ?? createIdSource(() => clock.nowMs(), randomBytes),
  }
  const host = options.host ?? '127.0.0.1'
  // A caller's pool must never meet a connection we are just closing: idle ones stay until close().
  const server = createServer({ keepAliveTimeout: 0, requestTimeout: 0 }, (req, res) => {
    handle(context, req, res).catch((thrown: unknown) => {
      context.log.error({ error: errorText(thrown) }, 'sandbox: a request failed')
      res.destroy()
    })
  })
  await listen(server, host, options.port ?? 0)
  const { port } = server.address() as AddressInfo
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  return {
    url,
    with: (switches) => `${url}/with/${encodeURIComponent(switches)}`,
    requests: recorder,
    close: () => close(server, recorder),
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function close(server: Server, recorder: Recorder): Promise<void> {
  recorder.close()
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

async function handle(context: Context, req: IncomingMessage, res: ServerResponse): Promise<void> {
  const startedMs = context.clock.monotonicMs()
  const record = context.recorder.open(req)
  res.on('close', () => {
    record.closedEarly = !res.writableFinished && !record.brokenByUs
    record.finish()
    context.recorder.changed(record)
  })
  const { line, list } = readLine(req)
  const requestUuid = context.ids.uuid()
  const routed = routeOf(context, line)
  const plain: Sending = { res, record, switches: NO_SWITCHES }
  if (routed === null) {
    req.resume()
    await sendUnrouted(context, plain, line.path, requestUuid)
    return
  }
  const { protocol, operation } = routed
  const plainFault = { requestUuid, secret: undefined, quota: false } as const
  const read = await readBody(req)
  if (!read.ok) {
    if (!read.gone) await sendFault(protocol, plain, { ...plainFault, status: 413 })
    return
  }
  const { text } = read
  const parsed = text === '' ? null : parseJson(text)
  const body = parsed?.ok === true ? parsed.value : undefined
  if (context.record) keepBody(context, record, text, body)
  const elapsedMs = Math.ceil(context.clock.monotonicMs() - startedMs)
  for (const [name, value] of protocol.headers(requestUuid, elapsedMs)) res.setHeader(name, value)
  const switches = switchesOf(req, list, text, operation, body)
  if (!switches.ok) {
    await sendFault(protocol, plain, { ...plainFault, status: 400, message: switches.message })
    return
  }
  const sending: Sending = { res, record, switches: switches.switches }
  if (!sending.switches.none && (await failInstead(protocol, sending, line, requestUuid))) return
  const { clock, ids } = context
  const answer = operation.answer({ line, body, switches: sending.switches, clock, ids, requestUuid })
  if (answer.kind === 'stream') await sendStream(sending, answer.events, answer.contentType)
  else
    await sendWhole(answer.status === 200 ? sending : plain, answer.status, protocol.contentType, answer.body)
}

interface Routed {
  readonly protocol: SandboxProtocol
  readonly operation: SandboxOperation
}

function routeOf({ protocols }: Context, line: RequestLine): Routed | null {
  for (const protocol of protocols) {
    const operation = protocol.route(line)
    if (operation !== null) return { protocol, operation }
  }
  return null
}

const WITH_PATH = /^\/with\/([^/]*)(\/.*)?$/

function readLine(req: IncomingMessage): { readonly line: RequestLine; readonly list: string } {
  const { method = '', url = '', headers } = req
  const question = url.indexOf('?')
  const whole = question === -1 ? url : url.slice(0, question)
  const query = new URLSearchParams(question === -1 ? '' : url.slice(question + 1))
  if (!whole.startsWith('/with/')) return { line: { method, path: whole, query, headers }, list: '' }
  const match = WITH_PATH.exec(whole)
  return { line: { method, path: match?.[2] ?? '/', query, headers }, list: decoded(match?.[1] ?? '') }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

function switchesOf(
  req: IncomingMessage,
  list: string,
  text: string,
  operation: SandboxOperation,
  body: Json | undefined,
): ReturnType<typeof parseSwitches> {
  const lists = list === '' ? [] : [list]
  const header = req.headers['x-sandbox']
  if (header !== undefined) lists.push(...[header].flat())
  // Looked for in the raw text first: most requests carry no marker and need no second walk through the messages.
  if (text.includes('[[')) lists.push(...takeMarkers(operation.lastUserText(body)).lists)
  return lists.length === 0 ? { ok: true, switches: NO_SWITCHES } : parseSwitches(lists)
}

/** The faults that need no answer of the protocol. @returns true when one of them has dealt with the request */
async function failInstead(
  protocol: SandboxProtocol,
  sending: Sending,
  { path, query }: RequestLine,
  requestUuid: Uuid,
): Promise<boolean> {
  const { res, record, switches } = sending
  const { flags, counts, texts } = switches
  if (flags.has('drop-connection')) {
    breakConnection(sending)
    return true
  }
  // The connection itself keeps the request alive; it ends with the caller or with close().
  if (flags.has('hang')) return true
  await waitUnlessGone(res, counts['slow-headers'] ?? 0)
  if (res.destroyed) return true
  const status = faultStatus(protocol, switches)
  if (status !== null) {
    const retryAfterS = counts['retry-after']
    if (retryAfterS !== undefined && protocol.retryAfterHeader) res.setHeader('retry-after', retryAfterS)
    const { secret } = texts
    await sendFault(protocol, sending, {
      status,
      requestUuid,
      secret,
      quota: flags.has('quota'),
      retryAfterS,
    })
    return true
  }
  if (flags.has('html')) {
    const page =
      '<!doctype html>\n<title>Sandbox</title>\n<p>This page stands where an API answer should be.</p>\n'
    await sendWhole(sending, 200, 'text/html; charset=utf-8', page)
    return true
  }
  if (flags.has('garbage')) {
    await sendWhole(sending, 200, protocol.contentType, '{"this is": no JSON, sandbox')
    return true
  }
  if (flags.has('redirect')) {
    // Relative to the root and without switches: a caller that follows is answered, and shows as a second request.
    res.setHeader('location', query.size === 0 ? path : `${path}?${query}`)
    record.status = 307
    res.writeHead(307, { 'content-length': 0 }).end()
    return true
  }
  return false
}

/** `overloaded` is a status of its own, unless it only says what the error of a stream is to be. */
function faultStatus(protocol: SandboxProtocol, { flags, counts }: Switches): FaultStatus | null {
  if (counts.status !== undefined) return counts.status as FaultStatus
  const midStream = flags.has('error-first') || counts['error-event'] !== undefined
  return flags.has('overloaded') && !midStream ? protocol.overloadedStatus : null
}

function sendFault(protocol: SandboxProtocol, sending: Sending, fault: ProtocolFault): Promise<void> {
  return sendWhole(sending, fault.status, protocol.contentType, protocol.errorBody(fault))
}

async function sendUnrouted(
  { protocols }: Context,
  sending: Sending,
  path: string,
  requestUuid: Uuid,
): Promise<void> {
  if (path === '/healthz') {
    await sendWhole(sending, 200, JSON_TYPE, '{"status":"ok"}')
    return
  }
  const message = `The sandbox has no ${sending.record.method} ${path}.`
  const fault = { status: 404, requestUuid, secret: undefined, quota: false, message } as const
  const protocol = protocols.at(-1) ?? protocols[0]
  await sendWhole(sending, 404, JSON_TYPE, protocol.errorBody(fault))
}

function keepBody(context: Context, record: OpenRecord, text: string, body: Json | undefined): void {
  record.bodyText = text
  record.body = body
  context.recorder.changed(record)
}

type ReadBody = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly gone: boolean }

function readBody(req: IncomingMessage): Promise<ReadBody> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    req.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= BODY_BYTES_MAX) chunks.push(chunk)
    })
    req.on('end', () => {
      if (bytes > BODY_BYTES_MAX) resolve({ ok: false, gone: false })
      else resolve({ ok: true, text: Buffer.concat(chunks).toString('utf8') })
    })
    // The caller left while sending: an event of everyday life, not a failure of ours.
    req.on('error', () => resolve({ ok: false, gone: true }))
  })
}
