import { createServer, type IncomingHttpHeaders, type IncomingMessage, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What stands between an agent and everything else, on loopback: a window to the gateway, and a wall to the world. */

/** One request of an agent and the head of its answer. */
export interface Exchanged {
  readonly method: string
  readonly path: string
  readonly sent: IncomingHttpHeaders
  readonly body: string
  readonly status: number
  readonly answered: IncomingHttpHeaders
}

export interface Window {
  readonly url: string
  readonly seen: Exchanged[]
  close(): Promise<void>
}

async function listening(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function closing(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

async function bodyOf(req: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of req) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}

/** Passes everything on as it is, and remembers it. */
export async function openWindow(target: string): Promise<Window> {
  const seen: Exchanged[] = []
  const server = createServer((req, res) => {
    const pass = async (): Promise<void> => {
      const body = await bodyOf(req)
      const { method = 'GET', url: path = '/', headers: sent } = req
      const onward = request(`${target}${path}`, { method, headers: sent }, (answer) => {
        const { statusCode: status = 0, headers: answered } = answer
        seen.push({ method, path, sent, body: body.toString('utf8'), status, answered })
        res.writeHead(status, answered)
        answer.pipe(res)
      })
      onward.on('error', () => res.destroy())
      res.on('close', () => onward.destroy())
      onward.end(body)
    }
    pass().catch(() => res.destroy())
  })
  const url = await listening(server)
  return { url, seen, close: () => closing(server) }
}

export interface Wall {
  readonly url: string
  /** Hosts that were asked for, and not reached. */
  readonly refused: Set<string>
  close(): Promise<void>
}

/** A proxy that lets nobody through. */
export async function buildWall(): Promise<Wall> {
  const refused = new Set<string>()
  const server = createServer((req, res) => {
    refused.add(req.headers.host ?? '?')
    res.writeHead(403).end()
  })
  server.on('connect', (req, socket) => {
    refused.add(req.url ?? '?')
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n')
  })
  const url = await listening(server)
  return { url, refused, close: () => closing(server) }
}
