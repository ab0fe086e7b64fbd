import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import {
  createAlertBook,
  createEvaluator,
  createRuleBook,
  createUsageFollower,
  type RuleTerms,
} from '../../src/alerts/index.ts'
import { type ReceiptStatus, RULE_PARAMETERS, type RuleKind } from '../../src/contract/index.ts'
import { createPublish, type SettledReceipt } from '../../src/events/index.ts'
import { createIdSource, parseNano, silentLog, systemClock } from '../../src/kernel/index.ts'
import { queueMails } from '../../src/webhooks/index.ts'
import { testDatabase } from '../database.ts'
import { turnedClock } from './stand.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

async function startStand(t: TestContext) {
  const { app, database: owner } = await testDatabase(t)
  const clock = turnedClock(Math.floor(Date.now() / HOUR) * HOUR + 20 * MINUTE)
  const ids = createIdSource(systemClock.nowMs, randomBytes)
  const { id: orgId } = await owner.one<{ id: string }>(
    `insert into tenancy.organization (id, name) values (gen_random_uuid(), 'o') returning id`,
  )
  const rules = createRuleBook(app)
  const list = createAlertBook(app)
  const usage = createUsageFollower(clock.nowMs)
  const evaluator = createEvaluator({
    database: app,
    publish: createPublish([]),
    sendMails: queueMails,
    ids,
    clock,
    log: silentLog,
  })
  const query = {
    orgId,
    ruleId: null,
    open: null,
    acknowledged: null,
    sinceMs: null,
    untilMs: null,
    before: null,
    limit: 50,
  }
  const projectId = randomUUID()
  return {
    owner,
    clock,
    orgId,
    rules,
    evaluator,
    all: () => list.list(query),
    open: () => list.list({ ...query, open: true }),
    async rule<K extends RuleKind>(kind: K, parameters: object, more: object = {}) {
      const terms = { kind, parameters: RULE_PARAMETERS[kind].parse(parameters) } as RuleTerms
      const settings = { description: '', emails: [], language: 'en' as const, cooldownMinutes: 15 }
      const made = await rules.make({ ...terms, ...settings, ...more, id: ids.uuid(), orgId }, async () => {})
      assert.ok(made)
      return made
    },
    /** Receipts that the feed has read, of the time it is. */
    async served(count: number, more: Partial<SettledReceipt> & { charge?: string } = {}): Promise<void> {
      const { charge = '0', ...facts } = more
      const one = (): SettledReceipt => ({
        orgId,
        id: randomUUID(),
        projectId,
        keyId: projectId,
        runId: null,
        status: 'completed' as ReceiptStatus,
        model: 'm',
        route: 'official',
        bucket: 'credit',
        chargeNano: parseNano(charge) ?? 0n,
        currency: 'USD',
        endedMs: clock.nowMs(),
        latencyMs: 100,
        fallback: false,
        endpoint: 'e',
        error: null,
        sandbox: false,
        ...facts,
      })
      await app.tx(async (tx) => usage.onReceipts?.(tx, Array.from({ length: count }, one)))
    },
    /** A minute passes, and the rules look. */
    async look(minutes = 1): Promise<void> {
      clock.nowMsIs += minutes * MINUTE
      await evaluator.turn()
    },
    async types(): Promise<readonly string[]> {
      return (await owner.query<{ type: string }>('select type from events.event order by seq')).map(
        ({ type }) => type,
      )
    },
  }
}

async function setBalance(stand: Awaited<ReturnType<typeof startStand>>, amount: string): Promise<void> {
  await stand.owner.query(`select ledger.open_accounts($1, 'credit', 'USD')`, [stand.orgId])
  await stand.owner.query(
    `update ledger.account set posted = $2 where org_id = $1 and bucket = 'credit' and kind = 'customer'`,
    [stand.orgId, parseNano(amount)],
  )
}

test('a low balance is told once, stays told on the edge, ends above it, and is silent while it cools down', async (t) => {
  const stand = await startStand(t)
  await stand.rule('balance', { bucket: 'credit', below: '10' }, { emails: ['a@stand.test'], language: 'zh' })
  await setBalance(stand, '12')
  await stand.look()
  assert.deepEqual(await stand.all(), [])
  await setBalance(stand, '9.99')
  for (let i = 0; i < 3; i++) await stand.look()
  assert.deepEqual(await stand.types(), ['alert.raised', 'balance.low'])
  await setBalance(stand, '10.5')
  await stand.look()
  assert.equal((await stand.open()).length, 1, 'between the limit and a tenth above it nothing changes')
  await setBalance(stand, '11.2')
  await stand.look()
  assert.deepEqual(await stand.types(), ['alert.raised', 'balance.low', 'alert.resolved'])
  await setBalance(stand, '1')
  await stand.look()
  assert.equal((await stand.open()).length, 0, 'it cools down')
  await stand.look(15)
  assert.equal((await stand.open()).length, 1)
  const mails = await stand.owner.query<{ email: string; language: string }>(
    'select email, language from webhooks.delivery',
  )
  assert.deepEqual(
    mails,
    Array.from({ length: 3 }, () => ({ email: 'a@stand.test', language: 'zh' })),
  )
})

test('spend is judged for each subject by itself, in its window', async (t) => {
  const stand = await startStand(t)
  await stand.rule('spend', { bucket: 'credit', amount: '5', window_minutes: 15, scope: 'model' })
  await stand.rule('spend', { bucket: 'credit', amount: '8', window_minutes: 1440 })
  await stand.served(3, { charge: '1.5', model: 'calm' })
  await stand.served(3, { charge: '2', model: 'dear' })
  await stand.served(9, { charge: '9', model: 'dear', bucket: 'rmb' })
  await stand.look()
  const alerts = await stand.open()
  assert.deepEqual(
    alerts.map(({ subject, figures }) => [subject, figures['spent']]).toSorted(),
    [
      [stand.orgId, '10.5'],
      ['dear', '6'],
    ].toSorted(),
  )
  await stand.look(15)
  assert.deepEqual(
    (await stand.open()).map(({ subject }) => subject),
    [stand.orgId],
    'what left the window is over',
  )
})

test('failures and fallbacks are shares of enough requests', async (t) => {
  const stand = await startStand(t)
  await stand.rule('failure_rate', { percent: 20, min_requests: 10, scope: 'route' })
  await stand.rule('fallback_rate', { percent: 50, min_requests: 10, scope: 'model', scope_id: 'm' })
  await stand.served(9, { status: 'failed' })
  await stand.look()
  assert.deepEqual(await stand.all(), [], 'nine are not enough')
  await stand.served(1, { status: 'failed' })
  await stand.served(6, { fallback: true })
  await stand.served(40, { fallback: true, model: 'other', route: 'other' })
  await stand.look()
  const alerts = await stand.open()
  assert.deepEqual(
    alerts.map(({ rule, subject, figures }) => [rule.kind, subject, figures['percent']]),
    [['failure_rate', 'official', 62]],
  )
  await stand.served(30, { fallback: true })
  await stand.look()
  assert.deepEqual(
    (await stand.open())
      .map(({ rule, figures }) => [rule.kind, figures['fallbacks'], figures['requests']])
      .at(0),
    ['fallback_rate', 36, 46],
  )
})

test('the slowest twentieth decides about latency', async (t) => {
  const stand = await startStand(t)
  await stand.rule('latency', { p95_ms: 1_000, min_requests: 100, scope: 'model' })
  await stand.served(96, { latencyMs: 200 })
  await stand.served(4, { latencyMs: 60_000 })
  await stand.look()
  assert.deepEqual(await stand.all(), [])
  await stand.served(4, { latencyMs: 60_000 })
  await stand.look()
  const [alert] = await stand.open()
  assert.equal(alert?.subject, 'm')
  assert.ok(Number(alert?.figures['p95_ms']) >= 60_000)
})

test('spend is unusual against the own past, never in the first day', async (t) => {
  const stand = await startStand(t)
  const now = stand.clock.nowMs()
  const rule = await stand.rule('velocity', { bucket: 'credit', minimum: '1', scope: 'key' })
  await stand.served(50, { charge: '4' })
  await stand.look()
  assert.deepEqual(await stand.all(), [], 'there is no past')
  await stand.owner.query(`update alerts.rule set created_at = $2 where id = $1`, [
    rule.id,
    new Date(now - 10 * 24 * HOUR),
  ])
  await stand.owner.query('delete from alerts.usage')
  for (let hour = 2; hour < 10 * 24; hour++)
    await stand.served(1, { charge: hour % 2 === 0 ? '1' : '1.2', endedMs: now - hour * HOUR })
  await stand.served(1, { charge: '2.5' })
  await stand.look()
  assert.deepEqual(await stand.all(), [], 'more than usual, and not three times as much')
  await stand.served(1, { charge: '2.5' })
  await stand.look()
  const [alert] = await stand.open()
  assert.equal(alert?.figures['spent'], '5')
  assert.ok(['1', '1.1', '1.2'].includes(String(alert?.figures['usual'])))
})

test('one rule that cannot be looked at does not silence the others', async (t) => {
  const stand = await startStand(t)
  await stand.owner.query(
    `insert into alerts.rule (org_id, id, kind, parameters, description, cooldown_minutes)
     values ($1, '00000000-0000-7000-8000-000000000001', 'spend', '{"nonsense": true}', '', 0)`,
    [stand.orgId],
  )
  await setBalance(stand, '1')
  await stand.rule('balance', { bucket: 'credit', below: '10' })
  await stand.look()
  const rows = await stand.owner.query('select from alerts.alert')
  assert.equal(rows.length, 1)
})

test('a rule that is ended or paused ends its alerts; two processes look once', async (t) => {
  const stand = await startStand(t)
  const rule = await stand.rule('balance', { bucket: 'credit', below: '10' })
  await setBalance(stand, '1')
  stand.clock.nowMsIs += MINUTE
  await Promise.all([stand.evaluator.turn(), stand.evaluator.turn(), stand.evaluator.turn()])
  assert.deepEqual(await stand.types(), ['alert.raised', 'balance.low'])
  await stand.rules.change(rule.id, { state: 'paused' }, async () => {})
  assert.equal((await stand.open()).length, 0)
})
