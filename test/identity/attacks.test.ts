import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PASSWORD, SESSION, startSignIn } from './stand.ts'

/** A37: another site rides on a session, plants one, or frames a page. */

test('what changes something with a cookie comes from our own pages, or is refused', async (t) => {
  const stand = await startSignIn(t)
  const browser = await stand.member('ada@example.com')
  const cookie = browser.cookieHeader()
  const own = stand.url
  const ask = async (headers: Record<string, string>) => {
    const response = await fetch(`${own}/api/auth/update-user`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify({ name: 'Changed' }),
    })
    return { status: response.status, body: (await response.json()) as { code?: string } }
  }
  const evil = 'https://evil.example'
  const refused: Array<Record<string, string>> = [
    { cookie },
    { cookie, origin: evil },
    { cookie, origin: 'null' },
    { cookie, origin: `${own}.evil.example` },
    { cookie, origin: own.replace('http:', 'https:') },
    { cookie, 'sec-fetch-site': 'cross-site' },
    { cookie, 'sec-fetch-site': 'same-site' },
    { cookie, 'sec-fetch-site': 'none' },
    { cookie, 'sec-fetch-site': 'cross-site', origin: own },
    { cookie, 'sec-fetch-site': 'same-origin', origin: evil },
    { cookie, referer: `${own}/` },
    // Without a cookie too: a sign-in that another site starts would be into an account of its choice.
    { 'sec-fetch-site': 'cross-site' },
    { origin: evil },
  ]
  for (const headers of refused) {
    const { status, body } = await ask(headers)
    assert.deepEqual([status, body.code], [403, 'csrf'], JSON.stringify(headers))
  }
  assert.equal((await browser.get('/api/auth/get-session')).json.user.name, 'A person')
  const taken: Array<Record<string, string>> = [
    { cookie, origin: own },
    { cookie, 'sec-fetch-site': 'same-origin' },
    { cookie, 'sec-fetch-site': 'same-origin', origin: own },
    { cookie, origin: own.replace('127.0.0.1', 'localhost') },
  ]
  for (const headers of taken) assert.equal((await ask(headers)).status, 200, JSON.stringify(headers))
  // A program without cookies has nothing that another site could ride on.
  const program = await fetch(`${own}/api/auth/sign-in/email`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'ada@example.com', password: PASSWORD }),
  })
  assert.equal(program.status, 200)
})

test('a session that was planted is not the one that signs in, and ends', async (t) => {
  const stand = await startSignIn(t)
  await stand.member('ada@example.com')
  const eve = await stand.member('eve@example.com')
  const victim = eve.copy()
  await victim.post('/api/auth/sign-in/email', { email: 'ada@example.com', password: PASSWORD })
  assert.notEqual(victim.jar.get(SESSION), eve.jar.get(SESSION))
  assert.equal((await victim.get('/api/auth/get-session')).json.user.email, 'ada@example.com')
  assert.equal((await eve.get('/api/auth/sessions')).status, 401, 'the planted one is dead')
  // Nor is a session made up by its bearer.
  const made = stand.browser()
  made.jar.set(SESSION, `${'a'.repeat(32)}.${Buffer.alloc(32).toString('base64')}`)
  await made.post('/api/auth/sign-in/email', { email: 'ada@example.com', password: PASSWORD })
  assert.ok(!made.jar.get(SESSION)?.startsWith('aaaa'))
})

test('a cookie is of no use after sign-out, nor what a reader of the database could make of it', async (t) => {
  const stand = await startSignIn(t)
  const browser = await stand.member('ada@example.com')
  const old = browser.copy()
  const { token_sha256: hash } = await stand.owner.one<{ token_sha256: string }>(
    'select token_sha256 from identity.session order by created_at desc limit 1',
  )
  const thief = stand.browser()
  thief.jar.set(SESSION, (old.jar.get(SESSION) ?? '').replace(/^[^.]+/, hash))
  assert.equal((await thief.get('/api/auth/sessions')).status, 401)
  assert.equal((await browser.post('/api/auth/sign-out')).status, 200)
  assert.equal(browser.jar.has(SESSION), false)
  assert.equal((await old.get('/api/auth/sessions')).status, 401)
  assert.equal(await stand.identity.personOf({ headers: { cookie: old.cookieHeader() } }), null)
})

test('no answer can be framed, sniffed, kept or run; the operator page has no script', async (t) => {
  const stand = await startSignIn(t)
  const code = await stand.operatorCode()
  const accept = { accept: 'text/html' }
  for (const [path, headers] of [
    [`/operator/${code}`, accept],
    ['/api/auth/get-session', {}],
    ['/api/auth/nothing', {}],
    ['/livez', {}],
    ['/nowhere', accept],
  ] as const) {
    const answer = await stand.browser().get(path, headers)
    assert.equal(answer.headers.get('x-frame-options'), 'DENY', path)
    const policy = answer.headers.get('content-security-policy') ?? ''
    assert.match(policy, /default-src 'none'/, path)
    assert.match(policy, /frame-ancestors 'none'/, path)
    assert.doesNotMatch(policy, /script-src|unsafe/, path)
    assert.equal(answer.headers.get('x-content-type-options'), 'nosniff', path)
    assert.equal(answer.headers.get('cache-control'), 'no-store', path)
    assert.match(answer.headers.get('x-request-id') ?? '', /^req_/, path)
    assert.doesNotMatch(answer.text, /<script/i, path)
  }
})

test('paths of the library that are not listed are not there, and bodies are small JSON objects', async (t) => {
  const stand = await startSignIn(t)
  const browser = await stand.member('ada@example.com')
  for (const path of [
    '/list-sessions',
    '/revoke-session',
    '/delete-user',
    '/error',
    '/ok',
    '/constructor',
    '/',
  ])
    assert.equal((await browser.get(`/api/auth${path}`)).status, 404, path)
  assert.equal((await browser.get('/api/auth/sign-out')).status, 405)
  const big = await browser.post('/api/auth/update-user', { name: 'x'.repeat(100_000) })
  assert.equal(big.status, 413)
  for (const body of ['[]', 'null', '{"__proto__":{"name":"x"}}', '{"name":"a","name":"b"'])
    assert.equal((await browser.post('/api/auth/update-user', body)).status, 400, body)
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  assert.equal((await browser.post('/api/auth/update-user', 'name=x', form)).status, 400)
})

test('a session that ends, a role that ends: at once here, and in the other process by word of the database', async (t) => {
  const stand = await startSignIn(t)
  const other = await stand.second()
  const browser = await stand.member('ada@example.com')
  const headers = { cookie: browser.cookieHeader() }
  const role = async (at: typeof stand) => (await at.identity.personOf({ headers }))?.operatorRole
  const until = async (what: string, look: () => Promise<boolean>) => {
    const began = performance.now()
    while (!(await look())) {
      assert.ok(performance.now() - began < 2_000, what)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    return performance.now() - began
  }
  for (const at of [stand, other]) assert.equal(await role(at), null)
  for (const given of ['admin', 'auditor'] as const) {
    // Of one admin no auditor is made, so there is another one.
    if (given === 'auditor') {
      await stand.member('bob@example.com')
      await stand.call('POST', '/api/v1/operators', { body: { email: 'bob@example.com', role: 'admin' } })
    }
    const made = await stand.call('POST', '/api/v1/operators', {
      body: { email: 'ada@example.com', role: given },
    })
    assert.equal(made.status, 200, made.text)
    assert.equal(await role(stand), given)
    await until('the other process to hear of the role', async () => (await role(other)) === given)
  }
  const { json } = await stand.call('GET', '/api/v1/operators')
  const ada = json.data.find(({ email }: { email: string }) => email === 'ada@example.com')
  assert.equal((await stand.call('DELETE', `/api/v1/operators/${ada.id}`)).status, 200)
  assert.equal(await role(stand), null)
  await until('the other process to hear of the end of the role', async () => (await role(other)) === null)
  assert.equal((await browser.post('/api/auth/sign-out')).status, 200)
  assert.equal(await role(stand), undefined)
  await until('the other process to hear of the sign-out', async () => (await role(other)) === undefined)
})

test('in the process that ends it, a session is over with the answer, also while the database says nothing', async (t) => {
  const stand = await startSignIn(t, { identity: { listen: () => ({ close: async () => {} }) } })
  const browser = await stand.member('ada@example.com')
  const headers = { cookie: browser.cookieHeader() }
  assert.notEqual(await stand.identity.personOf({ headers }), null)
  await stand.call('POST', '/api/v1/operators', { body: { email: 'ada@example.com', role: 'admin' } })
  assert.equal((await stand.identity.personOf({ headers }))?.operatorRole, 'admin')
  await browser.post('/api/auth/sign-out')
  assert.equal(await stand.identity.personOf({ headers }), null)
})

test('sessions end when they are idle for a day, and after a month whatever happens', async (t) => {
  const stand = await startSignIn(t)
  const browser = await stand.member('ada@example.com')
  await stand.owner.query(
    `update identity.session set created_at = clock_timestamp() - interval '29 days 23 hours'`,
  )
  await stand.owner.query(`update identity.session set expires_at = clock_timestamp() + interval '24 hours'`)
  const row = await stand.owner.one<{ hours: number }>(
    `select round(extract(epoch from expires_at - clock_timestamp()) / 3600)::int as hours from identity.session`,
  )
  assert.equal(row.hours, 1)
  await stand.owner.query(`update identity.session set expires_at = clock_timestamp() - interval '1 second'`)
  assert.equal((await browser.copy().get('/api/auth/sessions')).status, 401)
  assert.equal(await stand.identity.personOf({ headers: { cookie: browser.cookieHeader() } }), null)
})

test('own sessions are listed and ended one by one, nobody elses', async (t) => {
  const stand = await startSignIn(t)
  const here = await stand.member('ada@example.com')
  const there = stand.browser()
  await there.post('/api/auth/sign-in/email', { email: 'ada@example.com', password: PASSWORD })
  const eve = await stand.member('eve@example.com')
  const { data } = (await here.get('/api/auth/sessions')).json
  assert.equal(data.length, 2)
  const other = data.find(({ current }: { current: boolean }) => !current)
  await eve.post('/api/auth/sessions/revoke', { id: other.id })
  assert.equal((await there.get('/api/auth/sessions')).status, 200)
  await here.post('/api/auth/sessions/revoke', { id: other.id })
  assert.equal((await there.get('/api/auth/sessions')).status, 401)
  await there.post('/api/auth/sign-in/email', { email: 'ada@example.com', password: PASSWORD })
  await here.post('/api/auth/sessions/revoke-others')
  assert.equal((await there.get('/api/auth/sessions')).status, 401)
  assert.equal((await here.get('/api/auth/sessions')).json.data.length, 1)
})
