import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { silentLog } from '../kernel/index.ts'
import { createMailer } from './index.ts'

/** A mail server of as much SMTP as one message needs. `refuse` is its answer to a recipient. */
async function smtpServer(t: TestContext, refuse: string | null = null) {
  const messages: string[] = []
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
        } else if (/^RCPT/i.test(piece) && refuse !== null) say(refuse)
        else say(/^QUIT/i.test(piece) ? '221 bye' : '250 ok')
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { url: `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`, messages }
}

test('a mail arrives with its text; a line break in the subject adds no header', async (t) => {
  const { url, messages } = await smtpServer(t)
  const mailer = createMailer({ smtpUrl: url, from: 'Tokens Forge <forge@stand.test>', log: silentLog })
  t.after(() => mailer.close())
  const sent = await mailer.send({
    to: 'owner@stand.test',
    subject: 'Budget\r\nBcc: thief@stand.test',
    text: 'Eighty per cent are used.',
  })
  assert.deepEqual(sent, { ok: true })
  const [message = ''] = messages
  assert.match(message, /^To: owner@stand\.test$/m)
  assert.match(message, /^Subject: Budget Bcc: thief@stand\.test$/m)
  assert.match(message, /Eighty per cent are used\./)
  assert.doesNotMatch(message, /^Bcc:/m)
})

test('a refusal says whether another try can help', async (t) => {
  for (const [reply, final] of [
    ['550 no such mailbox', true],
    ['451 try later', false],
  ] as const) {
    const { url } = await smtpServer(t, reply)
    const mailer = createMailer({ smtpUrl: url, from: 'forge@stand.test', log: silentLog })
    const sent = await mailer.send({ to: 'nobody@stand.test', subject: 's', text: 't' })
    mailer.close()
    assert.equal(sent.ok, false)
    assert.ok(!sent.ok && sent.reason === 'failed')
    assert.equal(sent.final, final)
  }
})

test('a server that is not there is an answer, not an exception', async () => {
  const mailer = createMailer({ smtpUrl: 'smtp://127.0.0.1:1', from: 'forge@stand.test', log: silentLog })
  const sent = await mailer.send({ to: 'a@stand.test', subject: 's', text: 't' })
  mailer.close()
  assert.ok(!sent.ok && sent.reason === 'failed' && !sent.final)
})

test('without a mail server nothing is sent, and the asker is told', async () => {
  const mailer = createMailer({ smtpUrl: null, from: 'forge@stand.test', log: silentLog })
  assert.deepEqual(await mailer.send({ to: 'a@stand.test', subject: 's', text: 't' }), {
    ok: false,
    reason: 'unconfigured',
  })
})
