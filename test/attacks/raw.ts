import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

/** Bytes by hand, both ways. */

/** Sends bytes as they are; gives back what was said until the connection closed, or `quietMs` after the last word. */
export async function raw(url: string, text: string | Buffer, quietMs = 400): Promise<string> {
  const socket = connect(Number.parseInt(new URL(url).port, 10), '127.0.0.1')
  let answer = ''
  let quiet: NodeJS.Timeout | undefined
  const wait = (): void => {
    clearTimeout(quiet)
    quiet = setTimeout(() => socket.destroy(), quietMs)
  }
  socket.on('error', () => undefined)
  socket.setEncoding('latin1').on('data', (data: string) => {
    answer += data
    wait()
  })
  socket.write(text)
  await once(socket, 'close')
  clearTimeout(quiet)
  return answer
}

/** The statuses of every answer in what a connection was told. */
export function statusesOf(answer: string): number[] {
  return [...answer.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((match) => Number.parseInt(match[1] ?? '', 10))
}

export interface ByteUpstream {
  readonly url: string
  /** Each request as it came, head and body. */
  readonly requests: string[]
}

/** An upstream that keeps every byte it is sent and answers each request alike. */
export async function startByteUpstream(t: TestContext, body: string): Promise<ByteUpstream> {
  const requests: string[] = []
  const sockets = new Set<Socket>()
  const answer = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    let text = ''
    socket.setEncoding('latin1').on('data', (data: string) => {
      text += data
      const end = text.indexOf('\r\n\r\n')
      const length = Number.parseInt(/content-length: (\d+)/i.exec(text)?.[1] ?? '0', 10)
      if (end === -1 || text.length < end + 4 + length) return
      requests.push(text)
      text = ''
      socket.write(answer)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests }
}
