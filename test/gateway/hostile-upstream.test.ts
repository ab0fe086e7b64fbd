import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { test } from 'node:test'
import type { Log } from '../../src/kernel/index.ts'
import { startForge, testConfig } from '../forge.ts'
import { ask, assertMoney, customerReceipt, eventsOf, receiptAs, withUpstreams } from './ask.ts'
import { answerBody, chunkOf, FINISH_CHUNK, startRawStub, startStub, usageChunk } from './stub.ts'

const STREAM = { stream: true, stream_options: { include_usage: true } }
const SECRET = 'sk-UPSTREAM-SECRET-0123456789'

function recordingLog(lines: string[]): Log {
  const write = (fields: unknown, message: string): void => {
    lines.push(`${JSON.stringify(fields)} ${message}`)
  }
  return { debug: write, info: write, warn: write, error: write }
}

test("an upstream's words and key reach nobody: not in bodies, headers, receipts or logs", async (t) => {
  const lines: string[] = []
  const faults = [
    ...[400, 401, 402, 403, 404, 413, 422, 429, 500, 503].map(
      (status) => `status=${status}, secret=${SECRET}`,
    ),
    `error-first, secret=${SECRET}`,
    `error-event=4, delay=0, secret=${SECRET}`,
    `error-event=4, secret=${SECRET}`,
    `error-event=4, delay=0, error-usage, secret=${SECRET}`,
    `status=400, secret=see http://10.1.2.3:8080/v1?key=${SECRET} and Bearer abcdefgh`,
  ]
  const models = Object.fromEntries(faults.map((fault, i) => [`m${i}`, { ordinary: [fault] }]))
  const forge = await startForge(t, { config: testConfig(models), log: recordingLog(lines) })
  const account = await forge.account()
  const everything: string[] = []
  for (const name of Object.keys(models))
    for (const body of [STREAM, {}, { stream: true }]) {
      const told = await ask(forge, account, { model: name, body })
      const id = told.headers.get('x-request-id')
      const own = await (await receiptAs(forge, id, account.key)).text()
      everything.push(told.text, JSON.stringify([...told.headers]), JSON.stringify(told.receipt), own)
      assert.ok(!own.includes('127.0.0.1'), "no host on a customer's receipt")
      assert.ok(![401, 402, 403].includes(told.status), `${told.status} would be about the caller`)
      assertMoney(told)
    }
  for (const text of [...everything, ...lines]) {
    assert.ok(!text.includes('UPSTREAM-SECRET'), text.slice(0, 300))
    assert.ok(!text.includes('10.1.2.3'), text.slice(0, 300))
    assert.ok(!text.includes('abcdefgh'))
    assert.ok(
      !text.includes('told to fail in mid-stream'),
      'the words of an upstream that failed are not for customers',
    )
  }
  const stored = await forge.owner.one<{ n: number }>(
    `select count(*)::int as n from ledger.receipt where document like '%UPSTREAM%'`,
  )
  assert.equal(stored.n, 0)
  await forge.settled()
  await forge.audit()
})

test("an upstream's refusal of any text is told clean, and the run it belongs to can still be read", async (t) => {
  const hard = 'no\u0000 way \ud800 \u001b[31m'
  const stub = await startStub(t, (_req, res, body) => {
    if (body.includes('refuse')) {
      res.writeHead(400, { 'content-type': 'application/json' })
      res.end(JSON.stringify({ error: { message: hard } }))
    } else {
      res.writeHead(200, { 'content-type': 'application/json' })
      res.end(
        answerBody(
          'ok',
          { prompt_tokens: 5, completion_tokens: 1, total_tokens: 6 },
          { model: `m\u0000${'x'.repeat(100_000)}` },
        ),
      )
    }
  })
  const forge = await startForge(t, {
    config: withUpstreams(testConfig({ m: { ordinary: ['stub'] } }), { stub: stub.url }),
  })
  const account = await forge.account()
  for (const text of ['refuse', 'serve']) {
    const told = await ask(forge, account, {
      model: 'm',
      text,
      headers: { 'x-tf-run': 'r', 'x-tf-step': 's' },
    })
    assert.equal(told.status, text === 'refuse' ? 400 : 200)
    assert.ok((told.receipt.served_model ?? '').length < 300)
    const run = await fetch(`${forge.url}/api/v1/runs/${told.receipt.run?.id}`, {
      headers: { authorization: `Bearer ${account.key}` },
    })
    assert.equal(run.status, 200, await run.clone().text())
    await run.text()
  }
  const served = await ask(forge, account, { model: 'm', text: 'serve' })
  assert.ok(served.receipt.flags.includes('model_mismatch'))
  await forge.settled()
  await forge.audit()
})

test('A25-A27: a hostile upstream costs nothing before content, and ends as the protocol says after it', async (t) => {
  const head = (more = ''): string => `HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n${more}\r\n`
  const raw: Record<string, (socket: Socket) => void> = {
    reset: (socket) => socket.resetAndDestroy(),
    silence: (socket) => socket.end(),
    nonsense: (socket) => socket.end('SSH-2.0-OpenSSH\r\n'),
    switching: (socket) =>
      socket.end('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
    'big-header': (socket) => socket.end(head(`x: ${'a'.repeat(40_000)}\r\n`)),
    'both-lengths': (socket) => socket.end(head('content-length: 5\r\ntransfer-encoding: chunked\r\n')),
    'two-lengths': (socket) => socket.end(`${head('content-length: 5\r\ncontent-length: 6\r\n')}hello!`),
    'short-body': (socket) => socket.end(`${head('content-length: 500\r\n')}data: {`),
    'wrong-type': (socket) =>
      socket.end('HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\nhi'),
    'no-content': (socket) => socket.end('HTTP/1.1 204 No Content\r\n\r\n'),
    redirect: (socket) =>
      socket.end('HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n'),
    'unfinished-chunk': (socket) => socket.end(`${head('transfer-encoding: chunked\r\n')}ff\r\ndata`),
  }
  const informed = (socket: Socket): void => {
    const body = answerBody('fine', { prompt_tokens: 5, completion_tokens: 1, total_tokens: 6 })
    const hints = 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'.repeat(20)
    socket.end(
      `${hints}HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
  }
  const urls: Record<string, string> = { informed: await startRawStub(t, informed) }
  for (const [name, answer] of Object.entries(raw)) urls[name] = await startRawStub(t, answer)
  const flood = await startStub(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    const comment = `: ${'x'.repeat(16_000)}\n\n`
    const pour = (): void => {
      while (!res.destroyed && res.write(comment));
      if (!res.destroyed) res.once('drain', pour)
    }
    pour()
  })
  urls['flood'] = flood.url
  const models = Object.fromEntries(
    Object.keys(urls).map((name) => [
      name,
      { ordinary: [name], timeouts: { first_token_ms: 3_000, total_ms: 8_000 } },
    ]),
  )
  const forge = await startForge(t, {
    config: withUpstreams(
      testConfig({ ...models, line: { ordinary: ['huge-line=3000000'] }, late: { ordinary: [''] } }),
      urls,
    ),
  })
  const account = await forge.account()
  for (const name of [...Object.keys(raw), 'flood'])
    for (const body of [STREAM, ...(name === 'flood' ? [] : [{}])])
      await t.test(`${name} ${JSON.stringify(body)}: 502 and nothing charged`, async () => {
        const told = await ask(forge, account, { model: name, body })
        assert.equal(told.status, 502)
        assert.equal(told.receipt.settlement, 'failed_before_output')
        assertMoney(told)
      })

  await t.test('early hints before an answer change nothing', async () => {
    const told = await ask(forge, account, { model: 'informed' })
    assert.equal(told.status, 200)
    assert.equal(told.receipt.settlement, 'completed_reported')
    assertMoney(told)
  })

  await t.test('an endless line is given up at a megabyte', async () => {
    const told = await ask(forge, account, { model: 'line', body: STREAM })
    assert.equal(told.status, 502)
    assert.equal(told.receipt.attempts[0]?.code, 'protocol_error')
    assertMoney(told)
  })

  await t.test('half an event at the end is not passed on, so that the error event can be read', async () => {
    for (const sandbox of [
      'words=30, cut=9, split=7',
      'words=30, cut=9, delay=0',
      'words=30, end-early=9, no-final-blank',
      'words=30, end-early=9, crlf',
    ]) {
      const told = await ask(forge, account, { model: 'late', sandbox, body: STREAM })
      assert.equal(told.receipt.settlement, 'failed_after_output', sandbox)
      assert.equal(told.json.at(-1)?.error?.code, 'upstream_error')
      assertMoney(told)
    }
  })

  await t.test('dripping, splitting, comments and CR LF deliver the same answer', async () => {
    const plain = await ask(forge, account, { model: 'late', sandbox: 'words=12', body: STREAM })
    for (const sandbox of [
      'words=12, split=1',
      'words=12, comments, crlf, split=3',
      'words=12, burst',
      'words=12, no-done',
      'words=12, no-final-blank',
    ]) {
      const told = await ask(forge, account, { model: 'late', sandbox, body: STREAM })
      assert.equal(told.receipt.settlement, 'completed_reported', sandbox)
      assert.equal(told.receipt.usage?.output, plain.receipt.usage?.output)
      const content = (text: string): string =>
        eventsOf(text)
          .filter((data) => data.startsWith('{'))
          .map(
            (data) =>
              (JSON.parse(data) as { choices: Array<{ delta: { content?: string } }> }).choices[0]?.delta
                .content ?? '',
          )
          .join('')
      assert.equal(content(told.text), content(plain.text))
      assertMoney(told)
    }
  })

  await t.test('a half-told error event after content reaches the caller whole, as ours', async () => {
    const told = await ask(forge, account, {
      model: 'late',
      sandbox: 'words=30, error-event=9, burst',
      body: STREAM,
    })
    assert.equal(told.json.at(-1)?.error?.code, 'upstream_error')
    assert.ok(!told.text.includes('[DONE]'), 'no end mark that would hide the error')
  })

  await forge.settled()
  await forge.audit()
})

test('a served answer costs the same however the upstream frames it', async (t) => {
  const variants: Record<string, string> = {
    lf: `${chunkOf('Hi')}${FINISH_CHUNK}${usageChunk(5, 7)}data: [DONE]\n\n`,
    noSpace: `${chunkOf('Hi')}${FINISH_CHUNK}${usageChunk(5, 7)}data:[DONE]\n\n`.replaceAll(
      'data: ',
      'data:',
    ),
    cr: `${chunkOf('Hi')}${FINISH_CHUNK}${usageChunk(5, 7)}data: [DONE]\n\n`.replaceAll('\n', '\r'),
    crlf: `${chunkOf('Hi')}${FINISH_CHUNK}${usageChunk(5, 7)}data: [DONE]\n\n`.replaceAll('\n', '\r\n'),
    named: `${chunkOf('Hi')}${FINISH_CHUNK}${usageChunk(5, 7)}data: [DONE]\n\n`.replaceAll(
      'data: ',
      'event: message\nid: 4\nretry: 5\ndata: ',
    ),
    unended: `${chunkOf('Hi')}${FINISH_CHUNK}${usageChunk(5, 7)}`.trimEnd(),
  }
  const stub = await startStub(t, (_req, res, body) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.end(variants[/variant (\w+)/.exec(body)?.[1] ?? ''])
  })
  const forge = await startForge(t, {
    config: withUpstreams(testConfig({ m: { ordinary: ['stub'] } }), { stub: stub.url }),
  })
  const account = await forge.account()
  for (const name of Object.keys(variants))
    for (const body of [STREAM, { stream: true }]) {
      const told = await ask(forge, account, { model: 'm', text: `variant ${name}`, body })
      assert.equal(told.receipt.settlement, 'completed_reported', name)
      assert.deepEqual([told.receipt.usage?.input, told.receipt.usage?.output], [5, 7])
      assert.equal(told.text.includes('"usage":{'), 'stream_options' in body)
      assertMoney(told)
    }
  const own = await customerReceipt(
    forge,
    account,
    (await ask(forge, account, { model: 'm', text: 'variant lf', body: STREAM })).headers.get('x-request-id'),
  )
  assert.equal(own.attempts[0]?.channel, 'Public 0')
  await forge.settled()
  await forge.audit()
})
