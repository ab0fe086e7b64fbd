import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Mail, Mailer } from '../../src/mail/index.ts'
import { until } from '../events/stand.ts'
import { PASSWORD, startSignIn } from './stand.ts'

/** The mail server is somebody else's; the mailer itself is tested over SMTP in src/mail. */
function postbox(): { mailer: Mailer; mails: Mail[]; next(to: string): Promise<Mail> } {
  const mails: Mail[] = []
  const mailer: Mailer = {
    configured: true,
    async send(mail) {
      mails.push(mail)
      return { ok: true }
    },
    close() {},
  }
  return {
    mailer,
    mails,
    async next(to) {
      for (let turn = 0; turn < 200; turn++) {
        const at = mails.findIndex((mail) => mail.to === to)
        const [mail] = at === -1 ? [] : mails.splice(at, 1)
        if (mail !== undefined) return mail
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      throw new Error(`no mail for ${to}`)
    },
  }
}

const linkIn = (mail: Mail): URL => new URL(/https?:\S+/.exec(mail.text)?.[0] ?? '')

test('open sign-up: the password is chosen by whoever reads the mail, and no other lets anybody in', async (t) => {
  const { mailer, mails, next } = postbox()
  const stand = await startSignIn(t, { identity: { mailer, signUp: 'open' } })
  // A stranger is first, and knows the password of the account.
  const eve = { email: 'ada@example.com', password: 'eve was here first', name: 'Eve' }
  const made = await stand.browser().post('/api/auth/sign-up/email', eve)
  assert.equal(made.status, 200, made.text)
  assert.equal((await stand.browser().post('/api/auth/sign-in/email', eve)).status, 403)
  const mail = await next(eve.email)
  assert.match(mail.subject, /confirm/)
  const link = linkIn(mail)
  assert.equal(`${link.origin}${link.pathname}`, `${stand.url}/reset-password`)
  // Looking confirms nothing.
  const html = { accept: 'text/html' }
  assert.equal((await stand.browser().get(link.toString(), html)).status, 200)
  assert.equal((await stand.browser().post('/api/auth/sign-in/email', eve)).status, 403)
  const token = link.searchParams.get('token')
  const chosen = await stand.browser().post('/api/auth/reset-password', { token, newPassword: PASSWORD })
  assert.equal(chosen.status, 200, chosen.text)
  assert.equal((await stand.browser().post('/api/auth/sign-in/email', eve)).status, 401)
  const ada = { email: eve.email, password: PASSWORD }
  assert.equal((await stand.browser().post('/api/auth/sign-in/email', ada)).status, 200)
  // Whoever asks again is told nothing, and the owner of the address is.
  const again = await stand.browser().post('/api/auth/sign-up/email', { ...eve, name: 'Eve again' })
  assert.equal(again.status, 200)
  assert.match((await next(eve.email)).subject, /already/)
  assert.equal((await stand.browser().post('/api/auth/sign-in/email', eve)).status, 401)
  assert.deepEqual(mails, [])
})

test('open sign-up: while the address waits, asking again sends the link again; nothing else confirms it', async (t) => {
  const { mailer, next } = postbox()
  const stand = await startSignIn(t, { identity: { mailer, signUp: 'open' } })
  const ada = { email: 'ada@example.com', password: PASSWORD, name: 'Ada' }
  await stand.browser().post('/api/auth/sign-up/email', ada)
  const first = linkIn(await next(ada.email))
  for (const path of ['sign-up/email', 'send-verification-email', 'request-password-reset']) {
    const asked = await stand.browser().post(`/api/auth/${path}`, ada)
    assert.equal(asked.status, 200, `${path}: ${asked.text}`)
    const link = linkIn(await next(ada.email))
    assert.equal(link.pathname, '/reset-password', path)
    assert.notEqual(link.searchParams.get('token'), first.searchParams.get('token'), path)
  }
  assert.equal((await stand.browser().get('/api/auth/verify-email?token=x')).status, 404)
})

test('an account that a stranger made waits in vain: an invitation of its address gives it to the invited', async (t) => {
  const { mailer, next } = postbox()
  const stand = await startSignIn(t, { identity: { mailer, signUp: 'open' } })
  const eve = { email: 'ada@example.com', password: 'eve was here first', name: 'Eve' }
  await stand.browser().post('/api/auth/sign-up/email', eve)
  await next(eve.email)
  const invited = { email: 'Ada@example.com', invitation: 'invite:ada@example.com', name: 'Ada' }
  const short = await stand
    .browser()
    .post('/api/auth/sign-up/email', { ...invited, password: 'short', name: 'Ada' })
  assert.equal(short.json.code, 'PASSWORD_TOO_SHORT')
  const made = await stand.browser().post('/api/auth/sign-up/email', { ...invited, password: PASSWORD })
  assert.equal(made.status, 200, made.text)
  assert.equal(made.json.user.emailVerified, true)
  assert.equal((await stand.browser().post('/api/auth/sign-in/email', eve)).status, 401)
  const browser = stand.browser()
  assert.equal(
    (await browser.post('/api/auth/sign-in/email', { email: eve.email, password: PASSWORD })).status,
    200,
  )
  assert.equal((await browser.get('/api/auth/get-session')).json.user.name, 'Ada')
  // Once it is somebody's, an invitation takes it from nobody.
  const later = await stand
    .browser()
    .post('/api/auth/sign-up/email', { ...invited, password: 'another long password' })
  assert.equal(later.status, 200)
  const stolen = { email: eve.email, password: 'another long password' }
  assert.equal((await stand.browser().post('/api/auth/sign-in/email', stolen)).status, 401)
  assert.equal((await browser.get('/api/auth/sessions')).status, 200)
})

test('a forgotten password: one link, which works once and ends every session; strangers learn nothing', async (t) => {
  const { mailer, mails, next } = postbox()
  const stand = await startSignIn(t, { identity: { mailer } })
  const browser = await stand.member('ada@example.com')
  const ask = (email: string) => stand.browser().post('/api/auth/request-password-reset', { email })
  const known = await ask('ada@example.com')
  const unknown = await ask('nobody@example.com')
  assert.deepEqual([known.status, known.text], [unknown.status, unknown.text])
  const link = linkIn(await next('ada@example.com'))
  assert.deepEqual(mails, [])
  assert.equal(`${link.origin}${link.pathname}`, `${stand.url}/reset-password`)
  const token = link.searchParams.get('token') ?? ''
  const { rows } = { rows: await stand.owner.query('select * from identity.verification') }
  assert.ok(!JSON.stringify(rows).includes(token), 'the table has no token that works')
  const reset = (newPassword: string) =>
    stand.browser().post('/api/auth/reset-password', { token, newPassword })
  assert.equal((await reset('too short')).status, 400)
  const both = await Promise.all([reset('a new long password'), reset('another long password')])
  assert.deepEqual(both.map(({ status }) => status).sort(), [200, 400])
  assert.equal((await reset('a third long password')).status, 400)
  assert.equal((await browser.get('/api/auth/sessions')).status, 401)
})

test('links in mails name the address of this installation, whatever a request says of it', async (t) => {
  const { mailer, next } = postbox()
  const stand = await startSignIn(t, { identity: { mailer } })
  await stand.member('ada@example.com')
  const response = await fetch(`${stand.url}/api/auth/request-password-reset`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
    },
    body: JSON.stringify({ email: 'ada@example.com', redirectTo: 'https://evil.example/' }),
  })
  assert.equal(response.status, 403, 'a redirect to elsewhere is refused')
  const asked = await fetch(`${stand.url}/api/auth/request-password-reset`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-forwarded-host': 'evil.example' },
    body: JSON.stringify({ email: 'ada@example.com' }),
  })
  assert.equal(asked.status, 200)
  assert.equal(linkIn(await next('ada@example.com')).origin, stand.url)
})

test('nobody is flooded: the sixth mail within an hour to one address waits', async (t) => {
  const { mailer } = postbox()
  const stand = await startSignIn(t, { identity: { mailer } })
  await stand.member('ada@example.com')
  const statuses: number[] = []
  for (let i = 0; i < 6; i++)
    statuses.push(
      (await stand.browser().post('/api/auth/request-password-reset', { email: 'ADA@example.com' })).status,
    )
  assert.deepEqual(statuses, [200, 200, 200, 200, 200, 429])
})

test('who signs up again and again under an address floods nobody, and shuts nobody out', async (t) => {
  const { mailer, mails } = postbox()
  const stand = await startSignIn(t, { identity: { mailer, signUp: 'open' } })
  await stand.member('ada@example.com')
  const eve = { email: 'ada@example.com', password: 'eve has another', name: 'Eve' }
  for (let i = 0; i < 12; i++)
    assert.equal((await stand.browser().post('/api/auth/sign-up/email', eve)).status, 200)
  await until('the mails', () => mails.length >= 5)
  assert.equal(mails.filter(({ to }) => to === 'ada@example.com').length, 5)
  const ada = { email: 'ada@example.com', password: PASSWORD }
  assert.equal((await stand.browser().post('/api/auth/sign-in/email', ada)).status, 200)
})
