import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { Log } from '../../src/kernel/index.ts'
import { type Account, type Forge, startForge, testConfig } from '../forge.ts'
import { withUpstreams } from '../gateway/ask.ts'
import { answerBody } from '../gateway/stub.ts'
import { type ByteUpstream, raw, startByteUpstream, statusesOf } from './raw.ts'

/** A19 and A20: bytes that two readers could take for different requests, and headers that are not the caller's to send. */

interface Stand {
  readonly forge: Forge
  readonly account: Account
  readonly upstream: ByteUpstream
  readonly logged: string[]
}

const BODY = JSON.stringify({ model: 'm', max_tokens: 50, messages: [{ role: 'user', content: 'tide?' }] })
const ANSWER = answerBody('At noon.', { prompt_tokens: 5, completion_tokens: 7, total_tokens: 12 })
const MESSAGE = JSON.stringify({
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'up',
  content: [{ type: 'text', text: 'At noon.' }],
  stop_reason: 'end_turn',
  usage: { input_tokens: 5, output_tokens: 7 },
})

async function startStand(t: TestContext, protocol: string, answer: string): Promise<Stand> {
  const upstream = await startByteUpstream(t, answer)
  const logged: string[] = []
  const keep = (fields: object): void => void logged.push(JSON.stringify(fields))
  const log: Log = { debug() {}, info() {}, warn: keep, error: keep }
  const config = withUpstreams(testConfig({ m: { protocol, ordinary: ['stub'] } }), { stub: upstream.url })
  const forge = await startForge(t, { config, log })
  return { forge, account: await forge.account(), upstream, logged }
}

function post(key: string, more: readonly string[] = [], body = BODY, path = '/v1/chat/completions'): string {
  return [
    `POST ${path} HTTP/1.1`,
    'host: forge.test',
    'content-type: application/json',
    ...(key === '' ? [] : [`authorization: Bearer ${key}`]),
    ...more,
    '',
    body,
  ].join('\r\n')
}

const LENGTH = `content-length: ${BODY.length}`
const CHUNKED = `${BODY.length.toString(16)}\r\n${BODY}\r\n0\r\n\r\n`
/** What a smuggler wants to be answered: a request of its own in what the first reader took for a body. */
const HIDDEN = 'GET /livez HTTP/1.1\r\nhost: forge.test\r\n\r\n'

type Row = readonly [name: string, status: number, bytes: (key: string) => string]

const withHead = (first: string, host: readonly string[], key: string): string =>
  [first, ...host, 'content-type: application/json', `authorization: Bearer ${key}`, LENGTH, '', BODY].join(
    '\r\n',
  )

const TABLE: readonly Row[] = [
  ['length and chunks', 400, (k) => post(k, [LENGTH, 'transfer-encoding: chunked'], CHUNKED)],
  ['chunks and length', 400, (k) => post(k, ['transfer-encoding: chunked', LENGTH], CHUNKED)],
  ['two lengths that differ', 400, (k) => post(k, [LENGTH, 'content-length: 5'])],
  ['two lengths that agree', 400, (k) => post(k, [LENGTH, LENGTH])],
  ['a list of lengths', 400, (k) => post(k, [`content-length: ${BODY.length}, ${BODY.length}`])],
  ['a length with a sign', 400, (k) => post(k, [`content-length: +${BODY.length}`])],
  ['a negative length', 400, (k) => post(k, ['content-length: -1'])],
  ['a length beyond all numbers', 400, (k) => post(k, ['content-length: 99999999999999999999999'])],
  ['a length in hexadecimal', 400, (k) => post(k, [`content-length: 0x${BODY.length.toString(16)}`])],
  ['a length with a space in it', 400, (k) => post(k, ['content-length: 1 2'])],
  ['a coding that only looks like chunks', 400, (k) => post(k, ['transfer-encoding: xchunked'], CHUNKED)],
  ['chunks that are not last', 400, (k) => post(k, ['transfer-encoding: chunked, identity'], CHUNKED)],
  [
    'two codings',
    400,
    (k) => post(k, ['transfer-encoding: chunked', 'transfer-encoding: identity'], CHUNKED),
  ],
  ['identity with a length', 400, (k) => post(k, ['transfer-encoding: identity', LENGTH])],
  ['a space before the colon', 400, (k) => post(k, ['transfer-encoding : chunked', LENGTH])],
  ['a tab before the colon', 400, (k) => post(k, ['content-length\t: 5', LENGTH])],
  ['bare line feeds', 400, (k) => post(k, [LENGTH]).replaceAll('\r\n', '\n')],
  ['a bare line feed between headers', 400, (k) => post(k, ['x-a: b\nx-b: c', LENGTH])],
  ['a bare carriage return', 400, (k) => post(k, ['x-a: b\rx-b: c', LENGTH])],
  ['a folded header', 400, (k) => post(k, ['x-a: b\r\n c', LENGTH])],
  ['a NUL in a value', 400, (k) => post(k, ['x-a: b\0c', LENGTH])],
  ['a NUL in a name', 400, (k) => post(k, ['x-\0a: b', LENGTH])],
  ['a header without a name', 400, (k) => post(k, [': b', LENGTH])],
  ['a chunk size with a sign', 400, (k) => post(k, ['transfer-encoding: chunked'], `+${CHUNKED}`)],
  ['a chunk size in 0x', 400, (k) => post(k, ['transfer-encoding: chunked'], `0x${CHUNKED}`)],
  [
    'a chunk longer than it says',
    400,
    (k) => post(k, ['transfer-encoding: chunked'], `2\r\n${BODY}\r\n0\r\n\r\n`),
  ],
  [
    'a chunk size beyond all numbers',
    400,
    (k) => post(k, ['transfer-encoding: chunked'], `fffffffffffffffff\r\n`),
  ],
  [
    'an extension of 17 kB',
    413,
    (k) => post(k, ['transfer-encoding: chunked'], CHUNKED.replace('\r\n', `;${'x'.repeat(17_000)}\r\n`)),
  ],
  ['headers of 20 kB', 431, (k) => post(k, [`x-a: ${'y'.repeat(20_000)}`, LENGTH])],
  ['an unknown expectation', 417, (k) => post(k, ['expect: 200-ok', LENGTH])],
  ['no host', 400, (k) => withHead('POST /v1/chat/completions HTTP/1.1', [], k)],
  ['two hosts', 400, (k) => post(k, ['host: other.test', LENGTH])],
  ['one host twice', 400, (k) => post(k, ['Host: forge.test', LENGTH])],
  ['a host with a path', 400, (k) => withHead('POST /v1/chat/completions HTTP/1.1', ['host: x/?'], k)],
  ['a host with a user', 400, (k) => withHead('POST /v1/chat/completions HTTP/1.1', ['host: a@b'], k)],
  ['a host with a space', 400, (k) => withHead('POST /v1/chat/completions HTTP/1.1', ['host: a b'], k)],
  ['two hosts in one', 400, (k) => withHead('POST /v1/chat/completions HTTP/1.1', ['host: a,b'], k)],
  ['a whole URL', 400, (k) => post(k, [LENGTH], BODY, 'http://other.test/v1/chat/completions')],
  ['a URL of another scheme', 400, (k) => post(k, [LENGTH], BODY, 'file:///v1/chat/completions')],
  ['two slashes', 400, (k) => post(k, [LENGTH], BODY, '//v1/chat/completions')],
  ['a host as a path', 400, (k) => post(k, [LENGTH], BODY, '//other.test/v1/chat/completions')],
  ['a path without a slash', 400, (k) => post(k, [LENGTH], BODY, 'v1/chat/completions')],
  ['a path of spaces', 400, (k) => post(k, [LENGTH], BODY, '/v1/chat/completions /x')],
  // Closed without a word.
  ['CONNECT', 0, () => 'CONNECT other.test:443 HTTP/1.1\r\nhost: other.test:443\r\n\r\n'],
  ['an unknown version', 400, (k) => post(k, [LENGTH]).replace('HTTP/1.1', 'HTTP/3.7')],
  ['no version', 400, (k) => post(k, [LENGTH]).replace(' HTTP/1.1', '')],
  ['a method of its own', 400, (k) => post(k, [LENGTH]).replace('POST', 'PO ST')],
  ['two keys', 400, (k) => post(k, ['authorization: Bearer sk-tf-other', LENGTH])],
  ['one key twice', 400, (k) => post(k, [`Authorization: Bearer ${k}`, LENGTH])],
  ['two x-api-key', 400, (k) => post('', [`x-api-key: ${k}`, 'X-API-Key: sk-tf-other', LENGTH])],
  ['two x-goog-api-key', 400, (k) => post('', [`x-goog-api-key: ${k}`, `x-goog-api-key: ${k}`, LENGTH])],
]

test('A20: what two readers could take for different requests is refused, and nothing of it is served', async (t) => {
  const stand = await startStand(t, 'openai', ANSWER)
  const { forge, account, upstream } = stand
  assert.ok(TABLE.length >= 26)
  const good = await raw(forge.url, post(account.key, [LENGTH]))
  assert.deepEqual(statusesOf(good), [200], good)
  const pipelined = await raw(forge.url, post(account.key, [LENGTH]) + post(account.key, [LENGTH]), 1_000)
  assert.deepEqual(statusesOf(pipelined), [200, 200], 'two requests in one read are two requests')
  const chunked = await raw(forge.url, post(account.key, ['transfer-encoding: chunked'], CHUNKED))
  assert.deepEqual(statusesOf(chunked), [200])
  const before = upstream.requests.length
  await forge.settled()
  const balance = await forge.balance(account.orgId, 'rmb')

  const wrong: string[] = []
  for (const [name, status, bytes] of TABLE) {
    // Whatever the first reader made of the head, what follows it must not be answered.
    const answer = await raw(forge.url, bytes(account.key) + HIDDEN, 250)
    const got = statusesOf(answer)
    if (upstream.requests.length > before) wrong.push(`${name}: sent upstream`)
    if ((got[0] ?? 0) !== status || got.includes(200))
      wrong.push(`${name}: ${got.join()} instead of ${status}`)
  }
  assert.deepEqual(wrong, [])
  assert.equal(upstream.requests.length, before, 'nothing was sent upstream')
  await forge.settled()
  assert.deepEqual(await forge.balance(account.orgId, 'rmb'), balance)
  assert.deepEqual(
    statusesOf(await raw(forge.url, post(account.key, [LENGTH]))),
    [200],
    'and it still serves',
  )
  await forge.settled()
  await forge.audit()
})

/** Names of headers that may leave the gateway, on a channel of Anthropic's format. */
const ALLOWED = new Set([
  'host',
  'connection',
  'content-length',
  'content-type',
  'accept',
  'accept-encoding',
  'user-agent',
  'x-api-key',
  'anthropic-version',
  'anthropic-beta',
])

/** The head of a request, line breaks apart. */
const isPlain = (request: string): boolean =>
  [...(request.split('\r\n\r\n')[0] ?? '').replaceAll('\r\n', '')].every((char) => char >= ' ' && char <= '~')

const namesOf = (request: string): string[] =>
  (request.split('\r\n\r\n')[0] ?? '')
    .split('\r\n')
    .slice(1)
    .map((line) => line.slice(0, line.indexOf(':')).toLowerCase())

test('A19: of the caller’s headers only those of the format leave, and none that was meant for this hop', async (t) => {
  const { forge, account, upstream, logged } = await startStand(t, 'anthropic', MESSAGE)
  const send = async (
    more: readonly string[],
  ): Promise<{ readonly answer: string; readonly sent: string | undefined }> => {
    const before = upstream.requests.length
    const answer = await raw(
      forge.url,
      post('', [`x-api-key: ${account.key}`, LENGTH, ...more], BODY, '/v1/messages'),
    )
    return { answer, sent: upstream.requests[before] }
  }
  const stuffed = await send([
    'anthropic-version: 2023-06-01',
    'anthropic-beta: files-api-2025-04-14',
    'x-forwarded-for: 10.0.0.1',
    'x-forwarded-host: evil.test',
    'x-real-ip: 10.0.0.1',
    'forwarded: for=10.0.0.1',
    'x-tf-org: org_00000000000000000000000000',
    'x-tf-run: smuggled',
    'cookie: session=1',
    'proxy-authorization: Basic eDp5',
    'te: trailers',
    'upgrade-insecure-requests: 1',
    'x-stainless-retry-count: 1',
    'x-http-method-override: DELETE',
    'idempotency-key: k1',
  ])
  assert.deepEqual(statusesOf(stuffed.answer), [200], stuffed.answer)
  const names = namesOf(stuffed.sent ?? '')
  assert.deepEqual(
    names.filter((name) => !ALLOWED.has(name)),
    [],
  )
  assert.equal(new Set(names).size, names.length, 'none twice')
  assert.ok(names.includes('anthropic-beta') && names.includes('anthropic-version'))
  assert.ok(!(stuffed.sent ?? '').includes(account.key), 'the key stays here')
  assert.ok(
    (await forge.receipt(/x-request-id: (\S+)/.exec(stuffed.answer)?.[1] ?? null)).organization.id !== '',
  )

  await t.test('what Connection names ends here, whatever it is', async () => {
    const { answer, sent = '' } = await send([
      'anthropic-version: 2023-06-01',
      'anthropic-beta: files-api-2025-04-14',
      'connection: close, Anthropic-Beta , x-api-key, content-type, host',
    ])
    assert.deepEqual(statusesOf(answer), [200], answer)
    assert.ok(!namesOf(sent).includes('anthropic-beta'))
    for (const name of ['host', 'content-type', 'x-api-key', 'content-length', 'anthropic-version'])
      assert.ok(namesOf(sent).includes(name), name)
  })

  await t.test('a line break never becomes a header upstream', async () => {
    for (const value of [
      'a\r\nx-evil: 1',
      'a\nx-evil: 1',
      'a\rx-evil: 1',
      'a\0b',
      'a\x0bb',
      'a\x7fb',
      'caf\xe9',
      '%0d%0ax-evil: 1',
    ]) {
      const { sent = '', answer } = await send(['anthropic-version: 2023-06-01', `anthropic-beta: ${value}`])
      assert.ok(!namesOf(sent).includes('x-evil'), JSON.stringify(value))
      assert.ok([200, 400].includes(statusesOf(answer)[0] ?? 0), answer)
      assert.ok(isPlain(sent), 'plain text only')
    }
  })

  await t.test('and none in what the caller names in other places', async () => {
    for (const headers of [
      ['x-tf-route: ordinary%0d%0ax-evil: 1'],
      ['x-tf-run: a%0ax-evil: 1'],
      ['x-tf-step: %0d%0ax-evil: 1'],
    ]) {
      const { answer, sent } = await send(['anthropic-version: 2023-06-01', ...headers])
      assert.ok(!/^x-evil/im.test(answer), answer)
      assert.ok(sent === undefined || !namesOf(sent).includes('x-evil'))
    }
    const body = JSON.stringify({ ...(JSON.parse(BODY) as object), model: 'm\r\nx-evil: 1' })
    const answer = await raw(
      forge.url,
      post('', [`x-api-key: ${account.key}`, `content-length: ${body.length}`], body, '/v1/messages'),
    )
    assert.deepEqual(statusesOf(answer), [404])
    assert.ok(!/^x-evil/im.test(answer))
  })
  assert.deepEqual(logged, [], 'and nothing broke inside')
  await forge.settled()
  await forge.audit()
})
