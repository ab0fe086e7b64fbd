import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { lookup } from 'node:dns'
import { type TestContext, test } from 'node:test'
import { verifyWebhook } from '../../src/client/index.ts'
import { createPublish, type NewEvent } from '../../src/events/index.ts'
import { createIdSource, type Log, silentLog, systemClock } from '../../src/kernel/index.ts'
import { createMailer } from '../../src/mail/index.ts'
import { createKeyring } from '../../src/secrets/index.ts'
import {
  createDeliverer,
  createDeliveryLog,
  createEndpointBook,
  createQueue,
  createQueueing,
  createSecretBook,
  createSender,
  type Sender,
} from '../../src/webhooks/index.ts'
import { testDatabase } from '../database.ts'
import { type Answer, receiver, turnedClock, until } from './stand.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** The parts of deliveries over a real database; turns are taken by hand, and the wall clock is turned. */
async function startStand(t: TestContext, log: Log = silentLog) {
  const { app, database: owner } = await testDatabase(t)
  const clock = turnedClock()
  const ids = createIdSource(systemClock.nowMs, randomBytes)
  const keyring = createKeyring('the master key of the stand', randomBytes)
  const publish = createPublish([createQueueing(clock.nowMs)])
  const secrets = createSecretBook({ database: app, keyring, ids, randomBytes })
  const endpoints = createEndpointBook({ database: app, secrets, publish, ids, clock })
  const queue = createQueue(app)
  const mailer = createMailer({ smtpUrl: null, from: 'forge@stand.test', log })
  const sender = createSender({
    rules: { privateTargets: true },
    clock,
    version: 't',
    timeoutMs: 800,
    lookup,
  })
  t.after(() => sender.close())
  const deliverer = (over: { sender?: Pick<Sender, 'send'>; onRoom?: () => void } = {}) =>
    createDeliverer({
      database: app,
      queue,
      secrets,
      sender,
      mailer,
      publish,
      clock,
      random: () => 0,
      log,
      onRoom: () => {},
      ...over,
    })
  const { id: orgId } = await owner.one<{ id: string }>(
    `insert into tenancy.organization (id, name) values (gen_random_uuid(), 'o') returning id`,
  )
  let n = 0
  const event = (): NewEvent => ({
    type: 'grant.added',
    orgId,
    projectId: null,
    cause: `${++n}`,
    atMs: clock.nowMs(),
    data: { transfer: `${n}`, bucket: 'credit', currency: 'USD', amount: `${n}`, reason: '密 🦊' },
  })
  const one = deliverer()
  return {
    app,
    owner,
    clock,
    publish,
    endpoints,
    secrets,
    deliverer,
    event,
    orgId,
    log: createDeliveryLog(app),
    tell: (count = 1) => app.tx((tx) => publish(tx, Array.from({ length: count }, event))),
    /** One turn, and the attempts it began. */
    async turn(): Promise<void> {
      await one.turn()
      await one.close()
    },
    async endpoint(url: string, more: object = {}) {
      const terms = {
        url,
        types: ['grant.added'] as const,
        projectId: null,
        description: '',
        emails: [],
        language: 'en' as const,
      }
      const made = await endpoints.make({ ...terms, ...more, orgId, id: ids.uuid() }, async () => {})
      assert.ok(made)
      return { ...made.endpoint, secret: made.secret }
    },
  }
}

type Stand = Awaited<ReturnType<typeof startStand>>

async function deliveries(stand: Stand, endpointId: string) {
  const filter = { state: null, type: null, sinceMs: null, untilMs: null, before: null, limit: 100 }
  return await stand.log.list({ ...filter, endpointId })
}

test('a delivery that fails is tried again after each wait of the schedule, and then given up', async (t) => {
  const stand = await startStand(t)
  const target = await receiver(t, (_req, res) => void res.writeHead(500).end('no'))
  const { id } = await stand.endpoint(target.url)
  await stand.tell()
  const waits = [
    5_000,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
  ]
  await stand.turn()
  for (const [i, wait] of waits.entries()) {
    assert.equal(target.received.length, i + 1)
    stand.clock.nowMsIs += wait - 1
    await stand.turn()
    assert.equal(target.received.length, i + 1, `not before ${wait} ms`)
    stand.clock.nowMsIs += 1
    await stand.turn()
  }
  assert.equal(target.received.length, 10)
  const [given] = await deliveries(stand, id)
  assert.equal(given?.state, 'failed')
  assert.equal(given?.error, 'status_500')
  stand.clock.nowMsIs += 48 * HOUR
  await stand.turn()
  assert.equal(target.received.length, 10)
  assert.equal(new Set(target.received.map(({ headers }) => headers['webhook-id'])).size, 1)
  const found = await stand.log.get(id, given?.id ?? '')
  assert.deepEqual(
    found?.attempts.map(({ nextAt, at }) => (nextAt === null ? null : nextAt.getTime() - at.getTime())),
    [...waits, null],
  )
  assert.equal((await stand.endpoints.get(id))?.state, 'active', 'four days are not five')
})

test('an endpoint that has only failed for five days is disabled, told of once, and comes back with what failed', async (t) => {
  const stand = await startStand(t)
  let well = false
  const target = await receiver(t, (_req, res) => void res.writeHead(well ? 204 : 503).end())
  const witness = await receiver(t)
  const broken = await stand.endpoint(target.url, { emails: ['ops@stand.test'] })
  await stand.endpoint(witness.url, { types: ['webhook.disabled'] })
  for (let day = 0; day <= 5; day++) {
    await stand.tell(2)
    await stand.turn()
    stand.clock.nowMsIs += 24 * HOUR
  }
  await stand.turn()
  await stand.turn()
  assert.equal((await stand.endpoints.get(broken.id))?.state, 'disabled')
  assert.equal(witness.received.length, 1)
  assert.equal(witness.received[0]?.event.type, 'webhook.disabled')
  const mails = await stand.owner.query(
    `select last_error from webhooks.delivery where email = 'ops@stand.test'`,
  )
  assert.deepEqual(mails, [{ last_error: 'no_mail_server' }])
  assert.ok((await deliveries(stand, broken.id)).every(({ state }) => state === 'failed'))
  const before = target.received.length
  await stand.tell()
  await stand.turn()
  assert.equal(target.received.length, before, 'nothing is sent to one that is disabled')
  well = true
  await stand.endpoints.change(broken.id, { state: 'active' }, async () => {})
  assert.equal(await stand.log.replayFailed(broken.id, 0, stand.clock.nowMs()), 12)
  for (let i = 0; i < 4; i++) await stand.turn()
  const all = await deliveries(stand, broken.id)
  assert.ok(all.every(({ state }) => state === 'delivered'))
  assert.equal((await stand.endpoints.get(broken.id))?.failingSinceMs, null)
})

test('a receiver that says it is gone is disabled at once; one that asks for patience gets it', async (t) => {
  const stand = await startStand(t)
  const gone = await receiver(t, (_req, res) => void res.writeHead(410).end())
  const busy = await receiver(t, (_req, res) => void res.writeHead(429, { 'retry-after': '3600' }).end())
  const [a, b] = [await stand.endpoint(gone.url), await stand.endpoint(busy.url)]
  await stand.tell()
  await stand.turn()
  assert.equal((await stand.endpoints.get(a.id))?.state, 'disabled')
  const [waiting] = await deliveries(stand, b.id)
  assert.equal(waiting?.nextAtMs, stand.clock.nowMs() + HOUR)
})

test('a process that dies between handing over and noting it hands over again, under the same id', async (t) => {
  const stand = await startStand(t)
  const target = await receiver(t)
  const { id, secret } = await stand.endpoint(target.url)
  await stand.tell()
  // Its database is gone when the answer comes, as with kill -9.
  const dying = createDelivererThatNeverNotes(stand)
  await dying.turn()
  await dying.close()
  assert.equal(target.received.length, 1)
  await stand.turn()
  assert.equal(target.received.length, 1, "it is somebody's for as long as its lease")
  stand.clock.nowMsIs += MINUTE
  await stand.turn()
  assert.equal(target.received.length, 2)
  const [first, second] = target.received
  assert.equal(first?.headers['webhook-id'], second?.headers['webhook-id'])
  assert.equal(first?.body, second?.body)
  assert.ok(verifyWebhook(secret, second?.headers ?? {}, second?.body ?? '', stand.clock.nowMs()).ok)
  const [done] = await deliveries(stand, id)
  assert.equal(done?.state, 'delivered')
})

function createDelivererThatNeverNotes(stand: Stand) {
  return createDeliverer({
    database: { ...stand.app, tx: () => Promise.reject(new Error('the process is dead')) },
    queue: createQueue(stand.app),
    secrets: stand.secrets,
    sender: createSender({ rules: { privateTargets: true }, clock: stand.clock, version: 't', lookup }),
    mailer: { send: async () => ({ ok: false, reason: 'unconfigured' }) },
    publish: stand.publish,
    clock: stand.clock,
    random: () => 0,
    log: silentLog,
    onRoom: () => {},
  })
}

test('two processes share what is due: each delivery is handed over once', async (t) => {
  const stand = await startStand(t)
  const target = await receiver(t, (_req, res) => void setTimeout(() => res.end(), 5))
  const hooks = await Promise.all(Array.from({ length: 6 }, () => stand.endpoint(target.url)))
  await stand.tell(20)
  const both = [stand.deliverer(), stand.deliverer()]
  await until('all deliveries', async () => {
    await Promise.all(both.map((each) => each.turn()))
    await Promise.all(both.map((each) => each.close()))
    const row = await stand.owner.one<{ n: number }>(
      `select count(*)::int as n from webhooks.delivery where state = 'pending'`,
    )
    return row.n === 0
  })
  assert.equal(target.received.length, 20 * hooks.length)
  const rows = await stand.owner.one<{ n: number }>('select count(*)::int as n from webhooks.attempt')
  assert.equal(rows.n, 20 * hooks.length)
})

test('a replay sends the same event again; of a rotation both secrets sign until the overlap ends', async (t) => {
  const stand = await startStand(t)
  const target = await receiver(t)
  const { id, secret } = await stand.endpoint(target.url)
  await stand.tell()
  await stand.turn()
  const rotated = await stand.endpoints.rotate(
    id,
    '00000000-0000-7000-8000-000000000001',
    3600,
    async () => {},
  )
  assert.ok(rotated !== null && rotated !== 'made')
  const [delivery] = await deliveries(stand, id)
  assert.ok(await stand.log.replay(id, delivery?.id ?? '', stand.clock.nowMs()))
  await stand.turn()
  const [first, again] = target.received
  assert.equal(first?.headers['webhook-id'], again?.headers['webhook-id'])
  const now = stand.clock.nowMs()
  const check = (one: typeof again, known: string) =>
    verifyWebhook(known, one?.headers ?? {}, one?.body ?? '', now).ok
  assert.ok(check(again, secret) && check(again, rotated.secret))
  assert.ok(check(first, secret) && !check(first, rotated.secret))
  await stand.owner.query(`update webhooks.secret set ends_at = clock_timestamp() where ends_at is not null`)
  assert.ok(await stand.log.replay(id, delivery?.id ?? '', stand.clock.nowMs()))
  await stand.turn()
  assert.ok(!check(target.received[2], secret) && check(target.received[2], rotated.secret))
  assert.equal((await deliveries(stand, id))[0]?.attempts, 3)
})

const HOSTILE: Readonly<Record<string, { readonly answer: Answer; readonly error: string | null }>> = {
  'hangs before its head': { answer: () => {}, error: 'timeout' },
  'hangs in the body of a success': {
    answer: (_req, res) => void res.writeHead(200).write('x'),
    error: null,
  },
  'never stops talking': {
    answer: (_req, res) => {
      res.writeHead(200)
      const pour = (): void => {
        while (res.write('x'.repeat(65_536)));
      }
      res.on('drain', pour)
      pour()
    },
    error: null,
  },
  'speaks no HTTP': { answer: (req) => void req.socket.end('garbage\r\n\r\n'), error: 'not_http' },
  'has a head without end': {
    answer: (req) => void req.socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`),
    error: 'not_http',
  },
  'hangs up': { answer: (req) => void req.socket.destroy(), error: 'und_err_socket' },
  'sends on to another place': {
    answer: (_req, res) => void res.writeHead(302, { location: 'http://169.254.169.254/' }).end(),
    error: 'redirect_not_followed',
  },
}

for (const [what, { answer, error }] of Object.entries(HOSTILE))
  test(`a receiver that ${what} costs one attempt`, async (t) => {
    const stand = await startStand(t)
    const target = await receiver(t, answer)
    const { id } = await stand.endpoint(target.url)
    await stand.tell()
    const begun = performance.now()
    await stand.turn()
    assert.ok(performance.now() - begun < 5_000)
    const [delivery] = await deliveries(stand, id)
    assert.equal(delivery?.error, error)
    assert.equal(delivery?.state, error === null ? 'delivered' : 'pending')
    const stored = await stand.owner.query(
      'select d.*, a.* from webhooks.delivery d join webhooks.attempt a on a.delivery_id = d.id',
    )
    assert.ok(JSON.stringify(stored, (_, v) => (typeof v === 'bigint' ? String(v) : v)).length < 2_000)
  })

test('a receiver that hangs leaves room for the others', async (t) => {
  const stand = await startStand(t)
  const hanging = await receiver(t, () => {})
  const well = await receiver(t)
  await stand.endpoint(hanging.url)
  await stand.tell(50)
  await stand.endpoint(well.url)
  await stand.tell(3)
  const deliverer = stand.deliverer()
  await deliverer.turn()
  await until('the other receiver', () => well.received.length === 3, 700)
  await deliverer.close()
  assert.equal(hanging.received.length, 4)
})

test('many receivers that hang, each with a backlog, do not keep one that answers waiting', async (t) => {
  const stand = await startStand(t)
  const hanging = await receiver(t, () => {})
  const well = await receiver(t)
  for (let i = 0; i < 20; i++) await stand.endpoint(hanging.url)
  await stand.tell(10)
  await stand.turn()
  await stand.endpoint(well.url)
  await stand.tell(3)
  let turns = 0
  for (; well.received.length < 3 && turns < 10; turns++) await stand.turn()
  assert.equal(well.received.length, 3)
  // Of twenty, four are found out in a turn; then the one that does well is first.
  assert.ok(turns <= 6, `${turns} turns`)
})

test('what cannot be signed is not sent, and waits for the master key it was sealed with', async (t) => {
  const stand = await startStand(t)
  const target = await receiver(t)
  const { id } = await stand.endpoint(target.url)
  const { sealed } = await stand.owner.one<{ sealed: Buffer }>('select sealed from webhooks.secret')
  await stand.owner.query(`update webhooks.secret set sealed = 'sealed elsewhere'`)
  await stand.tell()
  await stand.turn()
  assert.equal(target.received.length, 0)
  assert.equal((await deliveries(stand, id))[0]?.error, 'secret_unreadable')
  await stand.owner.query('update webhooks.secret set sealed = $1', [sealed])
  stand.clock.nowMsIs += 5_000
  await stand.turn()
  assert.equal(target.received.length, 1)
})

test('no secret is in a log or readable in a table', async (t) => {
  const lines: string[] = []
  const note = (fields: object, message: string): void => void lines.push(JSON.stringify(fields) + message)
  const stand = await startStand(t, { debug: note, info: note, warn: note, error: note })
  const target = await receiver(t, (_req, res) => void res.writeHead(410).end())
  const { secret } = await stand.endpoint(`${target.url}?token=url-canary`)
  await stand.tell()
  await stand.turn()
  assert.ok(lines.length > 0, 'the disabling is logged')
  const raw = Buffer.from(secret.slice('whsec_'.length), 'base64')
  const tables = await stand.owner.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('events', 'webhooks', 'alerts', 'tenancy')`,
  )
  let text = lines.join('\n')
  assert.ok(!text.includes('canary'))
  for (const { name } of tables) {
    const rows = await stand.owner.query<{ row: string }>(`select x::text as row from ${name} x`)
    text += rows.map(({ row }) => row).join('\n')
  }
  assert.ok(text.includes('url-canary'), 'the tables were read')
  for (const form of [secret, secret.slice('whsec_'.length), raw.toString('hex')])
    assert.ok(!text.includes(form))
})
