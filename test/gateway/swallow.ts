import { createConnection, createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

/** A wire to the gateway that loses answers: the gateway has said everything, the caller hears nothing. */

export interface Wire {
  readonly url: string
  /** So many of the next requests hear nothing of their answers, and are cut after them. */
  swallow(count: number): void
  readonly swallowed: number
}

const QUIET_MS = 150

export async function startWire(t: TestContext, target: string): Promise<Wire> {
  const { port } = new URL(target)
  const sockets = new Set<Socket>()
  let toSwallow = 0
  let swallowed = 0
  const server = createServer((caller) => {
    const gateway = createConnection(Number.parseInt(port, 10), '127.0.0.1')
    let swallowing = false
    let quiet: NodeJS.Timeout | undefined
    for (const socket of [caller, gateway]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        caller.destroy()
        gateway.destroy()
      })
    }
    caller.on('data', (data) => {
      if (!swallowing && toSwallow > 0) {
        toSwallow--
        swallowing = true
      }
      gateway.write(data)
    })
    gateway.on('data', (data) => {
      if (!swallowing) {
        caller.write(data)
        return
      }
      clearTimeout(quiet)
      quiet = setTimeout(() => {
        swallowed++
        caller.destroy()
      }, QUIET_MS)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  const own = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${own}`,
    swallow(count) {
      toSwallow = count
    },
    get swallowed() {
      return swallowed
    },
  }
}
