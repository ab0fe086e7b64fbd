import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { createUsageFollower } from '../../src/alerts/index.ts'
import type { Database, Queryable } from '../../src/db/index.ts'
import { createFeed, createPublish, type Follower } from '../../src/events/index.ts'
import { createIdSource, silentLog, systemClock, type Uuid } from '../../src/kernel/index.ts'
import { createAccountBook, createLedgerWriter } from '../../src/ledger/index.ts'
import { recordEvent, SYSTEM } from '../../src/tenancy/index.ts'
import { createQueueing, webhookFollower } from '../../src/webhooks/index.ts'
import { testDatabase } from '../database.ts'

async function startStand(t: TestContext) {
  const { app, database: owner } = await testDatabase(t)
  const ids = createIdSource(systemClock.nowMs, randomBytes)
  const feed = (database: Database = app, followers: readonly Follower[] = [webhookFollower]) =>
    createFeed({ database, publish: createPublish([createQueueing(systemClock.nowMs)]), followers })
  const org = async (
    types: readonly string[] = ['receipt.settled', 'key.exposed', 'grant.added'],
  ): Promise<Uuid> => {
    const { id } = await owner.one<{ id: Uuid }>(
      `insert into tenancy.organization (id, name) values (gen_random_uuid(), 'o') returning id`,
    )
    if (types.length > 0)
      await owner.query(
        `insert into webhooks.endpoint (org_id, id, url, description, types) values ($1, gen_random_uuid(), 'https://x.test/', '', $2)`,
        [id, types],
      )
    return id
  }
  const one = feed()
  return {
    app,
    owner,
    ids,
    feed,
    org,
    one,
    async events(orgId: Uuid) {
      return await owner.query<{ id: Uuid; type: string; payload: string }>(
        'select id, type, payload from events.event where org_id = $1 order by seq',
        [orgId],
      )
    },
    exposed: (tx: Queryable, orgId: Uuid) =>
      recordEvent(tx, SYSTEM, { orgId, action: 'key.exposed', objectKind: 'key', objectId: randomUUID() }),
  }
}

async function writeReceipts(
  stand: Awaited<ReturnType<typeof startStand>>,
  orgId: Uuid,
  count: number,
  more: { status?: string; model?: string; at?: number; latency?: number; channels?: readonly string[] } = {},
): Promise<void> {
  const { status = 'failed', model = 'm', at = Date.now(), latency = 100, channels = [] } = more
  const document = JSON.stringify({
    v: 1,
    ended: at,
    latency,
    attempts: channels.map((channel) => ({ channel })),
  })
  const writer = createLedgerWriter({ database: stand.app, processId: stand.ids.uuid(), log: silentLog })
  const [projectId, apiKeyId] = [stand.ids.uuid(), stand.ids.uuid()]
  await Promise.all(
    Array.from({ length: count }, () => {
      const id = stand.ids.uuid()
      const receipt = {
        id,
        projectId,
        apiKeyId,
        runId: null,
        status,
        bucket: null,
        route: 'r',
        model,
        chargeNano: 0n,
      }
      return writer.submit({ kind: 'record', orgId, id, receipt: { ...receipt, createdAtMs: at, document } })
    }),
  )
  await writer.drain()
}

test('what commits after a later one was read is read when it commits', async (t) => {
  const stand = await startStand(t)
  const orgId = await stand.org()
  const slow = await stand.app.connect()
  await slow.query('begin')
  await stand.exposed(slow, orgId)
  await stand.app.tx((tx) => stand.exposed(tx, orgId))
  await stand.one.turn()
  const early = (await stand.events(orgId)).length
  await slow.query('commit')
  await slow.close()
  await stand.one.turn()
  assert.equal(early, 0, 'nothing is read past a transaction that runs')
  assert.equal((await stand.events(orgId)).length, 2)
})

test('two processes that read at once, and again after a crash, tell each cause once', async (t) => {
  const stand = await startStand(t)
  const orgId = await stand.org()
  // Dies in the commit, as far as it knows.
  const dying: Database = {
    ...stand.app,
    tx: (fn) =>
      stand.app.tx(async (tx) => {
        await fn(tx)
        throw new Error('the process is dead')
      }),
  }
  let written = 0
  const writing = (async () => {
    for (let i = 0; i < 10; i++) {
      await writeReceipts(stand, orgId, 30)
      written += 30
    }
  })()
  const readers = [stand.feed(), stand.feed(), stand.feed()]
  const dead = stand.feed(dying)
  let over = false
  const reading = readers.map(async (reader) => {
    while (!over) await reader.turn()
  })
  const crashing = (async () => {
    while (!over) await dead.turn().catch((thrown) => assert.match(String(thrown), /dead/))
  })()
  await writing
  for (const end = Date.now() + 10_000; Date.now() < end && (await stand.events(orgId)).length < written; );
  over = true
  await Promise.all([...reading, crashing])
  const events = await stand.events(orgId)
  assert.equal(events.length, written)
  assert.equal(new Set(events.map(({ id }) => id)).size, written)
  const { n } = await stand.owner.one<{ n: number }>('select count(*)::int as n from webhooks.delivery')
  assert.equal(n, written, 'each is queued with it')
})

test('the same causes read again, from the beginning, are the same events', async (t) => {
  const stand = await startStand(t)
  const orgId = await stand.org()
  await writeReceipts(stand, orgId, 5)
  await stand.app.tx((tx) => stand.exposed(tx, orgId))
  const { position } = await stand.owner.one<{ position: string }>(
    `select position::text from events.progress where worker = 'feed'`,
  )
  await stand.one.turn()
  const before = await stand.events(orgId)
  await stand.owner.query(`update events.progress set position = $1::xid8 where worker = 'feed'`, [position])
  await stand.one.turn()
  assert.equal(before.length, 6)
  assert.deepEqual(await stand.events(orgId), before)
})

test('a backlog is read in turns of bounded size, and no transaction is parted', async (t) => {
  const stand = await startStand(t)
  const orgId = await stand.org()
  await stand.owner.query(
    `insert into ledger.receipt (org_id, id, project_id, api_key_id, status, created_at, document)
     select $1, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'failed', clock_timestamp(), '{}' from generate_series(1, 1500)`,
    [orgId],
  )
  await writeReceipts(stand, orgId, 3)
  const seen = new Set<number>()
  let turns = 1
  for (; await stand.one.turn(); turns++) seen.add((await stand.events(orgId)).length)
  assert.equal((await stand.events(orgId)).length, 1_503)
  assert.ok(turns <= 4, `${turns} turns`)
  assert.deepEqual(
    [...seen].filter((count) => count > 0 && count < 1_500),
    [],
    'the 1,500 came at once',
  )
})

test('a database that was restored into a younger server goes on from there, and tells nothing old again', async (t) => {
  const stand = await startStand(t)
  const orgId = await stand.org()
  await writeReceipts(stand, orgId, 2)
  // As the rows of an old server with many more transactions would be.
  await stand.owner.query(`update events.progress set position = '99999999999' where worker = 'feed'`)
  await stand.one.turn()
  await writeReceipts(stand, orgId, 1, { at: Date.now() + 1_000 })
  await stand.one.turn()
  assert.equal((await stand.events(orgId)).length, 1)
})

test('sums of rules are exact whatever crashes, and only of organizations with rules', async (t) => {
  const stand = await startStand(t)
  const [withRule, without] = [await stand.org([]), await stand.org()]
  await stand.owner.query(
    `insert into alerts.rule (org_id, id, kind, parameters, description, cooldown_minutes)
     values ($1, gen_random_uuid(), 'balance', '{"bucket": "credit", "below": "1"}', '', 0)`,
    [withRule],
  )
  const usage = createUsageFollower(systemClock.nowMs)
  const crashing: Follower = {
    ...usage,
    async onReceipts(tx, receipts) {
      await usage.onReceipts?.(tx, receipts)
      throw new Error('dead')
    },
  }
  await writeReceipts(stand, withRule, 40, { status: 'completed', channels: ['a', 'b'] })
  await writeReceipts(stand, withRule, 10, { status: 'failed', channels: ['a'] })
  await writeReceipts(stand, withRule, 7, { status: 'refused' })
  await writeReceipts(stand, without, 9)
  await assert.rejects(stand.feed(stand.app, [crashing, webhookFollower]).turn(), /dead/)
  await stand.feed(stand.app, [usage, webhookFollower]).turn()
  const sums = await stand.owner.query(
    `select org_id, step, sum(requests)::int as requests, sum(failed)::int as failed, sum(fallbacks)::int as fallbacks
     from alerts.usage group by 1, 2 order by 2`,
  )
  const expected = { org_id: withRule, requests: 50, failed: 10, fallbacks: 40 }
  assert.deepEqual(sums, [
    { ...expected, step: 'hour' },
    { ...expected, step: 'minute' },
  ])
})

test('top-ups and grants are told with what they added', async (t) => {
  const stand = await startStand(t)
  const orgId = await stand.org(['grant.added', 'topup.completed'])
  const accountId = await createAccountBook(stand.app).open(orgId, 'credit', 'USD')
  const writer = createLedgerWriter({ database: stand.app, processId: stand.ids.uuid(), log: silentLog })
  for (const kind of ['grant', 'topup'] as const)
    await writer.submit({
      kind,
      orgId,
      id: stand.ids.uuid(),
      accountId,
      amountNano: 1_500_000_000n,
      reason: 'r',
    })
  await writer.drain()
  await stand.one.turn()
  const events = await stand.events(orgId)
  assert.deepEqual(
    events.map(({ type, payload }) => [type, JSON.parse(payload).data.amount]),
    [
      ['grant.added', '1.5'],
      ['topup.completed', '1.5'],
    ],
  )
})
