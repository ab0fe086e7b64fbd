import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ApiStand, type Customer, startApi } from '../../test/api-stand.ts'
import { problemSchema } from '../contract/index.ts'
import { childUuid, formatId, parseId } from '../kernel/index.ts'

function uuidOf(prefix: 'org' | 'prj' | 'key' | 'req' | 'run', id: string): string {
  const uuid = parseId(prefix, id)
  assert.ok(uuid)
  return uuid
}

/** A refusal with its receipt, put into the ledger the way the gateway does. */
async function writeReceipt(stand: ApiStand, customer: Customer, run: string | null = null): Promise<string> {
  const id = stand.ids.uuid()
  const orgId = uuidOf('org', customer.org)
  const document = JSON.stringify({
    v: 1,
    status: 'refused',
    at: Date.now(),
    ended: Date.now(),
    latency: 3,
    org: { id: customer.org, name: 'O' },
    project: { id: customer.project, name: 'P' },
    key: { id: customer.keyId, label: 'L', prefix: 'sk-tf-0000' },
    endpoint: 'openai.chat_completions',
    streamed: false,
    requested: 'm-one',
    attempts: [],
    settlement: 'refused',
    noCharge: 'refused',
    error: { code: 'model_not_found', message: 'There is no such model.', status: 404 },
  })
  const { verdict } = await stand.writer.submit({
    kind: 'record',
    orgId,
    id,
    receipt: {
      id,
      projectId: uuidOf('prj', customer.project),
      apiKeyId: uuidOf('key', customer.keyId),
      runId: run === null ? null : uuidOf('run', run),
      status: 'refused',
      bucket: null,
      route: null,
      model: 'm-one',
      chargeNano: 0n,
      createdAtMs: Date.now(),
      document,
    },
  })
  assert.equal(verdict, 'done')
  return formatId('req', id)
}

async function grant(stand: ApiStand, org: string, amount = '10.00', more: object = {}) {
  return await stand.call('POST', '/api/v1/grants', {
    body: { organization: org, bucket: 'credit', amount, reason: 'test', ...more },
  })
}

test('customers are set up, their key is shown once and works', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  assert.match(a.key, /^sk-tf-[0-9A-Za-z]{49}$/)
  const { json: keys, text } = await stand.call('GET', `/api/v1/keys?project=${a.project}`)
  assert.deepEqual(
    keys.data.map((key: { id: string }) => key.id),
    [a.keyId],
  )
  assert.ok(!text.includes(a.key))
  assert.ok(a.key.startsWith(keys.data[0].prefix))
  for (const headers of [
    { 'x-api-key': a.key },
    { 'x-goog-api-key': a.key },
    { authorization: `bearer ${a.key}` },
  ]) {
    const { status, json } = await stand.call('GET', '/api/v1/balances', { token: null, headers })
    assert.equal(status, 200)
    assert.equal(json.organization, a.org)
  }
})

test('every configured bucket is shown before its first movement, and grants add to one of them only', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  const empty = (await stand.call('GET', '/api/v1/balances', { token: a.key })).json
  const zero = { posted: '0', held: '0', available: '0', open_holds: 0 }
  assert.deepEqual(empty.buckets, {
    credit: { name: 'Credit', currency: 'USD', ...zero },
    rmb: { name: 'RMB wallet', currency: 'CNY', ...zero },
  })
  const added = await grant(stand, a.org, '10.00')
  assert.equal(added.status, 201)
  assert.equal(added.json.amount, '10')
  assert.equal(added.json.balance.available, '10')
  const after = (await stand.call('GET', `/api/v1/balances?organization=${a.org}`)).json
  assert.equal(after.buckets.credit.available, '10')
  assert.equal(after.buckets.rmb.available, '0')
})

test('a grant sent twice with one id is added once; another amount under that id is a conflict', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  const id = stand.ids.uuid()
  const both = await Promise.all([grant(stand, a.org, '5', { id }), grant(stand, a.org, '5.00', { id })])
  assert.deepEqual(both.map(({ status }) => status).sort(), [200, 201])
  assert.deepEqual(
    both.map(({ json }) => json.id),
    [id, id],
  )
  assert.equal((await grant(stand, a.org, '6', { id })).json.code, 'conflict')
  const entries = (await stand.call('GET', '/api/v1/ledger/entries?bucket=credit', { token: a.key })).json
  assert.deepEqual(
    entries.data.map(({ amount, balance_after, kind, seq }: Record<string, unknown>) => ({
      amount,
      balance_after,
      kind,
      seq,
    })),
    [{ amount: '5', balance_after: '5', kind: 'grant', seq: 1 }],
  )
  assert.equal((await stand.call('GET', '/api/v1/ledger/audit')).json.ok, true)
})

test('amounts, buckets and times that cannot be meant are refused, and nothing moves', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  for (const amount of ['0', '-1', '1e3', '1,5', '0.0000000001', '99999999999', 'ten', ''])
    assert.equal((await grant(stand, a.org, amount)).json.errors[0].field, 'amount', amount)
  assert.equal((await grant(stand, a.org, '9223372036')).status, 201)
  assert.equal(
    (await grant(stand, a.org, '9223372036')).json.errors[0].message,
    'is more than the balance can hold',
  )
  assert.match((await grant(stand, a.org, '1', { bucket: 'gold' })).json.detail, /credit, rmb/)
  assert.equal((await grant(stand, a.org, '1', { expires_at: '2001-01-01T00:00:00Z' })).status, 400)
  assert.equal((await grant(stand, formatId('org', stand.ids.uuid()), '1')).status, 404)
  assert.equal(
    (await stand.call('GET', '/api/v1/balances', { token: a.key })).json.buckets.credit.posted,
    '9223372036',
  )
})

test('the statement pages through every entry once, newest first', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  for (let i = 1; i <= 5; i++) await grant(stand, a.org, `${i}`)
  const seen: number[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const { json } = await stand.call('GET', `/api/v1/ledger/entries?bucket=credit&limit=2${cursor}`, {
      token: a.key,
    })
    seen.push(...json.data.map((entry: { seq: number }) => entry.seq))
    cursor = json.next_cursor === null ? null : `&cursor=${json.next_cursor}`
  }
  assert.deepEqual(seen, [5, 4, 3, 2, 1])
})

test('lists page through every row once, newest first', async (t) => {
  const stand = await startApi(t)
  const made: string[] = []
  for (let i = 0; i < 5; i++) made.push((await stand.customer(`Org ${i}`)).org)
  const seen: string[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const { json } = await stand.call('GET', `/api/v1/organizations?limit=2${cursor}`)
    seen.push(...json.data.map((org: { id: string }) => org.id))
    cursor = json.next_cursor === null ? null : `&cursor=${json.next_cursor}`
  }
  assert.deepEqual(seen, made.reverse())
})

test('a stranger sees of another project what he sees of nothing: 404 with the same words', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  const b = await stand.customer('Beta')
  const run = await stand.tenancy.openRun({
    orgId: uuidOf('org', a.org),
    projectId: uuidOf('prj', a.project),
    nameOrId: 'r',
  })
  assert.ok(run)
  const runId = formatId('run', run.id)
  const receipt = await writeReceipt(stand, a, runId)
  assert.equal((await stand.call('GET', `/api/v1/receipts/${receipt}`, { token: a.key })).json.id, receipt)
  assert.equal((await stand.call('GET', `/api/v1/runs/${runId}`, { token: a.key })).json.name, 'r')

  const random = (prefix: 'req' | 'run' | 'org' | 'prj') => formatId(prefix, stand.ids.uuid())
  for (const [own, other] of [
    [`/api/v1/receipts/${receipt}`, `/api/v1/receipts/${random('req')}`],
    [`/api/v1/receipts/${formatId('req', childUuid(uuidOf('req', receipt), 1))}`, `/api/v1/receipts/x`],
    [`/api/v1/runs/${runId}`, `/api/v1/runs/${random('run')}`],
    [`/api/v1/balances?organization=${a.org}`, `/api/v1/balances?organization=${random('org')}`],
    [`/api/v1/receipts?project=${a.project}`, `/api/v1/receipts?project=${random('prj')}`],
    [`/api/v1/runs?project=${a.project}`, `/api/v1/runs?project=${random('prj')}`],
    [
      `/api/v1/ledger/entries?bucket=credit&organization=${a.org}`,
      `/api/v1/ledger/entries?bucket=credit&organization=${random('org')}`,
    ],
  ]) {
    const foreign = await stand.call('GET', own ?? '', { token: b.key })
    const unknown = await stand.call('GET', other ?? '', { token: b.key })
    assert.equal(foreign.status, 404, own)
    assert.deepEqual({ ...foreign.json, request_id: '' }, { ...unknown.json, request_id: '' }, own)
  }
  for (const filter of [`key=${a.keyId}`, `run=${runId}`])
    assert.deepEqual((await stand.call('GET', `/api/v1/receipts?${filter}`, { token: b.key })).json.data, [])
})

test('what only an operator may do is refused to a key', async (t) => {
  const stand = await startApi(t)
  const { key: token, keyId } = await stand.customer('Alpha')
  for (const [method, path] of [
    ['GET', '/api/v1/organizations'],
    ['POST', '/api/v1/organizations'],
    ['POST', '/api/v1/projects'],
    ['POST', '/api/v1/keys'],
    ['GET', '/api/v1/keys'],
    ['PATCH', `/api/v1/keys/${keyId}`],
    ['POST', '/api/v1/grants'],
    ['GET', '/api/v1/audit'],
    ['GET', '/api/v1/audit/export'],
    ['GET', '/api/v1/ledger/audit'],
    ['POST', `/api/v1/keys/${keyId}/rotate`],
    ['POST', `/api/v1/keys/${keyId}/revoke`],
  ]) {
    const { status, json } = await stand.call(method ?? '', path ?? '', {
      token,
      ...(method === 'GET' ? {} : { body: {} }),
    })
    assert.equal(status, 403, `${method} ${path}`)
    assert.equal(json.code, 'forbidden')
  }
})

test('unknown, revoked and expired keys get one answer; a paused one is told', async (t) => {
  const stand = await startApi(t)
  const { key: token, keyId } = await stand.customer('Alpha')
  const soon = (
    await stand.call('POST', '/api/v1/keys', {
      body: {
        project: (await stand.call('GET', '/api/v1/projects')).json.data[0].id,
        expires_at: new Date(Date.now() + 60_000).toISOString(),
      },
    })
  ).json
  await stand.owner.query(
    `update tenancy.api_key set expires_at = clock_timestamp() - interval '1 hour' where id = $1`,
    [uuidOf('key', soon.id)],
  )
  const ask = async (secret: string | null) => await stand.call('GET', '/api/v1/balances', { token: secret })
  assert.equal((await ask(token)).status, 200)
  await stand.call('PATCH', `/api/v1/keys/${keyId}`, { body: { state: 'paused' } })
  assert.equal((await ask(token)).json.code, 'api_key_paused')
  await stand.call('PATCH', `/api/v1/keys/${keyId}`, { body: { state: 'active' } })
  assert.equal((await ask(token)).status, 200)
  await stand.call('PATCH', `/api/v1/keys/${keyId}`, { body: { state: 'revoked' } })
  const revoked = await ask(token)
  assert.equal(revoked.status, 401)
  for (const secret of [null, 'nope', soon.key, `${token}x`, stand.operator.slice(1)]) {
    const other = await ask(secret)
    assert.deepEqual({ ...other.json, request_id: '' }, { ...revoked.json, request_id: '' })
    assert.equal(other.headers.get('www-authenticate'), 'Bearer')
  }
  const resumed = await stand.call('PATCH', `/api/v1/keys/${keyId}`, { body: { state: 'active' } })
  assert.equal(resumed.json.code, 'conflict')
})

test('every refusal is a problem document with the id of its header', async (t) => {
  const stand = await startApi(t)
  const cases: ReadonlyArray<readonly [string, string, number, string, object?]> = [
    ['GET', '/api/v1/receipts/nope', 404, 'not_found'],
    ['GET', '/api/v1/nope', 404, 'not_found'],
    ['GET', '/nope', 404, 'not_found'],
    ['DELETE', '/api/v1/organizations', 405, 'method_not_allowed'],
    ['POST', '/api/v1/organizations', 400, 'invalid_json', { body: '{"name":' }],
    [
      'POST',
      '/api/v1/organizations',
      400,
      'invalid_json',
      { body: '{}', headers: { 'content-type': 'text/plain' } },
    ],
    ['POST', '/api/v1/organizations', 400, 'invalid_json', { body: '{"__proto__": {"x": 1}, "name": "n"}' }],
    ['POST', '/api/v1/organizations', 400, 'invalid_parameter', { body: [] }],
    ['POST', '/api/v1/organizations', 413, 'body_too_large', { body: { name: 'x'.repeat(300_000) } }],
    [
      'POST',
      '/api/v1/organizations',
      415,
      'unsupported_encoding',
      { body: '{}', headers: { 'content-encoding': 'gzip' } },
    ],
    ['GET', '/api/v1/organizations', 401, 'invalid_api_key', { token: null }],
    ['GET', '/api/v1/balances', 400, 'invalid_parameter'],
    ['GET', '/api/v1/organizations?cursor=x', 400, 'invalid_parameter'],
    ['GET', '/api/v1/organizations?limit=1&limit=2', 400, 'invalid_parameter'],
    ['GET', '/api/v1/organizations?limit=201', 400, 'invalid_parameter'],
    ['GET', '/api/v1/organizations?limit=1e2', 400, 'invalid_parameter'],
    ['GET', '/api/v1/receipts?since=yesterday', 400, 'invalid_parameter'],
    ['GET', `/api/v1/receipts/${'x'.repeat(500)}`, 404, 'not_found'],
    ['GET', '/api/v1/receipts/%ff', 404, 'not_found'],
  ]
  for (const [method, path, status, code, more] of cases) {
    const answer = await stand.call(method, path, more)
    const name = `${method} ${path}: ${answer.text}`
    assert.equal(answer.status, status, name)
    assert.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8', name)
    const problem = problemSchema.parse(answer.json)
    assert.equal(problem.code, code, name)
    assert.equal(problem.status, status)
    assert.match(problem.request_id, /^req_[0-9a-z]{26}$/)
    assert.equal(answer.headers.get('x-request-id'), problem.request_id)
    assert.ok(problem.title !== '' && problem.detail !== '' && problem.hint !== '')
  }
  assert.equal((await stand.call('PUT', '/api/v1/keys/x')).headers.get('allow'), 'GET, PATCH')
})

test('unknown fields are refused with the name that was meant, and nothing is coerced', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  const post = async (body: object) =>
    (await stand.call('POST', '/api/v1/keys', { body: { project: a.project, ...body } })).json
  assert.deepEqual((await post({ lable: 'x' })).errors, [
    { field: 'lable', message: 'is not known; did you mean label?' },
  ])
  assert.match((await post({ admin: true })).errors[0].message, /known are project, label/)
  assert.equal((await post({ allow_cross_balance: 'true' })).errors[0].field, 'allow_cross_balance')
  assert.equal((await post({ max_attempts: '3' })).errors[0].field, 'max_attempts')
  assert.equal((await post({ models: 'a,b' })).errors[0].field, 'models')
  assert.equal((await post({ models: ['ok', 5] })).errors[0].field, 'models.1')
  assert.equal((await post({ policy: 'best' })).errors[0].field, 'policy')
  const query = (await stand.call('GET', '/api/v1/receipts?statsu=failed')).json
  assert.deepEqual(query.errors, [{ field: 'statsu', message: 'is not known; did you mean status?' }])
  assert.equal((await stand.call('GET', `/api/v1/balances?api_key=${a.key}`, { token: null })).status, 400)
})

test('a failure inside tells nothing of itself, and is logged', async (t) => {
  const logged: unknown[] = []
  const stand = await startApi(t, {
    audit: () => Promise.reject(new Error('password=hunter2')),
    log: { debug() {}, info() {}, warn() {}, error: (fields) => logged.push(fields) },
  })
  const { status, json, text } = await stand.call('GET', '/api/v1/ledger/audit')
  assert.equal(status, 500)
  assert.equal(json.code, 'internal_error')
  assert.ok(!text.includes('hunter2'))
  assert.ok(JSON.stringify(logged).includes(json.request_id))
})

test('models show both prices, the bucket, and whether and why not this key can call them', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  const keyWith = async (body: object) =>
    (await stand.call('POST', '/api/v1/keys', { body: { project: a.project, ...body } })).json.key
  const models = async (token: string) => (await stand.call('GET', '/api/v1/models', { token })).json.data
  const [model] = await models(a.key)
  assert.equal(model.name, 'm-one')
  assert.equal(model.callable, true)
  assert.equal(model.reference_price.currency, 'USD')
  assert.equal(model.reference_price.rates.input, '2.50')
  const [official, ordinary] = model.routes
  assert.deepEqual(
    [official.bucket, official.currency, ordinary.bucket, ordinary.currency],
    ['credit', 'USD', 'rmb', 'CNY'],
  )
  assert.match(official.price_version, /^pv_[0-9a-z]{26}$/)
  assert.deepEqual(ordinary.price.rates, {
    input: '0.90',
    output: '7.20',
    web_search: { per: 1000, price: '10' },
  })
  assert.deepEqual(ordinary.channels, [{ channel: 'Relay', role: 'primary' }])

  const [other] = await models(await keyWith({ models: ['m-two'] }))
  assert.deepEqual([other.callable, other.reason], [false, 'the API key may not use the model m-one'])
  const [narrow] = await models(await keyWith({ routes: ['official'] }))
  assert.deepEqual(
    narrow.routes.map((route: { callable: boolean }) => route.callable),
    [true, false],
  )
  const [policy] = await models(await keyWith({ policy: 'ordinary_only' }))
  assert.match(policy.routes[0].reason, /policy ordinary_only/)
  assert.equal(policy.callable, true)
  const text = (await stand.call('GET', '/api/v1/models')).text
  assert.ok(!text.includes('UPSTREAM-SECRET') && !text.includes('127.0.0.1'))
})

test('a run tells what it cost, per bucket', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  const run = await stand.tenancy.openRun({
    orgId: uuidOf('org', a.org),
    projectId: uuidOf('prj', a.project),
    nameOrId: 'nightly',
  })
  assert.ok(run)
  await writeReceipt(stand, a, formatId('run', run.id))
  const { json } = await stand.call('GET', `/api/v1/runs/${formatId('run', run.id)}`)
  assert.deepEqual([json.name, json.status, json.budget, json.totals], ['nightly', 'open', null, {}])
  assert.deepEqual((await stand.call('GET', '/api/v1/runs', { token: a.key })).json.data[0].id, json.id)
})
