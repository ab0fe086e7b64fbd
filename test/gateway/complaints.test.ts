import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatNano, parseNano } from '../../src/kernel/index.ts'
import { type Account, type Forge, startForge, testConfig } from '../forge.ts'
import { ask, assertMoney, bodyOf, chargeNano, priceNano, usageOf } from './ask.ts'

/** The complaints of product.md §4, as far as the gateway can be at fault: each must be impossible. */

const STREAM = { stream: true, stream_options: { include_usage: true } }
const MODELS = testConfig({
  m: { ordinary: [''], official: [''] },
  down: { ordinary: ['status=500'], official: [''] },
  retried: { ordinary: ['drop-connection', 'error-first', ''] },
  'dear-backup': { ordinary: ['status=503', ''] },
})

const ENDINGS: ReadonlyArray<readonly [sandbox: string, body: object]> = [
  ['', {}],
  ['', STREAM],
  ['status=500', {}],
  ['drop-connection', STREAM],
  ['error-first', STREAM],
  ['words=20, delay=0, cut=7', STREAM],
  ['error-event=7', STREAM],
  ['empty', {}],
  ['no-usage', STREAM],
  ['zero-usage', {}],
  ['garbage', {}],
  ['html', STREAM],
  ['redirect', {}],
  ['usage.completion_tokens=1e400', {}],
  ['usage.completion_tokens=99999999', STREAM],
  ['ignore-max', STREAM],
  ['status=400', {}],
]

async function sum(forge: Forge, account: Account, sql: string): Promise<bigint> {
  const row = await forge.owner.one<{ total: bigint | null }>(sql, [account.orgId])
  return row.total ?? 0n
}

test('the complaints that must be impossible', async (t) => {
  const forge = await startForge(t, { config: MODELS })

  await t.test('complaint 1: a hold always comes back, however the request ended', async () => {
    const account = await forge.account()
    for (const [sandbox, body] of ENDINGS) {
      await ask(forge, account, { model: 'm', sandbox, body })
      assert.equal((await forge.balance(account.orgId, 'rmb')).held, 0n, sandbox)
    }
    for (let turn = 0; turn < 5; turn++) {
      const stop = new AbortController()
      const pending = forge
        .chat(account.key, bodyOf({ model: 'm', sandbox: 'words=200, delay=2', body: STREAM }), {
          signal: stop.signal,
        })
        .catch(() => null)
      await new Promise((resolve) => setTimeout(resolve, turn * 8))
      stop.abort()
      await pending
    }
    await forge.settled()
    assert.equal((await forge.balance(account.orgId, 'rmb')).held, 0n)
    assert.equal(forge.app.gateway.openHolds(), 0)
  })

  await t.test('complaint 2: no balance goes below zero, however many spend it at once', async () => {
    // One request holds at most 0.0012 and spends about 0.0003.
    const account = await forge.account({ grants: { rmb: '0.01' } })
    const responses = await Promise.all(
      Array.from({ length: 80 }, (_, i) =>
        forge.chat(account.key, bodyOf({ model: 'm', sandbox: 'words=20', body: i % 2 === 0 ? STREAM : {} })),
      ),
    )
    await Promise.all(responses.map((response) => response.text()))
    const statuses = new Map<number, number>()
    for (const { status } of responses) statuses.set(status, (statuses.get(status) ?? 0) + 1)
    assert.deepEqual([...statuses.keys()].sort(), [200, 429])
    await forge.settled()
    const balance = await forge.balance(account.orgId, 'rmb')
    assert.ok(balance.posted >= 0n && balance.held === 0n)
    const lowest = await forge.owner.one<{ lowest: bigint }>(
      `select min(e.balance_after) as lowest from ledger.entry e where e.org_id = $1 and e.balance_after is not null`,
      [account.orgId],
    )
    assert.ok(lowest.lowest >= 0n)
  })

  await t.test(
    'complaint 3: what is deducted is what answer, stream, header, receipt and ledger say',
    async () => {
      const account = await forge.account()
      for (const body of [{}, STREAM]) {
        const told = await ask(forge, account, { model: 'm', body })
        const total = formatNano(told.before - told.after)
        assert.equal(told.receipt.charge?.total, total)
        assert.equal(
          'stream' in body ? usageOf(told.json)?.tf?.charge : told.headers.get('x-tf-charge'),
          total,
        )
        const stored = await forge.owner.one<{ charge: bigint }>(
          'select charge from ledger.receipt where org_id = $1 order by id desc limit 1',
          [account.orgId],
        )
        assert.equal(formatNano(stored.charge), total)
        assertMoney(told)
      }
    },
  )

  await t.test('complaint 4: no money moves without a receipt that tells the usage', async () => {
    const account = await forge.account()
    for (const [sandbox, body] of ENDINGS) await ask(forge, account, { model: 'm', sandbox, body })
    await forge.settled()
    const lost = await forge.owner.query(
      `select t.id from ledger.transfer t left join ledger.receipt r on r.org_id = t.org_id and r.id = (left(t.id::text, 35) || '0')::uuid
       where t.org_id = $1 and t.kind = 'charge' and (r.id is null or r.document::json -> 'usage' is null)`,
      [account.orgId],
    )
    assert.deepEqual(lost, [])
    const spent = await sum(
      forge,
      account,
      `select sum(-amount)::bigint as total from ledger.transfer where org_id = $1 and kind = 'charge'`,
    )
    const told = await sum(
      forge,
      account,
      'select sum(charge)::bigint as total from ledger.receipt where org_id = $1',
    )
    assert.equal(spent, told)
    assert.equal((parseNano('10') ?? 0n) - (await forge.balance(account.orgId, 'rmb')).posted, spent)
  })

  await t.test(
    'complaint 5: one answer is charged once, however many attempts and repeats it took',
    async () => {
      const account = await forge.account()
      const told = await ask(forge, account, { model: 'retried', headers: { 'idempotency-key': 'once' } })
      assert.equal(told.receipt.attempts.length, 3)
      const again = await ask(forge, account, { model: 'retried', headers: { 'idempotency-key': 'once' } })
      assert.equal(again.before, again.after)
      assert.equal(again.headers.get('x-request-id'), told.headers.get('x-request-id'))
      const charges = await sum(
        forge,
        account,
        `select count(*)::bigint as total from ledger.transfer where org_id = $1 and kind = 'charge'`,
      )
      assert.equal(charges, 1n)
      assertMoney(told)
    },
  )

  await t.test('complaint 6: a database that goes away in mid-request costs no spend', async () => {
    const account = await forge.account()
    const before = (await forge.balance(account.orgId, 'rmb')).posted
    const response = await forge.chat(
      account.key,
      bodyOf({ model: 'm', sandbox: 'words=40, delay=5', body: STREAM }),
    )
    await forge.owner.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name like 'forge%'`,
    )
    const text = await response.text()
    assert.ok(text.includes('[DONE]'))
    const receipt = await forge.receipt(response.headers.get('x-request-id'))
    assert.equal(receipt.settlement, 'completed_reported')
    assert.equal(before - (await forge.balance(account.orgId, 'rmb')).posted, chargeNano(receipt))
    assert.ok(chargeNano(receipt) > 0n)
  })

  await t.test('complaint 7: cached tokens are charged once, and no class is ever negative', async () => {
    const account = await forge.account()
    const text = 'The same long beginning again. '.repeat(180)
    await ask(forge, account, { model: 'm', text })
    for (const sandbox of [
      undefined,
      'usage-deepseek',
      'usage.prompt_tokens_details.cached_tokens=999999',
      'usage.prompt_tokens=0',
    ]) {
      const told = await ask(forge, account, {
        model: 'm',
        text,
        ...(sandbox === undefined ? {} : { sandbox }),
      })
      const usage = told.receipt.usage
      for (const count of [usage?.input, usage?.cache_read, usage?.output]) assert.ok((count ?? 0) >= 0)
      const reported = usageOf(told.json)
      if (sandbox === undefined || sandbox === 'usage-deepseek') {
        assert.equal((usage?.input ?? 0) + (usage?.cache_read ?? 0), reported?.prompt_tokens)
        assert.ok((usage?.cache_read ?? 0) > 0)
      }
      assert.equal(
        chargeNano(told.receipt),
        priceNano(usage?.input ?? 0, usage?.output ?? 0, usage?.cache_read ?? 0),
      )
      assertMoney(told)
    }
  })

  await t.test(
    'complaint 8: empty answers cost nothing, and what reached a caller who left is charged',
    async () => {
      const account = await forge.account()
      for (const body of [{}, STREAM])
        assert.equal((await ask(forge, account, { model: 'm', sandbox: 'empty', body })).receipt.charge, null)
      const stop = new AbortController()
      const before = (await forge.balance(account.orgId, 'rmb')).posted
      const response = await forge.chat(
        account.key,
        bodyOf({ model: 'm', sandbox: 'words=90, delay=5', body: STREAM }),
        { signal: stop.signal },
      )
      await response.body?.getReader().read()
      stop.abort()
      const receipt = await forge.receipt(response.headers.get('x-request-id'))
      const paid = before - (await forge.balance(account.orgId, 'rmb')).posted
      assert.equal(paid, chargeNano(receipt))
      assert.ok(paid > 0n && paid < priceNano(400, 100))
      assert.equal(receipt.settlement, 'client_left')
    },
  )

  await t.test(
    'complaint 9: a fallback costs the price of its route and comes out of its balance',
    async () => {
      const account = await forge.account({ key: { allowCrossBalance: true } })
      const backup = await ask(forge, account, { model: 'dear-backup' })
      assert.equal(backup.receipt.fallback, true)
      assert.equal(backup.receipt.crossed_balance, false)
      assert.equal(
        chargeNano(backup.receipt),
        priceNano(usageOf(backup.json)?.prompt_tokens ?? 0, usageOf(backup.json)?.completion_tokens ?? 0),
      )
      const rmb = await forge.balance(account.orgId, 'rmb')
      const crossed = await ask(forge, account, { model: 'down', bucket: 'credit' })
      assert.deepEqual(
        [crossed.receipt.charge?.bucket, crossed.receipt.charge?.currency, crossed.receipt.crossed_balance],
        ['credit', 'USD', true],
      )
      assert.deepEqual(await forge.balance(account.orgId, 'rmb'), rmb)
      assertMoney(crossed)
      const without = await forge.account()
      const stayed = await ask(forge, without, { model: 'down', bucket: 'credit' })
      assert.equal(stayed.status, 502)
      assertMoney(stayed)
    },
  )

  await t.test('complaint 10: money that is added twice under one id is added once', async () => {
    const account = await forge.account({ grants: { rmb: '1' } })
    const accountId = await forge.app.accounts.open(account.orgId, 'rmb', 'CNY')
    const op = {
      kind: 'topup',
      orgId: account.orgId,
      id: account.projectId,
      accountId,
      amountNano: 5_000_000_000n,
      reason: 'order',
    } as const
    const results = await Promise.all(Array.from({ length: 20 }, () => forge.app.writer.submit(op)))
    assert.equal(results.filter((result) => result.verdict === 'done').length, 1)
    assert.equal(results.filter((result) => result.verdict === 'repeated').length, 19)
    assert.equal((await forge.balance(account.orgId, 'rmb')).posted, 6_000_000_000n)
  })

  await forge.settled()
  await forge.audit()
})
