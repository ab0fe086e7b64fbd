import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { SignUpMode } from '../../src/identity/index.ts'
import type { Browser } from './browser.ts'
import { type Provider, startProvider } from './provider.ts'
import { PASSWORD, SESSION, type SignInStand, startSignIn } from './stand.ts'

async function stands(
  t: TestContext,
  signUp: SignUpMode = 'oidc',
): Promise<{ stand: SignInStand; provider: Provider }> {
  const provider = await startProvider(t)
  const { issuer, clientId, clientSecret } = provider
  return {
    provider,
    stand: await startSignIn(t, { identity: { signUp, oidc: { issuer, clientId, clientSecret } } }),
  }
}

/** To the provider and back to the door of the callback. */
async function fetchCallback(browser: Browser, path = '/api/auth/sign-in/social'): Promise<URL> {
  const begun = await browser.post(path, { provider: 'oidc', callbackURL: '/console' })
  assert.equal(begun.status, 200, begun.text)
  const there = await fetch(begun.json.url, { redirect: 'manual' })
  return new URL(there.headers.get('location') ?? '')
}

/** As a browser comes back: from another site, with what its cookies allow. */
async function comeBack(browser: Browser, url: URL) {
  return await browser.get(url.toString(), { 'sec-fetch-site': 'cross-site' })
}

async function roundTrip(stand: SignInStand, browser = stand.browser()) {
  const answer = await comeBack(browser, await fetchCallback(browser))
  return { browser, answer, location: answer.headers.get('location') ?? '' }
}

test('the provider signs its person in: code, PKCE, state and nonce, and none of its tokens is kept', async (t) => {
  const { stand, provider } = await stands(t)
  const browser = stand.browser()
  const begun = await browser.post('/api/auth/sign-in/social', { provider: 'oidc', callbackURL: '/console' })
  assert.match(begun.cookies.join('\n'), /^__Host-tf_state=.*; HttpOnly; Secure; SameSite=Lax/m)
  const { answer, location } = await roundTrip(stand, browser)
  assert.equal(answer.status, 302, answer.text)
  assert.equal(new URL(location, stand.url).pathname, '/console')
  assert.equal(provider.asked.get('code_challenge_method'), 'S256')
  assert.ok((provider.asked.get('nonce') ?? '').length >= 16)
  assert.equal(provider.asked.get('redirect_uri'), `${stand.url}/api/auth/callback/oidc`)
  const { json } = await browser.get('/api/auth/get-session')
  assert.deepEqual([json.user.email, json.user.emailVerified], ['ada@example.com', true])
  const rows = await stand.owner.query(
    'select access_token, refresh_token, id_token from identity.account where provider_id = $1',
    ['oidc'],
  )
  assert.deepEqual(rows, [{ access_token: null, refresh_token: null, id_token: null }])
  // A second time it is the same person.
  await roundTrip(stand)
  const { n } = await stand.owner.one<{ n: number }>('select count(*)::int as n from identity.person')
  assert.equal(n, 1)
})

test('a token that is not for us, not now, not signed, or not the answer to our question lets nobody in', async (t) => {
  const { stand, provider } = await stands(t)
  const past = Math.floor(Date.now() / 1000) - 3_600
  for (const lies of [
    { claims: { iss: 'https://evil.example' } },
    { claims: { aud: 'another-client' } },
    { claims: { nonce: 'of another sign-in' } },
    { claims: { nonce: undefined } },
    { claims: { exp: past, iat: past - 60 } },
    { otherKey: true },
    { unsigned: true },
  ]) {
    provider.lies = lies
    const { browser, location } = await roundTrip(stand)
    assert.equal(browser.jar.has(SESSION), false, JSON.stringify(lies))
    assert.match(location, /\/sign-in\?.*error=|\/console\?.*error=/, JSON.stringify(lies))
  }
  provider.lies = {}
  const { n } = await stand.owner.one<{ n: number }>('select count(*)::int as n from identity.person')
  assert.equal(n, 0)
})

test('a state of another browser, one made up, and one used twice let nobody in', async (t) => {
  const { stand } = await stands(t)
  const eve = stand.browser()
  const caught = await fetchCallback(eve)
  const victim = stand.browser()
  await comeBack(victim, caught)
  assert.equal(victim.jar.has(SESSION), false, 'the state of another browser')
  const ada = stand.browser()
  const own = await fetchCallback(ada)
  const forged = new URL(own)
  forged.searchParams.set('state', 'x'.repeat(32))
  await comeBack(ada.copy(), forged)
  const replay = ada.copy()
  await comeBack(ada, own)
  assert.equal(ada.jar.has(SESSION), true)
  await comeBack(replay, own)
  assert.equal(replay.jar.has(SESSION), false, 'a state is used once')
})

test('nobody gets into an account by having its address at the provider, verified or not', async (t) => {
  const { stand, provider } = await stands(t, 'open')
  await stand.member('ada@example.com')
  for (const verified of [false, 'false', true]) {
    provider.profile = { ...provider.profile, sub: `eve-${verified}`, email_verified: verified }
    const { browser, location } = await roundTrip(stand)
    assert.equal(browser.jar.has(SESSION), false, String(verified))
    assert.match(location, /error=/)
  }
  // Nor does an unverified address become an account that its owner then could not have.
  provider.profile = { ...provider.profile, sub: 'eve', email: 'new@example.com', email_verified: false }
  const { browser } = await roundTrip(stand)
  assert.equal(browser.jar.has(SESSION), false)
  const { n } = await stand.owner.one<{ n: number }>('select count(*)::int as n from identity.person')
  assert.equal(n, 1)
})

test('the signed-in person joins the two accounts; then either way leads in', async (t) => {
  const { stand, provider } = await stands(t, 'invited')
  const ada = await stand.member('ada@example.com')
  const linked = await comeBack(ada, await fetchCallback(ada, '/api/auth/link-social'))
  assert.doesNotMatch(linked.headers.get('location') ?? '', /error=/)
  const { browser } = await roundTrip(stand)
  assert.equal((await browser.get('/api/auth/get-session')).json?.user.email, 'ada@example.com')
  const plain = stand.browser()
  await plain.post('/api/auth/sign-in/email', { email: 'ada@example.com', password: PASSWORD })
  assert.equal((await plain.get('/api/auth/sessions')).status, 200)
  // A provider's person with another address is not joined.
  const bob = await stand.member('bob@example.com')
  provider.profile = { ...provider.profile, sub: 'person-2', email: 'other@example.com' }
  const refused = await comeBack(bob, await fetchCallback(bob, '/api/auth/link-social'))
  assert.match(refused.headers.get('location') ?? '', /error=/)
})

test('by invitation only: the provider makes an account where its address was invited', async (t) => {
  const provider = await startProvider(t)
  const { issuer, clientId, clientSecret } = provider
  const oidc = { issuer, clientId, clientSecret }
  const invited = new Set<string>()
  const maySignUp = async (email: string, token: string | null) => token === null && invited.has(email)
  const stand = await startSignIn(t, { identity: { oidc, maySignUp } })
  const first = await roundTrip(stand)
  assert.equal(first.browser.jar.has(SESSION), false)
  assert.match(first.location, /error=sign_up_not_allowed/)
  invited.add('ada@example.com')
  assert.equal((await roundTrip(stand)).browser.jar.has(SESSION), true)
})

test('a token that the browser brings is not taken, and a provider that is down stops nobody else', async (t) => {
  const { stand } = await stands(t)
  const brought = await stand
    .browser()
    .post('/api/auth/sign-in/social', { provider: 'oidc', idToken: { token: 'x.y.z' } })
  assert.equal(brought.status, 403)
  const down = { issuer: 'http://127.0.0.1:9', clientId: 'c', clientSecret: 's' }
  const other = await startSignIn(t, { identity: { oidc: down } })
  const ada = await other.member('ada@example.com')
  assert.equal((await ada.get('/api/auth/sessions')).status, 200)
  assert.ok((await other.browser().post('/api/auth/sign-in/social', { provider: 'oidc' })).status >= 400)
})

test('a provider that hangs holds nobody else up, and is asked again when it is needed', async (t) => {
  const provider = await startProvider(t)
  let answering = false
  const front = createServer((req, res) => {
    if (!answering) return
    const there = request(provider.issuer + (req.url ?? '/'), (answer) => {
      res.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(res)
    })
    there.end()
  })
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  t.after(() => front.close().closeAllConnections())
  const issuer = `http://127.0.0.1:${(front.address() as AddressInfo).port}`
  const oidc = { issuer, clientId: provider.clientId, clientSecret: provider.clientSecret }
  const stand = await startSignIn(t, { identity: { signUp: 'oidc', oidc } })
  const ada = await stand.member('ada@example.com')
  assert.equal((await ada.get('/api/auth/sessions')).status, 200)
  answering = true
  const begun = await stand
    .browser()
    .post('/api/auth/sign-in/social', { provider: 'oidc', callbackURL: '/console' })
  assert.equal(begun.status, 200, begun.text)
})
