import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Authenticator, type Ceremony } from './authenticator.ts'
import type { Browser } from './browser.ts'
import { SESSION, type SignInStand, startSignIn } from './stand.ts'

const originOf = (stand: SignInStand): string => stand.url.replace('127.0.0.1', 'localhost')

async function register(
  stand: SignInStand,
  browser: Browser,
  key: Authenticator,
  more: Partial<Ceremony> = {},
) {
  const options = await browser.get('/api/auth/passkey/generate-register-options')
  assert.equal(options.status, 200, options.text)
  assert.equal(options.json.rp.id, 'localhost')
  assert.equal(options.json.authenticatorSelection.userVerification, 'required')
  const { challenge } = options.json
  const response = key.create({ challenge, origin: originOf(stand), rpId: 'localhost', ...more })
  return await browser.post('/api/auth/passkey/verify-registration', { response, name: 'laptop' })
}

async function signIn(stand: SignInStand, key: Authenticator, more: Partial<Ceremony> = {}) {
  const browser = stand.browser()
  const options = await browser.get('/api/auth/passkey/generate-authenticate-options')
  const { challenge } = options.json
  const response = key.get({ challenge, origin: originOf(stand), rpId: 'localhost', ...more })
  const answer = await browser.post('/api/auth/passkey/verify-authentication', { response })
  return { browser, answer, response }
}

test('a passkey signs its person in, in any browser, and its answer works once', async (t) => {
  const stand = await startSignIn(t)
  const key = new Authenticator()
  const added = await register(stand, await stand.member('ada@example.com'), key)
  assert.equal(added.status, 200, added.text)
  const { browser, answer, response } = await signIn(stand, key)
  assert.equal(answer.status, 200, answer.text)
  assert.match(
    answer.cookies.join('\n'),
    new RegExp(`^${SESSION}=.*; HttpOnly; Secure; SameSite=Strict`, 'm'),
  )
  assert.ok(!answer.text.includes('"token"'))
  assert.equal((await browser.get('/api/auth/get-session')).json.user.email, 'ada@example.com')
  const replayed = await stand.browser().post('/api/auth/passkey/verify-authentication', { response })
  assert.equal(replayed.status, 400)
})

test('another origin, another host, no verification of the person, an unknown key: nobody is signed in', async (t) => {
  const stand = await startSignIn(t)
  const key = new Authenticator()
  const ada = await stand.member('ada@example.com')
  for (const wrong of [
    { origin: 'https://evil.example' },
    { rpId: 'evil.example' },
    { challenge: Buffer.alloc(32).toString('base64url') },
    { verified: false },
  ])
    assert.match(
      String((await register(stand, ada, new Authenticator(), wrong)).status),
      /^4/,
      JSON.stringify(wrong),
    )
  assert.equal((await register(stand, ada, key)).status, 200)
  for (const wrong of [
    { origin: 'https://evil.example' },
    { rpId: 'evil.example' },
    { challenge: Buffer.alloc(32).toString('base64url') },
    { verified: false },
  ]) {
    const { answer, browser } = await signIn(stand, key, wrong)
    assert.ok(
      answer.status >= 400 && answer.status < 500,
      `${JSON.stringify(wrong)}: ${answer.status} ${answer.text}`,
    )
    assert.equal(browser.jar.has(SESSION), false)
  }
  const { answer } = await signIn(stand, new Authenticator())
  assert.equal(answer.status, 401)
})

test('adding a passkey needs a person who signed in lately; of others it is neither seen nor removed', async (t) => {
  const stand = await startSignIn(t)
  assert.equal((await stand.browser().get('/api/auth/passkey/generate-register-options')).status, 401)
  const ada = await stand.member('ada@example.com')
  const key = new Authenticator()
  assert.equal((await register(stand, ada, key)).status, 200)
  const [passkey] = (await ada.get('/api/auth/passkey/list-user-passkeys')).json
  assert.equal(passkey.name, 'laptop')
  const eve = await stand.member('eve@example.com')
  assert.deepEqual((await eve.get('/api/auth/passkey/list-user-passkeys')).json, [])
  assert.ok((await eve.post('/api/auth/passkey/delete-passkey', { id: passkey.id })).status >= 400)
  assert.equal((await signIn(stand, key)).answer.status, 200)
  await stand.owner.query(
    `update identity.session set created_at = clock_timestamp() - interval '16 minutes'`,
  )
  assert.equal((await ada.get('/api/auth/passkey/generate-register-options')).status, 403)
  assert.equal((await ada.post('/api/auth/passkey/delete-passkey', { id: passkey.id })).status, 200)
  assert.equal((await signIn(stand, key)).answer.status, 401)
})
