import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PASSWORD, SESSION, startSignIn } from './stand.ts'

test('an invitation makes an account with a proven address; nothing else does', async (t) => {
  const stand = await startSignIn(t)
  const browser = stand.browser()
  const asked = { email: 'Ada@example.com', password: PASSWORD, name: 'Ada' }
  for (const invitation of [undefined, 'invite:eve@example.com', ''])
    assert.equal((await browser.post('/api/auth/sign-up/email', { ...asked, invitation })).status, 403)
  const short = await browser.post('/api/auth/sign-up/email', {
    ...asked,
    password: 'eleven char',
    invitation: 'invite:ada@example.com',
  })
  assert.equal(short.status, 400)
  const made = await browser.post('/api/auth/sign-up/email', {
    ...asked,
    invitation: 'invite:ada@example.com',
  })
  assert.equal(made.status, 200, made.text)
  assert.equal(made.json.user.emailVerified, true)
  assert.deepEqual(made.cookies, [], 'an account is made, nobody is signed in yet')
  const rows = await stand.owner.query('select email, email_verified from identity.person')
  assert.deepEqual(rows, [{ email: 'ada@example.com', email_verified: true }])
})

test('the cookie of a session is strict, secure, hidden from scripts and of this host alone', async (t) => {
  const stand = await startSignIn(t)
  await stand.member('ada@example.com')
  const browser = stand.browser()
  const answer = await browser.post('/api/auth/sign-in/email', {
    email: 'ada@example.com',
    password: PASSWORD,
  })
  assert.equal(answer.cookies.length, 1)
  const [cookie = ''] = answer.cookies
  assert.equal(
    cookie.replace(/=[^;]+/, '=…'),
    `${SESSION}=…; Max-Age=86400; Path=/; HttpOnly; Secure; SameSite=Strict`,
  )
  assert.equal('token' in answer.json, false, 'a script must not be given what the cookie hides from it')
  const session = await browser.get('/api/auth/get-session')
  assert.equal(session.json.user.email, 'ada@example.com')
  assert.equal('token' in session.json.session, false)
  const person = await stand.identity.personOf({ headers: { cookie: browser.cookieHeader() } })
  assert.deepEqual(
    { ...person, id: '', sessionId: '' },
    {
      id: '',
      email: 'ada@example.com',
      emailVerified: true,
      name: 'A person',
      operatorRole: null,
      sessionId: '',
      twoFactor: false,
    },
  )
})

test('an unknown address and a wrong password get the same answer, in overlapping time', async (t) => {
  const stand = await startSignIn(t)
  await stand.member('ada@example.com')
  const ask = async (email: string) => {
    const began = performance.now()
    const { status, text } = await stand
      .browser()
      .post('/api/auth/sign-in/email', { email, password: 'not the password' })
    return { answer: `${status} ${text}`, ms: performance.now() - began }
  }
  const known: number[] = []
  const unknown: number[] = []
  for (let i = 0; i < 8; i++) {
    const a = await ask('ada@example.com')
    const b = await ask(`nobody@example.com`)
    assert.equal(a.answer, b.answer)
    assert.match(a.answer, /^401 /)
    known.push(a.ms)
    unknown.push(b.ms)
  }
  assert.ok(Math.min(...known) < Math.max(...unknown) && Math.min(...unknown) < Math.max(...known))
})

test('guesses are counted: the eleventh for one account waits, also of many at once, and the right one with it', async (t) => {
  const stand = await startSignIn(t)
  await stand.member('ada@example.com')
  const guess = (password: string) =>
    stand.browser().post('/api/auth/sign-in/email', { email: 'ada@example.com', password })
  const answers = await Promise.all(Array.from({ length: 25 }, (_, i) => guess(`wrong password ${i}`)))
  const counted = (status: number) => answers.filter((answer) => answer.status === status).length
  assert.equal(counted(401), 10)
  assert.equal(counted(429), 15)
  const refused = await guess(PASSWORD)
  assert.equal(refused.status, 429)
  assert.equal(refused.json.code, 'rate_limit_exceeded')
  assert.ok(Number(refused.headers.get('retry-after')) > 0)
  // The other process counts on.
  const other = await stand.second()
  const there = await other
    .browser()
    .post('/api/auth/sign-in/email', { email: 'ada@example.com', password: PASSWORD })
  assert.equal(there.status, 429)
})

test('another password ends all sessions and gives this browser a new one; the old one is dead', async (t) => {
  const stand = await startSignIn(t)
  const here = await stand.member('ada@example.com')
  const there = stand.browser()
  await there.post('/api/auth/sign-in/email', { email: 'ada@example.com', password: PASSWORD })
  const old = here.copy()
  const body = { currentPassword: PASSWORD, newPassword: 'another long password', revokeOtherSessions: false }
  const changed = await here.post('/api/auth/change-password', body)
  assert.equal(changed.status, 200, changed.text)
  assert.equal((await here.get('/api/auth/sessions')).json.data.length, 1)
  for (const dead of [old, there]) assert.equal((await dead.get('/api/auth/sessions')).status, 401)
})

test('without a mail server a forgotten password says that it cannot be mailed', async (t) => {
  const stand = await startSignIn(t)
  await stand.member('ada@example.com')
  const answer = await stand.browser().post('/api/auth/request-password-reset', { email: 'ada@example.com' })
  assert.equal(answer.status, 400, answer.text)
})

/** Addresses as a proxy in front would tell them. */
const fromAnywhere = {
  addressOf: (req: { headers: Record<string, unknown> }) =>
    String(req.headers['x-test-address'] ?? '192.0.2.1'),
}

test('one stranger shuts nobody out, and many together get fifty guesses', async (t) => {
  const stand = await startSignIn(t, { identity: fromAnywhere })
  await stand.member('ada@example.com')
  const from = async (address: string, password: string) => {
    const body = { email: 'ada@example.com', password }
    return (await stand.browser().post('/api/auth/sign-in/email', body, { 'x-test-address': address })).status
  }
  for (let i = 0; i < 60; i++) await from('198.51.100.1', 'wrong password')
  assert.equal(await from('198.51.100.1', PASSWORD), 429)
  assert.equal(await from('203.0.113.1', PASSWORD), 200)
  for (let i = 0; i < 40; i++) await from(`2001:db8:0:${i}::1`, 'wrong password')
  assert.equal(await from('203.0.113.2', PASSWORD), 429)
  assert.equal(await from('203.0.113.1', PASSWORD), 200, 'from where the account was signed in to before')
  for (let i = 0; i < 10; i++) await from('203.0.113.1', 'wrong password')
  assert.equal(await from('203.0.113.1', PASSWORD), 429, 'no place to guess at, either')
})

test('a stolen session is no place to guess the password at, whatever other cookies it is sent with', async (t) => {
  const stand = await startSignIn(t)
  const browser = await stand.member('ada@example.com')
  const statuses: number[] = []
  for (let i = 0; i < 21; i++) {
    browser.jar.set('other', String(i))
    const guess = { currentPassword: `wrong password ${i}`, newPassword: 'a password of eve' }
    statuses.push((await browser.post('/api/auth/change-password', guess)).status)
  }
  assert.deepEqual(statuses, [...Array.from({ length: 20 }, () => 400), 429])
})
