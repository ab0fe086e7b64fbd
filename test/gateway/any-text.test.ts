import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { startForge, testConfig } from '../forge.ts'
import { ask, assertMoney } from './ask.ts'

const MODELS = testConfig({ m: { ordinary: [''], official: [''] } })

test('A28: any text goes all the way to PostgreSQL and back', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account({ grants: { rmb: '100', credit: '100' } })
  const HARD = [
    '\u0000',
    '\ud800',
    '\udfff x',
    'a\u202eb\u2066c',
    '😀👩‍👩‍👧‍👦',
    '"\\\u0007',
    '\ufeff\u200b',
    "'; drop table x; --",
    '\r\n\u001b[31m',
  ]

  await t.test('prompts reach the upstream as they are, and never the ledger', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...HARD)), async (text) => {
        const told = await ask(forge, account, { model: 'm', text, body: { max_tokens: 5 } })
        if (text.includes('[[')) return
        assert.equal(told.status, 200)
        const sent = forge.sandbox.requests.all().at(-1)?.body as {
          messages: ReadonlyArray<{ content: string }>
        }
        assert.equal(sent.messages[0]?.content, text)
        assertMoney(told)
      }),
      { numRuns: 30 },
    )
    const stored = await forge.owner.one<{ n: number }>(
      `select count(*)::int as n from ledger.receipt where document like '%drop table%'`,
    )
    assert.equal(stored.n, 0)
  })

  await t.test('model names: refused with a receipt that can be read', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.string({ unit: 'binary', minLength: 1 }), fc.constantFrom(...HARD)),
        async (model) => {
          if (model === 'm') return
          const told = await ask(forge, account, { model })
          assert.ok(told.status === 404, `${told.status}`)
          assert.equal(told.receipt.status, 'refused')
          assert.ok(told.receipt.requested_model?.isWellFormed())
        },
      ),
      { numRuns: 30 },
    )
  })

  await t.test('names of keys, runs and steps: stored clean, and totals can be read', async () => {
    for (const hard of HARD) {
      const made = await forge.app.tenancy
        .createKey({
          projectId: account.projectId,
          label: `k${hard}`,
          policy: 'ordinary_only',
          allowCrossBalance: false,
          models: null,
          routes: null,
          expiresAtMs: null,
        })
        .catch((thrown: unknown) => thrown as Error)
      if (made instanceof Error || made === null) continue
      const header = Buffer.from(`r ${hard}`, 'utf8')
        .toString('latin1')
        .replaceAll(/[^\x20-\x7e\x80-\xff]/g, '')
      const told = await ask(
        forge,
        { ...account, key: made.secret },
        { model: 'm', headers: { 'x-tf-run': header.slice(0, 100), 'x-tf-step': header.slice(0, 100) } },
      )
      assert.equal(told.status, 200, told.text)
      assert.ok(told.receipt.api_key.label.isWellFormed() && !told.receipt.api_key.label.includes('\u0000'))
      const run = await fetch(`${forge.url}/api/v1/runs/${told.receipt.run?.id}`, {
        headers: { authorization: `Bearer ${made.secret}` },
      })
      assert.equal(run.status, 200)
      const { totals } = (await run.json()) as { totals: Record<string, { charged: string }> }
      assert.equal(totals['rmb']?.charged, told.receipt.charge?.total)
    }
  })

  await forge.settled()
  await forge.audit()
})
