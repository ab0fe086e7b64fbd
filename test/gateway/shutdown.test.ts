import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startForge, testConfig } from '../forge.ts'

test('a ledger that answers no more keeps the process for a while and not for ever', async (t) => {
  const forge = await startForge(t, { config: testConfig({ m: { ordinary: [''] } }) })
  const account = await forge.account()
  const accountId = await forge.app.accounts.open(account.orgId, 'rmb', 'CNY')
  await forge.owner.tx(async (blocker) => {
    await blocker.query('lock table ledger.account in access exclusive mode')
    forge.app.writer.enqueue(
      { kind: 'grant', orgId: account.orgId, id: account.keyId, accountId, amountNano: 1n, reason: 'late' },
      true,
      () => {},
      () => {},
    )
    // A transaction that says nothing for long is ended by the server, and with it the lock.
    const busy = setInterval(() => void blocker.query('select 1'), 1_000)
    const startedMs = performance.now()
    await forge.app.close(100)
    clearInterval(busy)
    const tookMs = performance.now() - startedMs
    assert.ok(tookMs > 9_000 && tookMs < 60_000, `${tookMs} ms`)
  })
})
