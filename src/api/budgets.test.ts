import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ApiStand, type Customer, startApi } from '../../test/api-stand.ts'

async function make(stand: ApiStand, body: object) {
  return await stand.call('POST', '/api/v1/budgets', { body: { bucket: 'credit', amount: '5.00', ...body } })
}

const codeOf = (answer: Awaited<ReturnType<ApiStand['call']>>) => [answer.status, answer.json?.code ?? null]

async function runOf(stand: ApiStand, customer: Customer, body: object = {}) {
  return await stand.call('POST', '/api/v1/runs', { token: customer.key, body: { name: 'night', ...body } })
}

test('a budget of each scope is made, read, changed and ended, and its history says by whom', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  const run = (await runOf(stand, a)).json
  const scopes = [
    ['organization', a.org, 'month'],
    ['project', a.project, 'month'],
    ['key', a.keyId, 'month'],
    ['run', run.id, 'total'],
    ['route', 'official', 'month'],
    ['route', 'm-one:official', 'month'],
  ] as const
  for (const [scope, scope_id, period] of scopes) {
    const more = scope === 'route' ? { organization: a.org } : {}
    const made = await make(stand, { scope, scope_id, ...more })
    assert.equal(made.status, 201, made.text)
    const { id, window_start, resets_at, created_at, ...rest } = made.json
    assert.deepEqual(rest, {
      organization: a.org,
      scope,
      scope_id,
      bucket: 'credit',
      currency: 'USD',
      period,
      amount: '5',
      hard: true,
      set_by: 'operator',
      used: '0',
      held: '0',
      ended_at: null,
    })
    assert.equal(window_start === null, period === 'total')
    assert.equal(resets_at === null, period === 'total')
    assert.ok(Date.parse(created_at) > 0)
    const path = `/api/v1/budgets/${id}`
    assert.deepEqual((await stand.call('GET', path)).json, made.json)
    const changed = await stand.call('PATCH', path, { body: { amount: '7', hard: false } })
    assert.deepEqual(changed.json, { ...made.json, amount: '7', hard: false })
    const ended = await stand.call('DELETE', path, { headers: { 'content-type': 'application/json' } })
    assert.equal(ended.status, 200, ended.text)
    assert.ok(ended.json.ended_at !== null)
    assert.deepEqual(codeOf(await stand.call('DELETE', path)), [409, 'conflict'])
    assert.deepEqual(codeOf(await stand.call('PATCH', path, { body: { amount: '1' } })), [409, 'conflict'])
    assert.equal((await stand.call('GET', path)).json.amount, '7', 'its record stays')
  }
  const history = await stand.app.query<{
    n: number
    amount: bigint
    hard: boolean
    ended: boolean
    made_by: string
  }>(
    `select c.n, c.amount, c.hard, c.ended, c.made_by from ledger.budget_change c
     join ledger.budget g on g.id = c.budget_id where g.scope = 'key' order by c.n`,
  )
  assert.deepEqual(
    history.map((row) => Object.values(row)),
    [
      [1, 5_000_000_000n, true, false, 'operator'],
      [2, 7_000_000_000n, false, false, 'operator'],
      [3, 7_000_000_000n, false, true, 'operator'],
    ],
  )
})

test('what a budget cannot be about is refused with its field', async (t) => {
  const stand = await startApi(t)
  const [a, b] = [await stand.customer('Alpha'), await stand.customer('Beta')]
  const key = { scope: 'key', scope_id: a.keyId }
  const wrong: ReadonlyArray<readonly [body: object, field: string]> = [
    [{ ...key, bucket: 'gold' }, 'bucket'],
    [{ ...key, amount: '-1' }, 'amount'],
    [{ ...key, amount: '1e3' }, 'amount'],
    [{ ...key, amount: '99999999999' }, 'amount'],
    [{ ...key, period: 'year' }, 'period'],
    [{ scope: 'planet', scope_id: 'x' }, 'scope'],
    [{ scope: 'route', scope_id: 'official' }, 'organization'],
    [{ scope: 'route', scope_id: 'offical', organization: a.org }, 'scope_id'],
    [{ scope: 'route', scope_id: 'm-two:official', organization: a.org }, 'scope_id'],
  ]
  for (const [body, field] of wrong) {
    const answer = await make(stand, body)
    assert.deepEqual(codeOf(answer), [400, 'invalid_parameter'], answer.text)
    assert.equal(answer.json.errors[0].field, field)
  }
  for (const body of [
    { scope: 'key', scope_id: a.project },
    { scope: 'run', scope_id: 'run_00000000000000000000000000' },
    { ...key, organization: b.org },
  ])
    assert.deepEqual(codeOf(await make(stand, body)), [404, 'not_found'])
  assert.equal((await make(stand, key)).status, 201)
  assert.deepEqual(codeOf(await make(stand, key)), [409, 'conflict'])
  assert.equal((await make(stand, { ...key, hard: false })).status, 201, 'a soft one beside it')
  assert.equal((await make(stand, { ...key, bucket: 'rmb' })).status, 201)
  assert.equal((await make(stand, { ...key, period: 'day' })).status, 201)
})

test('a key sees the budgets it falls under, and no others', async (t) => {
  const stand = await startApi(t)
  const [a, b] = [await stand.customer('Alpha'), await stand.customer('Beta')]
  const sibling = (await stand.call('POST', '/api/v1/keys', { body: { project: a.project } })).json
  const project = (
    await stand.call('POST', '/api/v1/projects', { body: { organization: a.org, name: 'other' } })
  ).json
  const other = (await stand.call('POST', '/api/v1/runs', { body: { project: project.id, name: 'r' } })).json
  const run = (await runOf(stand, a)).json
  const mine: string[] = []
  for (const body of [
    { scope: 'organization', scope_id: a.org },
    { scope: 'project', scope_id: a.project },
    { scope: 'key', scope_id: a.keyId },
    { scope: 'run', scope_id: run.id },
    { scope: 'route', scope_id: 'official', organization: a.org },
  ])
    mine.push((await make(stand, body)).json.id)
  const hidden: string[] = []
  for (const body of [
    { scope: 'organization', scope_id: b.org },
    { scope: 'project', scope_id: project.id },
    { scope: 'key', scope_id: sibling.id },
    { scope: 'run', scope_id: other.id },
    { scope: 'route', scope_id: 'official', organization: b.org },
  ])
    hidden.push((await make(stand, body)).json.id)
  const token = a.key
  const seen = await stand.call('GET', '/api/v1/budgets', { token })
  assert.deepEqual(
    seen.json.data.map((budget: { id: string }) => budget.id),
    mine.toReversed(),
  )
  for (const id of mine)
    assert.equal((await stand.call('GET', `/api/v1/budgets/${id}`, { token })).status, 200)
  for (const id of hidden)
    assert.deepEqual(codeOf(await stand.call('GET', `/api/v1/budgets/${id}`, { token })), [404, 'not_found'])
  for (const [method, path, body] of [
    ['POST', '/api/v1/budgets', { scope: 'key', scope_id: a.keyId, bucket: 'rmb', amount: '1' }],
    ['PATCH', `/api/v1/budgets/${mine[0]}`, { amount: '1000' }],
    ['DELETE', `/api/v1/budgets/${mine[0]}`, undefined],
  ] as const)
    assert.deepEqual(codeOf(await stand.call(method, path, { token, body })), [403, 'forbidden'])

  const ids = async (query: string) =>
    (await stand.call('GET', `/api/v1/budgets${query}`)).json.data.map((budget: { id: string }) => budget.id)
  assert.deepEqual(await ids(`?scope=key&scope_id=${a.keyId}`), [mine[2]])
  assert.equal((await ids(`?organization=${a.org}`)).length, 8)
  assert.deepEqual(codeOf(await stand.call('GET', '/api/v1/budgets?scope_id=x')), [400, 'invalid_parameter'])
  await stand.call('DELETE', `/api/v1/budgets/${mine[2]}`)
  assert.deepEqual(await ids(`?scope=key&scope_id=${a.keyId}`), [])
  assert.deepEqual(await ids(`?scope=key&scope_id=${a.keyId}&ended=true`), [mine[2]])
  const paged: string[] = []
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page = await stand.call('GET', `/api/v1/budgets?limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`)
    paged.push(...page.json.data.map((budget: { id: string }) => budget.id))
    cursor = page.json.next_cursor
  }
  assert.deepEqual(paged, await ids('?limit=200'))
})

test('a run is made with its budget, a repeat finds it, and a key cannot raise it', async (t) => {
  const stand = await startApi(t)
  const [a, b] = [await stand.customer('Alpha'), await stand.customer('Beta')]
  const made = await runOf(stand, a, { budget: { credit: '5.00', rmb: '20' } })
  assert.equal(made.status, 201, made.text)
  const { id } = made.json.budget.credit
  assert.deepEqual(made.json.budget.credit, {
    id,
    currency: 'USD',
    amount: '5',
    used: '0',
    held: '0',
    hard: true,
  })
  assert.equal(made.json.budget.rmb.currency, 'CNY')
  const token = a.key
  assert.deepEqual((await stand.call('GET', `/api/v1/runs/${made.json.id}`, { token })).json, made.json)
  assert.deepEqual((await runOf(stand, a, { budget: { credit: '5' } })).json, made.json)
  assert.deepEqual(codeOf(await runOf(stand, a, { budget: { credit: '500' } })), [409, 'conflict'])
  assert.deepEqual((await runOf(stand, a)).json, made.json)
  await stand.call('PATCH', `/api/v1/budgets/${id}`, { body: { amount: '9' } })
  assert.equal((await runOf(stand, a)).json.budget.credit.amount, '9')
  assert.equal((await runOf(stand, a, { name: 'free' })).json.budget, null)
  for (const body of [{ budget: { gold: '1' } }, { budget: { rmb: '-1' } }, { name: 'run_x' }])
    assert.deepEqual(codeOf(await runOf(stand, a, body)), [400, 'invalid_parameter'])
  assert.deepEqual(codeOf(await runOf(stand, b, { project: a.project })), [404, 'not_found'])
  assert.deepEqual(codeOf(await stand.call('POST', '/api/v1/runs', { body: { name: 'x' } })), [
    400,
    'invalid_parameter',
  ])
})
