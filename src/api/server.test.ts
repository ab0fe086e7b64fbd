import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { type ApiStand, startApi } from '../../test/api-stand.ts'

/** Sends bytes, gives back everything the server said until it closed. */
async function raw(stand: ApiStand, text: string): Promise<string> {
  const socket = connect(stand.port, '127.0.0.1')
  let answer = ''
  socket.setEncoding('utf8').on('data', (data) => {
    answer += data
  })
  socket.write(text)
  await once(socket, 'close')
  return answer
}

const statusOf = (answer: string): string => answer.slice(9, 12)
const CLOSE = 'connection: close\r\n'

test('requests that two readers could understand differently are refused', async (t) => {
  const stand = await startApi(t)
  const good = `GET /livez HTTP/1.1\r\nhost: a\r\n${CLOSE}\r\n`
  assert.equal(statusOf(await raw(stand, good)), '200')
  assert.equal(statusOf(await raw(stand, good.replace('host: a', 'host: [::1]:80'))), '200')
  for (const text of [
    `GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n`,
    `GET /livez HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n`,
    `GET /livez HTTP/1.1\r\nhost: a/?\r\n\r\n`,
    `GET /livez HTTP/1.1\r\nhost: a b\r\n\r\n`,
    `GET /livez HTTP/1.1\r\n\r\n`,
    `GET http://b/livez HTTP/1.1\r\nhost: a\r\n\r\n`,
    `GET //livez HTTP/1.1\r\nhost: a\r\n\r\n`,
    `OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n`,
    `GET /v1/x HTTP/1.1\r\nhost: a\r\nauthorization: Bearer x\r\nauthorization: Bearer y\r\n\r\n`,
    `GET /v1/x HTTP/1.1\r\nhost: a\r\nx-api-key: x\r\nX-Api-Key: y\r\n\r\n`,
    `GET /v1/x HTTP/1.1\r\nhost: a\r\nx-goog-api-key: x\r\nx-goog-api-key: x\r\n\r\n`,
    `POST /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`,
    `POST /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx`,
    `GET /livez HTTP/1.1\r\nhost : a\r\n\r\n`,
    `GET /livez HTTP/1.1\nhost: a\n\n`,
    `nonsense\r\n\r\n`,
  ]) {
    assert.equal(statusOf(await raw(stand, text)), '400', text)
  }
})

test('headers that are too large are answered 431', async (t) => {
  const stand = await startApi(t)
  const text = `GET /livez HTTP/1.1\r\nhost: a\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`
  assert.equal(statusOf(await raw(stand, text)), '431')
})

test('the paths of the gateway never reach the framework, and the others never the gateway', async (t) => {
  const stand = await startApi(t)
  assert.equal((await stand.call('GET', '/v1/models?x=1')).text, 'gateway')
  assert.equal((await stand.call('GET', '/v1x')).json.code, 'not_found')
})

test('a gateway that throws costs one connection and no more', async (t) => {
  const stand = await startApi(t, {
    gateway: {
      owns: (_method, path) => path.startsWith('/v1/'),
      handle: (req) => {
        if (req.url === '/v1/now') throw new Error('now')
        return Promise.reject(new Error('later'))
      },
    },
  })
  for (const path of ['/v1/now', '/v1/later']) await assert.rejects(stand.call('GET', path))
  assert.equal((await stand.call('GET', '/livez')).status, 200)
})

test('closing waits for the answer under way and closes its connection behind it', async (t) => {
  const asked = Promise.withResolvers<ServerResponse>()
  const stand = await startApi(t, {
    gateway: { owns: (_method, path) => path === '/v1/slow', handle: (_req, res) => asked.resolve(res) },
  })
  const answer = stand.call('GET', '/v1/slow')
  const res = await asked.promise
  res.write('half, ')
  const closed = stand.api.close(10_000)
  await assert.rejects(fetch(`${stand.url}/livez`), 'no new connection is taken')
  res.end('whole')
  assert.equal((await answer).text, 'half, whole')
  await closed
})

test('closing cuts what takes longer than it may', async (t) => {
  const asked = Promise.withResolvers<void>()
  const stand = await startApi(t, {
    gateway: { owns: (_method, path) => path === '/v1/slow', handle: () => asked.resolve() },
  })
  const answer = stand.call('GET', '/v1/slow')
  answer.catch(() => undefined)
  await asked.promise
  await stand.api.close(50)
  await assert.rejects(answer)
})

test('closing keeps to its limit whoever holds a connection open and says nothing', async (t) => {
  const stand = await startApi(t)
  const half = 'POST /api/v1/organizations HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n{'
  const sockets = ['', 'GET /livez HT', half].map((text) => {
    const socket = connect(stand.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(text)
    return socket
  })
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  assert.equal((await stand.call('GET', '/livez')).status, 200)
  const from = performance.now()
  await stand.api.close(60_000, 500)
  const tookMs = performance.now() - from
  assert.ok(tookMs < 10_000, `${tookMs}`)
  for (const socket of sockets) socket.destroy()
})

test('several servers listen on one port when asked to', async (t) => {
  const one = await startApi(t)
  const two = await startApi(t)
  await one.api.close(0)
  await two.api.close(0)
  const { port } = await one.api.listen({ host: '127.0.0.1', port: 0, reusePort: true })
  assert.equal((await two.api.listen({ host: '127.0.0.1', port, reusePort: true })).port, port)
})

test('health and metrics are open to anyone and name no customer', async (t) => {
  const stand = await startApi(t)
  const a = await stand.customer('Alpha')
  const token = null
  assert.deepEqual((await stand.call('GET', '/livez', { token })).json, { status: 'ok' })
  assert.equal((await stand.call('GET', '/readyz', { token })).json.ready, true)
  const { text, headers } = await stand.call('GET', '/metrics', { token })
  assert.match(headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  assert.match(text, /^# TYPE forge_ledger_queue_depth gauge\nforge_ledger_queue_depth 0$/m)
  assert.match(text, /^forge_api_requests_total\{status="201"\} 3$/m)
  assert.match(text, /^process_resident_memory_bytes \d+$/m)
  assert.match(text, /^process_cpu_seconds_total [\d.]+$/m)
  assert.ok(!text.includes(a.org) && !text.includes('Alpha'))
})

test('a server that is not ready says what is missing', async (t) => {
  const checks = [{ name: 'database', ok: false, detail: 'does not answer' }]
  const stand = await startApi(t, { ready: () => ({ ready: false, checks }) })
  const { status, json } = await stand.call('GET', '/readyz', { token: null })
  assert.equal(status, 503)
  assert.deepEqual(json, { ready: false, checks })
})

test('bodies are read as what they say, however their names are spelt and however deep they lie', async (t) => {
  const stand = await startApi(t)
  const post = (body: string) => stand.call('POST', '/api/v1/organizations', { body })
  const spelt = [...'name'].map((char) => `\\u00${char.charCodeAt(0).toString(16)}`).join('')
  // What V8 saw at a place before must not be taken for another name there later.
  for (let turn = 0; turn < 3; turn++) await post(`{"place":1,${JSON.stringify(spelt.slice(0, 4))}:2}`)
  const { json } = await post(`{"place":1,"${spelt}":"n"}`)
  assert.deepEqual(
    json.errors.map((error: { field: string }) => error.field),
    ['place'],
    JSON.stringify(json),
  )
  const deep = (inner: string): string => '['.repeat(100_000) + inner + ']'.repeat(100_000)
  assert.equal((await post(deep('{"__proto__":1}'))).json.code, 'invalid_json')
  assert.equal((await post(deep(''))).json.code, 'invalid_parameter')
})
