import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Dispatcher, Pool } from 'undici'

/**
 * The least that a gateway written for Node can be: node:http in, undici out, bytes through. No keys, no ledger, no
 * reading of what passes. The measure for what ours adds.
 *
 *   node bench/pass-through.ts <upstream origin>
 */

class Pipe implements Dispatcher.DispatchHandler {
  private readonly res: ServerResponse
  private controller: Dispatcher.DispatchController | null = null

  constructor(res: ServerResponse) {
    this.res = res
    res.on('close', () => {
      if (!res.writableFinished) this.controller?.abort(new Error('the caller left'))
    })
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: IncomingHttpHeaders,
  ): void {
    const { 'content-type': type, 'content-length': length } = headers
    this.res.writeHead(status, {
      ...(type === undefined ? {} : { 'content-type': type }),
      ...(length === undefined ? {} : { 'content-length': length }),
    })
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.res.write(chunk)) return
    controller.pause()
    this.res.once('drain', () => controller.resume())
  }

  onResponseEnd(): void {
    this.res.end()
  }

  onResponseError(): void {
    this.res.destroy()
  }
}

const pool = new Pool(process.argv[2] ?? '', {
  connections: 1024,
  pipelining: 1,
  headersTimeout: 0,
  bodyTimeout: 0,
})

const server = createServer((req, res) => {
  const pieces: Buffer[] = []
  req.on('data', (piece: Buffer) => pieces.push(piece))
  req.on('end', () => {
    const first = pieces[0]
    const body = pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces)
    const headers = { 'content-type': 'application/json', authorization: req.headers.authorization ?? '' }
    pool.dispatch({ method: 'POST', path: req.url ?? '/', headers, body }, new Pipe(res))
  })
})

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  process.stdout.write(`${JSON.stringify({ port: (server.address() as AddressInfo).port })}\n`)
})
process.on('SIGTERM', () => process.exit(0))
