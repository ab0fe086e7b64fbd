import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PASSWORD, startSignIn } from './stand.ts'

/** A40: who becomes the first operator. Being first on the network never does. */

const who = (n: number) => ({ email: `op${n}@example.com`, name: `Operator ${n}`, password: PASSWORD })

test('of fifty that claim one link at once, one is the operator, and the log says so', async (t) => {
  const stand = await startSignIn(t)
  const code = await stand.operatorCode()
  await stand.browser().get('/api/auth/get-session')
  const answers = await Promise.all(
    Array.from({ length: 50 }, async (_, n) => {
      const browser = stand.browser()
      const answer = await browser.post('/api/auth/operator/claim', { code, ...who(n) })
      return { answer, browser }
    }),
  )
  const won = answers.filter(({ answer }) => answer.status === 200)
  assert.deepEqual(
    [...new Set(answers.map(({ answer }) => answer.status))].sort(),
    [200, 404],
    answers.find(({ answer }) => ![200, 404].includes(answer.status))?.answer.text,
  )
  assert.equal(won.length, 1)
  assert.equal(answers.filter(({ answer }) => answer.status === 404).length, 49)
  const { n } = await stand.owner.one<{ n: number }>('select count(*)::int as n from identity.person')
  assert.equal(n, 1, 'those who lost left no account behind')
  const [winner] = won
  const person = await stand.identity.personOf({ headers: { cookie: winner?.browser.cookieHeader() } })
  assert.equal(person?.operatorRole, 'admin')
  const { data } = (await stand.call('GET', '/api/v1/audit?action=operator.claim')).json
  assert.equal(data.length, 1)
  assert.equal(data[0].object.id, (await stand.call('GET', '/api/v1/operators')).json.data[0].id)
  assert.match(data[0].request_id, /^req_/)
  assert.ok(data[0].address !== null)
})

test('a wrong code, a used one and one too old are nothing; nothing is made of them', async (t) => {
  const stand = await startSignIn(t)
  const claim = (code: string) => stand.browser().post('/api/auth/operator/claim', { code, ...who(1) })
  assert.equal((await claim('x'.repeat(32))).status, 404)
  const old = await stand.operatorCode()
  await stand.owner.query(
    `update tenancy.operator_code set expires_at = clock_timestamp() - interval '1 second'`,
  )
  assert.equal((await claim(old)).status, 404)
  assert.equal((await stand.browser().get(`/operator/${old}`)).status, 404)
  const { n } = await stand.owner.one<{ n: number }>('select count(*)::int as n from identity.person')
  assert.equal(n, 0)
  const used = await stand.operatorCode()
  const weak = await stand
    .browser()
    .post('/api/auth/operator/claim', { code: used, ...who(1), password: 'short' })
  assert.equal(weak.status, 400)
  assert.equal((await claim(used)).status, 200, 'a refused form does not use the link up')
  assert.equal((await claim(used)).status, 404)
})

test('wiping the people does not open the door again: only a new link does', async (t) => {
  const stand = await startSignIn(t)
  const code = await stand.operatorCode()
  const browser = stand.browser()
  assert.equal((await browser.post('/api/auth/operator/claim', { code, ...who(1) })).status, 200)
  await stand.owner.query('delete from identity.person')
  const again = await stand.second()
  for (const at of [stand, again]) {
    assert.equal((await at.browser().post('/api/auth/operator/claim', { code, ...who(2) })).status, 404)
    const signUp = { email: 'eve@example.com', name: 'Eve', password: PASSWORD }
    assert.equal((await at.browser().post('/api/auth/sign-up/email', signUp)).status, 403)
    assert.deepEqual((await at.call('GET', '/api/v1/operators')).json.data, [])
  }
  const fresh = await again.operatorCode()
  assert.equal(
    (await again.browser().post('/api/auth/operator/claim', { code: fresh, ...who(2) })).status,
    200,
  )
})

test('whoever is signed in takes the link with the account, under a new session', async (t) => {
  const stand = await startSignIn(t)
  const browser = await stand.member('ada@example.com')
  const old = browser.copy()
  const code = await stand.operatorCode()
  const taken = await browser.post('/api/auth/operator/claim', { code })
  assert.equal(taken.status, 200, taken.text)
  assert.equal((await old.get('/api/auth/sessions')).status, 401)
  const person = await stand.identity.personOf({ headers: { cookie: browser.cookieHeader() } })
  assert.deepEqual([person?.email, person?.operatorRole], ['ada@example.com', 'admin'])
  // With the address of an account, and without its session, a link is no way into it.
  const other = await stand.operatorCode()
  const form = { code: other, email: 'ada@example.com', name: 'Eve', password: 'a password of eve' }
  assert.equal((await stand.browser().post('/api/auth/operator/claim', form)).status, 409)
  assert.equal(
    (await stand.browser().post('/api/auth/operator/claim', { code: other, ...who(3) })).status,
    200,
  )
})

test('the page of a link: looking uses nothing up, a form makes the account, the token is shown on demand only', async (t) => {
  const stand = await startSignIn(t)
  const code = await stand.operatorCode()
  const html = { accept: 'text/html,*/*' }
  for (const [language, word] of [
    ['en', 'Operate this Tokens Forge'],
    ['zh-CN', '管理此 Tokens Forge'],
  ] as const) {
    const page = await stand.browser().get(`/operator/${code}`, { ...html, 'accept-language': language })
    assert.equal(page.status, 200)
    assert.ok(page.text.includes(word))
    assert.ok(!page.text.includes(stand.operator), 'the token is not on the page')
  }
  const text = await stand.browser().get(`/operator/${code}`, { accept: '*/*' })
  assert.match(text.text, /curl -d use=token/)
  assert.ok(!text.text.includes(stand.operator))
  const form = { ...html, 'content-type': 'application/x-www-form-urlencoded' }
  const foreign = { ...form, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }
  assert.equal((await stand.browser().post(`/operator/${code}`, 'use=token', foreign)).status, 403)
  const browser = stand.browser()
  const fields = new URLSearchParams({ use: 'account', ...who(1), name: '<b>Op</b>' }).toString()
  const made = await browser.post(`/operator/${code}`, fields, form)
  assert.equal(made.status, 200, made.text)
  assert.equal((await browser.get('/api/auth/get-session')).json.user.email, 'op1@example.com')
  assert.equal((await browser.get(`/operator/${code}`, html)).status, 404)
  // A second link, for the token; a terminal says nothing of where it comes from.
  const second = await stand.operatorCode()
  const ask = () =>
    fetch(`${stand.url}/operator/${second}`, { method: 'POST', body: new URLSearchParams('use=token') })
  const shown = await Promise.all([ask(), ask(), ask()])
  assert.deepEqual(shown.map(({ status }) => status).sort(), [200, 404, 404])
  const texts = await Promise.all(shown.map((answer) => answer.text()))
  assert.equal(texts.filter((each) => each.includes(stand.operator)).length, 1)
})

test('who is an admin no longer keeps no link to become one again, and the log says who made links', async (t) => {
  const stand = await startSignIn(t)
  const put = async (email: string, role: string) =>
    (await stand.call('POST', '/api/v1/operators', { body: { email, role } })).json
  for (const email of ['ada@example.com', 'bob@example.com']) {
    await stand.member(email)
    await put(email, 'admin')
  }
  const bob = await put('bob@example.com', 'admin')
  const lives = async (code: string) => (await stand.browser().get(`/operator/${code}`)).status
  const ends: ReadonlyArray<() => Promise<unknown>> = [
    () => put('bob@example.com', 'auditor'),
    () => stand.call('DELETE', `/api/v1/operators/${bob.id}`),
  ]
  for (const end of ends) {
    const code = await stand.operatorCode()
    assert.equal(await lives(code), 200)
    await end()
    assert.equal(await lives(code), 404)
  }
  const made = await stand.owner.query<{ actor_kind: string }>(
    `select actor_kind from tenancy.audit_event where action = 'operator_link.create'`,
  )
  assert.deepEqual(made, [{ actor_kind: 'operator' }, { actor_kind: 'operator' }])
})

test('an address that nobody has proven is made no operator', async (t) => {
  const stand = await startSignIn(t)
  await stand.member('ada@example.com')
  const put = () =>
    stand.call('POST', '/api/v1/operators', { body: { email: 'ada@example.com', role: 'admin' } })
  await stand.owner.query('update identity.person set email_verified = false')
  assert.equal((await put()).status, 404)
  await stand.owner.query('update identity.person set email_verified = true')
  assert.equal((await put()).status, 200)
})

test('the last admin stays; of two who remove each other one stays', async (t) => {
  const stand = await startSignIn(t)
  for (const email of ['ada@example.com', 'bob@example.com']) await stand.member(email)
  const put = (email: string, role: string) =>
    stand.call('POST', '/api/v1/operators', { body: { email, role } })
  assert.equal((await put('nobody@example.com', 'admin')).status, 404)
  assert.equal((await put('ada@example.com', 'king')).status, 400)
  assert.equal((await put('ada@example.com', 'admin')).status, 200)
  assert.equal((await put('ada@example.com', 'auditor')).status, 409)
  assert.equal((await put('bob@example.com', 'admin')).status, 200)
  // Many, so that some of the removals do meet.
  await stand.owner.query(
    `with made as (insert into identity.person (id, name, email)
       select gen_random_uuid(), 'n', 'many' || n || '@example.com' from generate_series(1, 18) n returning id)
     insert into identity.operator (user_id, role) select id, 'admin' from made`,
  )
  const { data } = (await stand.call('GET', '/api/v1/operators')).json
  const ended = await Promise.all(
    data.map(({ id }: { id: string }) => stand.call('DELETE', `/api/v1/operators/${id}`)),
  )
  assert.equal(ended.filter(({ status }) => status === 200).length, 19)
  assert.equal(ended.filter(({ status }) => status === 409).length, 1)
  assert.equal((await stand.call('GET', '/api/v1/operators')).json.data.length, 1)
  for (const token of [null, 'sk-tf-nothing'])
    assert.equal((await stand.call('GET', '/api/v1/operators', { token })).status, 401)
})
