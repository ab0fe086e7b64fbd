import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEventView } from '../../src/contract/index.ts'
import { formatId, type Log } from '../../src/kernel/index.ts'
import { type Account, type Forge, OPERATOR_TOKEN, startForge, testConfig } from '../forge.ts'
import { bodyOf, eventually } from './ask.ts'
import { manage } from './rate-stand.ts'

const MODELS = testConfig({ m: { ordinary: [''] } })

function canaryLog(): { log: Log; lines: string[] } {
  const lines: string[] = []
  const line = (fields: unknown, message: string): void =>
    void lines.push(`${JSON.stringify(fields)} ${message}`)
  return { log: { debug: line, info: line, warn: line, error: line }, lines }
}

async function exposures(forge: Forge, account: Account): Promise<readonly AuditEventView[]> {
  const response = await manage(
    forge,
    'GET',
    `audit?object=${formatId('key', account.keyId)}&action=key.exposed`,
  )
  return ((await response.json()) as { data: AuditEventView[] }).data
}

test('a key in a URL is refused on every path but those of Gemini, and its owner is told once', async (t) => {
  const { log, lines } = canaryLog()
  const forge = await startForge(t, { config: MODELS, log })
  const headers = { 'content-type': 'application/json' }
  for (const url of [
    '/v1/chat/completions?api_key=KEY',
    '/v1/chat/completions?key=KEY',
    '/v1/messages?beta=true&x-api-key=KEY',
    '/v1/responses?access_token=KEY',
    '/v1/responses?anything=KEY',
    '/v1beta/models/m:generateContent?api_key=KEY',
    '/v1/embeddings?api%5Fkey=KEY',
    '/v1/nowhere?api_key=KEY',
    '/api/v1/receipts?api_key=KEY',
    '/api/v1/receipts?key=KEY',
    '/livez?token=KEY',
    '/nowhere?KEY',
  ])
    await t.test(url, async () => {
      const account = await forge.account()
      for (let turn = 0; turn < 2; turn++) {
        const response = await fetch(`${forge.url}${url.replace('KEY', account.key)}`, {
          method: url.startsWith('/v1') ? 'POST' : 'GET',
          headers: turn === 0 ? headers : { ...headers, authorization: `Bearer ${account.key}` },
          ...(url.startsWith('/v1') ? { body: JSON.stringify(bodyOf({ model: 'm' })) } : {}),
        })
        const text = await response.text()
        assert.equal(response.status, 400, text)
        assert.match(text, /key_in_url/i)
        assert.ok(!text.includes(account.key))
      }
      const [event, ...more] = await eventually('the event', async () => {
        const found = await exposures(forge, account)
        return found.length > 0 ? found : null
      })
      assert.deepEqual(more, [], 'once an hour')
      assert.equal(event?.actor.kind, 'system')
      assert.equal(event?.address, '127.0.0.1')
      assert.ok(!JSON.stringify(event).includes(account.key.slice(12)))
    })
  await t.test('Gemini clients send ?key= where they always did', async () => {
    const account = await forge.account()
    const response = await fetch(`${forge.url}/v1beta/models/m:generateContent?key=${account.key}`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ contents: [{ role: 'user', parts: [{ text: 'hello' }] }] }),
    })
    assert.equal(response.status, 200, await response.text())
    assert.equal((await fetch(`${forge.url}/v1/models?key=${account.key}`)).status, 200)
    await forge.settled()
    assert.deepEqual(await exposures(forge, account), [])
    const keyId = formatId('key', account.keyId)
    const listed = await manage(forge, 'GET', `receipts?key=${keyId}`)
    assert.equal(listed.status, 200, 'the id of a key is no secret')
  })
  await t.test('what is no key leaves no event, and nothing of any key is in a log', async () => {
    const response = await fetch(`${forge.url}/v1/chat/completions?api_key=sk-tf-${'x'.repeat(49)}`, {
      method: 'POST',
    })
    assert.equal(response.status, 400)
    const rows = await forge.owner.query<{ text: string }>(
      'select v::text as text from tenancy.audit_event v',
    )
    const written = `${lines.join('\n')}\n${rows.map(({ text }) => text).join('\n')}`
    assert.doesNotMatch(written, /sk-tf-[0-9A-Za-z]{8}/)
  })
})

test('an address that goes on without a valid key is told to wait, and valid keys from it are served', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  const invalid = `sk-tf-${'a'.repeat(49)}`
  const statuses = async (count: number, send: () => Promise<Response>): Promise<readonly number[]> => {
    const answers = await Promise.all(Array.from({ length: count }, send))
    return answers.map(({ status }) => status)
  }
  const first = await statuses(25, () => forge.chat(invalid, { model: 'm' }))
  assert.ok(first.every((status) => status === 401))
  const api = () => fetch(`${forge.url}/api/v1/balances`, { headers: { authorization: `Bearer ${invalid}` } })
  const second = await statuses(25, api)
  assert.equal(second.filter((status) => status === 401).length, 5, 'both doors count together')
  assert.equal(second.filter((status) => status === 429).length, 20)
  const refused = await forge.chat(invalid, { model: 'm' })
  assert.equal(refused.status, 429)
  assert.ok(Number(refused.headers.get('retry-after')) >= 1)
  const { error } = (await refused.json()) as { error: { code: string; receipt: string | null } }
  assert.deepEqual([error.code, error.receipt], ['too_many_failures', null])
  for (const path of ['/v1/models', '/v1/responses/resp_1'])
    assert.equal((await fetch(forge.url + path, { headers: { 'x-api-key': invalid } })).status, 429)
  assert.equal((await forge.chat(account.key, { model: 'm' })).status, 200)
  const operator = await fetch(`${forge.url}/api/v1/keys`, {
    headers: { authorization: `Bearer ${OPERATOR_TOKEN}` },
  })
  assert.equal(operator.status, 200)
  await forge.app.tenancy.setKeyState(account.keyId, 'revoked')
  const revoked = await forge.chat(account.key, { model: 'm' })
  assert.equal(revoked.status, 429)
  const told = (await revoked.json()) as { error: { code: string; receipt: string | null } }
  assert.deepEqual([told.error.code, told.error.receipt], ['too_many_failures', null], 'as for any other')
  await forge.settled()
  await forge.audit()
})
