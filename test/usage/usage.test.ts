import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatNano, type Nano, parseNano } from '../../src/kernel/index.ts'
import { type ApiStand, type Customer, startApi } from '../api-stand.ts'
import { fund, type Spent, spend, uuidOf } from './stand.ts'

/** What usage says is what the ledger moved: by day and month of the organization, over its changes of clock, to the nano. */

const ZONE = 'America/New_York'

/** New York: winter until 8 March 2026 02:00, then summer until 1 November 02:00. */
const SPENT: readonly Spent[] = [
  { at: '2026-03-01T04:59:59.999Z', bucket: 'credit', chargeNano: 1n }, // 28 February
  { at: '2026-03-01T05:00:00.000Z', bucket: 'credit', chargeNano: 20n }, // 1 March
  { at: '2026-03-08T04:59:59.999Z', bucket: 'credit', chargeNano: 300n }, // 7 March
  { at: '2026-03-08T05:00:00.000Z', bucket: 'rmb', chargeNano: 4_000n }, // 8 March
  { at: '2026-03-09T03:59:59.999Z', bucket: 'rmb', chargeNano: 50_000n }, // 8 March, which has 23 hours
  { at: '2026-03-09T04:00:00.000Z', bucket: 'rmb', chargeNano: 600_000n }, // 9 March
  { at: '2026-04-01T03:59:59.999Z', bucket: 'credit', chargeNano: 7_000_000n }, // 31 March
  { at: '2026-04-01T04:00:00.000Z', bucket: 'credit', chargeNano: 80_000_001n }, // 1 April
  { at: '2026-11-01T04:00:00.000Z', bucket: 'credit', chargeNano: 900_000_007n }, // 1 November
  { at: '2026-11-02T04:59:59.999Z', bucket: 'credit', chargeNano: 3n }, // 1 November, which has 25 hours
  { at: '2026-03-08T07:30:00.000Z', bucket: 'credit', chargeNano: 0n, status: 'failed' },
  { at: '2026-03-08T06:30:00.000Z', status: 'refused', model: null },
  { at: '2026-03-08T06:40:00.000Z', bucket: 'rmb', chargeNano: 11n, status: 'cancelled' },
]

async function startStand(t: Parameters<typeof startApi>[0]): Promise<{ stand: ApiStand; a: Customer }> {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  await stand.call('PATCH', `/api/v1/organizations/${a.org}`, { body: { time_zone: ZONE } })
  await fund(stand, a.org)
  for (const spent of SPENT) await spend(stand, a, spent)
  return { stand, a }
}

/** The same sums from the ledger's entries, with the calendar of the database. */
async function ledgerBy(stand: ApiStand, customer: Customer, format: string, where = '') {
  const rows = await stand.owner.query<{ period: string; bucket: string; charged: bigint }>(
    `select to_char(r.created_at at time zone '${ZONE}', '${format}') as period, a.bucket, -sum(e.amount)::bigint as charged
     from ledger.entry e join ledger.account a on a.id = e.account_id and a.kind = 'customer'
     join ledger.transfer t on t.org_id = e.org_id and t.id = e.transfer_id and t.kind = 'charge'
     join ledger.receipt r on r.org_id = e.org_id and r.id = (left(t.id::text, 35) || '0')::uuid
     where e.org_id = $1 ${where} group by 1, 2 order by 1, 2`,
    [uuidOf('org', customer.org)],
  )
  return rows.map(({ period, bucket, charged }) => `${period} ${bucket} ${formatNano(charged)}`)
}

interface Row {
  readonly [name: string]: unknown
  readonly bucket: string | null
  readonly charged: string
  readonly requests: number
}

const charged = (rows: readonly Row[], name: string): string[] =>
  rows.filter((row) => row.charged !== '0').map((row) => `${row[name]} ${row.bucket} ${row.charged}`)

function sums(rows: readonly Row[]): Record<string, readonly [requests: number, charged: string]> {
  const found: Record<string, [number, Nano]> = {}
  for (const { bucket, requests, charged } of rows) {
    const [n, nano] = found[String(bucket)] ?? [0, 0n]
    found[String(bucket)] = [n + requests, nano + (parseNano(charged) ?? 0n)]
  }
  return Object.fromEntries(
    Object.entries(found).map(([bucket, [n, nano]]) => [bucket, [n, formatNano(nano)]]),
  )
}

async function everyPage(
  stand: ApiStand,
  path: string,
): Promise<{ rows: Row[]; totals: Row[]; pages: number }> {
  const rows: Row[] = []
  let pages = 0
  for (let cursor = ''; ; pages++) {
    const { status, json, text } = await stand.call('GET', `${path}${cursor}`)
    assert.equal(status, 200, text)
    rows.push(...json.data)
    if (json.next_cursor === null) return { rows, totals: json.totals, pages: pages + 1 }
    cursor = `&cursor=${json.next_cursor}`
  }
}

test('by day and month, usage is what the ledger moved: over a month’s end and both changes of clock', async (t) => {
  const { stand, a } = await startStand(t)
  const path = `/api/v1/usage?organization=${a.org}`
  const days = (await stand.call('GET', `${path}&group_by=day`)).json
  assert.equal(days.time_zone, ZONE)
  assert.deepEqual(charged(days.data, 'day'), await ledgerBy(stand, a, 'YYYY-MM-DD'))
  assert.deepEqual(
    charged(days.data, 'day').filter((row) => row.startsWith('2026-03-08')),
    ['2026-03-08 rmb 0.000054011'],
  )
  const months = (await stand.call('GET', `${path}&group_by=month`)).json
  assert.deepEqual(charged(months.data, 'month'), await ledgerBy(stand, a, 'YYYY-MM'))
  for (const { data, totals } of [days, months]) assert.deepEqual(sums(data), sums(totals))
  const posted = (await stand.call('GET', `/api/v1/balances?organization=${a.org}`)).json.buckets
  for (const bucket of ['credit', 'rmb']) {
    const used = parseNano(String(sums(days.totals)[bucket]?.[1])) ?? -1n
    assert.equal(formatNano(1_000_000_000_000n - used), posted[bucket].posted)
  }

  const march = `since=2026-03-01T05:00:00Z&until=2026-04-01T04:00:00Z`
  const inMarch = (await stand.call('GET', `${path}&group_by=day&${march}`)).json
  const where = `and r.created_at >= '2026-03-01T05:00Z' and r.created_at < '2026-04-01T04:00Z'`
  assert.deepEqual(charged(inMarch.data, 'day'), await ledgerBy(stand, a, 'YYYY-MM-DD', where))
  assert.deepEqual(sums(inMarch.data), sums(inMarch.totals))
})

test('every grouping has the same totals, a page at a time and in exports', async (t) => {
  const { stand, a } = await startStand(t)
  const run = (await stand.call('POST', '/api/v1/runs', { body: { project: a.project, name: 'night' } })).json
    .id
  await spend(stand, a, { at: '2026-05-01T00:00:00Z', bucket: 'rmb', chargeNano: 9n, run, model: 'm-two' })
  const path = `/api/v1/usage?organization=${a.org}`
  const whole = (await stand.call('GET', `${path}&group_by=status`)).json.totals
  const groups = [
    'day',
    'month',
    'project',
    'key',
    'model',
    'route',
    'run',
    'status',
    'day,model',
    'run,month',
    'key,status',
  ]
  for (const group of groups) {
    const { rows, totals, pages } = await everyPage(stand, `${path}&group_by=${group}&limit=2`)
    assert.deepEqual(totals, whole, group)
    assert.deepEqual(sums(rows), sums(whole), group)
    assert.ok(pages >= rows.length / 2, group)
    const all = await everyPage(stand, `${path}&group_by=${group}`)
    assert.deepEqual(rows, all.rows, `${group}: pages are pieces of the whole`)
    const exported = await stand.call('GET', `/api/v1/usage/export?organization=${a.org}&group_by=${group}`)
    assert.deepEqual(
      exported.text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
      rows,
    )
  }
  const [first] = (await stand.call('GET', `${path}&group_by=run,key&run=${run}`)).json.data
  assert.deepEqual(
    [first.run, first.run_name, first.key, first.key_name, first.charged],
    [run, 'night', a.keyId, 'Alpha', '0.000000009'],
  )
  const csv = await stand.call('GET', `/api/v1/usage/export?organization=${a.org}&group_by=model&format=csv`)
  const [head = '', ...lines] = csv.text.trimEnd().split('\r\n')
  assert.equal(
    head,
    'model,bucket,currency,requests,failed,refused,cancelled,metered,input_tokens,cache_read_tokens,cache_write_tokens,output_tokens,charged',
  )
  assert.ok(lines.includes('m-two,rmb,CNY,1,0,0,0,0,,,,,0.000000009'), csv.text)
})

test('tokens are those that receipts give; what is unknown is not nought', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  await fund(stand, a.org)
  const at = '2026-03-08T12:00:00Z'
  const reported = (counts: Record<string, number>) => ({ counts, source: 'reported' })
  const tricky = { ...reported({ input: 5, output: 1 }), raw: { usage: { counts: { input: 999 } } } }
  const usages = [
    reported({ input: 10, cache_read: 20, cache_write_5m: 30, cache_write_1h: 40, output: 50 }),
    reported({ input_audio: 1, input_image: 2, output_audio: 3 }),
    reported({}),
    tricky,
    { counts: {}, source: 'unknown' },
    null,
  ]
  for (const usage of usages)
    await spend(stand, a, {
      at,
      bucket: 'rmb',
      chargeNano: 1n,
      usage,
      label: '"usage":{"counts":{"input":7}}',
    })
  await spend(stand, a, { at, bucket: 'credit', chargeNano: 1n })
  const { json } = await stand.call('GET', `/api/v1/usage?organization=${a.org}`)
  const [credit, rmb] = json.totals
  assert.deepEqual([credit.tokens, credit.metered, credit.requests], [null, 0, 1])
  assert.deepEqual(rmb.tokens, { input: 18, cache_read: 20, cache_write: 70, output: 54 })
  assert.deepEqual([rmb.metered, rmb.requests], [4, 6])
})

test('a key sums its project, people what they may read, and nobody another’s; questions are checked', async (t) => {
  const { stand, a } = await startStand(t)
  const b = await stand.customer('Beta')
  await fund(stand, b.org)
  const other = (await stand.call('POST', '/api/v1/projects', { body: { organization: a.org, name: 'Q' } }))
    .json.id
  const key = (await stand.call('POST', '/api/v1/keys', { body: { project: other } })).json
  const second = { ...a, project: other, keyId: key.id, key: key.key }
  await spend(stand, second, { at: '2026-03-02T00:00:00Z', bucket: 'rmb', chargeNano: 77n })
  const own = (await stand.call('GET', '/api/v1/usage?group_by=project', { token: key.key })).json
  assert.deepEqual(
    own.data.map((row: Row) => [row['project'], row['project_name'], row.charged]),
    [[other, 'Q', '0.000000077']],
  )
  const filtered = (
    await stand.call('GET', `/api/v1/usage?project=${other}&bucket=rmb&model=m-one&route=ordinary`)
  ).json
  assert.deepEqual(sums(filtered.totals), { rmb: [1, '0.000000077'] })
  assert.deepEqual((await stand.call('GET', '/api/v1/usage', { token: b.key })).json.data, [])
  for (const [path, token, status] of [
    [`/api/v1/usage?organization=${a.org}`, b.key, 404],
    [`/api/v1/usage?project=${a.project}`, b.key, 404],
    [`/api/v1/usage?project=${a.project}`, key.key, 404],
    ['/api/v1/usage', stand.operator, 400],
    [`/api/v1/usage?organization=${a.org}&group_by=week`, stand.operator, 400],
    [`/api/v1/usage?organization=${a.org}&group_by=day,month`, stand.operator, 400],
    [`/api/v1/usage?organization=${a.org}&group_by=key,key`, stand.operator, 400],
    [`/api/v1/usage?organization=${a.org}&group_by=key,run,day`, stand.operator, 400],
    [`/api/v1/usage?organization=${a.org}&cursor=eyJ9`, stand.operator, 400],
    [`/api/v1/usage?organization=${a.org}&limit=1001`, stand.operator, 400],
  ] as const)
    assert.equal((await stand.call('GET', path, { token })).status, status, path)
  await spend(stand, a, { at: '2019-01-01T00:00:00Z' })
  const long = await stand.call('GET', `/api/v1/usage?organization=${a.org}`)
  assert.deepEqual([long.status, long.json.errors[0].field], [400, 'since'])
  assert.equal((await stand.call('GET', `/api/v1/usage?organization=${a.org}&group_by=month`)).status, 200)
})
