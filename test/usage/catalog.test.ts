import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startApi } from '../api-stand.ts'

/** Channels, routes and prices: what is served, to whom by which names, and never a credential or an address. */

test('operators see channels and what uses them; nobody sees a credential, and customers no private name', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  const channels = await stand.call('GET', '/api/v1/channels')
  const [direct] = channels.json.data
  assert.deepEqual([direct.name, direct.public_name, direct.host], ['direct', 'Direct', '127.0.0.1:9'])
  assert.deepEqual(direct.used_by, [
    { model: 'm-one', route: 'official', role: 'primary', upstream_model: 'm-direct', weight: 1 },
  ])
  assert.deepEqual((await stand.call('GET', '/api/v1/channels/direct')).json, direct)
  assert.equal((await stand.call('GET', '/api/v1/channels/nowhere')).status, 404)
  const first = (await stand.call('GET', '/api/v1/channels?limit=1')).json
  const second = (await stand.call('GET', `/api/v1/channels?limit=1&cursor=${first.next_cursor}`)).json
  assert.deepEqual([first.data[0].name, second.data[0].name, second.next_cursor], ['direct', 'relay', null])
  assert.equal((await stand.call('GET', '/api/v1/channels?cursor=!')).status, 400)

  const person = stand.person()
  for (const as of [{ token: a.key }, { cookie: person.cookie }])
    for (const path of ['/api/v1/channels', '/api/v1/channels/direct', '/api/v1/channels/nowhere'])
      assert.equal((await stand.call('GET', path, as)).status, 403, path)

  const mine = await stand.call('GET', '/api/v1/routes', { token: a.key })
  assert.deepEqual(
    mine.json.data.map((route: { route: string; channels: unknown }) => [route.route, route.channels]),
    [
      ['official', [{ channel: 'Direct', role: 'primary' }]],
      ['ordinary', [{ channel: 'Relay', role: 'primary' }]],
    ],
  )
  const theirs = (await stand.call('GET', '/api/v1/routes?type=ordinary')).json.data
  assert.deepEqual(theirs[0].channels, [{ channel: 'relay', role: 'primary', upstream_model: 'm-relay' }])
  assert.equal(theirs.length, 1)
  for (const { text } of [channels, mine]) assert.ok(!/SECRET|\/v1"/.test(text), text)
})

test('the history of a price is told whole, and which one is in force', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  await stand.owner.query(
    `insert into catalog.price_version (id, model, route, bucket, currency, effective_from, content, content_sha256)
     select gen_random_uuid(), model, route, bucket, currency, '2025-01-01T00:00:00Z',
       replace(content, '0.90', '0.80'), sha256(convert_to(replace(content, '0.90', '0.80'), 'UTF8'))
     from catalog.price_version where route = 'ordinary'`,
  )
  const told = (await stand.call('GET', '/api/v1/prices?model=m-one&route=ordinary', { token: a.key })).json
    .data
  assert.deepEqual(
    told.map((one: { state: string; effective_from: string; price: { rates: { input: string } } }) => [
      one.state,
      one.effective_from,
      one.price.rates.input,
    ]),
    [
      ['current', null, '0.90'],
      ['past', '2025-01-01T00:00:00.000Z', '0.80'],
    ],
  )
  const [route] = (await stand.call('GET', '/api/v1/routes?model=m-one&bucket=rmb', { token: a.key })).json
    .data
  assert.equal(route.price_version, told[0].id)
  const ids = async (query: string) =>
    (await stand.call('GET', `/api/v1/prices?${query}`)).json.data.map((one: { id: string }) => one.id)
  assert.deepEqual(await ids('state=past'), [told[1].id])
  assert.equal((await ids('state=current')).length, 2)
  assert.deepEqual(await ids('state=scheduled'), [])
  const first = (await stand.call('GET', '/api/v1/prices?limit=2')).json
  const rest = (await stand.call('GET', `/api/v1/prices?limit=2&cursor=${first.next_cursor}`)).json
  assert.deepEqual(
    [...first.data, ...rest.data].map(({ id }: { id: string }) => id),
    await ids(''),
  )
  assert.equal(rest.next_cursor, null)
})
