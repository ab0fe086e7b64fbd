import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Browser, formsOf, secretOf, totp } from './browser.ts'
import { startProvider } from './provider.ts'
import { PASSWORD, SESSION, type SignInStand, startSignIn } from './stand.ts'

/** The pages without scripts, as a browser that has none sees them. */

const ADA = 'ada@example.com'

async function signIn(browser: Browser, email: string, password: string, path = '/sign-in') {
  return await browser.fill(await browser.page(path), path, { email, password })
}

test('signing in and out by forms; an unknown address and a wrong password look alike, and are counted as by JSON', async (t) => {
  const stand = await startSignIn(t)
  await stand.member(ADA)
  const browser = stand.browser()
  const wrong = await signIn(browser, ADA, 'not the password')
  const unknown = await signIn(stand.browser(), 'nobody@example.com', 'not the password')
  assert.deepEqual([wrong.status, unknown.status], [401, 401])
  assert.equal(wrong.text.replace(ADA, ''), unknown.text.replace('nobody@example.com', ''))
  assert.match(wrong.text, /role="alert"/)
  assert.doesNotMatch(wrong.text, /not the password/)
  const account = await signIn(browser, ADA, PASSWORD)
  assert.equal(account.status, 200)
  assert.match(account.text, /Your account/)
  assert.ok(account.text.includes(ADA))
  const out = await browser.fill(account, '/account', {}, '/sign-out')
  assert.match(out.text, /<h1>Sign in<\/h1>/)
  assert.equal(browser.jar.has(SESSION), false)
  assert.match((await browser.page('/account')).headers.get('location') ?? '', /^\/sign-in$/)
  // Ten for one account from one address, by whichever door.
  const statuses: number[] = []
  for (let i = 0; i < 11; i++)
    statuses.push(
      i % 2 === 0
        ? (await signIn(browser, ADA, 'guess number one')).status
        : (await browser.post('/api/auth/sign-in/email', { email: ADA, password: 'guess number two' }))
            .status,
    )
  assert.deepEqual(statuses, [...Array.from({ length: 10 }, () => 401), 429])
  const waits = await signIn(browser, ADA, PASSWORD)
  assert.equal(waits.status, 429)
  assert.match(waits.headers.get('retry-after') ?? '', /^\d+$/)
})

async function withTotp(stand: SignInStand) {
  const browser = await stand.member(ADA)
  const enabled = await browser.post('/api/auth/two-factor/enable', { password: PASSWORD })
  const secret = secretOf(enabled.json.totpURI)
  await browser.post('/api/auth/two-factor/verify-totp', { code: totp(secret, -1) })
  return { secret, recovery: enabled.json.backupCodes as string[] }
}

test('a second factor is asked on a page of its own: a code, or a recovery code; five wrong ones start again', async (t) => {
  const stand = await startSignIn(t)
  const { secret, recovery } = await withTotp(stand)
  const browser = stand.browser()
  const asked = await signIn(browser, ADA, PASSWORD)
  assert.match(asked.text, /autocomplete="one-time-code"/)
  assert.equal(browser.jar.has(SESSION), false)
  const wrong = await browser.fill(asked, '/sign-in/code', { code: '000000' })
  assert.equal(wrong.status, 401)
  assert.match(wrong.text, /The code is wrong/)
  const code = totp(secret)
  const account = await browser.fill(wrong, '/sign-in/code', { code: `${code.slice(0, 3)} ${code.slice(3)}` })
  assert.match(account.text, /Your account/)
  const other = stand.browser()
  const second = await signIn(other, ADA, PASSWORD)
  const done = await other.fill(second, '/sign-in/code', { recovery: recovery[0] ?? '' })
  assert.match(done.text, /Your account/)
  const guesser = stand.browser()
  let page = await signIn(guesser, ADA, PASSWORD)
  for (let guess = 0; guess < 5; guess++) page = await guesser.fill(page, '/sign-in/code', { code: '111111' })
  page = await guesser.fill(page, '/sign-in/code', { code: totp(secret, 1) })
  assert.match(page.text, /<h1>Sign in<\/h1>/)
  assert.equal(guesser.jar.has(SESSION), false)
  // Without a password before it there is nothing to confirm.
  assert.equal((await stand.browser().page('/sign-in/code')).headers.get('location'), '/sign-in')
})

test('a sign-in leads to pages of ours only, and a form of another site does nothing', async (t) => {
  const stand = await startSignIn(t)
  const ada = await stand.member(ADA)
  for (const next of [
    'https://evil.example/',
    '//evil.example',
    '/account/../api',
    '/join/',
    'javascript:0',
  ]) {
    const path = `/sign-in?next=${encodeURIComponent(next)}`
    const [form] = formsOf((await stand.browser().page(path)).text, path)
    assert.equal(form?.fields['next'], '/account', next)
    assert.equal((await ada.page(path)).headers.get('location'), '/account', next)
  }
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const body = new URLSearchParams({ email: ADA, password: PASSWORD }).toString()
  for (const foreign of [
    { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' },
    { 'sec-fetch-site': 'same-site', origin: stand.url },
    { 'sec-fetch-site': 'cross-site', origin: 'null' },
  ])
    for (const path of ['/sign-in', '/sign-out', '/account/sessions/end-others', '/reset-password']) {
      const answer = await ada.copy().post(path, body, { ...form, ...foreign })
      assert.deepEqual([answer.status, answer.json.code, answer.cookies], [403, 'csrf', []], path)
    }
  const json = await stand.browser().post('/sign-in', { email: ADA, password: PASSWORD })
  assert.equal(json.status, 400, 'a form is a form')
  assert.equal((await ada.page('/sign-out')).status, 405)
})

test('no page runs, fetches or keeps anything, in either language; every input has its label', async (t) => {
  const stand = await startSignIn(t, { identity: { signUp: 'open' } })
  const ada = await stand.member(ADA)
  const english = new Set<string>()
  for (const language of ['en', 'zh-CN,zh;q=0.9'])
    for (const [browser, path] of [
      [stand.browser(), '/sign-in'],
      [stand.browser(), '/sign-up'],
      [stand.browser(), '/sign-in?error=account_not_linked'],
      [stand.browser(), '/reset-password'],
      [stand.browser(), '/reset-password?token=x'],
      [stand.browser(), '/join/nothing'],
      [ada, '/account'],
    ] as const) {
      const page = await browser.page(path, { 'accept-language': language })
      assert.match(
        page.headers.get('content-security-policy') ?? '',
        /^default-src 'none'; style-src 'sha256-/,
      )
      assert.match(
        page.headers.get('content-security-policy') ?? '',
        /form-action 'self'; frame-ancestors 'none'/,
      )
      assert.deepEqual(
        ['cache-control', 'referrer-policy', 'x-frame-options'].map((name) => page.headers.get(name)),
        ['no-store', 'same-origin', 'DENY'],
        path,
      )
      assert.doesNotMatch(page.text, /<script|<img|<link|\son\w+=|style="|undefined|null/)
      for (const [input] of page.text.matchAll(/<input(?![^>]*type="hidden")[^>]*>/g))
        assert.ok(page.text.includes(`${input}</label>`), `${path}: ${input}`)
      const [, title = ''] = /<h1>(.*?)<\/h1>/.exec(page.text) ?? []
      if (language === 'en') english.add(title)
      else assert.ok(/\p{Script=Han}/u.test(title) && !english.has(title), `${path}: ${title}`)
    }
})

test('a forgotten password by forms: strangers learn nothing, the link asks for a password and works once', async (t) => {
  const mails: string[] = []
  const mailer = {
    configured: true,
    send: async ({ text }: { text: string }) => ({ ok: true as const, at: mails.push(text) }),
    close: () => {},
  }
  const stand = await startSignIn(t, { identity: { mailer } })
  const old = await stand.member(ADA)
  const ask = async (email: string) => {
    const browser = stand.browser()
    return await browser.fill(await browser.page('/reset-password'), '/reset-password', { email })
  }
  const [known, unknown] = [await ask(ADA), await ask('nobody@example.com')]
  assert.deepEqual([known.status, known.text], [unknown.status, unknown.text])
  assert.equal(mails.length, 1)
  const link = new URL(/https?:\S+/.exec(mails[0] ?? '')?.[0] ?? '')
  const path = link.pathname + link.search
  const browser = stand.browser()
  const short = await browser.fill(await browser.page(path), path, { password: 'short' })
  assert.equal(short.status, 400)
  assert.match(short.text, /at least 12 characters/)
  const done = await browser.fill(short, path, { password: 'another long password' })
  assert.match(done.text, /The password is set/)
  assert.equal((await old.get('/api/auth/sessions')).status, 401)
  assert.match((await signIn(browser, ADA, 'another long password')).text, /Your account/)
  const late = stand.browser()
  const used = await late.fill(await late.page(path), path, { password: 'a third long password' })
  assert.equal(used.status, 400)
  assert.match(used.text, /was used, or is too old/)
})

test('the account: sessions by address and time, one ended by its button, all others by another; a new name', async (t) => {
  const stand = await startSignIn(t)
  const first = await stand.member(ADA)
  const [second, third] = [stand.browser(), stand.browser()]
  for (const browser of [second, third]) await signIn(browser, ADA, PASSWORD)
  const page = await first.page('/account')
  assert.equal(page.text.match(/action="\/account\/sessions\/end"/g)?.length, 2)
  const after = await first.fill(page, '/account', {}, '/account/sessions/end')
  assert.equal(after.text.match(/action="\/account\/sessions\/end"/g)?.length, 1)
  const alive = async () =>
    (await Promise.all([second, third].map((one) => one.get('/api/auth/sessions')))).map(
      ({ status }) => status,
    )
  assert.deepEqual((await alive()).sort(), [200, 401])
  await first.fill(after, '/account', {}, '/account/sessions/end-others')
  assert.deepEqual(await alive(), [401, 401])
  const evil = '"><img src=x onerror=alert(1)>'
  const renamed = await first.fill(after, '/account', { name: evil }, '/account/name')
  assert.ok(!renamed.text.includes('<img'))
  assert.equal((await first.get('/api/auth/get-session')).json.user.name, evil)
  // Nobody ends somebody else's.
  const bob = await stand.member('bob@example.com')
  const [theirs] = (await bob.get('/api/auth/sessions')).json.data
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  await first.post('/account/sessions/end', `id=${theirs.id}`, form)
  assert.equal((await bob.get('/api/auth/sessions')).status, 200)
})

test('the provider by a button: a page leads there, and back to the account; what the provider refuses is said', async (t) => {
  const provider = await startProvider(t)
  const { issuer, clientId, clientSecret } = provider
  const oidc = { issuer, clientId, clientSecret }
  const stand = await startSignIn(t, { identity: { signUp: 'oidc', oidc } })
  const browser = stand.browser()
  const round = async () => {
    const led = await browser.fill(await browser.page('/sign-in'), '/sign-in', {}, '/sign-in/provider')
    assert.equal(led.status, 200, led.text)
    const url = /http-equiv="refresh" content="0;url=([^"]+)"/.exec(led.text)?.[1] ?? ''
    const there = await fetch(url.replace(/&#38;/g, '&'), { redirect: 'manual' })
    const cross = { 'sec-fetch-site': 'cross-site' }
    const back = await browser.page(there.headers.get('location') ?? '', cross)
    assert.equal(back.status, 302, back.text)
    return new URL(back.headers.get('location') ?? '', stand.url)
  }
  provider.profile = { ...provider.profile, email_verified: false }
  const refused = await round()
  assert.equal(refused.pathname, '/sign-in')
  const told = await browser.page(refused.pathname + refused.search)
  assert.match(told.text, /has not verified your address/)
  provider.profile = { ...provider.profile, email_verified: true }
  assert.equal((await round()).pathname, '/account')
  // The strict cookie stays behind on the way from another site, until a page of ours leads on; once.
  const bare = stand.browser()
  const cross = { 'sec-fetch-site': 'cross-site' }
  const bounced = await bare.page('/account?joined=x', cross)
  assert.match(bounced.text, /content="0;url=\/account\?joined=x&#38;here=1"/)
  assert.equal((await bare.page('/account?here=1', cross)).headers.get('location'), '/sign-in')
  assert.match((await browser.page('/account')).text, /ada@example\.com/)
})
