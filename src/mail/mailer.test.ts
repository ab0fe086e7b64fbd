import assert from 'node:assert/strict'
import { test } from 'node:test'
import { smtpServer } from '../../test/smtp.ts'
import { silentLog } from '../kernel/index.ts'
import { createMailer } from './index.ts'

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
