import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Browser, secretOf, totp } from './browser.ts'
import { PASSWORD, SESSION, type SignInStand, startSignIn } from './stand.ts'

async function withTotp(stand: SignInStand, email: string) {
  const browser = await stand.member(email)
  const enabled = await browser.post('/api/auth/two-factor/enable', { password: PASSWORD })
  assert.equal(enabled.status, 200, enabled.text)
  const secret = secretOf(enabled.json.totpURI)
  const old = browser.copy()
  const verified = await browser.post('/api/auth/two-factor/verify-totp', { code: totp(secret, -1) })
  assert.equal(verified.status, 200, verified.text)
  return { browser, old, secret, backupCodes: enabled.json.backupCodes as string[] }
}

async function password(stand: SignInStand, email: string): Promise<Browser> {
  const browser = stand.browser()
  const answer = await browser.post('/api/auth/sign-in/email', { email, password: PASSWORD })
  assert.equal(answer.json.twoFactorRedirect, true, answer.text)
  assert.equal(browser.jar.has(SESSION), false, 'a password alone is no session')
  assert.ok(!answer.cookies.some((line) => new RegExp(`^${SESSION}=[^;]`).test(line)))
  return browser
}

test('a second factor is asked after the password, and turning it on renews the session', async (t) => {
  const stand = await startSignIn(t)
  const { browser, old, secret } = await withTotp(stand, 'ada@example.com')
  assert.equal((await old.get('/api/auth/sessions')).status, 401)
  const person = await stand.identity.personOf({ headers: { cookie: browser.cookieHeader() } })
  assert.equal(person?.twoFactor, true)
  const again = await password(stand, 'ada@example.com')
  assert.equal((await again.get('/api/auth/sessions')).status, 401)
  const wrong = await again.post('/api/auth/two-factor/verify-totp', { code: '000000' })
  assert.equal(wrong.status, 401)
  const right = await again.post('/api/auth/two-factor/verify-totp', {
    code: totp(secret),
    trustDevice: true,
  })
  assert.equal(right.status, 200, right.text)
  assert.equal((await again.get('/api/auth/sessions')).status, 200)
  assert.deepEqual([...again.jar.keys()], [SESSION], 'no cookie stands in for the factor next time')
  await password(stand, 'ada@example.com')
})

test('a code is taken once, also by two at the same time', async (t) => {
  const stand = await startSignIn(t)
  const { secret } = await withTotp(stand, 'ada@example.com')
  const code = totp(secret)
  const browsers = [await password(stand, 'ada@example.com'), await password(stand, 'ada@example.com')]
  const answers = await Promise.all(
    browsers.map((browser) => browser.post('/api/auth/two-factor/verify-totp', { code })),
  )
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 401])
  const signedIn = await Promise.all(browsers.map((browser) => browser.get('/api/auth/sessions')))
  assert.deepEqual(signedIn.map(({ status }) => status).sort(), [200, 401])
  const later = await password(stand, 'ada@example.com')
  assert.equal((await later.post('/api/auth/two-factor/verify-totp', { code })).status, 401)
})

test('codes cannot be guessed: five end the attempt, ten lock the factor, also for the right one', async (t) => {
  const stand = await startSignIn(t)
  const { secret } = await withTotp(stand, 'ada@example.com')
  for (let attempt = 0; attempt < 2; attempt++) {
    const browser = await password(stand, 'ada@example.com')
    for (let guess = 0; guess < 5; guess++) {
      const code = String(111_111 * (guess + 1))
      assert.equal((await browser.post('/api/auth/two-factor/verify-totp', { code })).status, 401)
    }
    assert.ok((await browser.post('/api/auth/two-factor/verify-totp', { code: totp(secret) })).status >= 400)
  }
  const locked = await password(stand, 'ada@example.com')
  const answer = await locked.post('/api/auth/two-factor/verify-totp', { code: totp(secret) })
  assert.equal(answer.status, 429, answer.text)
})

test('a recovery code works once', async (t) => {
  const stand = await startSignIn(t)
  const { backupCodes } = await withTotp(stand, 'ada@example.com')
  assert.equal(backupCodes.length, 10)
  const [code] = backupCodes
  const first = await password(stand, 'ada@example.com')
  const used = await first.post('/api/auth/two-factor/verify-backup-code', { code })
  assert.equal(used.status, 200, used.text)
  assert.equal((await first.get('/api/auth/sessions')).status, 200)
  const second = await password(stand, 'ada@example.com')
  assert.equal((await second.post('/api/auth/two-factor/verify-backup-code', { code })).status, 401)
})

test('turning the factor off takes the password, and renews the session', async (t) => {
  const stand = await startSignIn(t)
  const { browser } = await withTotp(stand, 'ada@example.com')
  const old = browser.copy()
  assert.equal(
    (await browser.post('/api/auth/two-factor/disable', { password: 'not the password' })).status,
    400,
  )
  assert.equal((await browser.post('/api/auth/two-factor/disable', { password: PASSWORD })).status, 200)
  assert.equal((await old.get('/api/auth/sessions')).status, 401)
  const plain = stand.browser()
  await plain.post('/api/auth/sign-in/email', { email: 'ada@example.com', password: PASSWORD })
  assert.equal((await plain.get('/api/auth/sessions')).status, 200)
})
