import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import type { ApiKeyPage } from '../../src/contract/index.ts'
import { formatNano } from '../../src/kernel/index.ts'
import { makeApiKey, networksOf, senderAddress, wrongNetwork } from '../../src/tenancy/index.ts'
import { type Forge, startForge, testConfig } from '../forge.ts'
import { ask, assertMoney, bodyOf, chargeNano, errorOf, eventually } from '../gateway/ask.ts'

const CONFIG = testConfig({
  m: { ordinary: [''], official: [''] },
  windowed: { ordinary: [''], holdWindow: 1_024 },
  liar: { ordinary: ['usage.completion_tokens=100000'] },
})

async function refusedAs(forge: Forge, key: string, headers: Record<string, string> = {}) {
  const response = await forge.chat(key, bodyOf({ model: 'm' }), { headers })
  return {
    status: response.status,
    body: (await response.json()) as { error: { code: string; message: string } },
  }
}

test('a key spends from its buckets only, and is told so in the protocol of its caller', async (t) => {
  const forge = await startForge(t, { config: CONFIG })
  const account = await forge.account({ key: { buckets: ['credit'] } })
  const told = await ask(forge, account, { model: 'm' })
  assert.equal(told.receipt.decision?.bucket, 'credit')
  assert.ok(
    told.receipt.decision?.candidates.some(
      ({ route, outcome }) => route === 'ordinary' && outcome === 'not_allowed',
    ),
  )
  const refused = await ask(forge, account, { model: 'm', headers: { 'x-tf-route': 'ordinary' } })
  assert.equal(refused.status, 403)
  assert.equal(errorOf(refused).reason, 'bucket_not_allowed')
  assert.equal(refused.receipt.error?.code, 'bucket_not_allowed')
  for (const [path, body] of [
    ['/v1/messages', { model: 'm:ordinary', max_tokens: 10, messages: [{ role: 'user', content: 'x' }] }],
    ['/v1/responses', { model: 'm:ordinary', input: 'x' }],
    ['/v1beta/models/m:ordinary:generateContent', { contents: [{ parts: [{ text: 'x' }] }] }],
  ] as const) {
    const answer = await forge.post(path, account.key, body)
    assert.equal(answer.status, 403, path)
    assert.match(await answer.text(), /may not spend from/, path)
  }
  await forge.settled()
  await forge.audit()
})

test('no hold and no charge of a request is above the largest charge of its key', async (t) => {
  const forge = await startForge(t, { config: CONFIG })
  // At 10 a million output tokens, 0.02 pays for 2,000 of them less the input.
  const limit = 20_000_000n
  const account = await forge.account({ key: { maxCharge: new Map([['rmb', limit]]) } })
  for (const model of ['m', 'windowed', 'liar'])
    for (const stream of [false, true]) {
      const told = await ask(forge, account, { model, body: { stream, max_tokens: 16_000 } })
      assert.equal(told.status, 200, told.text)
      assertMoney(told)
      assert.ok(told.receipt.limit !== null && 'period' in told.receipt.limit)
      assert.equal(told.receipt.limit.period, 'request')
      assert.deepEqual([told.receipt.limit.scope, told.receipt.limit.amount], ['key', '0.02'])
      assert.ok(told.receipt.max_output_tokens !== null && told.receipt.max_output_tokens < 2_000)
      assert.ok(BigInt(Math.round(Number(told.receipt.hold?.amount) * 1e9)) <= limit)
      assert.ok(told.before - told.after <= limit)
    }
  const free = await ask(forge, account, {
    model: 'm',
    bucket: 'credit',
    headers: { 'x-tf-route': 'official' },
  })
  assert.equal(free.receipt.limit, null, 'the other balance has no such limit')
  const narrow = await forge.account({ key: { maxCharge: new Map([['rmb', 1_000_000n]]) } })
  const refused = await ask(forge, narrow, { model: 'm', body: { max_tokens: 1_000 } })
  assert.equal(refused.status, 403)
  assert.equal(errorOf(refused).reason, 'charge_limit_exceeded')
  assert.ok(refused.receipt.limit !== null && 'period' in refused.receipt.limit)
  assert.deepEqual([refused.receipt.limit.period, refused.receipt.limit.amount], ['request', '0.001'])
  assert.equal((await ask(forge, narrow, { model: 'm', body: { max_tokens: 10 } })).status, 200)
  await forge.settled()
  await forge.audit()
})

test('an address outside the networks of a key is refused everywhere, whatever it writes into x-forwarded-for', async (t) => {
  const forge = await startForge(t, { config: CONFIG })
  const inside = await forge.account({ key: { networks: ['127.0.0.0/8'] } })
  const outside = await forge.account({ key: { networks: ['203.0.113.0/24', '2001:db8::/32'] } })
  assert.equal((await ask(forge, inside, { model: 'm' })).status, 200)
  for (const spoof of ['203.0.113.5', '203.0.113.5, 127.0.0.1', '::ffff:203.0.113.5']) {
    const told = await ask(forge, outside, {
      model: 'm',
      headers: { 'x-forwarded-for': spoof, 'x-real-ip': spoof, forwarded: `for=${spoof}` },
    })
    assert.equal(told.status, 403)
    assert.equal(errorOf(told).reason, 'address_not_allowed')
    assert.equal(told.receipt.error?.code, 'address_not_allowed', 'told to the owner as well')
    assert.equal(told.receipt.limit, null, 'which is for limits of money')
  }
  for (const path of ['/v1/models', '/api/v1/balances', '/v1/responses/resp_x']) {
    const answer = await fetch(forge.url + path, {
      headers: { authorization: `Bearer ${outside.key}`, 'x-forwarded-for': '203.0.113.5' },
    })
    assert.equal(answer.status, 403, path)
    assert.match(await answer.text(), /address_not_allowed|may not be used from/)
  }
})

test('the sender is the first address from the right that no trusted proxy has', () => {
  const trusted = networksOf(['10.0.0.0/8', '::1', '::ffff:192.0.2.0/120'])
  const of = (remoteAddress: string, forwarded?: string | string[]) =>
    senderAddress({ socket: { remoteAddress }, headers: { 'x-forwarded-for': forwarded } }, trusted)
  assert.equal(of('203.0.113.9', '1.1.1.1'), '203.0.113.9')
  assert.equal(of('10.0.0.1', '9.9.9.9, 203.0.113.9'), '203.0.113.9')
  assert.equal(of('::ffff:10.0.0.1', '9.9.9.9, 203.0.113.9, 10.2.2.2'), '203.0.113.9')
  assert.equal(of('::ffff:0a00:0001', '[2001:DB8::1]:443'), '2001:db8::1')
  assert.equal(of('192.0.2.7', ['8.8.8.8', '203.0.113.9:1234']), '203.0.113.9')
  assert.equal(of('10.0.0.1', 'unknown'), null)
  assert.equal(of('10.0.0.1'), '10.0.0.1')
  assert.equal(
    senderAddress(
      { socket: { remoteAddress: '10.0.0.1' }, headers: { 'x-forwarded-for': '1.1.1.1' } },
      networksOf([]),
    ),
    '10.0.0.1',
  )
  for (const wrong of [
    '',
    'x',
    '1.2.3',
    '1.2.3.4/33',
    '::/129',
    '1.2.3.4/',
    '1.2.3.4/8/8',
    '::ffff:0.0.0.0/8',
    'fe80::1%eth0',
    '01.2.3.4',
  ])
    assert.equal(wrongNetwork(['10.0.0.0/8', wrong]), wrong)
  assert.ok(networksOf(['::ffff:10.0.0.0/104']).has('10.200.1.1'))
  assert.ok(networksOf(['10.0.0.0/8']).has('::ffff:10.1.1.1'))
  assert.ok(!networksOf(['10.0.0.0/8']).has('11.0.0.1'))
})

test('during an overlap both secrets are good for one key, and receipts name the one that was used', async (t) => {
  const forge = await startForge(t, { config: CONFIG })
  const account = await forge.account()
  const rotated = await forge.app.tenancy.rotateKey(account.keyId, { overlapSeconds: 2 })
  assert.ok(rotated.ok)
  const old = await ask(forge, account, { model: 'm' })
  const fresh = await ask(forge, { ...account, key: rotated.secret }, { model: 'm' })
  assert.deepEqual([old.status, fresh.status], [200, 200])
  assert.equal(old.receipt.api_key.prefix, account.key.slice(0, 10))
  assert.equal(fresh.receipt.api_key.prefix, rotated.secret.slice(0, 10))
  assert.equal(old.receipt.api_key.id, fresh.receipt.api_key.id)
  await ask(forge, account, { model: 'nope' })
  const page = await fetch(`${forge.url}/api/v1/keys/${old.receipt.api_key.id}`, {
    headers: { authorization: `Bearer ${rotated.secret}` },
  }).then((response) => response.json() as Promise<ApiKeyPage>)
  const charged = formatNano(chargeNano(old.receipt) + chargeNano(fresh.receipt))
  assert.deepEqual(page.spend, { rmb: { currency: 'CNY', charged, requests: 2 } })
  assert.deepEqual(page.last_24_hours, { requests: 3, failed: 0, refused: 1, cancelled: 0 })
  await eventually('the end of the overlap', async () =>
    (await refusedAs(forge, account.key)).status === 401 ? true : null,
  )
  assert.equal((await refusedAs(forge, rotated.secret)).status, 200)
  const again = await forge.app.tenancy.rotateKey(account.keyId, { overlapSeconds: 0 })
  assert.ok(again.ok)
  assert.equal((await refusedAs(forge, rotated.secret)).status, 401, 'no overlap ends it at once')
  assert.equal((await refusedAs(forge, again.secret)).status, 200)
  await forge.app.tenancy.revokeSecret(account.keyId, again.key.secretId)
  assert.equal((await refusedAs(forge, again.secret)).status, 401)
})

test('what is in flight when its key is revoked, paused or expires ends, is charged and has its receipt', async (t) => {
  const forge = await startForge(t, { config: testConfig({ slow: { ordinary: ['delay=30, words=20'] } }) })
  const enders: ReadonlyArray<
    readonly [string, (account: { keyId: string; projectId: string }) => Promise<unknown>]
  > = [
    ['invalid_api_key', ({ keyId }) => forge.app.tenancy.setKeyState(keyId, 'revoked')],
    ['api_key_paused', ({ keyId }) => forge.app.tenancy.setKeyState(keyId, 'paused')],
    ['project_paused', ({ projectId }) => forge.app.tenancy.changeProject(projectId, { state: 'paused' })],
    ['invalid_api_key', ({ keyId }) => forge.app.tenancy.changeKey(keyId, { expiresAtMs: Date.now() })],
  ]
  for (const [code, end] of enders) {
    const account = await forge.account()
    const running = ask(forge, account, { model: 'slow', body: { stream: true } })
    await eventually('the hold', async () => (forge.app.gateway.openHolds() > 0 ? true : null))
    await end(account)
    const response = await forge.chat(account.key, bodyOf({ model: 'slow' }))
    assert.match(await response.text(), new RegExp(code))
    const told = await running
    assert.equal(told.status, 200)
    assertMoney(told)
    assert.equal(told.receipt.status, 'completed')
    assert.ok(told.receipt.charge !== null, code)
  }
})

test('a key that one process changes is known so in another process at once', async (t) => {
  const forge = await startForge(t, { config: CONFIG })
  const account = await forge.account()
  const other = fork(join(import.meta.dirname, 'finder.ts'), [forge.databaseUrl], { stdio: 'inherit' })
  t.after(() => other.disconnect())
  await once(other, 'message')
  const find = async (secret: string) => {
    const answer = once(other, 'message')
    other.send(secret)
    return ((await answer) as [{ state: string | null; fromMemory: boolean }])[0]
  }
  await find(account.key)
  assert.deepEqual(await find(account.key), { state: 'active', fromMemory: true })
  for (const state of ['paused', 'active', 'revoked'] as const) {
    await forge.app.tenancy.setKeyState(account.keyId, state)
    const startedMs = performance.now()
    await eventually(state, async () => ((await find(account.key)).state === state ? true : null))
    assert.ok(performance.now() - startedMs < 1_000, 'long before anything remembered is too old')
  }
})

function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0
}

/** How often a value of the one is above one of the other: 0.5 when they cannot be told apart. */
function rankOf(one: readonly number[], other: readonly number[]): number {
  const all = [...one.map((ms) => ({ ms, mine: true })), ...other.map((ms) => ({ ms, mine: false }))]
  const sorted = all.toSorted((a, b) => a.ms - b.ms)
  const sum = sorted.reduce((total, { mine }, i) => total + (mine ? i + 1 : 0), 0)
  return (sum - (one.length * (one.length + 1)) / 2) / (one.length * other.length)
}

test('10,000 keys that are malformed, unknown or revoked get one body, at times that do not tell them apart', async (t) => {
  const forge = await startForge(t, { config: CONFIG, failuresPerMinute: 1_000_000 })
  const revoked: string[] = []
  for (let i = 0; i < 20; i++) {
    const account = await forge.account({ grants: {} })
    await forge.app.tenancy.setKeyState(account.keyId, 'revoked')
    revoked.push(account.key)
  }
  const kinds: Readonly<Record<string, (i: number) => string>> = {
    malformed: () => `${makeApiKey(randomBytes).slice(0, -1)}_`,
    unknown: () => makeApiKey(randomBytes),
    revoked: (i) => revoked[i % revoked.length] ?? '',
  }
  const times: Record<string, number[]> = { malformed: [], unknown: [], revoked: [] }
  const bodies = new Set<string>()
  const one = async (kind: string, i: number): Promise<void> => {
    const secret = kinds[kind]?.(i) ?? ''
    const startedMs = performance.now()
    const answer = await fetch(`${forge.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${secret}`, 'content-type': 'application/json' },
      body: '{}',
    })
    const text = await answer.text()
    times[kind]?.push(performance.now() - startedMs)
    const names = [...answer.headers.keys()].join()
    bodies.add(`${answer.status} ${names} ${text.replaceAll(/req_[0-9a-z]{26}/g, 'req_')}`)
  }
  // Interleaved, so that whatever else the machine does meets all of them alike.
  const each = 3_334
  const workers = 32
  await Promise.all(
    Array.from({ length: workers }, async (_, worker) => {
      for (let i = worker; i < each; i += workers)
        for (const kind of ['malformed', 'unknown', 'revoked']) await one(kind, i)
    }),
  )
  assert.equal(bodies.size, 1, [...bodies].join('\n'))
  const { malformed = [], unknown = [], revoked: gone = [] } = times
  const medians = [malformed, unknown, gone].map(medianOf)
  const ranks = [rankOf(malformed, unknown), rankOf(malformed, gone), rankOf(unknown, gone)]
  t.diagnostic(
    `medians ${medians.map((ms) => ms.toFixed(2)).join(', ')} ms; ranks ${ranks.map((rank) => rank.toFixed(3)).join(', ')}`,
  )
  for (const rank of ranks) assert.ok(rank > 0.35 && rank < 0.65, `ranks ${ranks}`)
  assert.ok(Math.max(...medians) < Math.min(...medians) * 1.3, `medians ${medians}`)
})
