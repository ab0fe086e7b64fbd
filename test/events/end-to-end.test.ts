import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { Webhook } from 'standardwebhooks'
import { EVENT_DATA, EVENT_TYPES, eventSchema } from '../../src/contract/index.ts'
import { formatId, parseNano } from '../../src/kernel/index.ts'
import { recordEvent, SYSTEM } from '../../src/tenancy/index.ts'
import { type Forge, OPERATOR_TOKEN, startForge, testConfig } from '../forge.ts'
import { receiver, until } from './stand.ts'

const SUBSCRIBABLE = EVENT_TYPES.filter((type) => type !== 'webhook.test')

async function call(forge: Forge, method: string, path: string, body?: unknown) {
  const response = await fetch(`${forge.url}/api/v1/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${OPERATOR_TOKEN}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers whose shape they assert
  const json = (await response.json()) as any
  assert.ok(response.ok, JSON.stringify(json))
  return json
}

test('every type of event that has a cause today reaches its subscriber, signed, once, as its schema says', async (t) => {
  const forge = await startForge(t, { config: testConfig({ m: { ordinary: [''] } }) })
  const a = await forge.account({ grants: {} })
  const organization = formatId('org', a.orgId)
  const target = await receiver(t)
  const hook = await call(forge, 'POST', 'webhooks', { organization, url: target.url, types: SUBSCRIBABLE })
  await call(forge, 'POST', 'alert-rules', {
    organization,
    kind: 'balance',
    parameters: { bucket: 'rmb', below: '1000' },
  })
  await call(forge, 'POST', 'grants', { organization, bucket: 'rmb', amount: '10', reason: 'welcome' })
  // The rule was made after this minute's look.
  await forge.owner.query(`update events.progress set at = '-infinity' where worker = 'alerts'`)
  const accountId = await forge.app.accounts.open(a.orgId, 'credit', 'USD')
  await forge.app.writer.submit({
    kind: 'topup',
    orgId: a.orgId,
    id: randomUUID(),
    accountId,
    amountNano: parseNano('25') ?? 0n,
    reason: 'order 1',
  })
  await call(forge, 'POST', 'budgets', {
    scope: 'key',
    scope_id: formatId('key', a.keyId),
    bucket: 'rmb',
    amount: '0.0001',
    hard: false,
  })
  const answer = await forge.chat(a.key, { model: 'm' })
  const receiptId = answer.headers.get('x-request-id')
  const receipt = await forge.receipt(receiptId)
  await forge.owner.query(
    `insert into catalog.price_version (id, model, route, bucket, currency, effective_from, content, content_sha256)
     select gen_random_uuid(), model, route, bucket, currency, clock_timestamp(), content, content_sha256
     from catalog.price_version where model = 'm' limit 1`,
  )
  await forge.app.database.tx((tx) =>
    recordEvent(tx, SYSTEM, {
      orgId: a.orgId,
      action: 'key.exposed',
      objectKind: 'key',
      objectId: a.keyId,
      after: { where: 'a public repository' },
    }),
  )
  await call(forge, 'POST', `keys/${formatId('key', a.keyId)}/revoke`)
  const test_ = await call(forge, 'POST', `webhooks/${hook.id}/test`)
  const expected = [
    'alert.raised',
    'balance.low',
    'budget.reached',
    'budget.threshold',
    'grant.added',
    'key.exposed',
    'key.revoked',
    'price.changed',
    'receipt.settled',
    'topup.completed',
    'webhook.test',
  ]
  await until(
    'all events',
    () => new Set(target.received.map(({ event }) => event.type)).size >= expected.length,
    30_000,
  )
  assert.deepEqual([...new Set(target.received.map(({ event }) => event.type))].sort(), expected)
  const ids = target.received.map(({ event }) => event.id)
  assert.equal(new Set(ids).size, ids.length, 'nothing is told twice')
  for (const { headers, body, event } of target.received) {
    assert.deepEqual(eventSchema.safeParse(event).error, undefined)
    assert.deepEqual(EVENT_DATA[event.type].safeParse(event.data).error, undefined, event.type)
    assert.equal(headers['webhook-id'], event.id)
    assert.equal(event.organization, organization)
    assert.deepEqual(new Webhook(hook.secret).verify(body, headers as Record<string, string>), event)
  }
  const dataOf = (type: string) =>
    target.received
      .filter(({ event }) => event.type === type)
      .map(({ event }) => event.data as Record<string, unknown>)
  const [settled] = dataOf('receipt.settled')
  assert.equal(settled?.['receipt'], receiptId)
  assert.equal(settled?.['charge'], receipt.charge?.total)
  assert.equal(settled?.['latency_ms'], receipt.latency_ms)
  assert.deepEqual(new Set(dataOf('budget.threshold').map(({ threshold }) => threshold)), new Set([50, 80]))
  assert.equal(dataOf('topup.completed')[0]?.['amount'], '25')
  assert.deepEqual(dataOf('key.exposed')[0]?.['details'], { where: 'a public repository' })
  assert.equal(test_.type, 'webhook.test')

  const { data: feed } = await call(forge, 'GET', `events?organization=${organization}&limit=200`)
  assert.deepEqual(new Set(feed.map(({ id }: { id: string }) => id)), new Set(ids))
  const own = await fetch(`${forge.url}/api/v1/events`, { headers: { authorization: `Bearer ${a.key}` } })
  assert.equal(own.status, 401, 'the key was revoked')
  const { data: alerts } = await call(forge, 'GET', `alerts?organization=${organization}&open=true`)
  assert.match(alerts[0].text.zh, /可用金额/)
  const seen = await call(forge, 'POST', `alerts/${alerts[0].id}/acknowledge`)
  assert.equal(seen.acknowledged_by, 'operator')
  const { data: log } = await call(forge, 'GET', `webhooks/${hook.id}/deliveries?limit=200`)
  assert.equal(log.length, ids.length)
  assert.ok(
    log.every((one: { state: string; attempts: number }) => one.state === 'delivered' && one.attempts === 1),
  )
  await forge.audit()
})

test("organizations without a subscriber or a rule leave no event, and another one's are not told", async (t) => {
  const forge = await startForge(t, { config: testConfig({ m: { ordinary: [''] } }) })
  const [a, b] = [await forge.account(), await forge.account()]
  const target = await receiver(t)
  const types = ['receipt.settled', 'grant.added']
  await call(forge, 'POST', 'webhooks', { organization: formatId('org', a.orgId), url: target.url, types })
  for (const each of [b, a, b]) assert.equal((await forge.chat(each.key, { model: 'm' })).status, 200)
  await until('the event', () => target.received.length > 0)
  await forge.settled()
  const rows = await forge.owner.query<{ org_id: string; type: string }>(
    `select org_id, type from events.event where type = 'receipt.settled'`,
  )
  assert.deepEqual(rows, [{ org_id: a.orgId, type: 'receipt.settled' }])
  assert.deepEqual(
    target.received.map(({ event }) => event.organization),
    target.received.map(() => formatId('org', a.orgId)),
  )
})
