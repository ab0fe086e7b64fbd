import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { fault } from '../contract/index.ts'
import { errorText, formatId } from '../kernel/index.ts'
import type { ApiDeps } from './deps.ts'
import { PROBLEM_TYPE, problemOf } from './problem.ts'
import { shapeFault } from './request-shape.ts'
import { createRoutes } from './routes.ts'
import { toIdentity } from './to-identity.ts'

export interface ListenOptions {
  readonly host: string
  /** 0 takes a free one. */
  readonly port: number
  /** Several processes on one port; the kernel spreads the connections. */
  readonly reusePort?: boolean
}

export interface Api {
  readonly server: Server
  /** @returns the address it listens on */
  listen(options: ListenOptions): Promise<{ readonly host: string; readonly port: number }>
  /**
   * Takes no new connections, waits for requests under way, cuts those that take longer than `graceMs`, and before that
   * those that have not come whole after `arriveMs`.
   */
  close(graceMs: number, arriveMs?: number): Promise<void>
}

const SERVER_OPTIONS = {
  headersTimeout: 10_000,
  // The time to receive a request; an answer may stream for as long as it likes.
  requestTimeout: 60_000,
  // Above the idle time of common load balancers, so that they close first and never write into a closing socket.
  keepAliveTimeout: 75_000,
  maxHeaderSize: 16_384,
  connectionsCheckingInterval: 1_000,
}

const CLIENT_ERROR_STATUS: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Content Too Large',
}

const IDLE_CHECK_MS = 100

/** What cannot be read as HTTP is answered in plain text: there is no request, hence no id. */
function createClientErrorHandler(current: WeakMap<Socket, ServerResponse>) {
  return (error: Error, socket: Socket): void => {
    const code = 'code' in error ? String(error.code) : ''
    const answering = current.get(socket)
    const midAnswer = answering?.headersSent === true && !answering.writableFinished
    // An answer that is half written must not get another one's head into its body.
    if (code === 'ECONNRESET' || !socket.writable || midAnswer) {
      socket.destroy()
      return
    }
    const status = CLIENT_ERROR_STATUS[code] ?? '400 Bad Request'
    const text = `${status.slice(4)}\n`
    const head = `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: ${text.length}\r\n\r\n`
    socket.end(head + text)
  }
}

export function createApi(deps: ApiDeps): Api {
  const { gateway, identity, log } = deps
  const current = new WeakMap<Socket, ServerResponse>()
  let closing = false

  function refuse(res: ServerResponse, message: string): void {
    const requestId = formatId('req', deps.ids.uuid())
    const body = JSON.stringify(problemOf(fault('invalid_parameter', message), requestId))
    res.writeHead(400, { 'content-type': PROBLEM_TYPE, 'x-request-id': requestId, connection: 'close' })
    res.end(body)
  }

  function toGateway(req: IncomingMessage, res: ServerResponse): void {
    const failed = (thrown: unknown): void => {
      log.error({ error: errorText(thrown) }, 'the gateway threw')
      res.destroy()
    }
    try {
      gateway.handle(req, res)?.catch(failed)
    } catch (thrown) {
      failed(thrown)
    }
  }

  const listener = (req: IncomingMessage, res: ServerResponse): void => {
    current.set(req.socket, res)
    if (closing) res.setHeader('connection', 'close')
    const wrong = shapeFault(req)
    if (wrong !== null) {
      refuse(res, wrong)
      return
    }
    const target = req.url ?? '/'
    const queryAt = target.indexOf('?')
    const path = queryAt === -1 ? target : target.slice(0, queryAt)
    if (gateway.owns(req.method ?? 'GET', path)) toGateway(req, res)
    else if (identity.owns(path)) {
      if (req.headers.expect !== undefined) res.writeContinue()
      void toIdentity(deps, req, res)
    } else {
      if (req.headers.expect !== undefined) res.writeContinue()
      routes.listener(req, res)
    }
  }
  const server = createServer(SERVER_OPTIONS, listener)
  // The gateway says "go on" itself, after it knows whose body it is.
  server.on('checkContinue', listener)
  // Its body may or may not follow: what comes next on this connection is not to be guessed at.
  server.on('checkExpectation', (_req: IncomingMessage, res: ServerResponse) => {
    res.writeHead(417, { connection: 'close' })
    res.end()
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  const cut = (unwanted: (answering: ServerResponse | undefined) => boolean): void => {
    for (const socket of sockets) if (unwanted(current.get(socket))) socket.destroy()
  }
  const routes = createRoutes(deps, server, createClientErrorHandler(current))

  return {
    server,
    async listen(options) {
      await routes.ready()
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen({ ...options, backlog: 4096 }, () => {
          server.off('error', reject)
          resolve()
        })
      })
      const { address, port } = server.address() as AddressInfo
      return { host: address, port }
    },
    async close(graceMs, arriveMs = graceMs) {
      closing = true
      if (server.listening) await closeServer(server, graceMs, arriveMs, cut)
      await routes.close()
    },
  }
}

/** Nobody waits for an answer here: no request came, or only a part of the next one's head. */
const isSilent = (answering: ServerResponse | undefined): boolean =>
  answering === undefined || (answering.writableFinished && answering.req.complete)

const isArriving = (answering: ServerResponse | undefined): boolean => answering?.req.complete !== true

/**
 * Node closes connections that are idle now, and leaves those on which nothing was said yet. They, and those that become
 * idle later, are looked for, or they would be waited for.
 */
function closeServer(
  server: Server,
  graceMs: number,
  arriveMs: number,
  cut: (unwanted: typeof isSilent) => void,
): Promise<void> {
  return new Promise((resolve) => {
    const idle = setInterval(() => {
      server.closeIdleConnections()
      cut(isSilent)
    }, IDLE_CHECK_MS)
    const late = setTimeout(() => cut(isArriving), arriveMs)
    const last = setTimeout(() => server.closeAllConnections(), graceMs)
    server.close(() => {
      clearInterval(idle)
      clearTimeout(late)
      clearTimeout(last)
      resolve()
    })
  })
}
