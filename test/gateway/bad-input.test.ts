import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { type Account, type Forge, startForge, testConfig } from '../forge.ts'
import { errorOf, type ReplyError, repliesOf } from './ask.ts'

const MODELS = testConfig({ m: { ordinary: [''], official: [''] } })

interface Refused {
  readonly status: number
  readonly error: ReplyError
  readonly response: Response
}

const post = (
  forge: Forge,
  key: string,
  body: string | Buffer,
  headers: Record<string, string> = {},
): Promise<Response> =>
  fetch(`${forge.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers },
    body,
  })

/** A refusal in OpenAI's shape, with everything that helps, that left a receipt and cost nothing. */
async function refused(
  forge: Forge,
  account: Account,
  body: string | Buffer,
  headers: Record<string, string> = {},
): Promise<Refused> {
  const calls = forge.sandbox.requests.count
  const before = await forge.balance(account.orgId, 'rmb')
  const response = await post(forge, account.key, body, headers)
  const text = await response.text()
  const error = errorOf({ json: repliesOf(text) })
  const id = response.headers.get('x-request-id')
  assert.match(id ?? '', /^req_[0-9a-z]{26}$/)
  assert.equal(error.request_id, id)
  assert.equal(error.receipt, `/api/v1/receipts/${id}`)
  assert.ok(error.message.length > 5 && error.next_step.length > 5 && error.code.length > 2)
  assert.ok('param' in error)
  assert.match(error.type, /^(?:invalid_request_error|insufficient_quota|permission_error)$/)
  assert.equal(response.headers.get('x-should-retry'), 'false')
  assert.match(response.headers.get('content-type') ?? '', /^application\/json/)
  const receipt = await forge.receipt(id)
  assert.deepEqual(
    [receipt.status, receipt.settlement, receipt.charge, receipt.ledger],
    ['refused', 'refused', null, []],
  )
  assert.equal(receipt.error?.code, error.reason)
  assert.equal(receipt.next_step, error.next_step)
  assert.equal(forge.sandbox.requests.count, calls, 'nothing was sent upstream')
  assert.deepEqual(await forge.balance(account.orgId, 'rmb'), before)
  return { status: response.status, error, response }
}

const MESSAGES = '"messages":[{"role":"user","content":"hi"}]'
const withMember = (member: string): string => `{"model":"m",${MESSAGES},${member}}`

test("bad input is refused in the protocol's shape, with a receipt, and nothing is sent or charged", async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()

  await t.test('A2: numbers that decide the price must be integers in range', async () => {
    const numbers = [
      '-1',
      '0',
      '1.5',
      '1e400',
      '-1e400',
      '9007199254740993',
      '"5"',
      'true',
      '[]',
      '{}',
      '1e-3',
      '-0.0',
    ]
    const cases: Array<readonly [member: string, param: string]> = [
      ...['max_tokens', 'max_completion_tokens', 'n'].flatMap((name) =>
        numbers.map((value) => [`"${name}":${value}`, name] as const),
      ),
      ['"n":9', 'n'],
      ['"n":1000000', 'n'],
      ['"top_logprobs":-1', 'top_logprobs'],
      ['"top_logprobs":21', 'top_logprobs'],
      ['"logprobs":1', 'logprobs'],
      ['"logprobs":"true"', 'logprobs'],
      ['"stream":"true"', 'stream'],
      ['"stream":1', 'stream'],
      ['"stream_options":[]', 'stream_options'],
      ['"stream_options":{"include_usage":"yes"}', 'stream_options.include_usage'],
      ['"service_tier":7', 'service_tier'],
      ['"tools":{}', 'tools'],
      ['"thinking":{"type":"enabled","budget_tokens":-5}', 'thinking.budget_tokens'],
      ['"thinking":{"type":"enabled","budget_tokens":1e400}', 'thinking.budget_tokens'],
      ['"thinking":{"type":"enabled","budget_tokens":"9"}', 'thinking.budget_tokens'],
    ]
    for (const [member, param] of cases) {
      const { status, error } = await refused(forge, account, withMember(member))
      assert.deepEqual([status, error.code, error.param], [400, 'invalid_parameter', param], member)
    }
  })

  await t.test(
    'A2: a member that decides the price may be given only once, however it is spelt',
    async () => {
      for (const body of [
        withMember('"max_tokens":5,"max_tokens":6'),
        withMember('"max_tokens":5,"max_\\u0074okens":100000'),
        withMember('"model":"m"'),
        withMember('"\\u006dodel":"other"'),
        withMember('"n":1,"n":8'),
        withMember('"stream":false,"stream":true'),
        withMember(MESSAGES),
      ]) {
        const { status, error } = await refused(forge, account, body)
        assert.deepEqual([status, error.code], [400, 'invalid_parameter'], body)
        assert.match(error.message, /more than once/)
      }
    },
  )

  await t.test(
    'a member spelt with escapes is read as the provider reads it, whatever was parsed before',
    async () => {
      const told = async (body: string): Promise<{ n: number; hold: string | undefined }> => {
        const response = await post(forge, account.key, body)
        assert.equal(response.status, 200)
        const answer = (await response.json()) as { choices: unknown[] }
        const receipt = await forge.receipt(response.headers.get('x-request-id'))
        assert.equal(receipt.settlement, 'completed_reported')
        return { n: answer.choices.length, hold: receipt.hold?.amount }
      }
      const plain = await told(withMember('"max_tokens":50,"n":8'))
      // V8 13.6 remembers that after these members came one named by a single backslash, and takes "\u006e" for it.
      for (let turn = 0; turn < 3; turn++) await told(withMember('"max_tokens":50,"\\\\":1'))
      const spelt = await told(withMember('"max_tokens":50,"\\u006e":8'))
      assert.equal(spelt.n, 8)
      assert.ok(
        Math.abs(Number(spelt.hold) - Number(plain.hold)) < 0.0001,
        `${spelt.hold} is held, ${plain.hold} for the plain spelling`,
      )
      await forge.settled()
    },
  )

  await t.test('required members are named when they are missing or of another type', async () => {
    for (const [body, param] of [
      ['{}', 'model'],
      [`{"model":"",${MESSAGES}}`, 'model'],
      [`{"model":7,${MESSAGES}}`, 'model'],
      [`{"model":null,${MESSAGES}}`, 'model'],
      ['{"model":"m"}', 'messages'],
      ['{"model":"m","messages":[]}', 'messages'],
      ['{"model":"m","messages":"hi"}', 'messages'],
      ['{"model":"m","messages":{}}', 'messages'],
    ] as const) {
      const { status, error } = await refused(forge, account, body)
      assert.deepEqual([status, error.code, error.param], [400, 'invalid_parameter', param], body)
    }
  })

  await t.test('what is no JSON object is refused', async () => {
    for (const body of [
      '',
      ' ',
      'null',
      '[]',
      '"x"',
      '7',
      '{',
      `${withMember('"x":1')}}`,
      `{"model":"m",${MESSAGES},}`,
      'NaN',
      `\ufeff${withMember('"x":1')}`,
      "{'model':'m'}",
      `{"model":"m",${MESSAGES}}{}`,
    ]) {
      const { status, error } = await refused(forge, account, body)
      assert.deepEqual([status, error.code], [400, 'invalid_json'], body)
    }
  })

  await t.test('A23: deep nesting and swarms of values are refused before they are parsed', async () => {
    for (const depth of [65, 5_000, 1_000_000]) {
      const { status, error } = await refused(
        forge,
        account,
        withMember(`"x":${'['.repeat(depth)}${']'.repeat(depth)}`),
      )
      assert.deepEqual([status, error.code], [400, 'json_too_deep'])
    }
    const swarm = withMember(`"x":[${'{},'.repeat(600_000)}{}]`)
    const startedMs = performance.now()
    const { status, error } = await refused(forge, account, swarm)
    assert.deepEqual([status, error.code], [400, 'invalid_json'])
    assert.ok(performance.now() - startedMs < 1_500)
    const deepest = `${'['.repeat(62)}${']'.repeat(62)}`
    const response = await post(forge, account.key, withMember(`"x":${deepest}`))
    assert.equal(response.status, 200, 'what is just deep enough is served')
    await response.text()
    await forge.settled()
  })

  await t.test(
    'A22: a compressed body is bounded as decoded; what cannot be decoded is refused',
    async () => {
      const bomb = gzipSync(Buffer.alloc(60 * 1024 * 1024, ' '))
      assert.ok(bomb.length < 100_000, 'a small body unfolds')
      const cases = [
        { encoding: 'gzip', body: bomb, want: [413, 'body_too_large'] },
        { encoding: 'gzip', body: Buffer.from('no gzip at all'), want: [400, 'invalid_json'] },
        { encoding: 'compress', body: Buffer.from('{}'), want: [415, 'unsupported_encoding'] },
      ]
      for (const { encoding, body, want } of cases) {
        const response = await fetch(`${forge.url}/v1/chat/completions`, {
          method: 'POST',
          headers: {
            authorization: `Bearer ${account.key}`,
            'content-type': 'application/json',
            'content-encoding': encoding,
          },
          body: new Uint8Array(body),
        })
        const { error } = (await response.json()) as { error: { code: string } }
        assert.deepEqual([response.status, error.code], want)
      }
    },
  )

  await t.test('A24: names of prototypes are members like others: nothing of ours changes', async () => {
    const member =
      '"__proto__":{"stream":true,"max_tokens":1,"isAdmin":true},"constructor":{"prototype":{"n":8}}'
    const response = await post(forge, account.key, withMember(member))
    assert.equal(response.status, 200)
    assert.match(
      response.headers.get('content-type') ?? '',
      /^application\/json/,
      'no stream: that was no member of ours',
    )
    await response.text()
    await forge.settled()
    assert.equal(Reflect.get({}, 'isAdmin'), undefined)
    const upstream = forge.sandbox.requests.all().at(-1)?.bodyText ?? ''
    assert.ok(upstream.includes(member), 'the upstream gets the bytes')
  })

  await t.test('A29: a name that only looks like a model is no model', async () => {
    for (const name of [
      'ｍ',
      'м',
      'm\u200b',
      'm\u0000',
      ' m',
      'm ',
      'M',
      '../m',
      'm\n',
      'm:official\u0000',
      'm'.repeat(10_000),
      '__proto__',
      'constructor',
      'toString',
      'm\u202e',
      '\ud800',
      'm:',
    ]) {
      const { status, error } = await refused(
        forge,
        account,
        JSON.stringify({ model: name, messages: [{ role: 'user', content: 'x' }] }),
      )
      assert.ok(
        status === 404 && (error.code === 'model_not_found' || error.code === 'route_not_found'),
        `${JSON.stringify(name)}: ${error.code}`,
      )
      assert.ok(error.message.length < 400)
    }
  })

  await t.test('an unknown route is named, with those there are', async () => {
    for (const [model, headers] of [
      ['m:nope', {}],
      ['m', { 'x-tf-route': 'nope' }],
    ] as const) {
      const body = JSON.stringify({ model, messages: [{ role: 'user', content: 'x' }] })
      const { status, error } = await refused(forge, account, body, headers)
      assert.deepEqual([status, error.code], [404, 'route_not_found'])
      assert.match(error.message, /official, ordinary/)
    }
  })

  await t.test('an Idempotency-Key that is too long or no plain text is refused', async () => {
    for (const key of ['x'.repeat(256), 'a b', 'caf\u00e9']) {
      const { status, error } = await refused(forge, account, withMember('"x":1'), { 'idempotency-key': key })
      assert.deepEqual([status, error.param], [400, 'idempotency-key'])
    }
  })

  await t.test(
    'a key that is missing, unknown, revoked or expired gets 401; only a known one gets a receipt',
    async () => {
      const calls = forge.sandbox.requests.count
      const unknown = `sk-tf-${'0'.repeat(49)}`
      for (const headers of [
        {},
        { authorization: 'Bearer x' },
        { authorization: `Bearer ${unknown}` },
        { authorization: 'Basic eDp5' },
        { 'x-api-key': 'sk-UPSTREAM-SECRET-0123456789' },
      ]) {
        const response = await fetch(`${forge.url}/v1/chat/completions`, {
          method: 'POST',
          headers: { ...headers },
          body: withMember('"x":1'),
        })
        const { error } = (await response.json()) as { error: ReplyError }
        assert.deepEqual(
          [response.status, error.code, error.type, error.receipt],
          [401, 'invalid_api_key', 'authentication_error', null],
        )
        assert.equal(response.headers.get('x-should-retry'), 'false')
      }
      const gone = await forge.account({ key: { expiresAtMs: Date.now() - 1_000 } })
      const response = await post(forge, gone.key, withMember('"x":1'))
      const { error } = (await response.json()) as { error: ReplyError }
      assert.deepEqual([response.status, error.code], [401, 'invalid_api_key'])
      assert.equal((await forge.receipt(error.request_id)).status, 'refused')
      assert.equal(forge.sandbox.requests.count, calls)
    },
  )

  await t.test('paths and methods that are none are told in the same shape', async () => {
    for (const [method, path, status, code] of [
      ['GET', '/v1/chat/completions', 405, 'method_not_allowed'],
      ['POST', '/v1/nothing', 404, 'not_found'],
      ['POST', '/v1/chat/completions/', 404, 'not_found'],
      ['DELETE', '/v1/models', 405, 'method_not_allowed'],
    ] as const) {
      const response = await fetch(`${forge.url}${path}`, { method })
      const { error } = (await response.json()) as { error: ReplyError }
      assert.deepEqual([response.status, error.code], [status, code], path)
      assert.equal(response.headers.get('x-should-retry'), 'false')
    }
  })

  await t.test('a body above the limit is refused without being read', async () => {
    const response = await fetch(`${forge.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${account.key}` },
      body: Buffer.alloc(50 * 1024 * 1024 + 1, 0x20),
    }).catch(() => null)
    if (response === null) return
    assert.equal(response.status, 413)
    await response.text()
  })

  await forge.settled()
  await forge.audit()
})
