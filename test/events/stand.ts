import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EventView } from '../../src/contract/index.ts'
import { type Clock, systemClock } from '../../src/kernel/index.ts'

/** Receivers of webhooks, and patience. */

export interface Received {
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly event: EventView
}

export interface Receiver {
  readonly url: string
  readonly port: number
  readonly received: Received[]
  connections(): number
}

export type Answer = (req: IncomingMessage, res: ServerResponse, received: Received) => void

export async function receiver(
  t: TestContext,
  answer: Answer = (_req, res) => void res.end('ok'),
): Promise<Receiver> {
  const received: Received[] = []
  let connections = 0
  const server = createServer(async (req, res) => {
    let body = ''
    for await (const chunk of req) body += String(chunk)
    const one = { headers: req.headers, body, event: JSON.parse(body || 'null') as EventView }
    received.push(one)
    answer(req, res, one)
  })
  server.on('connection', () => {
    connections++
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/hook`, port, received, connections: () => connections }
}

export async function until<T>(
  what: string,
  look: () => Promise<T | null | false> | T | null | false,
  ms = 15_000,
): Promise<T> {
  const end = Date.now() + ms
  for (;;) {
    const found = await look()
    if (found !== null && found !== false) return found
    if (Date.now() > end) throw new Error(`waited too long for ${what}`)
    await sleep(20)
  }
}

/** The wall clock as it is told to be; durations are real. */
export function turnedClock(beginMs = Date.now()): Clock & { nowMsIs: number } {
  const clock = { nowMsIs: beginMs, nowMs: () => clock.nowMsIs, monotonicMs: systemClock.monotonicMs }
  return clock
}
