import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatId, parseId } from '../../src/kernel/index.ts'
import { startApi } from '../api-stand.ts'
import { OPERATOR_TOKEN, startBeside, startForge, testConfig } from '../forge.ts'
import { smtpServer, textOf } from '../smtp.ts'
import { receiver, until } from './stand.ts'

test('an alert reaches a mailbox in its language, also when the mail server was busy first', async (t) => {
  const smtp = await smtpServer(t, '451 try later', 1)
  const forge = await startForge(t, { config: testConfig({ m: { ordinary: [''] } }) })
  const a = await forge.account({ grants: { rmb: '3' } })
  const { app: second, url } = await startBeside(forge, {
    mail: { smtpUrl: smtp.url, from: 'forge@stand.test' },
  })
  // Only the one with a mail server is left to send.
  await forge.app.close(1_000)
  t.after(() => second.close(1_000))
  const made = await fetch(`${url}/api/v1/alert-rules`, {
    method: 'POST',
    headers: { authorization: `Bearer ${OPERATOR_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      organization: formatId('org', a.orgId),
      kind: 'balance',
      parameters: { bucket: 'rmb', below: '5' },
      emails: ['owner@stand.test'],
      language: 'zh',
    }),
  })
  assert.equal(made.status, 201)
  await forge.owner.query(`update events.progress set at = '-infinity' where worker = 'alerts'`)
  await until('the refusal', () => smtp.refused() === 1, 20_000)
  const [message = ''] = await until(
    'the mail',
    () => (smtp.messages.length > 0 ? smtp.messages : null),
    20_000,
  )
  assert.match(message, /^To: owner@stand\.test$/m)
  assert.match(textOf(message), /可用金额为 3 CNY，低于 5 CNY/)
  // The mail is there a moment before it is noted.
  const log = await until('the note', async () => {
    const rows = await forge.owner.query('select error from webhooks.attempt order by n')
    return rows.length >= 2 ? rows : null
  })
  assert.deepEqual(log, [{ error: 'mail_failed' }, { error: null }])
})

test('two gateways on one database tell each request once, whichever served it', async (t) => {
  const config = testConfig({ m: { ordinary: [''] } })
  const forge = await startForge(t, { config })
  const a = await forge.account()
  const target = await receiver(t)
  const { app: other } = await startBeside(forge, { webhookPrivateTargets: true })
  let closed = false
  t.after(async () => {
    if (!closed) await other.close(1_000)
  })
  const made = await fetch(`${forge.url}/api/v1/webhooks`, {
    method: 'POST',
    headers: { authorization: `Bearer ${OPERATOR_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      organization: formatId('org', a.orgId),
      url: target.url,
      types: ['receipt.settled'],
    }),
  })
  assert.equal(made.status, 201)
  const asked = new Set<string | null>()
  for (let round = 0; round < 5; round++) {
    const answers = await Promise.all(Array.from({ length: 10 }, () => forge.chat(a.key, { model: 'm' })))
    for (const answer of answers) asked.add(answer.headers.get('x-request-id'))
    await Promise.all(answers.map((answer) => answer.text()))
  }
  await until('every event', () => target.received.length >= asked.size, 30_000)
  await other.close(1_000)
  closed = true
  const told = target.received.map(({ event }) => (event.data as { receipt: string }).receipt)
  assert.equal(told.length, asked.size)
  assert.deepEqual(new Set<string | null>(told), asked)
})

test('an address of ours is refused by the API unless the operator allowed it, and a key may not ask', async (t) => {
  const closed = await startApi(t, {})
  const a = await closed.customer('Alpha')
  const types = ['key.revoked']
  const make = async (url: string, token?: string) =>
    await closed.call('POST', '/api/v1/webhooks', {
      body: { organization: a.org, url, types },
      ...(token === undefined ? {} : { token }),
    })
  for (const url of [
    'http://10.0.0.1/',
    'https://169.254.169.254/',
    'https://[64:ff9b::a9fe:a9fe]/',
    'nonsense',
  ]) {
    const refused = await make(url)
    assert.equal(refused.status, 400, url)
    assert.equal(refused.json.code, 'url_not_allowed')
    assert.ok(!refused.text.includes(url), 'the address is not told back')
  }
  assert.equal((await make('https://example.com/', a.key)).status, 403)
  const made = await make('http://127.0.0.1:9/hook?token=canary')
  assert.equal(made.status, 201)
  const { id, secret } = made.json
  for (const path of ['', `/${id}`, `/${id}/deliveries`]) {
    const { text, status } = await closed.call('GET', `/api/v1/webhooks${path}`)
    assert.equal(status, 200)
    assert.ok(!text.includes(secret))
  }
  const log = await closed.call('GET', `/api/v1/audit?object=${id}`)
  assert.equal(log.json.data[0].action, 'webhook.create')
  assert.ok(!log.text.includes('canary') && !log.text.includes(secret))
})

test('a repeat with one Idempotency-Key makes one webhook and does not show its secret again', async (t) => {
  const stand = await startApi(t)
  const { org } = await stand.customer('Alpha')
  const body = { organization: org, url: 'http://127.0.0.1:9/', types: ['key.revoked'] }
  const make = () => stand.call('POST', '/api/v1/webhooks', { body, headers: { 'idempotency-key': 'k-1' } })
  const first = await make()
  assert.equal(first.status, 201)
  const again = await make()
  assert.equal(again.json.code, 'conflict')
  assert.ok(!again.text.includes(first.json.secret))
  assert.equal((await stand.call('GET', '/api/v1/webhooks')).json.data.length, 1)
})

test('what concerns another organization is not to be found, named or tested', async (t) => {
  const stand = await startApi(t)
  const [a, b] = [await stand.customer('Alpha'), await stand.customer('Beta')]
  const rule = (parameters: object) =>
    stand.call('POST', '/api/v1/alert-rules', { body: { organization: a.org, kind: 'spend', parameters } })
  const base = { bucket: 'credit', amount: '1' }
  for (const [scope, scope_id] of [
    ['key', b.keyId],
    ['project', b.project],
    ['organization', b.org],
  ])
    assert.equal((await rule({ ...base, scope, scope_id })).status, 404, scope)
  assert.equal((await rule({ ...base, scope: 'key', scope_id: a.keyId })).status, 201)
  assert.equal((await rule({ ...base, bucket: 'gold' })).status, 400)
  const wrong = await rule({ ...base, amount: '-1' })
  assert.equal(wrong.status, 400)
  assert.match(wrong.json.errors[0].field, /amount/)
  const hook = await stand.call('POST', '/api/v1/webhooks', {
    body: { organization: a.org, project: b.project, url: 'https://example.com/', types: ['key.revoked'] },
  })
  assert.equal(hook.status, 404)
})

test('ten thousand deliveries that wait do not slow requests', async (t) => {
  const forge = await startForge(t, { config: testConfig({ m: { ordinary: [''] } }) })
  const a = await forge.account()
  const under = { way: 0, most: 0 }
  const hanging = await receiver(t, (_req, res) => {
    under.most = Math.max(under.most, ++under.way)
    res.once('close', () => under.way--)
  })
  const well = await receiver(t)
  const ask = async (count: number): Promise<number[]> => {
    const times: number[] = []
    for (let i = 0; i < count; i++) {
      const begun = performance.now()
      const answer = await forge.chat(a.key, { model: 'm' })
      await answer.text()
      assert.equal(answer.status, 200)
      times.push(performance.now() - begun)
    }
    return times.toSorted((x, y) => x - y)
  }
  const median = (sorted: readonly number[]): number => sorted[sorted.length >> 1] ?? 0
  for (let i = 0; i < 5; i++) {
    const made = await fetch(`${forge.url}/api/v1/webhooks`, {
      method: 'POST',
      headers: { authorization: `Bearer ${OPERATOR_TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        organization: formatId('org', a.orgId),
        url: i === 0 ? well.url : hanging.url,
        types: ['grant.added'],
      }),
    })
    assert.equal(made.status, 201)
  }
  await ask(20)
  const before = median(await ask(40))
  await forge.owner.query(
    `with w as (select org_id, id from webhooks.endpoint where org_id = $1),
      e as (insert into events.event (org_id, id, type, at, payload)
        select $1, gen_random_uuid(), 'grant.added', clock_timestamp(), '{}' from generate_series(1, 2000) returning org_id, id)
     insert into webhooks.delivery (org_id, event_id, endpoint_id, next_at)
       select e.org_id, e.id, w.id, clock_timestamp() from e cross join w`,
    [a.orgId],
  )
  const { n } = await forge.owner.one<{ n: number }>('select count(*)::int as n from webhooks.delivery')
  assert.ok(n >= 10_000)
  await until('deliveries to be under way', () => hanging.received.length >= 8 && well.received.length > 0)
  const [begun, first] = [performance.now(), well.received.length]
  const during = median(await ask(40))
  const rate = ((well.received.length - first) / (performance.now() - begun)) * 1000
  // One that was given up and the next one after it may meet here.
  assert.ok(under.most <= 16 + 4, `${under.most} were under way, more than there is room for`)
  t.diagnostic(`${Math.round(rate)} deliveries a second meanwhile to the receiver that answers`)
  t.diagnostic(`median before ${before.toFixed(1)} ms, with 10,000 waiting ${during.toFixed(1)} ms`)
  // Not a measurement: a request that waited for deliveries would wait for seconds.
  assert.ok(during < Math.max(before * 5, 250), `${before} ms became ${during} ms`)
})

test('who revoked a key is told by the right kind of id; where operators work from is told to operators alone', async (t) => {
  const stand = await startApi(t)
  const { org, keyId } = await stand.customer('Alpha')
  const owner = stand.person()
  const asOwner = { cookie: owner.cookie }
  await stand.owner.query(`insert into tenancy.member (org_id, person_id, role) values ($1, $2, 'owner')`, [
    parseId('org', org),
    owner.id,
  ])
  const body = { organization: org, url: 'https://127.0.0.1:9/', types: ['key.revoked'] }
  const hook = await stand.call('POST', '/api/v1/webhooks', { body, ...asOwner })
  assert.equal(hook.status, 201, hook.text)
  assert.equal((await stand.call('POST', `/api/v1/keys/${keyId}/revoke`, asOwner)).status, 200)
  const event = await until('the event', async () => {
    const { json } = await stand.call('GET', '/api/v1/events?type=key.revoked', asOwner)
    return json.data[0] ?? null
  })
  assert.deepEqual(event.data.by, { kind: 'person', id: formatId('usr', owner.id) })

  for (const path of ['/api/v1/audit?limit=100', '/api/v1/audit/export?format=jsonl']) {
    const addresses = async (as: object) => {
      const { text, json } = await stand.call('GET', path, as)
      const events: Array<{ actor: { kind: string }; address: string | null }> =
        json?.data ??
        text
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line))
      return new Set(events.map(({ actor, address }) => `${actor.kind} ${address}`))
    }
    assert.deepEqual(await addresses(asOwner), new Set(['person 127.0.0.1', 'operator null']))
    assert.ok((await addresses({})).has('operator 127.0.0.1'))
  }
})
