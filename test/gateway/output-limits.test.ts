import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startForge, testConfig } from '../forge.ts'
import { ask, assertMoney, contentOf, customerReceipt, errorOf } from './ask.ts'

test('A3: without a limit of its own a request is bound by the model and by what the balance affords', async (t) => {
  const forge = await startForge(t, {
    config: testConfig({
      m: { ordinary: [''], maxOutput: 3_000 },
      endless: { ordinary: ['ignore-max'], maxOutput: 300 },
    }),
  })

  await t.test("the hold covers the model's limit, and n choices are held n times", async () => {
    const account = await forge.account()
    const one = await ask(forge, account, { model: 'm', body: { max_tokens: undefined } })
    const four = await ask(forge, account, { model: 'm', body: { max_tokens: undefined, n: 4 } })
    assert.equal(one.headers.get('x-tf-max-output-tokens'), null)
    const held = (told: typeof one): number => Math.round(Number(told.receipt.hold?.amount) * 1e5)
    assert.equal(held(one), 3_000 + Math.round((held(one) - 3_000) * 1))
    assert.ok(held(four) > 4 * 3_000 && held(four) < 4 * 3_000 + 300)
  })

  await t.test('a poor balance lowers the limit, tells it upstream and to the caller', async () => {
    const account = await forge.account({ grants: { rmb: '0.02' } })
    const told = await ask(forge, account, { model: 'm', body: { max_tokens: 2_500 }, sandbox: 'words=4000' })
    assert.equal(told.status, 200)
    const limit = Number(told.headers.get('x-tf-max-output-tokens'))
    assert.ok(limit >= 1_024 && limit < 2_000, `${limit}`)
    assert.equal(told.receipt.max_output_tokens, limit)
    assert.equal(told.receipt.max_output_tokens_lowered, true)
    const sent = forge.sandbox.requests.all().at(-1)?.body as { max_tokens: number }
    assert.equal(sent.max_tokens, limit)
    assert.equal(told.json[0]?.choices?.[0]?.finish_reason, 'length')
    assert.ok(told.after >= 0n)
    assertMoney(told)
  })

  await t.test('both names of the limit are lowered, so that no upstream reads the other one', async () => {
    const account = await forge.account({ grants: { rmb: '0.02' } })
    const told = await ask(forge, account, {
      model: 'm',
      body: { max_tokens: 2_500, max_completion_tokens: 2_600 },
    })
    assert.equal(told.status, 200)
    const sent = forge.sandbox.requests.all().at(-1)?.body as Record<string, number>
    assert.equal(sent['max_tokens'], sent['max_completion_tokens'])
    assert.equal(sent['max_tokens'], told.receipt.max_output_tokens)
  })

  await t.test("an endless stream without a limit stops at the model's", async () => {
    const account = await forge.account()
    const told = await ask(forge, account, {
      model: 'endless',
      body: { max_tokens: undefined, stream: true },
    })
    assert.equal(told.receipt.settlement, 'cut_at_limit')
    assert.equal(told.receipt.usage?.output, 300)
    assert.ok(contentOf(told.json).length < 300 * 4 * 2)
    assertMoney(told)
  })

  await t.test('what cannot even pay the smallest window is told what is missing', async () => {
    const account = await forge.account({ grants: { rmb: '0.005' } })
    const told = await ask(forge, account, { model: 'm', body: { max_tokens: 2_500 } })
    const error = errorOf(told)
    assert.deepEqual(
      [told.status, error.code, error.type, error.reason],
      [429, 'insufficient_quota', 'insufficient_quota', 'insufficient_balance'],
    )
    assert.equal(told.headers.get('x-should-retry'), 'false')
    assert.equal(error.ledger?.['bucket'], 'rmb')
    assert.equal(error.ledger?.['available'], '0.005')
    assert.ok(Number(error.ledger?.['missing']) > 0)
    assertMoney(told)
  })

  await t.test('a balance that is only held says by how many running requests', async () => {
    const account = await forge.account({ grants: { rmb: '0.02' } })
    const stop = new AbortController()
    const running = await forge.chat(
      account.key,
      {
        model: 'm',
        max_tokens: 1_800,
        stream: true,
        messages: [{ role: 'user', content: '[[sandbox: words=500, delay=20]]' }],
      },
      { signal: stop.signal },
    )
    const told = await ask(forge, account, { model: 'm', body: { max_tokens: 1_500 } })
    stop.abort()
    await running.text().catch(() => '')
    const error = errorOf(told)
    assert.deepEqual([told.status, error.code, error.reason], [429, 'insufficient_quota', 'balance_held'])
    assert.equal(error.ledger?.['running_requests'], 1)
    assert.equal((await customerReceipt(forge, account, error.request_id)).error?.code, 'balance_held')
  })

  await forge.settled()
  await forge.audit()
})
