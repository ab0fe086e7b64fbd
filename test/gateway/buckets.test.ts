import assert from 'node:assert/strict'
import { test } from 'node:test'
import { POLICIES, type Policy } from '../../src/contract/index.ts'
import { type Forge, startForge, testConfig } from '../forge.ts'
import { ask, assertMoney, chargeNano, errorOf, eventually } from './ask.ts'

const MODELS = testConfig({
  both: { ordinary: [''], official: [''] },
  'ordinary-down': { ordinary: ['status=500'], official: [''] },
  'official-down': { ordinary: [''], official: ['status=500'] },
  'slow-down': { ordinary: ['slow-headers=400, status=500'], official: ['first-token=300'] },
  'all-down': { ordinary: ['status=500'], official: ['status=500'] },
})

type Expected = 'rmb' | 'credit' | 'upstream_error' | 'route_not_allowed'

interface Situation {
  readonly policy: Policy
  readonly routes: readonly string[] | null
  readonly asked: 'header' | 'suffix' | null
  readonly route: 'official' | 'ordinary' | null
  readonly keyCross: boolean
  readonly requestCross: boolean
  readonly model: string
}

/** The rules of product.md §2, written down once more and independently of the gateway. */
function expected(s: Situation): { readonly outcome: Expected; readonly crossed: boolean } {
  const order: Record<Policy, readonly string[]> = {
    ordinary_then_official: ['ordinary', 'official'],
    official_then_ordinary: ['official', 'ordinary'],
    official_only: ['official'],
    ordinary_only: ['ordinary'],
    cheapest: ['ordinary', 'official'],
  }
  const usable = order[s.policy].filter((route) => s.routes === null || s.routes.includes(route))
  const first = s.route === null ? usable[0] : usable.find((route) => route === s.route)
  if (first === undefined) return { outcome: 'route_not_allowed', crossed: false }
  const mayCross = s.requestCross || (s.keyCross && s.route === null)
  const candidates = [first, ...(mayCross ? usable.filter((route) => route !== first) : [])]
  const down =
    {
      both: [],
      'ordinary-down': ['ordinary'],
      'official-down': ['official'],
      'all-down': ['ordinary', 'official'],
    }[s.model] ?? []
  const serving = candidates.find((route) => !down.some((name) => name === route))
  if (serving === undefined) return { outcome: 'upstream_error', crossed: false }
  return { outcome: serving === 'ordinary' ? 'rmb' : 'credit', crossed: serving !== first }
}

function situations(): Situation[] {
  const all: Situation[] = []
  for (const policy of POLICIES)
    for (const routes of [null, ['official'], ['ordinary']])
      for (const keyCross of [false, true])
        for (const requestCross of [false, true])
          for (const [asked, route] of [
            [null, null],
            ['header', 'official'],
            ['suffix', 'ordinary'],
          ] as const)
            for (const model of [
              'both',
              'ordinary-down',
              'official-down',
              ...(asked === null ? ['all-down'] : []),
            ])
              all.push({ policy, routes, keyCross, requestCross, asked, route, model })
  return all
}

async function balances(forge: Forge, orgId: string): Promise<Record<string, bigint>> {
  return {
    rmb: (await forge.balance(orgId, 'rmb')).posted,
    credit: (await forge.balance(orgId, 'credit')).posted,
  }
}

test('the route decides the bucket: every policy, scope, way of asking and permission', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const base = await forge.account({ grants: { rmb: '50', credit: '50' } })
  const keys = new Map<string, string>()
  async function keyFor(s: Situation): Promise<string> {
    const name = JSON.stringify([s.policy, s.routes, s.keyCross])
    const known = keys.get(name)
    if (known !== undefined) return known
    const made = await forge.app.tenancy.createKey({
      projectId: base.projectId,
      label: 'k',
      policy: s.policy,
      allowCrossBalance: s.keyCross,
      models: null,
      routes: s.routes,
      expiresAtMs: null,
    })
    assert.ok(made !== null)
    keys.set(name, made.secret)
    return made.secret
  }
  const all = situations()
  const failures: string[] = []
  for (let at = 0; at < all.length; at += 24) {
    await Promise.all(
      all.slice(at, at + 24).map(async (s) => {
        const response = await forge.chat(
          await keyFor(s),
          { model: s.asked === 'suffix' ? `${s.model}:${s.route}` : s.model, max_tokens: 5 },
          {
            headers: {
              ...(s.asked === 'header' && s.route !== null ? { 'x-tf-route': s.route } : {}),
              ...(s.requestCross ? { 'x-tf-allow-cross-balance': 'true' } : {}),
            },
          },
        )
        const body = (await response.json()) as { error?: { reason: string } }
        const receipt = await forge.receipt(response.headers.get('x-request-id'))
        const want = expected(s)
        const got = {
          outcome: response.status === 200 ? response.headers.get('x-tf-bucket') : body.error?.reason,
          crossed: receipt.crossed_balance && response.status === 200,
        }
        if (JSON.stringify(got) !== JSON.stringify(want))
          failures.push(`${JSON.stringify(s)}: ${JSON.stringify(got)} instead of ${JSON.stringify(want)}`)
        if (response.status === 200) {
          assert.equal(receipt.charge?.bucket, want.outcome)
          assert.equal(receipt.decision?.rule, 'bucket.by_route')
          assert.equal(receipt.charge?.currency, want.outcome === 'rmb' ? 'CNY' : 'USD')
          assert.ok(receipt.ledger.every((entry) => entry.currency === receipt.charge?.currency))
          if (want.crossed)
            assert.match(receipt.decision?.reason ?? '', /changing the balance was allowed beforehand/)
        } else assert.equal(receipt.charge, null)
      }),
    )
  }
  assert.deepEqual(failures, [])
  await forge.settled()
  await forge.audit()
})

test('a fallback that changes the balance holds in the other bucket before it lets the first hold go', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account({ key: { allowCrossBalance: true } })

  await t.test('at every moment some hold stands, and the receipt says why the balance changed', async () => {
    const request = ask(forge, account, { model: 'slow-down', bucket: 'credit' })
    const look = (): Promise<ReadonlyArray<{ bucket: string }>> =>
      forge.owner.query<{ bucket: string }>(
        'select a.bucket from ledger.hold h join ledger.account a on a.org_id = h.org_id and a.id = h.account_id order by h.id',
      )
    const seen: string[] = []
    let done = false
    const watching = (async () => {
      while (!done) {
        const held = (await look()).map((row) => row.bucket).join('+')
        if (seen.at(-1) !== held) seen.push(held)
      }
    })()
    const told = await request
    done = true
    await watching
    assert.equal(told.status, 200)
    const begun = seen.slice(seen.findIndex((held) => held !== ''))
    assert.equal(begun[0], 'rmb')
    assert.ok(
      begun.indexOf('') === -1 || begun.indexOf('') > begun.findIndex((held) => held.includes('credit')),
      `never without a hold: ${seen.join(' → ')}`,
    )
    const transfers = await forge.owner.query<{ kind: string; bucket: string; id: string }>(
      `select t.kind, a.bucket, t.id from ledger.transfer t join ledger.account a on a.org_id = t.org_id and a.id = t.account_id
       where t.org_id = $1 and t.kind in ('charge', 'release') order by t.id`,
      [account.orgId],
    )
    assert.deepEqual(
      transfers.map(({ kind, bucket }) => [kind, bucket]),
      [
        ['release', 'rmb'],
        ['charge', 'credit'],
      ],
    )
    assert.equal(told.receipt.crossed_balance, true)
    assert.equal(told.receipt.fallback, true)
    assert.match(told.receipt.explanation.en, /Credit paid USD .*changing the balance was allowed beforehand/)
    assert.deepEqual(
      told.receipt.attempts.map(({ route, billed, next }) => [route, billed, next]),
      [
        ['ordinary', false, 'other_route'],
        ['official', true, 'answer'],
      ],
    )
    assertMoney(told)
  })

  await t.test('an empty first balance crosses too, and says that it was the balance', async () => {
    const poor = await forge.account({ grants: { rmb: '0', credit: '1' }, key: { allowCrossBalance: true } })
    const told = await ask(forge, poor, { model: 'both', bucket: 'credit' })
    assert.equal(told.status, 200)
    assert.equal(told.receipt.charge?.bucket, 'credit')
    assert.match(told.receipt.decision?.reason ?? '', /was not enough/)
    const ordinary = told.receipt.decision?.candidates.find((candidate) => candidate.route === 'ordinary')
    assert.deepEqual([ordinary?.outcome, ordinary?.reason], ['unavailable', 'the balance was not enough'])
    assert.deepEqual(
      told.receipt.attempts.map((attempt) => attempt.route),
      ['official'],
    )
    assertMoney(told)
  })

  await t.test('without permission an empty balance is a refusal, however full the other is', async () => {
    const poor = await forge.account({ grants: { rmb: '0.001', credit: '100' } })
    const told = await ask(forge, poor, { model: 'both', bucket: 'credit' })
    assert.deepEqual([told.status, errorOf(told).reason], [429, 'insufficient_balance'])
    assert.equal(
      told.receipt.decision?.candidates.find((candidate) => candidate.route === 'official')?.reason,
      'charges another balance, which was not allowed',
    )
    assertMoney(told)
  })

  await t.test(
    'when both balances are short, the answer names what is missing and nothing moves',
    async () => {
      const poor = await forge.account({
        grants: { rmb: '0.0001', credit: '0.0001' },
        key: { allowCrossBalance: true },
      })
      const before = await balances(forge, poor.orgId)
      const told = await ask(forge, poor, { model: 'both' })
      assert.deepEqual([told.status, errorOf(told).reason], [429, 'insufficient_balance'])
      assert.deepEqual(await balances(forge, poor.orgId), before)
      assertMoney(told)
    },
  )

  await t.test(
    'the first route failed and the other balance is short: the failure is told, both holds come back',
    async () => {
      const poor = await forge.account({
        grants: { rmb: '1', credit: '0' },
        key: { allowCrossBalance: true },
      })
      const told = await ask(forge, poor, { model: 'ordinary-down' })
      assert.deepEqual([told.status, errorOf(told).code], [502, 'upstream_error'])
      assert.equal(
        told.receipt.decision?.candidates.find((candidate) => candidate.route === 'official')?.reason,
        'the balance was not enough',
      )
      assertMoney(told)
    },
  )

  await forge.settled()
  await forge.audit()
})

test('ten thousandfold cheaper elsewhere or not: each bucket pays only its own routes', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  for (const [model, bucket, other] of [
    ['both:ordinary', 'rmb', 'credit'],
    ['both:official', 'credit', 'rmb'],
  ] as const) {
    const before = await forge.balance(account.orgId, other)
    const told = await ask(forge, account, { model, bucket })
    assert.equal(told.before - told.after, chargeNano(told.receipt))
    assert.deepEqual(await forge.balance(account.orgId, other), before)
    assert.equal(
      told.receipt.charge?.reference?.currency,
      'USD',
      'the reference is a line apart, never netted',
    )
  }
  await eventually('the books', async () => {
    await forge.settled()
    return true
  })
  const mixed = await forge.owner.query(
    'select transfer_id from ledger.entry group by org_id, transfer_id having count(distinct currency) > 1',
  )
  assert.deepEqual(mixed, [])
  await forge.audit()
})
