import assert from 'node:assert/strict'
import { test } from 'node:test'

import { parseJson } from '../kernel/index.ts'
import { startSandbox } from './index.ts'

const BODY = JSON.stringify({ model: 'gpt-4.1', messages: [{ role: 'user', content: 'Hi' }] })
const STREAM = JSON.stringify({
  model: 'gpt-4.1',
  stream: true,
  messages: [{ role: 'user', content: 'write 400 words' }],
})

function post(base: string, body = BODY, signal?: AbortSignal): Promise<Response> {
  const init = { method: 'POST', body, headers: { authorization: 'Bearer sk-1' } }
  return fetch(`${base}/v1/chat/completions`, signal === undefined ? init : { ...init, signal })
}

test('a request is recorded with its headers, body and ending', async () => {
  await using sandbox = await disposable({ record: true })
  await (await post(sandbox.url)).text()
  const request = await sandbox.requests.waitFor((one) => one.status === 200)
  await request.finished
  assert.equal(request.method, 'POST')
  assert.equal(request.path, '/v1/chat/completions')
  assert.equal(request.headers.authorization, 'Bearer sk-1')
  assert.equal(request.bodyText, BODY)
  assert.deepEqual({ ok: true, value: request.body }, parseJson(BODY))
  assert.equal(request.closedEarly, false)
})

test('bodies are kept only when that is asked for', async () => {
  await using sandbox = await disposable({})
  await (await post(sandbox.url)).text()
  assert.equal(sandbox.requests.all()[0]?.bodyText, '')
})

test('the newest thousand requests are kept, oldest first', async () => {
  await using sandbox = await disposable({})
  for (let round = 0; round < 26; round++) {
    const batch = Array.from({ length: 40 }, (_, i) => fetch(`${sandbox.url}/healthz?${round * 40 + i}`))
    await Promise.all((await Promise.all(batch)).map((answer) => answer.text()))
  }
  assert.equal(sandbox.requests.count, 1040)
  const kept = sandbox.requests.all()
  assert.equal(kept.length, 1000)
  assert.ok(kept.slice(-40).every((one) => /\?10[0-3]\d$/.test(one.path)))
})

test('a caller that leaves stops the stream and shows as closed early', async () => {
  await using sandbox = await disposable({})
  const leave = new AbortController()
  const answer = await post(sandbox.with('delay=5'), STREAM, leave.signal)
  await answer.body?.getReader().read()
  leave.abort()
  const request = await sandbox.requests.waitFor((one) => one.closedEarly)
  await request.finished
  assert.ok(request.eventsSent < 100, String(request.eventsSent))
})

test('a caller that does not read is not written to without end', async () => {
  await using sandbox = await disposable({})
  const leave = new AbortController()
  const answer = await post(sandbox.with('ignore-max'), STREAM, leave.signal)
  assert.equal(answer.status, 200)
  const request = await sandbox.requests.waitFor((one) => one.status === 200)
  const settled = async (): Promise<number> => {
    for (let before = -1; ; ) {
      if (request.eventsSent === before && before > 0) return before
      before = request.eventsSent
      await new Promise((resolve) => setTimeout(resolve, 40))
    }
  }
  const sent = await settled()
  await new Promise((resolve) => setTimeout(resolve, 40))
  assert.equal(request.eventsSent, sent)
  leave.abort()
  await request.finished
})

test('close ends every connection, also one that hangs, and refuses those who wait', async () => {
  const sandbox = await startSandbox()
  const hanging = post(sandbox.with('hang'))
  const dripping = post(sandbox.with('delay=1000'), STREAM).then((answer) => answer.text())
  await sandbox.requests.waitFor((one) => one.path.includes('delay'))
  const refused = [
    assert.rejects(hanging),
    assert.rejects(dripping),
    assert.rejects(
      sandbox.requests.waitFor(() => false),
      /closed/,
    ),
  ]
  await sandbox.close()
  await Promise.all(refused)
  await assert.rejects(post(sandbox.url))
})

test('waiting for a request that never comes ends with an error', async () => {
  await using sandbox = await disposable({})
  await assert.rejects(
    sandbox.requests.waitFor(() => false, { timeoutMs: 20 }),
    /waited 20 ms/,
  )
})

async function disposable(options: Parameters<typeof startSandbox>[0]) {
  const sandbox = await startSandbox(options)
  return { ...sandbox, [Symbol.asyncDispose]: () => sandbox.close() }
}
