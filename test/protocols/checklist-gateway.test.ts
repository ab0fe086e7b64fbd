import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib'
import OpenAI from 'openai'
import type { Log } from '../../src/kernel/index.ts'
import { messagesStream } from '../billing/bodies.ts'
import { type Account, type Forge, startForge, testConfig } from '../forge.ts'
import { ask, assertMoney, eventually, withUpstreams } from '../gateway/ask.ts'
import {
  type Answerer,
  answerBody,
  chunkOf,
  FINISH_CHUNK,
  type Stub,
  startStub,
  usageChunk,
} from '../gateway/stub.ts'

/** The items of the checklist that are about sockets, headers and more than one part of the gateway. */

const STREAM = { stream: true }
const USAGE = { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 }
const OK: Answerer = (_req, res) => {
  res.writeHead(200, { 'content-type': 'application/json' })
  res.end(answerBody('High water at noon.', USAGE))
}

interface Stand {
  readonly forge: Forge
  readonly account: Account
  readonly stub: Stub
}

/** One model over an upstream of bytes by hand. */
async function stand(
  t: Parameters<typeof startForge>[0],
  answer: Answerer,
  protocol = 'openai',
  log?: Log,
): Promise<Stand> {
  const stub = await startStub(t, answer)
  const config = withUpstreams(testConfig({ m: { protocol, ordinary: ['stub'] } }), { stub: stub.url })
  const forge = await startForge(t, log === undefined ? { config } : { config, log })
  return { forge, account: await forge.account(), stub }
}

const CALLERS: ReadonlyArray<readonly [name: string, path: (stream: boolean) => string, body: object]> = [
  ['chat', () => '/v1/chat/completions', { max_tokens: 100, messages: [{ role: 'user', content: 'tide?' }] }],
  ['responses', () => '/v1/responses', { max_output_tokens: 100, input: 'tide?', store: false }],
  ['messages', () => '/v1/messages', { max_tokens: 100, messages: [{ role: 'user', content: 'tide?' }] }],
  [
    'gemini',
    (stream) => `/v1beta/models/m:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
    { contents: [{ role: 'user', parts: [{ text: 'tide?' }] }], generationConfig: { maxOutputTokens: 100 } },
  ],
]

/** What a caller of each format asks model `m`. */
async function askAs(forge: Forge, account: Account, place: number, stream: boolean): Promise<Response> {
  const [, path, body] = CALLERS[place] ?? assert.fail('a caller')
  const named = place === 3 ? body : { model: 'm', ...body, ...(stream ? STREAM : {}) }
  return forge.post(path(stream), account.key, named, { 'anthropic-version': '2023-06-01' })
}

test('§7.4 nothing is sent before the upstream has output, so that its failure is a status', async (t) => {
  const { forge, account } = await stand(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(': waiting\n\n')
    res.write(chunkOf(''))
    setImmediate(() => res.destroy())
  })
  for (const place of CALLERS.keys()) {
    const response = await askAs(forge, account, place, true)
    assert.equal(response.status, 502, await response.text())
  }
})

test('§7.5 upstreams are asked for plain bytes, and no header of the hop or of a coding reaches the caller', async (t) => {
  const seen: unknown[] = []
  const { forge, account } = await stand(t, (req, res, body) => {
    seen.push(req.headers['accept-encoding'])
    if (body.includes('zipped')) {
      res.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
      res.end(gzipSync(answerBody('x', USAGE)))
      return
    }
    res.setHeader('keep-alive', 'timeout=99')
    res.setHeader('te', 'trailers')
    OK(req, res, body)
  })
  const told = await ask(forge, account, { model: 'm' })
  assert.equal(told.status, 200)
  for (const name of ['content-encoding', 'te']) assert.equal(told.headers.get(name), null)
  assert.notEqual(told.headers.get('keep-alive'), 'timeout=99')
  assert.equal(Number(told.headers.get('content-length')), Buffer.byteLength(told.text))
  const zipped = await ask(forge, account, { model: 'm', text: 'zipped' })
  assert.equal(zipped.status, 502, 'a coding nobody asked for is no answer, and no garbage for the caller')
  assertMoney(zipped)
  assert.deepEqual(new Set(seen), new Set(['identity']))
})

test('§7.6 compressed bodies are read, bounded by what they unfold to', async (t) => {
  const { forge, account, stub } = await stand(t, OK)
  const send = (encoding: string, body: Buffer): Promise<Response> =>
    fetch(`${forge.url}/v1/chat/completions`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${account.key}`,
        'content-type': 'application/json',
        'content-encoding': encoding,
      },
      body: new Uint8Array(body),
    })
  const plain = JSON.stringify({
    model: 'm',
    max_tokens: 100,
    messages: [{ role: 'user', content: 'tide?' }],
  })
  const bomb = Buffer.alloc(51 * 1024 * 1024, ' ')
  for (const [encoding, pack] of [
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const) {
    const response = await send(encoding, pack(plain))
    assert.equal(response.status, 200, `${encoding}: ${await response.text()}`)
    if (encoding !== 'br') assert.equal((await send(encoding, pack(bomb))).status, 413, encoding)
  }
  assert.equal(stub.calls.length, 3)
  assert.ok(stub.calls.every((body) => body.includes('tide?')))
  assert.equal((await send('lzma', Buffer.from('x'))).status, 415)
})

test('§7.7 who waits for "100 Continue" is told 401 instead, before a byte of the body', async (t) => {
  const { forge, account, stub } = await stand(t, OK)
  const body = JSON.stringify({ model: 'm', max_tokens: 9, messages: [{ role: 'user', content: 'tide?' }] })
  const exchange = async (key: string): Promise<string> => {
    const socket = connect(Number(new URL(forge.url).port), '127.0.0.1')
    let told = ''
    socket.on('data', (piece: Buffer) => {
      told += piece.toString('utf8')
      if (told.endsWith('100 Continue\r\n\r\n')) socket.write(body)
    })
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n`,
    )
    await once(socket, 'close')
    return told
  }
  const refused = await exchange('tf-nobody')
  assert.match(refused, /^HTTP\/1\.1 401 /)
  const served = await exchange(account.key)
  assert.match(served, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /)
  assert.equal(stub.calls.length, 1)
})

test('§7.8 a body of 33 MB passes through unchanged but for the model, one above 50 MiB is refused', async (t) => {
  const { forge, account, stub } = await stand(t, OK)
  const image = (megabytes: number): object => ({
    model: 'm',
    max_tokens: 10,
    messages: [
      {
        role: 'user',
        content: [
          { type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(megabytes * 1e6)}` } },
        ],
      },
    ],
  })
  const large = await forge.chat(account.key, image(33))
  assert.equal(large.status, 200, await large.text())
  assert.equal(stub.calls[0]?.length, JSON.stringify(image(33)).length + 'up-'.length)
  const tooLarge = await forge.chat(account.key, image(53)).catch(() => null)
  assert.ok(tooLarge === null || tooLarge.status === 413)
  assert.equal(stub.calls.length, 1)
})

test('§7.9 usage of a stream is asked for, and hidden from who did not ask', async (t) => {
  const { forge, account, stub } = await stand(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.end(`${chunkOf('Noon.', { usage: null })}${FINISH_CHUNK}${usageChunk(5, 7)}data: [DONE]\n\n`)
  })
  const hidden = await ask(forge, account, { model: 'm', body: STREAM })
  assert.match(stub.calls[0] ?? '', /"stream_options":\{"include_usage":true\}/)
  assert.ok(!hidden.text.includes('prompt_tokens') && !hidden.text.includes('"choices":[]'), hidden.text)
  const shown = await ask(forge, account, {
    model: 'm',
    body: { ...STREAM, stream_options: { include_usage: true } },
  })
  assert.ok(shown.text.includes('"prompt_tokens":5'))
  for (const told of [hidden, shown]) assert.equal(told.receipt.usage?.output, 7)
})

test('§7.9 an upstream that refuses the field is asked again without it, and never with it again', async (t) => {
  const { stub, forge, account } = await stand(t, (_req, res, body) => {
    if (body.includes('stream_options')) {
      res.writeHead(400, { 'content-type': 'application/json' })
      res.end('{"error":{"message":"unknown field stream_options"}}')
      return
    }
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.end(`${chunkOf('Noon.')}${FINISH_CHUNK}data: [DONE]\n\n`)
  })
  const first = await ask(forge, account, { model: 'm', body: STREAM })
  assert.equal(first.status, 200)
  assert.deepEqual(
    first.receipt.attempts.map(({ channel, result }) => [channel, result]),
    [
      ['m-ordinary-0', 'error'],
      ['m-ordinary-0', 'ok'],
    ],
  )
  assert.deepEqual(
    [first.receipt.settlement, first.receipt.usage?.source],
    ['completed_estimated', 'estimated'],
  )
  assertMoney(first)
  const second = await ask(forge, account, { model: 'm', body: STREAM })
  assert.equal(second.receipt.attempts.length, 1)
  assert.equal(stub.calls.length, 3)
  await forge.audit()
})

test('§7.12 what the answer says it was is what is charged, and another model is flagged', async (t) => {
  const stub = await startStub(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'application/json' })
    res.end(answerBody('Noon.', USAGE, { model: 'quayside-router-3', service_tier: 'default' }))
  })
  const price = { input: '2', output: '8', service_tiers: { priority: { input: '4', output: '16' } } }
  const config = withUpstreams(testConfig({ m: { ordinary: ['stub'], price } }), { stub: stub.url })
  const forge = await startForge(t, { config })
  const told = await ask(forge, await forge.account(), { model: 'm', body: { service_tier: 'priority' } })
  // 5 × 2,000 and 7 × 8,000.
  assert.equal(told.receipt.charge?.total, '0.000066')
  assert.deepEqual(told.receipt.flags, ['model_mismatch'])
  assert.equal(told.receipt.served_model, 'quayside-router-3')
})

test('§7.14 who leaves a stream of Messages pays the exact input and what came, and the upstream is let go', async (t) => {
  let closed = false
  const whole = messagesStream({ input_tokens: 23, output_tokens: 1 }, { output_tokens: 8 })('up-m').text
  const { forge, account } = await stand(
    t,
    (_req, res) => {
      res.on('close', () => {
        closed = true
      })
      res.writeHead(200, { 'content-type': 'text/event-stream' })
      res.write(whole.slice(0, whole.indexOf('event: content_block_stop')))
    },
    'anthropic',
  )
  const stop = new AbortController()
  const response = await fetch(`${forge.url}/v1/messages`, {
    method: 'POST',
    headers: {
      'x-api-key': account.key,
      'content-type': 'application/json',
      'anthropic-version': '2023-06-01',
    },
    body: JSON.stringify({ model: 'm', ...CALLERS[2]?.[2], ...STREAM }),
    signal: stop.signal,
  })
  await response.body?.getReader().read()
  stop.abort()
  const receipt = await forge.receipt(response.headers.get('x-request-id'))
  assert.equal(receipt.settlement, 'client_left')
  assert.equal(receipt.usage?.input, 23)
  assert.ok((receipt.usage?.output ?? 0) >= 8)
  await eventually('the upstream to be let go', () => (closed ? true : null))
  await forge.settled()
  await forge.audit()
})

test('§7.15 several choices, embeddings and counting each cost what they should', async (t) => {
  const forge = await startForge(t, { config: testConfig({ m: { ordinary: [''] } }) })
  const account = await forge.account()
  const two = await ask(forge, account, { model: 'm', body: { n: 2 } })
  assert.equal(two.receipt.settlement, 'completed_reported')
  assert.equal(two.json[0]?.choices?.length, 2)
  assertMoney(two)
  const embedded = await forge.post('/v1/embeddings', account.key, {
    model: 'm',
    input: 'tide',
    encoding_format: 'base64',
  })
  const vectors = (await embedded.json()) as { data: Array<{ embedding: unknown }> }
  assert.equal(typeof vectors.data[0]?.embedding, 'string')
  await forge.settled()
  const before = await forge.balance(account.orgId, 'rmb')
  const counted = await forge.post(
    '/v1/messages/count_tokens',
    account.key,
    { model: 'm', messages: [{ role: 'user', content: 'tide?' }] },
    { 'anthropic-version': '2023-06-01' },
  )
  assert.equal(counted.status, 200, await counted.text())
  assert.deepEqual(await forge.balance(account.orgId, 'rmb'), before)
  await forge.audit()
})

test('§7.15 a compaction of responses is served by a channel that can, and charged', async (t) => {
  const models = { m: { protocol: 'openai-responses', ordinary: [''] }, chat: { ordinary: [''] } }
  const forge = await startForge(t, { config: testConfig(models) })
  const account = await forge.account()
  const client = new OpenAI({ apiKey: account.key, baseURL: `${forge.url}/v1`, maxRetries: 0 })
  const { data, response } = await client.responses.compact({ model: 'm', input: 'tide?' }).withResponse()
  assert.equal(data.object, 'response.compaction')
  assert.equal(data.output.at(-1)?.type, 'compaction')
  const receipt = await forge.receipt(response.headers.get('x-request-id'))
  assert.equal(receipt.endpoint, 'openai.responses_compact')
  assert.deepEqual(
    [receipt.settlement, receipt.usage?.input, receipt.usage?.output],
    ['completed_reported', data.usage.input_tokens, data.usage.output_tokens],
  )
  assert.equal(receipt.charge?.total, response.headers.get('x-tf-charge'))
  const streamed = await forge.post('/v1/responses/compact', account.key, {
    model: 'm',
    input: 'x',
    stream: true,
  })
  assert.equal(streamed.status, 400)
  const unable = await forge.post('/v1/responses/compact', account.key, { model: 'chat', input: 'tide?' })
  assert.equal(unable.status, 400)
  assert.match(await unable.text(), /cannot compact/)
  await forge.settled()
  await forge.audit()
})

test('§7.17 after the first output no other channel is tried, and every format says that it broke', async (t) => {
  const config = testConfig({ m: { ordinary: ['words=20, delay=0, cut=6', ''] } })
  const forge = await startForge(t, { config })
  const account = await forge.account()
  const endings = [/"error":/, /event: (?:response\.failed|error)\n/, /event: error\n/, /data: \{"error":/]
  for (const place of CALLERS.keys()) {
    const response = await askAs(forge, account, place, true)
    const text = await response.text()
    assert.equal(response.status, 200)
    assert.match(text, endings[place] ?? /never/)
    assert.ok(!text.includes('[DONE]'), text)
    const receipt = await forge.receipt(response.headers.get('x-request-id'))
    assert.deepEqual([receipt.settlement, receipt.attempts.length], ['failed_after_output', 1])
  }
  await forge.settled()
  await forge.audit()
})
