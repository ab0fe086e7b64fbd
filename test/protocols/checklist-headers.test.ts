import assert from 'node:assert/strict'
import type { IncomingHttpHeaders } from 'node:http'
import { test } from 'node:test'
import type { Log } from '../../src/kernel/index.ts'
import { messages } from '../billing/bodies.ts'
import { startForge, testConfig } from '../forge.ts'
import { ask, customerReceipt, withUpstreams } from '../gateway/ask.ts'
import { answerBody, startStub } from '../gateway/stub.ts'

/** The items of the checklist that are about statuses, headers and what must not be told. */

const USAGE = { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 }
const VERSION = { 'anthropic-version': '2023-06-01' }
const BODIES: ReadonlyArray<readonly [path: string, body: object]> = [
  ['/v1/chat/completions', { model: 'm', max_tokens: 50, messages: [{ role: 'user', content: 'tide?' }] }],
  ['/v1/responses', { model: 'm', max_output_tokens: 50, input: 'tide?' }],
  ['/v1/messages', { model: 'm', max_tokens: 50, messages: [{ role: 'user', content: 'tide?' }] }],
  ['/v1beta/models/m:generateContent', { contents: [{ role: 'user', parts: [{ text: 'tide?' }] }] }],
]

test("§7.18 trouble with the operator's key is never told as the caller's", async (t) => {
  const models = Object.fromEntries(
    [401, 402, 403].map((status) => [
      `m${status}`,
      { ordinary: [`status=${status}, secret=sk-LEAK-0123456789`] },
    ]),
  )
  const forge = await startForge(t, { config: testConfig(models) })
  const account = await forge.account()
  for (const model of Object.keys(models))
    for (const [path, body] of BODIES) {
      const own = JSON.parse(JSON.stringify(body).replace('"m"', `"${model}"`)) as object
      const response = await forge.post(path.replace('/m:', `/${model}:`), account.key, own, VERSION)
      const text = await response.text()
      assert.ok(response.status >= 500, `${path}: ${response.status}`)
      assert.ok(!text.includes('LEAK') && !/api key|unauthor|billing/i.test(text), text)
    }
})

test('§7.19 a wait is read of failures alone: on an answer it means nothing', async (t) => {
  const stub = await startStub(t, (_req, res, body) => {
    const busy = body.includes('busy')
    res.writeHead(busy ? 429 : 200, { 'content-type': 'application/json', 'retry-after': '7' })
    res.end(busy ? '{"error":{"message":"slow down"}}' : answerBody('Noon.', USAGE))
  })
  const config = withUpstreams(testConfig({ m: { ordinary: ['stub'] } }), { stub: stub.url })
  const forge = await startForge(t, { config })
  const account = await forge.account()
  for (let turn = 0; turn < 3; turn++) {
    const told = await ask(forge, account, { model: 'm' })
    assert.deepEqual([told.status, told.headers.get('retry-after')], [200, null])
  }
  const busy = await ask(forge, account, { model: 'm', text: 'busy' })
  assert.deepEqual([busy.status, busy.headers.get('retry-after')], [503, '7'])
})

test('§7.20 an empty balance is told in each format so that clients stop', async (t) => {
  const forge = await startForge(t, { config: testConfig({ m: { ordinary: [''] } }) })
  const account = await forge.account({ grants: { rmb: '0' } })
  const told = await Promise.all(
    BODIES.map(async ([path, body]) => {
      const response = await forge.post(path, account.key, body, VERSION)
      assert.equal(response.headers.get('x-should-retry'), 'false', path)
      return [response.status, await response.text()] as const
    }),
  )
  assert.deepEqual([told[0]?.[0], told[1]?.[0], told[2]?.[0]], [429, 429, 402])
  assert.ok(told.slice(0, 2).every(([, text]) => text.includes('"insufficient_quota"')))
  assert.match(told[2]?.[1] ?? '', /"billing_error"/)
  assert.ok([402, 403].includes(told[3]?.[0] ?? 0))
})

test("§7.21 ids and limits are ours, not those of the upstream's account", async (t) => {
  const foreign = {
    'x-request-id': 'req_upstream',
    'request-id': 'req_upstream',
    'x-ratelimit-remaining-requests': '3',
    'anthropic-ratelimit-tokens-remaining': '4',
    'openai-organization': 'org-operator',
    'set-cookie': 'session=1',
  }
  const stub = await startStub(t, (req, res) => {
    res.writeHead(200, { 'content-type': 'application/json', ...foreign })
    res.end(
      req.url?.includes('messages')
        ? messages({ input_tokens: 5, output_tokens: 7 })('m').text
        : answerBody('x', USAGE),
    )
  })
  const config = withUpstreams(
    testConfig({ m: { ordinary: ['stub'] }, a: { protocol: 'anthropic', ordinary: ['stub'] } }),
    {
      stub: stub.url,
    },
  )
  const forge = await startForge(t, { config })
  const account = await forge.account()
  const chat = await forge.post('/v1/chat/completions', account.key, BODIES[0]?.[1])
  const claude = await forge.post('/v1/messages', account.key, { ...BODIES[2]?.[1], model: 'a' }, VERSION)
  for (const response of [chat, claude]) {
    assert.equal(response.status, 200, await response.clone().text())
    const id = response.headers.get('x-request-id') ?? ''
    assert.match(id, /^req_/)
    assert.equal(response.headers.get('request-id'), id)
    assert.equal((await forge.receipt(id)).id, id)
    assert.ok(!JSON.stringify([...response.headers]).match(/req_upstream|ratelimit|org-operator|session=1/))
  }
  const refused = await forge.post('/v1/messages', account.key, { ...BODIES[2]?.[1], model: 'none' }, VERSION)
  const told = (await refused.json()) as { request_id?: string }
  assert.equal(told.request_id, refused.headers.get('request-id'))
})

test("§7.21 the upstream's own id of a request is kept, for operators", async (t) => {
  const stub = await startStub(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'application/json', 'x-request-id': 'req_upstream' })
    res.end(answerBody('x', USAGE))
  })
  const config = withUpstreams(testConfig({ m: { ordinary: ['stub'] } }), { stub: stub.url })
  const forge = await startForge(t, { config })
  const account = await forge.account()
  const told = await ask(forge, account, { model: 'm' })
  assert.equal(told.receipt.attempts[0]?.upstream_request_id, 'req_upstream')
  const own = await fetch(`${forge.url}/api/v1/receipts/${told.receipt.id}`, {
    headers: { authorization: `Bearer ${account.key}` },
  })
  assert.ok(!(await own.text()).includes('req_upstream'))
})

/** An Anthropic and an OpenAI upstream that keep what they were sent. */
async function twoUpstreams(t: Parameters<typeof startForge>[0]) {
  const heads: IncomingHttpHeaders[] = []
  const stub = await startStub(t, (req, res) => {
    heads.push(req.headers)
    const chat = req.url?.includes('chat') === true
    res.writeHead(200, { 'content-type': 'application/json' })
    res.end(chat ? answerBody('Noon.', USAGE) : messages({ input_tokens: 5, output_tokens: 7 })('up-a').text)
  })
  const models = { a: { protocol: 'anthropic', ordinary: ['stub'] }, o: { ordinary: ['stub'] } }
  const forge = await startForge(t, { config: withUpstreams(testConfig(models), { stub: stub.url }) })
  return { forge, account: await forge.account(), stub, heads }
}

const MANY_HEADERS = {
  'anthropic-version': '2026-10-21',
  'anthropic-beta': 'future-thing-2027-01-01,context-1m-2025-08-07',
  cookie: 'a=b',
  'x-forwarded-for': '10.0.0.1',
  'openai-organization': 'org-caller',
  'openai-project': 'proj-caller',
  'x-stainless-lang': 'js',
}

test('§7.22 and §7.23 of the headers only those of the format go on, and only on a route of the same format', async (t) => {
  const { forge, account, stub, heads } = await twoUpstreams(t)
  const body = { ...BODIES[2]?.[1], zz_future: { kept: [1.5, 'é'] } }
  for (const model of ['a', 'o']) {
    const response = await forge.post('/v1/messages', account.key, { ...body, model }, MANY_HEADERS)
    assert.equal(response.status, 200, await response.text())
  }
  for (const head of heads) {
    for (const name of [
      'cookie',
      'x-forwarded-for',
      'openai-organization',
      'openai-project',
      'x-stainless-lang',
    ])
      assert.equal(head[name], undefined, name)
    assert.ok(!JSON.stringify(head).includes(account.key))
  }
  assert.equal(heads[0]?.['anthropic-version'], MANY_HEADERS['anthropic-version'])
  assert.equal(heads[0]?.['anthropic-beta'], MANY_HEADERS['anthropic-beta'])
  assert.equal(heads[1]?.['anthropic-version'], undefined)
  assert.equal(heads[1]?.['anthropic-beta'], undefined)
  assert.equal(stub.calls[0], JSON.stringify({ ...body, model: 'up-a' }))
})

test("§7.24 Claude Code's billing block stays for Anthropic and goes nowhere else", async (t) => {
  const { forge, account, stub } = await twoUpstreams(t)
  const system = [
    { type: 'text', text: 'x-anthropic-billing-header: cc_version=2.1; cch=12ab;' },
    { type: 'text', text: 'You are a pilot.' },
  ]
  for (const model of ['a', 'o'])
    await (
      await forge.post('/v1/messages', account.key, { ...BODIES[2]?.[1], model, system }, VERSION)
    ).text()
  assert.match(stub.calls[0] ?? '', /x-anthropic-billing-header/)
  assert.ok(!stub.calls[1]?.includes('billing-header') && stub.calls[1]?.includes('You are a pilot.'))
})

test('§7.27 a response that lies in one account is continued there, and nowhere else', async (t) => {
  const forge = await startForge(t, {
    config: testConfig({ m: { protocol: 'openai-responses', ordinary: ['', 'status=500'] } }),
  })
  const account = await forge.account()
  const first = await forge.post('/v1/responses', account.key, { model: 'm', input: 'tide?', store: true })
  const { id } = (await first.json()) as { id: string }
  const next = { model: 'm', input: 'and then?', previous_response_id: id }
  assert.equal((await forge.post('/v1/responses', account.key, next)).status, 200)
  const stranger = await forge.account()
  const refused = await forge.post('/v1/responses', stranger.key, next)
  assert.ok(refused.status === 400 || refused.status === 404, `${refused.status}`)
})

test('§7.28 a WebSocket on responses is answered 426, so that Codex falls back at once', async (t) => {
  const forge = await startForge(t, { config: testConfig({ m: { ordinary: [''] } }) })
  const { request } = await import('node:http')
  const status = await new Promise((resolve, reject) => {
    const asked = request(`${forge.url}/v1/responses`, {
      headers: {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      },
    })
    asked.on('response', (response) => resolve(response.resume().statusCode))
    asked.on('upgrade', (response) => resolve(response.statusCode))
    asked.on('error', reject)
    asked.end()
  })
  assert.equal(status, 426)
})

test('§7.29 an upstream may be given an hour', async (t) => {
  const hour = 3_600_000
  const timeouts = { first_token_ms: hour, idle_ms: hour, total_ms: hour }
  const forge = await startForge(t, { config: testConfig({ m: { ordinary: [''], timeouts } }) })
  assert.equal((await ask(forge, await forge.account(), { model: 'm' })).status, 200)
  const channel = [...forge.app.catalog.snapshot().channels.values()][0]
  assert.equal(channel?.timeouts.totalMs, hour)
})

test('§7.30 a key in the query opens the door and is written nowhere', async (t) => {
  const lines: string[] = []
  const write = (fields: unknown, message: string): void => {
    lines.push(`${JSON.stringify(fields)} ${message}`)
  }
  const log: Log = { debug: write, info: write, warn: write, error: write }
  const forge = await startForge(t, {
    config: testConfig({ m: { ordinary: [''] }, broken: { ordinary: ['status=500'] } }),
    log,
  })
  const account = await forge.account()
  const told: string[] = []
  for (const [model, wanted] of [
    ['m', 200],
    ['broken', 502],
    ['none', 404],
  ] as const) {
    const response = await fetch(`${forge.url}/v1beta/models/${model}:generateContent?key=${account.key}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(BODIES[3]?.[1]),
    })
    told.push(await response.text(), JSON.stringify([...response.headers]))
    assert.equal(response.status, wanted, told.at(-2))
    const id = response.headers.get('x-request-id')
    told.push(JSON.stringify(await customerReceipt(forge, account, id)))
  }
  for (const text of [...told, ...lines]) assert.ok(!text.includes(account.key), text.slice(0, 300))
  const upstream = forge.sandbox.requests.all().map(({ path, headers }) => path + JSON.stringify(headers))
  assert.ok(upstream.length > 0 && upstream.every((text) => !text.includes(account.key)))
})
