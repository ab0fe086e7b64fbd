import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Receipt, receiptSchema } from '../../src/contract/index.ts'
import { startForge, testConfig } from '../forge.ts'
import { ask, bodyOf, OPERATOR_TOKEN, receiptAs } from './ask.ts'

const STREAM = { stream: true, stream_options: { include_usage: true } }

test('receipts as customers and operators read them', async (t) => {
  const forge = await startForge(t, {
    config: testConfig({ m: { ordinary: ['status=500', ''], official: [''] } }),
  })
  const account = await forge.account()

  await t.test('a running request has a pending receipt that says what is set aside', async () => {
    const stop = new AbortController()
    const response = await forge.chat(
      account.key,
      bodyOf({ model: 'm:official', sandbox: 'words=300, delay=20', body: STREAM }),
      { signal: stop.signal },
    )
    const id = response.headers.get('x-request-id')
    const read = await receiptAs(forge, id, account.key)
    assert.equal(read.status, 200)
    const pending = receiptSchema.parse(await read.json())
    assert.deepEqual(
      [pending.status, pending.hold?.state, pending.charge, pending.settlement, pending.finished_at],
      ['pending', 'open', null, null, null],
    )
    assert.equal(pending.decision?.bucket, 'credit')
    assert.match(pending.explanation.en, /^The request is running: USD [\d.]+ of Credit is set aside/)
    const other = await forge.account()
    assert.equal((await receiptAs(forge, id, other.key)).status, 404, 'another customer sees nothing of it')
    stop.abort()
    const ended = await forge.receipt(id)
    assert.equal(ended.status, 'cancelled')
    assert.deepEqual([ended.id, ended.created_at], [pending.id, pending.created_at])
  })

  await t.test('every reading gives the same document, in each view', async () => {
    const told = await ask(forge, account, {
      model: 'm',
      headers: { 'x-tf-run': 'nightly', 'x-tf-step': 'draft' },
    })
    const id = told.headers.get('x-request-id')
    for (const token of [account.key, OPERATOR_TOKEN]) {
      const once = await (await receiptAs(forge, id, token)).text()
      assert.equal(await (await receiptAs(forge, id, token)).text(), once)
      const receipt = JSON.parse(once) as Receipt
      receiptSchema.parse(receipt)
      assert.deepEqual(
        [receipt.run?.name, receipt.run?.step, receipt.object, receipt.version],
        ['nightly', 'draft', 'receipt', 1],
      )
      assert.equal(receipt.id, id)
    }
  })

  await t.test('a customer never sees the names of channels; an operator does', async () => {
    const told = await ask(forge, account, { model: 'm' })
    const id = told.headers.get('x-request-id')
    const own = await (await receiptAs(forge, id, account.key)).text()
    assert.ok(!own.includes('m-ordinary-') && own.includes('Public 0') && own.includes('Public 1'))
    const all = await (await receiptAs(forge, id, OPERATOR_TOKEN)).text()
    assert.ok(all.includes('m-ordinary-0') && all.includes('m-ordinary-1'))
    for (const text of [own, all]) assert.ok(!text.includes('UPSTREAM-SECRET') && !text.includes('127.0.0.1'))
  })

  await t.test('the explanation tells who paid what and why, in both languages', async () => {
    const told = await ask(forge, account, { model: 'm' })
    const { explanation, charge } = told.receipt
    assert.ok(explanation.en.startsWith(`RMB wallet paid CNY ${charge?.total}, because the ordinary route`))
    assert.match(
      explanation.en,
      /The primary channel Public 0 answered 500; then backup 1 Public 1 served it\./,
    )
    assert.ok(explanation.zh.includes(`CNY ${charge?.total}`) && explanation.zh.includes('普通线路'))
  })

  await forge.settled()
  await forge.audit()
})
