import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startForge, testConfig } from './forge.ts'

test('a request leaves one receipt whose lines, balance and entries agree', async (t) => {
  const forge = await startForge(t, { config: testConfig({ 'm-ok': { ordinary: [''], official: [''] } }) })
  const account = await forge.account()
  const response = await forge.chat(account.key, { model: 'm-ok:official' })
  assert.equal(response.status, 200, await response.clone().text())
  const receipt = await forge.receipt(response.headers.get('x-request-id'))
  assert.equal(receipt.status, 'completed')
  assert.equal(receipt.charge?.bucket, 'credit')
  await forge.settled()
  await forge.audit()
})
