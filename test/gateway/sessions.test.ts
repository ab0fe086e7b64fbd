import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RunView } from '../../src/contract/index.ts'
import { startForge, testConfig } from '../forge.ts'

/** What the gateway does for agents, which name their session and try again by themselves. */

const SESSION = '01a22b42-8798-73e3-9cfa-0764f54325cb'
const CODEX = { 'session-id': SESSION }
const CLAUDE = { 'x-claude-code-session-id': SESSION }

const responses = (model: string) => ({ model, input: 'Hello', max_output_tokens: 100 })
const messages = (model: string) => ({
  model,
  max_tokens: 100,
  messages: [{ role: 'user', content: 'Hello' }],
})

test("what is refused belongs to the run of the agent's session, as what is served does", async (t) => {
  const forge = await startForge(t, { config: testConfig({ m: { ordinary: [''] } }) })
  const account = await forge.account()
  const poor = await forge.account({ grants: { rmb: '0.000001' } })
  const cases = [
    ['/v1/responses', account.key, responses('m'), CODEX, null, `codex ${SESSION}`],
    ['/v1/responses', account.key, responses('nothing'), CODEX, 'model_not_found', `codex ${SESSION}`],
    ['/v1/messages', account.key, messages('nothing'), CLAUDE, 'model_not_found', `claude-code ${SESSION}`],
    ['/v1/messages', poor.key, messages('m'), CLAUDE, 'insufficient_balance', `claude-code ${SESSION}`],
  ] as const
  const runs: string[] = []
  for (const [path, key, body, headers, code, run] of cases) {
    const response = await forge.post(path, key, body, headers)
    await response.text()
    const receipt = await forge.receipt(response.headers.get('x-request-id'))
    assert.deepEqual([receipt.error?.code ?? null, receipt.run?.name], [code, run])
    runs.push(receipt.run?.id ?? '')
  }
  const response = await fetch(`${forge.url}/api/v1/runs/${runs[1]}`, {
    headers: { authorization: `Bearer ${account.key}` },
  })
  const { totals, steps } = (await response.json()) as RunView
  const [step, ...others] = steps
  assert.deepEqual([step?.requests, step?.attempts, others], [2, 1, []], 'both are requests of the run')
  assert.deepEqual([Object.keys(totals), totals['rmb']?.requests], [['rmb'], 1], 'one was paid')
  assert.deepEqual(step?.totals, totals)
  await forge.settled()
  await forge.audit()
})

test('an agent whose upstream stays down is told to stop trying, and is served once it is up', async (t) => {
  const down = { protocol: 'openai-responses', ordinary: ['status=500'] }
  const up = { protocol: 'openai-responses', ordinary: [''] }
  const forge = await startForge(t, { config: testConfig({ down, up }) })
  const { key } = await forge.account()
  const ask = async (path: string, body: object, headers: Record<string, string>) => {
    const response = await forge.post(path, key, body, headers)
    const { error } = (await response.json()) as { error?: { code: string; reason: string; message: string } }
    const told = [response.status, response.headers.get('x-should-retry'), error?.code]
    return { told, error }
  }
  const hopeful = [502, 'true', 'upstream_error']
  for (const path of ['/v1/responses', '/v1/messages']) {
    const [body, headers] = path === '/v1/responses' ? [responses, CODEX] : [messages, CLAUDE]
    assert.deepEqual((await ask(path, body('down'), headers)).told, hopeful)
    assert.deepEqual((await ask(path, body('down'), headers)).told, hopeful)
  }
  await sleep(5_050)
  const codex = await ask('/v1/responses', responses('down'), CODEX)
  assert.deepEqual(codex.told, [503, 'false', 'server_is_overloaded'])
  assert.equal(codex.error?.reason, 'upstream_error')
  const told = /nothing was charged\. So it has gone 3 times in (\d+) seconds\./.exec(
    codex.error?.message ?? '',
  )
  // The seconds that went by, which a busy machine makes more of.
  assert.ok(Number(told?.[1]) >= 5, codex.error?.message)
  const claude = await ask('/v1/messages', messages('down'), CLAUDE)
  assert.deepEqual(claude.told, [502, 'false', 'upstream_error'])
  // Another session and another model are not judged by it.
  assert.deepEqual((await ask('/v1/responses', responses('down'), { 'session-id': 'other' })).told, hopeful)
  assert.deepEqual((await ask('/v1/responses', responses('up'), CODEX)).told, [200, null, undefined])
  await forge.settled()
  await forge.audit()
})
