import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * A mail server of as much SMTP as one message needs.
 * @param refuse its answer to a recipient
 * @param times how often it refuses before it takes what comes
 */
export async function smtpServer(
  t: TestContext,
  refuse: string | null = null,
  times = Number.POSITIVE_INFINITY,
) {
  const messages: string[] = []
  let refused = 0
  const server = createServer((socket) => {
    let data = false
    let text = ''
    socket.setEncoding('utf8')
    socket.on('error', () => {})
    const say = (line: string): void => void socket.write(`${line}\r\n`)
    say('220 stand.test ESMTP')
    socket.on('data', (chunk: string) => {
      text += chunk
      for (;;) {
        const end = data ? text.indexOf('\r\n.\r\n') : text.indexOf('\r\n')
        if (end === -1) return
        const piece = text.slice(0, end)
        text = text.slice(end + (data ? 5 : 2))
        if (data) {
          messages.push(piece)
          data = false
          say('250 taken')
        } else if (/^DATA/i.test(piece)) {
          data = true
          say('354 go on')
        } else if (/^RCPT/i.test(piece) && refuse !== null && refused < times) {
          refused++
          say(refuse)
        } else say(/^QUIT/i.test(piece) ? '221 bye' : '250 ok')
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return {
    url: `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    messages,
    refused: () => refused,
  }
}

/** The text of a message, whatever it was encoded in. */
export function textOf(message: string): string {
  const at = message.indexOf('\r\n\r\n')
  const body = message.slice(at + 4)
  const encoding = /^content-transfer-encoding: *(\S+)/im.exec(message.slice(0, at))?.[1]?.toLowerCase()
  if (encoding === 'base64') return Buffer.from(body, 'base64').toString('utf8')
  if (encoding !== 'quoted-printable') return body
  const bytes = body
    .replace(/=\r\n/g, '')
    .replace(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

/** Waits for the first message to an address, takes it away, and gives its text. */
export async function nextMail(messages: string[], to: string): Promise<string> {
  for (let turn = 0; turn < 500; turn++) {
    const at = messages.findIndex((message) => message.toLowerCase().includes(`\nto: ${to.toLowerCase()}`))
    const [message] = at === -1 ? [] : messages.splice(at, 1)
    if (message !== undefined) return textOf(message)
    await sleep(10)
  }
  throw new Error(`no mail for ${to}`)
}

/** The first address in a text. */
export function linkIn(text: string): string {
  return /https?:\S+/.exec(text)?.[0] ?? ''
}
