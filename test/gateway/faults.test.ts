import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { type TestContext, test } from 'node:test'
import { startForge, testConfig } from '../forge.ts'
import { ask, assertMoney, bodyOf, errorOf, eventually, withUpstreams } from './ask.ts'
import { chunkOf, startStub } from './stub.ts'

const STREAM = { stream: true, stream_options: { include_usage: true } }

test('an upstream that is too slow is left at the limit that was passed, and named', async (t) => {
  const timeouts = { connect_ms: 300, first_token_ms: 300, idle_ms: 120, total_ms: 700 }
  const forge = await startForge(t, { config: testConfig({ m: { ordinary: [''], timeouts } }) })
  const account = await forge.account()
  const cases = [
    ['hang', STREAM, 504, 'first_token_timeout', 'failed_before_output', 250, 600],
    ['hang', {}, 504, 'total_timeout', 'failed_before_output', 650, 1_100],
    ['slow-headers=2000', STREAM, 504, 'first_token_timeout', 'failed_before_output', 250, 600],
    ['first-token=2000', STREAM, 504, 'first_token_timeout', 'failed_before_output', 250, 600],
    ['comments, first-token=2000', STREAM, 504, 'first_token_timeout', 'failed_before_output', 250, 600],
    ['words=30, delay=200', STREAM, 200, 'idle_timeout', 'failed_after_output', 250, 650],
    ['words=400, delay=20', STREAM, 200, 'total_timeout', 'failed_after_output', 650, 1_100],
  ] as const
  for (const [sandbox, body, status, code, settlement, leastMs, mostMs] of cases)
    await t.test(`${sandbox} ${JSON.stringify(body)}: ${code}`, async () => {
      const late = monitorEventLoopDelay({ resolution: 5 })
      late.enable()
      const startedMs = performance.now()
      const told = await ask(forge, account, { model: 'm', sandbox, body })
      const spentMs = performance.now() - startedMs
      late.disable()
      // A machine that is late with everything is late here too, and by no more than it is late.
      const lateMs = 8 * (late.max / 1e6)
      assert.equal(told.status, status)
      assert.equal(told.receipt.settlement, settlement)
      assert.equal(told.receipt.attempts[0]?.code, code)
      assert.equal(told.receipt.attempts[0]?.result, 'timeout')
      assert.equal(errorOf(told).code, 'upstream_timeout')
      const tookMs = told.receipt.latency_ms ?? 0
      assert.ok(tookMs >= leastMs && tookMs < mostMs + lateMs, `${tookMs} ms`)
      assert.ok(spentMs < mostMs + 300 + lateMs, `${spentMs} ms`)
      assertMoney(told)
    })
  await forge.settled()
  assert.ok(
    forge.sandbox.requests
      .all()
      .every((request) => request.closedEarly || request.status === 0 || request.status === 200),
  )
  await forge.audit()
})

/** A port that listens but takes no connection: its process is stopped, and the kernel's queue for it is full. */
async function startFullServer(t: TestContext): Promise<string> {
  const program = `require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, function () { console.log(this.address().port) })`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  const fillers: Socket[] = []
  t.after(() => {
    for (const socket of fillers) socket.destroy()
    child.kill('SIGKILL')
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  child.kill('SIGSTOP')
  const port = Number(line.toString().trim())
  for (let i = 0; i < 6; i++) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    fillers.push(socket)
  }
  await new Promise((resolve) => setTimeout(resolve, 50))
  return `http://127.0.0.1:${port}/v1`
}

test('an upstream that takes no connection is given up at its connect limit; one that refuses, at once', async (t) => {
  const full = await startFullServer(t)
  const closed = createServer()
  await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve))
  const closedAddress = closed.address()
  assert.ok(closedAddress !== null && typeof closedAddress === 'object')
  await new Promise((resolve) => closed.close(resolve))
  const timeouts = { connect_ms: 300, total_ms: 6_000 }
  const models = testConfig({ refusing: { ordinary: ['closed'] }, full: { ordinary: ['full'], timeouts } })
  const forge = await startForge(t, {
    config: withUpstreams(models, { closed: `http://127.0.0.1:${closedAddress.port}/v1`, full }),
  })
  const account = await forge.account()
  for (const body of [STREAM, {}]) {
    const refusing = await ask(forge, account, { model: 'refusing', body })
    assert.deepEqual([refusing.status, refusing.receipt.attempts[0]?.code], [502, 'connection_refused'])
    assert.ok((refusing.receipt.latency_ms ?? 0) < 300)
    assertMoney(refusing)
    const hanging = await ask(forge, account, { model: 'full', body })
    assert.deepEqual([hanging.status, hanging.receipt.attempts[0]?.code], [504, 'connect_timeout'])
    assert.equal(hanging.receipt.attempts[0]?.result, 'timeout')
    // Undici's connect timer steps coarsely.
    assert.ok((hanging.receipt.latency_ms ?? 0) < 2_500, 'well before the total limit')
    assertMoney(hanging)
  }
  await forge.settled()
  await forge.audit()
})

test('the next channel is tried only before the first byte of content, in the order of priorities', async (t) => {
  const forge = await startForge(t, {
    config: testConfig({
      before: { ordinary: ['error-first', 'end-early=1, delay=0', 'html', 'garbage', 'redirect', ''] },
      seven: {
        ordinary: ['status=500', 'status=500', 'status=500', 'status=500', 'status=500', 'status=500', ''],
      },
      after: { ordinary: ['words=20, delay=0, cut=6', ''] },
      final: { ordinary: ['status=400', ''] },
      busy: { ordinary: ['status=429, retry-after=7', 'status=503, retry-after=3'] },
      hidden: { ordinary: ['status=401', 'status=402', 'status=403', 'status=404', 'status=429, quota', ''] },
    }),
  })
  const account = await forge.account()

  await t.test('every fault before content goes on to the next', async () => {
    for (const body of [STREAM, {}]) {
      const told = await ask(forge, account, { model: 'before', body })
      assert.equal(told.status, 200)
      const results = told.receipt.attempts.map((attempt) => attempt.role)
      assert.deepEqual(
        results.slice(0, 2),
        ['primary', ...('stream' in body ? ['backup 1'] : ['backup 1'])].slice(0, results.length),
      )
      assert.equal(told.receipt.attempts.filter((attempt) => attempt.billed).length, 1)
      assertMoney(told)
    }
    const redirected = forge.sandbox.requests.all().filter((request) => request.status === 307).length
    const tried = forge.sandbox.requests.all().filter((request) => request.path.includes('redirect')).length
    assert.equal(redirected, tried, 'a redirect is never followed')
  })

  await t.test('attempts end at the ceiling', async () => {
    const told = await ask(forge, account, { model: 'seven' })
    assert.equal(told.status, 502)
    assert.equal(told.receipt.attempts.length, 6)
    assert.equal(told.receipt.decision?.candidates.at(-1)?.reason, 'the attempt limit was reached')
    assertMoney(told)
    const strict = await forge.account({ key: { maxAttempts: 2 } })
    const capped = await ask(forge, strict, { model: 'seven' })
    assert.equal(capped.receipt.attempts.length, 2)
    assert.equal(capped.headers.get('x-tf-attempts'), '2')
  })

  await t.test('after content there is no second attempt, and the stream says that it failed', async () => {
    const told = await ask(forge, account, { model: 'after', body: STREAM })
    assert.equal(told.receipt.attempts.length, 1)
    assert.equal(errorOf(told).code, 'upstream_error')
    assert.equal(
      told.receipt.decision?.candidates.at(-1)?.reason,
      'too late: a part of the answer had been delivered',
    )
    assertMoney(told)
  })

  await t.test('what the caller did wrong is told at once: no other channel is asked', async () => {
    const told = await ask(forge, account, { model: 'final' })
    assert.deepEqual(
      [told.status, errorOf(told).code, told.receipt.attempts.length],
      [400, 'upstream_rejected', 1],
    )
    assert.equal(told.headers.get('x-should-retry'), 'false')
    assert.match(errorOf(told).message, /told to find this request invalid/)
    assert.equal(told.receipt.decision?.candidates.at(-1)?.reason, 'the request was refused before')
    assertMoney(told)
  })

  await t.test('channels over their limit: 503 with the shortest wait', async () => {
    const told = await ask(forge, account, { model: 'busy' })
    assert.deepEqual(
      [told.status, errorOf(told).code, told.headers.get('retry-after')],
      [503, 'overloaded', '3'],
    )
    assert.equal(told.headers.get('x-should-retry'), 'true')
    assertMoney(told)
  })

  await t.test(
    "trouble with the operator's own account is never the caller's: the next channel serves",
    async () => {
      const told = await ask(forge, account, { model: 'hidden' })
      assert.equal(told.status, 200)
      assert.deepEqual(
        told.receipt.attempts.map((attempt) => attempt.status),
        [401, 402, 403, 404, 429, 200],
      )
      assertMoney(told)
    },
  )

  await forge.settled()
  await forge.audit()
})

test('weights share the traffic of one priority; a backup is last whatever its weight', async (t) => {
  const config = testConfig({ m: { ordinary: ['words=1', 'words=1', 'words=1'] } }) as {
    models: { m: { routes: { ordinary: { channels: Array<Record<string, unknown>> } } } }
  }
  for (const [i, weight] of [3, 1, 1_000].entries())
    Object.assign(config.models.m.routes.ordinary.channels[i] ?? {}, { weight, priority: i === 2 ? 1 : 0 })
  const forge = await startForge(t, { config })
  const account = await forge.account()
  const channels: string[] = []
  for (let turn = 0; turn < 10; turn++) {
    const batch = await Promise.all(
      Array.from({ length: 20 }, () =>
        forge.chat(account.key, bodyOf({ model: 'm', body: { max_tokens: 2 } })),
      ),
    )
    for (const response of batch) {
      await response.text()
      channels.push(response.headers.get('x-tf-channel') ?? '')
    }
  }
  const share = channels.filter((name) => name === 'Public 0').length / channels.length
  // 200 draws of 3 : 1; five standard deviations.
  assert.ok(Math.abs(share - 0.75) < 0.155, `${share}`)
  assert.ok(!channels.includes('Public 2'))
  await forge.settled()
  await forge.audit()
})

test('a caller that does not read holds back the upstream, not the memory of the gateway', async (t) => {
  let sent = 0
  const stub = await startStub(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    const event = chunkOf('x'.repeat(20_000))
    const pour = (): void => {
      while (!res.destroyed && sent < 400_000_000) {
        sent += event.length
        if (!res.write(event)) {
          res.once('drain', pour)
          return
        }
      }
    }
    pour()
  })
  const forge = await startForge(t, {
    config: withUpstreams(
      testConfig({ m: { ordinary: ['stub'], context: 200_000_000, maxOutput: 100_000_000 } }),
      { stub: stub.url },
    ),
  })
  const account = await forge.account({ grants: { rmb: '100000' } })
  const { port } = new URL(forge.url)
  const socket = connect(Number(port), '127.0.0.1')
  socket.pause()
  const body = JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'x' }], stream: true })
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${account.key}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  await eventually('the first bytes', () => (sent > 0 ? true : null))
  let last = -1
  const beforeBytes = process.memoryUsage().rss
  await eventually('the upstream to be held back', async () => {
    if (sent === last) return true
    last = sent
    await new Promise((resolve) => setTimeout(resolve, 100))
    return null
  })
  assert.ok(sent < 60_000_000, `${sent} bytes were taken from the upstream`)
  assert.ok(process.memoryUsage().rss - beforeBytes < 150_000_000)
  socket.destroy()
  await forge.settled()
  await forge.audit()
})

test('an idle upstream is noticed in time also after a caller that read slowly', async (t) => {
  const stub = await startStub(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    // More than the sockets between take, so that the gateway must pause; then nothing more.
    for (let i = 0; i < 600; i++) res.write(chunkOf('y'.repeat(20_000)))
  })
  const forge = await startForge(t, {
    config: withUpstreams(
      testConfig({
        m: {
          ordinary: ['stub'],
          context: 200_000_000,
          maxOutput: 100_000_000,
          timeouts: { idle_ms: 400, total_ms: 60_000 },
        },
      }),
      { stub: stub.url },
    ),
  })
  const account = await forge.account({ grants: { rmb: '100000' } })
  const startedMs = performance.now()
  await new Promise<void>((resolve, reject) => {
    const req = httpRequest(
      `${forge.url}/v1/chat/completions`,
      { method: 'POST', headers: { authorization: `Bearer ${account.key}` } },
      (res) => {
        res.pause()
        setTimeout(() => res.resume(), 500)
        res.on('end', resolve)
        res.on('error', reject)
      },
    )
    req.on('error', reject)
    req.end(JSON.stringify({ model: 'm', messages: [{ role: 'user', content: 'x' }], stream: true }))
  })
  assert.ok(performance.now() - startedMs < 5_000, 'the idle limit is 400 ms')
  await forge.settled()
  await forge.audit()
})
