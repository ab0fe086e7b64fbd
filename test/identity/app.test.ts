import assert from 'node:assert/strict'
import { test } from 'node:test'
import { OPERATOR_TOKEN, startForge } from '../forge.ts'
import { Browser } from './browser.ts'
import { PASSWORD } from './stand.ts'

test('the whole gateway: a link asked for with the operator token makes a person an operator', async (t) => {
  const forge = await startForge(t)
  const authorization = { authorization: `Bearer ${OPERATOR_TOKEN}` }
  const ask = (token: Record<string, string>) =>
    fetch(`${forge.url}/api/v1/operator-links`, { method: 'POST', headers: token })
  assert.equal((await ask({})).status, 401)
  const { key } = await forge.account()
  assert.equal((await ask({ authorization: `Bearer ${key}` })).status, 403)
  const made = await ask(authorization)
  assert.equal(made.status, 201)
  const { url } = (await made.json()) as { url: string }
  assert.ok(url.startsWith(`${forge.url}/operator/`))
  const browser = new Browser(forge.url)
  const page = await browser.get(url, { accept: 'text/html' })
  assert.equal(page.status, 200)
  const body = { code: url.split('/').at(-1), email: 'ada@example.com', name: 'Ada', password: PASSWORD }
  const claimed = await browser.post('/api/auth/operator/claim', body)
  assert.equal(claimed.status, 200, claimed.text)
  assert.deepEqual((await browser.get('/api/auth/get-session')).json.user.email, 'ada@example.com')
  const listed = await fetch(`${forge.url}/api/v1/operators`, { headers: authorization })
  const { data } = (await listed.json()) as { data: Array<{ id: string; email: string; role: string }> }
  assert.match(data[0]?.id ?? '', /^usr_/)
  assert.deepEqual([data[0]?.email, data[0]?.role], ['ada@example.com', 'admin'])
  // A session is no key: the gateway's own paths do not know it.
  const chat = await browser.post('/v1/chat/completions', { model: 'm', messages: [] })
  assert.equal(chat.status, 401)
})
