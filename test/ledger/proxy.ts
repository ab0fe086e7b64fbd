import { mkdtemp, rm } from 'node:fs/promises'
import { createConnection, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A wire to the database that can be cut at will, before or after the server has done what it was asked. */

export interface Proxy {
  /** The same database, through the wire. */
  readonly url: string
  /** The next thing the server says is lost together with the connection: it has committed, nobody knows. */
  loseNextReply(): void
  /** How many replies were lost so. */
  readonly lostReplies: number
  /** Cuts everything and refuses connections until `restore`. */
  cut(): void
  restore(): void
  close(): Promise<void>
}

function serverAddress(
  url: URL,
): { readonly path: string } | { readonly host: string; readonly port: number } {
  const host = url.searchParams.get('host') ?? url.hostname
  const port = url.searchParams.get('port') ?? (url.port === '' ? '5432' : url.port)
  if (host.startsWith('/')) return { path: join(host, `.s.PGSQL.${port}`) }
  return { host, port: Number.parseInt(port, 10) }
}

export async function createProxy(databaseUrl: string): Promise<Proxy> {
  const url = new URL(databaseUrl)
  const upstream = serverAddress(url)
  const dir = await mkdtemp(join(tmpdir(), 'forge-wire-'))
  const sockets = new Set<Socket>()
  let losing = false
  let lost = 0
  let isCut = false
  const server = createServer((client) => {
    if (isCut) {
      client.destroy()
      return
    }
    const remote = createConnection(upstream)
    for (const socket of [client, remote]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        remote.destroy()
      })
    }
    client.on('data', (data) => remote.write(data))
    remote.on('data', (data) => {
      if (!losing) {
        client.write(data)
        return
      }
      losing = false
      lost++
      client.destroy()
    })
  })
  await new Promise<void>((resolve) => server.listen(join(dir, '.s.PGSQL.5432'), resolve))
  url.searchParams.set('host', dir)
  url.searchParams.set('port', '5432')
  return {
    url: url.toString(),
    loseNextReply() {
      losing = true
    },
    get lostReplies() {
      return lost
    },
    cut() {
      isCut = true
      for (const socket of sockets) socket.destroy()
    },
    restore() {
      isCut = false
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      await rm(dir, { recursive: true, force: true })
    },
  }
}
