import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startApi } from '../../test/api-stand.ts'
import { sqlState } from '../db/index.ts'

test('fields that are not the caller’s to set are refused, and so are cursors that no list gave out', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  for (const field of [
    'id',
    'org_id',
    'organization',
    'key',
    'key_sha256',
    'prefix',
    'created_at',
    'secrets',
    'project_state',
  ]) {
    const made = await stand.call('POST', '/api/v1/keys', { body: { project: a.project, [field]: 'x' } })
    assert.equal(made.json.errors?.[0]?.field, field, made.text)
    const changed = await stand.call('PATCH', `/api/v1/keys/${a.keyId}`, { body: { [field]: 'x' } })
    assert.equal(changed.json.errors?.[0]?.field, field, changed.text)
  }
  const wrong = await stand.call('PATCH', `/api/v1/keys/${a.keyId}`, {
    body: {
      buckets: ['gold'],
      max_charge: { credit: '-1', tin: '1' },
      allowed_networks: ['10.0.0.0/8', 'x'],
    },
  })
  assert.deepEqual(
    wrong.json.errors.map(({ field }: { field: string }) => field),
    ['buckets.0', 'max_charge.credit', 'max_charge.tin', 'allowed_networks.1'],
  )
  for (const cursor of [
    'x',
    '-1',
    '0',
    '1e9',
    `${'9'.repeat(30)}`,
    "1' or '1'='1",
    a.org,
    '%00',
    '%F0%9F%92%A9',
  ])
    for (const list of ['keys', 'audit', 'organizations', 'projects']) {
      const { status, text } = await stand.call('GET', `/api/v1/${list}?cursor=${encodeURIComponent(cursor)}`)
      const own = list === 'organizations' && cursor === a.org
      assert.equal(status, own ? 200 : 400, `${list} ${cursor}: ${text}`)
    }
})

test('a POST with an Idempotency-Key is done once; the repeat of one that shows a secret is told what was made', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  const headers = { 'idempotency-key': 'once-1' }
  const org = async (name: string) =>
    await stand.call('POST', '/api/v1/organizations', { body: { name }, headers })
  const all = await Promise.all(Array.from({ length: 8 }, () => org('Once')))
  const made = all.filter(({ status }) => status === 201)
  assert.ok(made.length >= 1 && all.every(({ status }) => status === 201 || status === 409))
  assert.equal(new Set(made.map(({ json }) => json.id)).size, 1)
  const again = await org('Once')
  assert.deepEqual(
    [again.status, again.json.id, again.headers.get('x-tf-replayed')],
    [201, made[0]?.json.id, 'true'],
  )
  assert.equal((await org('Other')).json.code, 'idempotency_key_reused')

  const key = async () =>
    await stand.call('POST', '/api/v1/keys', {
      body: { project: a.project },
      headers: { 'idempotency-key': 'once-2' },
    })
  const first = await key()
  const repeat = await key()
  assert.deepEqual([first.status, repeat.status], [201, 409])
  assert.ok(repeat.json.detail.includes(first.json.id), repeat.text)
  assert.ok(!repeat.text.includes(first.json.key))
  // The process died between the change and its note: the repeat finds what was made, and makes nothing.
  await stand.owner.query(
    `update tenancy.management_request set status = null, answer = null, started_at = started_at - interval '2 minutes'`,
  )
  assert.ok((await key()).json.detail.includes(first.json.id))
  assert.equal((await org('Once')).json.id, made[0]?.json.id)
  const rows = await stand.owner.query('select r::text from tenancy.management_request r')
  assert.ok(!JSON.stringify(rows).includes(first.json.key.slice(10)))
  assert.equal((await stand.call('GET', `/api/v1/keys?project=${a.project}`)).json.data.length, 2)
})

test('every change is in the log with who, from where, before and after; the log cannot be changed, and is exported whole', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('=Alpha')
  await stand.call('PATCH', `/api/v1/keys/${a.keyId}`, {
    body: { label: 'new', max_charge: { credit: '0.5' } },
  })
  await stand.call('POST', `/api/v1/keys/${a.keyId}/rotate`, { body: { overlap_seconds: 60 } })
  await stand.call('POST', `/api/v1/keys/${a.keyId}/pause`)
  await stand.call('PATCH', `/api/v1/projects/${a.project}`, { body: { state: 'paused' } })
  await stand.call('POST', '/api/v1/grants', {
    body: { organization: a.org, bucket: 'credit', amount: '2.50', reason: 'r' },
  })
  const { json } = await stand.call('GET', `/api/v1/audit?organization=${a.org}`)
  // biome-ignore lint/suspicious/noExplicitAny: the answer's shape is what is asserted
  const events: any[] = json.data.toReversed()
  assert.deepEqual(
    events.map(({ action }) => action),
    [
      'organization.create',
      'project.create',
      'key.create',
      'key.change',
      'key.rotate',
      'key.pause',
      'project.change',
      'grant.ask',
      'grant.add',
    ],
  )
  for (const event of events) {
    assert.deepEqual(event.actor, { kind: 'operator', id: null })
    assert.equal(event.address, '127.0.0.1')
    assert.match(event.request_id, /^req_/)
  }
  assert.deepEqual(events[3].before, { label: '=Alpha', max_charge: null })
  assert.deepEqual(events[3].after, { label: 'new', max_charge: { credit: '0.5' } })
  assert.deepEqual(events[8].after, { bucket: 'credit', currency: 'USD', reason: 'r', amount: '2.5' })
  assert.ok(!JSON.stringify(events).includes(a.key.slice(10)))
  const one = await stand.call('GET', `/api/v1/audit?object=${a.keyId}&action=key.pause&limit=1`)
  assert.equal(one.json.data[0].after.state, 'paused')

  const lines = (await stand.call('GET', `/api/v1/audit/export?organization=${a.org}`)).text
    .trimEnd()
    .split('\n')
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    json.data,
  )
  const csv = (await stand.call('GET', `/api/v1/audit/export?organization=${a.org}&format=csv`)).text
  assert.equal(csv.trimEnd().split('\r\n').length, 10)
  for (const sql of [
    'update tenancy.audit_event set action = $1',
    'delete from tenancy.audit_event where action = $1',
  ]) {
    await assert.rejects(stand.app.query(sql, ['x']), (thrown) => sqlState(thrown) === '42501')
    await assert.rejects(stand.owner.query(sql, ['x']), (thrown) => sqlState(thrown) === '23001')
  }
  await assert.rejects(
    stand.owner.query('truncate tenancy.audit_event'),
    (thrown) => sqlState(thrown) === '23001',
  )
  await assert.rejects(
    stand.app.query(`insert into tenancy.audit_event (at, actor_kind, action, object_kind, object_id)
      values (now(), 'system', 'x', 'x', gen_random_uuid())`),
    (thrown) => sqlState(thrown) === '42501',
    'nobody chooses the time of an event',
  )
})

test('a key tells before its first use what it can call, at what price, from which balance, and why not', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  await stand.call('POST', '/api/v1/grants', {
    body: { organization: a.org, bucket: 'credit', amount: '1', reason: 'r' },
  })
  await stand.call('PATCH', `/api/v1/keys/${a.keyId}`, { body: { buckets: ['credit'] } })
  const own = await stand.call('GET', `/api/v1/keys/${a.keyId}/access`, { token: a.key })
  assert.deepEqual([own.json.usable, own.json.reason], [true, null])
  const [official, ordinary] = own.json.models[0].routes
  assert.deepEqual([official.callable, official.available, official.affordable], [true, '1', true])
  assert.deepEqual([ordinary.callable, ordinary.reason], [false, 'the API key may not spend from RMB wallet'])
  assert.deepEqual([ordinary.available, ordinary.affordable], ['0', false])
  assert.deepEqual((await stand.call('GET', '/api/v1/models', { token: a.key })).json.data, own.json.models)
  await stand.call('POST', `/api/v1/keys/${a.keyId}/revoke`)
  const gone = await stand.call('GET', `/api/v1/keys/${a.keyId}/access`)
  assert.deepEqual([gone.json.usable, gone.json.reason], [false, 'The API key is revoked.'])
  const found = await stand.call('GET', `/api/v1/keys?prefix=${a.key.slice(0, 10)}&state=revoked`)
  assert.deepEqual(
    found.json.data.map(({ id }: { id: string }) => id),
    [a.keyId],
  )
})
