import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPublish } from '../../src/events/index.ts'
import { parseId } from '../../src/kernel/index.ts'
import { queueMails } from '../../src/webhooks/index.ts'
import { startApi } from '../api-stand.ts'

/** What one organization can make the others pay for: endpoints, rules and mails have an end. */

const CASES = [
  {
    path: '/api/v1/webhooks',
    most: 50,
    body: (n: number) => ({ url: `https://127.0.0.1:9/${n}`, types: ['budget.reached'] }),
  },
  {
    path: '/api/v1/alert-rules',
    most: 200,
    body: () => ({ kind: 'balance', parameters: { bucket: 'credit', below: '1' } }),
  },
] as const

for (const { path, most, body } of CASES)
  test(`${path}: an organization has ${most} of them; one that ends makes room, another organization has its own`, async (t) => {
    const stand = await startApi(t)
    const [a, b] = [await stand.customer('Alpha'), await stand.customer('Beta')]
    const make = (organization: string, n: number) =>
      stand.call('POST', path, { body: { organization, ...body(n) } })
    const made: string[] = []
    for (let n = 0; n < most; n += 10)
      for (const { status, text, json } of await Promise.all(
        Array.from({ length: 10 }, (_, i) => make(a.org, n + i)),
      )) {
        assert.equal(status, 201, text)
        made.push(json.id)
      }
    const refused = await make(a.org, most)
    assert.deepEqual([refused.status, refused.json.code], [409, 'conflict'])
    assert.equal((await make(b.org, 0)).status, 201)
    assert.equal((await stand.call('DELETE', `${path}/${made[0]}`)).status, 200)
    assert.equal((await make(a.org, most)).status, 201)
  })

test('an organization has a thousand mails sent in 24 hours, to whomever; what is beyond is not queued', async (t) => {
  const stand = await startApi(t)
  const [a, b] = [await stand.customer('Alpha'), await stand.customer('Beta')]
  const publish = createPublish([])
  const emails = Array.from({ length: 20 }, (_, n) => `somebody-${n}@stand.test`)
  const tell = (org: string, cause: string) =>
    stand.app.tx(async (tx) => {
      const orgId = parseId('org', org) ?? ''
      const data = { webhook: 'whk_x', text: 'x' }
      const nowMs = Date.now()
      const [event] = await publish(tx, [
        { type: 'webhook.test', orgId, projectId: null, cause, atMs: nowMs, data },
      ])
      await queueMails(tx, { orgId, eventId: event?.id ?? '', emails, language: 'en' }, nowMs)
    })
  for (let n = 0; n < 55; n++) await tell(a.org, String(n))
  await tell(b.org, '0')
  const queued = async (org: string) =>
    (
      await stand.owner.one<{ n: number }>(
        'select count(*)::int as n from webhooks.delivery where org_id = $1 and email is not null',
        [parseId('org', org)],
      )
    ).n
  assert.equal(await queued(a.org), 1_000)
  assert.equal(await queued(b.org), 20)
  await stand.owner.query(`update webhooks.delivery set created_at = created_at - interval '1 day'`)
  await tell(a.org, 'the next day')
  assert.equal(await queued(a.org), 1_020)
})
