import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { DRAINING_MAX } from '../../src/gateway/draining.ts'
import { startForge, testConfig } from '../forge.ts'
import { ask, errorOf, eventually, withUpstreams } from './ask.ts'
import { chunkOf, FINISH_CHUNK, startStub, usageChunk } from './stub.ts'

const CALLERS = 240

test('callers who leave in crowds get so many answers read to their end, and no more requests until then', async (t) => {
  const ends: ServerResponse[] = []
  let cancelled = 0
  // Everything is said but the usage: what the gateway waits a moment for when its caller leaves.
  const stub = await startStub(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(chunkOf('hello') + FINISH_CHUNK)
    ends.push(res)
    res.on('close', () => {
      if (!res.writableFinished) cancelled++
    })
  })
  const forge = await startForge(t, {
    config: withUpstreams(testConfig({ m: { ordinary: ['stub'] }, ok: { ordinary: [''] } }), {
      stub: stub.url,
    }),
  })
  const [account, other] = [await forge.account({ grants: { rmb: '1000' } }), await forge.account()]
  const leave = new AbortController()
  const answers = await Promise.all(
    Array.from({ length: CALLERS }, async () => {
      const response = await forge.chat(account.key, { model: 'm', stream: true }, { signal: leave.signal })
      const reader = response.body?.getReader()
      await reader?.read()
      return response
    }),
  )
  assert.ok(answers.every(({ status }) => status === 200))
  await eventually('all streams', () => (ends.length === CALLERS ? true : null))
  leave.abort()
  await eventually('the rest to be cancelled', () => (cancelled >= CALLERS - DRAINING_MAX ? true : null))
  assert.equal(forge.app.gateway.draining.size, DRAINING_MAX)
  assert.equal(forge.app.gateway.draining.cancelled, CALLERS - DRAINING_MAX)
  const refused = await ask(forge, account, { model: 'ok' })
  assert.equal(refused.status, 429)
  assert.equal(errorOf(refused).reason, 'too_many_draining')
  assert.deepEqual([refused.headers.get('retry-after'), refused.headers.get('x-should-retry')], ['1', 'true'])
  assert.deepEqual([refused.receipt.status, refused.receipt.charge], ['refused', null])
  assert.equal((await ask(forge, other, { model: 'ok' })).status, 200, 'others are none of it')
  for (const res of ends) if (!res.destroyed) res.end(`${usageChunk(7, 3)}data: [DONE]\n\n`)
  await eventually('the drains to end', () => (forge.app.gateway.draining.size === 0 ? true : null))
  assert.equal((await ask(forge, account, { model: 'ok' })).status, 200)
  await forge.settled()
  const rows = await forge.owner.query<{ source: string; n: number }>(
    `select document::json -> 'usage' ->> 'source' as source, count(*)::int as n from ledger.receipt
      where model = 'm' group by 1 order by 1`,
  )
  const counted = Object.fromEntries(rows.map(({ source, n }) => [source, n]))
  assert.equal((counted['estimated'] ?? 0) + (counted['reported'] ?? 0), CALLERS, 'nothing is given away')
  assert.ok((counted['estimated'] ?? 0) >= CALLERS - DRAINING_MAX, 'what was not waited for is counted here')
  await forge.audit()
})
