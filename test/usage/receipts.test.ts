import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatNano, parseNano } from '../../src/kernel/index.ts'
import { startApi } from '../api-stand.ts'
import { fund, spend } from './stand.ts'

const at = '2026-03-08T12:00:00Z'

test('receipts are found by what happened to them', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  await fund(stand, a.org)
  const plain = await spend(stand, a, {
    at,
    bucket: 'rmb',
    chargeNano: 5n,
    label: '"crossed":true "next":"backup"',
  })
  const crossed = await spend(stand, a, { at, bucket: 'credit', chargeNano: 500n, crossed: true })
  const moved = await spend(stand, a, { at, bucket: 'rmb', chargeNano: 50n, channels: ['direct', 'relay'] })
  const again = await spend(stand, a, { at, bucket: 'rmb', channels: ['direct', 'direct'] })
  const all = [plain, crossed, moved, again]
  for (const [query, wanted] of [
    ['crossed_balance=true', [crossed]],
    ['crossed_balance=false', [plain, moved, again]],
    ['fallback=true', [moved]],
    ['fallback=false', [plain, crossed, again]],
    ['route=official', [crossed]],
    ['channel=relay', [moved]],
    ['channel=direct', all],
    ['channel=DIRECT', []],
    ['bucket=rmb&min_charge=0.000000050', [moved]],
    ['bucket=rmb&min_charge=0.000000001&fallback=false', [plain]],
    [`since=${at}&until=2026-03-08T12:00:01Z`, all],
  ] as const) {
    const { json, text } = await stand.call('GET', `/api/v1/receipts?${query}`)
    assert.deepEqual(
      json.data?.map(({ id }: { id: string }) => id).toSorted(),
      wanted.toSorted(),
      `${query}: ${text}`,
    )
  }
  for (const [query, as, status] of [
    ['channel=relay', { token: a.key }, 403],
    ['min_charge=1', {}, 400],
    ['bucket=rmb&min_charge=1e3', {}, 400],
    ['fallback=yes', {}, 400],
  ] as const)
    assert.equal((await stand.call('GET', `/api/v1/receipts?${query}`, as)).status, status, query)
})

test('receipts are exported page by page, and add up to the ledger', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('=HYPERLINK("x")')
  await fund(stand, a.org)
  const b = await stand.customer('Beta')
  await fund(stand, b.org)
  await spend(stand, b, { at, bucket: 'rmb', chargeNano: 1_000_000n })
  let spent = 0n
  // More than one page of the export.
  await Promise.all(
    Array.from({ length: 503 }, (_, i) => {
      spent += BigInt(i + 1)
      const label = i === 7 ? '=1+1' : 'a "quoted", label'
      return spend(stand, a, { at, bucket: 'rmb', chargeNano: BigInt(i + 1), label })
    }),
  )
  const csv = await stand.call('GET', '/api/v1/receipts/export?format=csv', { token: a.key })
  const [head = '', ...lines] = csv.text.trimEnd().split('\r\n')
  const columns = head.split(',')
  assert.equal(lines.length, 503, csv.text.slice(0, 500))
  assert.ok(lines.some((line) => line.includes(",'=1+1,")) && !/(?:^|,)=/m.test(csv.text))
  const charge = columns.indexOf('charged') - columns.length
  const total = lines.reduce((sum, line) => sum + (parseNano(line.split(',').at(charge) ?? '') ?? 0n), 0n)
  assert.equal(formatNano(total), formatNano(spent))
  const jsonl = await stand.call(
    'GET',
    `/api/v1/receipts/export?organization=${a.org}&until=2026-03-08T12:00:01Z`,
  )
  const receipts = jsonl.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.equal(new Set(receipts.map(({ id }) => id)).size, 503)
  const [usage] = (await stand.call('GET', `/api/v1/usage?organization=${a.org}&group_by=key`)).json.totals
  assert.deepEqual([usage.charged, usage.requests], [formatNano(spent), 503])
  const { posted } = (await stand.call('GET', `/api/v1/balances?organization=${a.org}`)).json.buckets.rmb
  assert.equal(posted, formatNano(1_000_000_000_000n - spent))
  const none = await stand.call('GET', '/api/v1/receipts/export?format=csv&model=none', { token: a.key })
  assert.equal(none.text, `${head}\r\n`)
})

test('lists are narrowed by how a name begins, by state and by time', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  await stand.customer('Beta')
  const make = async (path: string, body: object) => (await stand.call('POST', path, { body })).json.id
  const alp_ = await make('/api/v1/projects', { organization: a.org, name: 'alp_1' })
  await make('/api/v1/projects', { organization: a.org, name: 'alpx1' })
  await stand.call('PATCH', `/api/v1/projects/${a.project}`, { body: { state: 'paused' } })
  const run = await make('/api/v1/runs', { project: alp_, name: 'night-1' })
  await make('/api/v1/runs', { project: alp_, name: 'day-1' })
  for (const [path, wanted] of [
    ['organizations?name_prefix=Al', [a.org]],
    ['projects?name_prefix=alp_', [alp_]],
    ['projects?name_prefix=%25', []],
    ['projects?state=paused', [a.project]],
    ['runs?name_prefix=night', [run]],
    ['runs?since=2999-01-01T00:00:00Z', []],
    ['runs?name_prefix=n&until=2999-01-01T00:00:00Z', [run]],
    ['keys?label_prefix=Alp', [a.keyId]],
  ] as const) {
    const { json } = await stand.call('GET', `/api/v1/${path}`)
    assert.deepEqual(
      json.data?.map(({ id }: { id: string }) => id),
      wanted,
      path,
    )
  }
})
