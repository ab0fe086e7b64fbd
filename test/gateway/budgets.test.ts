import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BudgetView } from '../../src/contract/index.ts'
import { formatId, formatNano, parseNano } from '../../src/kernel/index.ts'
import { type Account, type Forge, OPERATOR_TOKEN, startForge, testConfig } from '../forge.ts'
import { ask, assertMoney, bodyOf, chargeNano, errorOf, eventually } from './ask.ts'

const MODELS = testConfig({
  m: { ordinary: [''] },
  both: { ordinary: [''], official: [''] },
  slow: { ordinary: ['words=600, delay=1'], holdWindow: 64 },
})

async function manage(forge: Forge, method: string, path: string, body?: object): Promise<Response> {
  return await fetch(`${forge.url}/api/v1/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${OPERATOR_TOKEN}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
}

async function setBudget(forge: Forge, body: object): Promise<BudgetView> {
  const response = await manage(forge, 'POST', 'budgets', { bucket: 'rmb', period: 'day', ...body })
  assert.equal(response.status, 201, await response.clone().text())
  return (await response.json()) as BudgetView
}

async function getBudget(forge: Forge, id: string): Promise<BudgetView> {
  return (await (await manage(forge, 'GET', `budgets/${id}`)).json()) as BudgetView
}

const ofKey = (account: Account, amount: string) => ({
  scope: 'key',
  scope_id: formatId('key', account.keyId),
  amount,
})

/** What the request of `bodyOf` holds is less than this, and more than a tenth of it. */
const ONE_REQUEST = '0.002'

test('each scope limits its own requests and no others, and the refusal and the receipt name it', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const scopes: ReadonlyArray<
    readonly [scope: string, idOf: (account: Account, run: string) => string, named: RegExp]
  > = [
    ['organization', (account) => formatId('org', account.orgId), /budget of the organization/],
    ['project', (account) => formatId('prj', account.projectId), /budget of the project/],
    ['key', (account) => formatId('key', account.keyId), /budget of this API key/],
    ['route', () => 'ordinary', /budget of the route/],
    ['route', () => 'm:ordinary', /budget of the route/],
    ['run', (_, run) => run, /budget of the run/],
  ]
  for (const [scope, idOf, named] of scopes)
    await t.test(
      `${scope} ${idOf({ orgId: '', projectId: '', keyId: '', key: '' }, '').slice(0, 12)}`,
      async () => {
        const [account, other] = [await forge.account(), await forge.account()]
        const headers = { 'x-tf-run': 'night' }
        const first = await ask(forge, account, { model: 'm', headers })
        assert.equal(first.status, 200)
        const scopeId = idOf(account, first.receipt.run?.id ?? '')
        const budget = await setBudget(forge, {
          scope,
          scope_id: scopeId,
          amount: ONE_REQUEST,
          ...(scope === 'route' ? { organization: formatId('org', account.orgId) } : {}),
        })
        assert.equal(budget.used, '0', 'it counts from when it is made')
        const served = await ask(forge, account, { model: 'm', headers })
        assert.equal(served.status, 200)
        assert.deepEqual((await getBudget(forge, budget.id)).used, served.receipt.charge?.total)
        await manage(forge, 'PATCH', `budgets/${budget.id}`, { amount: '0.0001' })
        const refused = await ask(forge, account, { model: 'm', headers })
        const error = errorOf(refused)
        assert.deepEqual([refused.status, error.reason], [429, 'budget_exceeded'])
        assert.equal(refused.headers.get('x-should-retry'), 'false')
        assert.match(error.message, named)
        const { needed, ...limit } = refused.receipt.limit ?? {}
        assert.deepEqual(limit, {
          scope,
          scope_id: scopeId,
          budget: budget.id,
          bucket: 'rmb',
          currency: 'CNY',
          period: 'day',
          amount: '0.0001',
          used: served.receipt.charge?.total,
          held: '0',
          resets_at: budget.resets_at,
        })
        assert.ok((parseNano(needed ?? '') ?? 0n) > 0n)
        assert.deepEqual(error.ledger, refused.receipt.limit)
        assert.equal(refused.receipt.status, 'refused')
        assert.equal(refused.receipt.decision?.candidates[0]?.reason, 'a budget was used up')
        assert.match(
          refused.receipt.explanation.en,
          /Limit: the daily budget of the .* is CNY 0\.0001;.* It resets at /,
        )
        assert.match(refused.receipt.explanation.zh, /限额：/)
        assertMoney(refused)
        const elsewhere = scope === 'run' ? account : other
        assert.equal((await ask(forge, elsewhere, { model: 'm' })).status, 200)
        assert.equal((await manage(forge, 'DELETE', `budgets/${budget.id}`)).status, 200)
        assert.equal((await ask(forge, account, { model: 'm', headers })).status, 200)
      },
    )
  await forge.settled()
  await forge.audit()
})

test('of many requests at once exactly those are served that fit key, project and run, on any budget', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  const probe = await ask(forge, account, { model: 'm', headers: { 'x-tf-run': 'crowd' } })
  const held = parseNano(probe.receipt.hold?.amount ?? '') ?? 0n
  const run = probe.receipt.run?.id
  await setBudget(forge, ofKey(account, formatNano(held * 50n)))
  await setBudget(forge, { scope: 'project', scope_id: formatId('prj', account.projectId), amount: '5' })
  // Nothing comes back while they run: room for seven and a bit.
  const tight = await setBudget(forge, {
    scope: 'run',
    scope_id: run,
    amount: formatNano(held * 7n + held / 2n),
    period: 'total',
  })
  const text = 'Which balance pays for this?'
  const answers = await Promise.all(
    Array.from({ length: 40 }, () =>
      forge.chat(account.key, bodyOf({ model: 'm', text, sandbox: 'first-token=3000' }), {
        headers: { 'x-tf-run': 'crowd' },
      }),
    ),
  )
  const statuses = answers.map((response) => response.status)
  assert.ok(statuses.every((status) => status === 200 || status === 429))
  const receipts = await Promise.all(
    answers.map((answer) => forge.receipt(answer.headers.get('x-request-id'))),
  )
  const charged = receipts.reduce((sum, receipt) => sum + chargeNano(receipt), 0n)
  await forge.settled()
  const after = await getBudget(forge, tight.id)
  assert.deepEqual([after.used, after.held], [formatNano(charged), '0'])
  const each = parseNano(receipts.find(({ hold }) => hold !== null)?.hold?.amount ?? '') ?? 0n
  assert.equal(
    BigInt(statuses.filter((status) => status === 200).length),
    (held * 7n + held / 2n) / each,
    'as many as fit while none has ended',
  )
  for (const receipt of receipts.filter(({ status }) => status === 'refused'))
    assert.equal(receipt.limit?.scope, 'run')
  await forge.audit()
})

test('windows are those of the organization’s time zone, and a change of the zone or budget is heard at once', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  const windows = async () =>
    (
      await forge.owner.query<{ period: string; start: Date }>(
        `select g.period, x.window_start as start from ledger.budget_use x
         join ledger.budget g on g.org_id = x.org_id and g.id = x.budget_id where x.org_id = $1 order by x.id`,
        [account.orgId],
      )
    ).map(({ period, start }) => `${period} ${start.toISOString()}`)
  for (const period of ['day', 'week', 'month', 'total'])
    await setBudget(forge, { ...ofKey(account, '5'), period })
  const local = (timeZone: string, at: string) =>
    new Date(at).toLocaleString('sv-SE', { timeZone, hour12: false }).slice(11)
  assert.equal((await ask(forge, account, { model: 'm' })).status, 200)
  const utc = await windows()
  assert.equal(utc.length, 4)
  assert.ok(utc.every((window) => window.endsWith('T00:00:00.000Z')))
  assert.ok(utc.includes('total 1970-01-01T00:00:00.000Z'))
  // As another process would: this one hears of it by the database alone.
  await forge.owner.query('update tenancy.organization set time_zone = $2 where id = $1', [
    account.orgId,
    'Asia/Kolkata',
  ])
  const moved = await eventually('the windows of Kolkata', async () => {
    assert.equal((await ask(forge, account, { model: 'm' })).status, 200)
    const fresh = (await windows()).filter((window) => !utc.includes(window))
    return fresh.length === 0 ? null : fresh
  })
  assert.equal(moved.length, 3, moved.join())
  for (const window of moved)
    assert.equal(local('Asia/Kolkata', window.split(' ')[1] ?? ''), '00:00:00', window)
  await forge.owner.query(
    `select ledger.change_budget(org_id, id, 0, null, false, 'test') from ledger.budget where org_id = $1`,
    [account.orgId],
  )
  await eventually('the refusal', async () =>
    (await ask(forge, account, { model: 'm' })).status === 429 ? true : null,
  )
  await forge.settled()
  await forge.audit()
})

test('the refusal has the form of each protocol, and clients that heed the status alone are told 402', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  const budget = await setBudget(forge, ofKey(account, '0'))
  const messages = [{ role: 'user', content: 'Hi' }]
  const asked: ReadonlyArray<readonly [path: string, body: object, status: number, type: string]> = [
    ['/v1/chat/completions', { model: 'm', messages, max_tokens: 50 }, 429, 'insufficient_quota'],
    ['/v1/responses', { model: 'm', input: 'Hi', max_output_tokens: 50 }, 429, 'insufficient_quota'],
    ['/v1/messages', { model: 'm', messages, max_tokens: 50 }, 402, 'billing_error'],
    [
      '/v1beta/models/m:generateContent',
      { contents: [{ role: 'user', parts: [{ text: 'Hi' }] }] },
      429,
      'RESOURCE_EXHAUSTED',
    ],
  ]
  for (const [path, body, status, type] of asked) {
    const response = await forge.post(path, account.key, body)
    const text = await response.text()
    assert.equal(response.status, status, text)
    assert.ok(text.includes(type), text)
    for (const fact of [budget.id, 'budget_exceeded', 'resets_at']) assert.ok(text.includes(fact), text)
    assert.equal(response.headers.get('x-should-retry'), 'false')
    const byStatus = await forge.post(path, account.key, body, { 'user-agent': 'ai-sdk/openai/4' })
    assert.equal(byStatus.status, 402)
  }
  await forge.settled()
  await forge.audit()
})

test('where the budget of a route is used up, another route serves: in the same balance, or with permission', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const limit = (account: Account) =>
    setBudget(forge, {
      scope: 'route',
      scope_id: 'both:ordinary',
      amount: '0',
      organization: formatId('org', account.orgId),
    })
  await t.test('with permission the other balance pays, and the receipt says for what', async () => {
    const account = await forge.account({ key: { allowCrossBalance: true } })
    await limit(account)
    const told = await ask(forge, account, { model: 'both', bucket: 'credit' })
    assert.equal(told.status, 200)
    assert.equal(told.receipt.charge?.bucket, 'credit')
    assert.match(told.receipt.decision?.reason ?? '', /a budget of the route before it was used up/)
    const ordinary = told.receipt.decision?.candidates.find((candidate) => candidate.route === 'ordinary')
    assert.deepEqual([ordinary?.outcome, ordinary?.reason], ['unavailable', 'a budget was used up'])
    assert.equal(told.receipt.limit, null, 'nothing stopped it')
    assertMoney(told)
  })
  await t.test('without permission it is a refusal, however full the other balance is', async () => {
    const account = await forge.account()
    await limit(account)
    const told = await ask(forge, account, { model: 'both', bucket: 'credit' })
    assert.deepEqual([told.status, errorOf(told).reason], [429, 'budget_exceeded'])
    assert.equal(told.receipt.limit?.scope_id, 'both:ordinary')
    assert.equal(
      told.receipt.decision?.candidates.find((candidate) => candidate.route === 'official')?.reason,
      'charges another balance, which was not allowed',
    )
    assertMoney(told)
  })
  await forge.settled()
  await forge.audit()
})

test('a budget that leaves a part gives the part: a lowered limit, or a stream that ends with "length"', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  await t.test('a whole answer is limited to it', async () => {
    const account = await forge.account()
    await setBudget(forge, ofKey(account, '0.05'))
    const told = await ask(forge, account, { model: 'm', body: { max_tokens: 16_000 } })
    assert.equal(told.status, 200)
    const most = told.receipt.max_output_tokens ?? 0
    assert.ok(most >= 1_024 && most < 5_000, String(most))
    assert.equal(told.headers.get('x-tf-max-output-tokens'), String(most))
    assert.deepEqual([told.receipt.limit?.scope, told.receipt.limit?.amount], ['key', '0.05'])
    assertMoney(told)
  })
  await t.test('a stream goes as far as the budget does', async () => {
    const account = await forge.account()
    const budget = await setBudget(forge, ofKey(account, '0.0014'))
    const told = await ask(forge, account, {
      model: 'slow',
      body: { stream: true, stream_options: { include_usage: true }, max_tokens: 2_000 },
    })
    assert.equal(told.status, 200)
    assert.equal(told.receipt.settlement, 'cut_at_limit')
    assert.equal(
      told.json.findLast((reply) => reply.choices?.[0]?.finish_reason != null)?.choices?.[0]?.finish_reason,
      'length',
    )
    const { limit } = told.receipt
    assert.ok(limit !== null && 'budget' in limit)
    assert.equal(limit.budget, budget.id)
    assert.ok(chargeNano(told.receipt) <= 1_400_000n)
    assertMoney(told)
    assert.deepEqual((await getBudget(forge, budget.id)).used, told.receipt.charge?.total)
  })
  await forge.settled()
  await forge.audit()
})

test('an Idempotency-Key that a budget refused is free again, and a soft budget refuses nothing', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  const budget = await setBudget(forge, ofKey(account, '0'))
  const headers = { 'idempotency-key': 'k-1' }
  assert.equal((await ask(forge, account, { model: 'm', headers })).status, 429)
  await manage(forge, 'PATCH', `budgets/${budget.id}`, { amount: '0.0000001', hard: false })
  const told = await ask(forge, account, { model: 'm', headers })
  assert.equal(told.status, 200)
  assert.equal(told.receipt.limit, null)
  const events = await forge.owner.query<{ threshold: number }>(
    'select threshold from ledger.budget_event where org_id = $1 order by id',
    [account.orgId],
  )
  assert.deepEqual(
    events.map((event) => event.threshold),
    [50, 80, 100],
  )
  await forge.settled()
  await forge.audit()
})

test('what a request of a process that died had held comes back to its budget', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  const budget = await setBudget(forge, ofKey(account, '1'))
  await ask(forge, account, { model: 'm' })
  const { id, account_id, intent } = await forge.owner.one<{
    id: string
    account_id: bigint
    intent: string
  }>(
    `select x.id::text, a.id as account_id, '{}' as intent from ledger.budget_use x join ledger.account a on a.org_id = x.org_id
     where x.org_id = $1 and a.bucket = 'rmb' and a.kind = 'customer'`,
    [account.orgId],
  )
  const used = (await getBudget(forge, budget.id)).used
  await forge.owner.query(
    `with h as (insert into ledger.hold (org_id, id, account_id, amount, asked, process_id, opened_at, expires_at, intent, budgets)
       values ($1, gen_random_uuid(), $2, 5000, 5000, gen_random_uuid(), now() - interval '1 hour', now() - interval '1 hour', $3, array[$4::bigint])),
     a as (update ledger.account set held = held + 5000 where id = $2)
     update ledger.budget_use set held = held + 5000 where id = $4::bigint`,
    [account.orgId, account_id, intent, id],
  )
  assert.equal((await getBudget(forge, budget.id)).held, '0.000005')
  assert.equal(await forge.app.recovery.sweep(), 1)
  const after = await getBudget(forge, budget.id)
  assert.deepEqual([after.used, after.held], [used, '0'])
  await forge.audit()
})

test('requests of an organization without budgets touch no table of budgets', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  await ask(forge, account, { model: 'm' })
  const scans = async () =>
    Object.fromEntries(
      (
        await forge.owner.query<{ name: string; n: bigint }>(
          `select relname as name, seq_scan + coalesce(idx_scan, 0) as n from pg_stat_user_tables
           where schemaname = 'ledger' and relname in ('account', 'budget', 'budget_use')`,
        )
      ).map(({ name, n }) => [name, n]),
    )
  // The first request read the organization's budgets, once; statistics come late.
  const settled = async (least: bigint) =>
    eventually('the statistics', async () => {
      await new Promise((resolve) => setTimeout(resolve, 200))
      const seen = await scans()
      return (seen['account'] ?? 0n) >= least && (seen['budget'] ?? 0n) >= 2n ? seen : null
    })
  const before = await settled(1n)
  for (let i = 0; i < 20; i++) assert.equal((await ask(forge, account, { model: 'm' })).status, 200)
  const after = await settled((before['account'] ?? 0n) + 40n)
  assert.deepEqual([after['budget'], after['budget_use']], [before['budget'], before['budget_use']])
})
