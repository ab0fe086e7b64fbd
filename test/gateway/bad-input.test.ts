import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { type Account, type Forge, startForge, testConfig } from '../forge.ts'
import { ask, assertMoney, contentOf, customerReceipt, errorOf, type ReplyError, repliesOf } from './ask.ts'

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

test('A28: any text goes all the way to PostgreSQL and back', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account({ grants: { rmb: '100', credit: '100' } })
  const HARD = [
    '\u0000',
    '\ud800',
    '\udfff x',
    'a\u202eb\u2066c',
    '😀👩‍👩‍👧‍👦',
    '"\\\u0007',
    '\ufeff\u200b',
    "'; drop table x; --",
    '\r\n\u001b[31m',
  ]

  await t.test('prompts reach the upstream as they are, and never the ledger', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom(...HARD)), async (text) => {
        const told = await ask(forge, account, { model: 'm', text, body: { max_tokens: 5 } })
        if (text.includes('[[')) return
        assert.equal(told.status, 200)
        const sent = forge.sandbox.requests.all().at(-1)?.body as {
          messages: ReadonlyArray<{ content: string }>
        }
        assert.equal(sent.messages[0]?.content, text)
        assertMoney(told)
      }),
      { numRuns: 30 },
    )
    const stored = await forge.owner.one<{ n: number }>(
      `select count(*)::int as n from ledger.receipt where document like '%drop table%'`,
    )
    assert.equal(stored.n, 0)
  })

  await t.test('model names: refused with a receipt that can be read', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.string({ unit: 'binary', minLength: 1 }), fc.constantFrom(...HARD)),
        async (model) => {
          if (model === 'm') return
          const told = await ask(forge, account, { model })
          assert.ok(told.status === 404, `${told.status}`)
          assert.equal(told.receipt.status, 'refused')
          assert.ok(told.receipt.requested_model?.isWellFormed())
        },
      ),
      { numRuns: 30 },
    )
  })

  await t.test('names of keys, runs and steps: stored clean, and totals can be read', async () => {
    for (const hard of HARD) {
      const made = await forge.app.tenancy
        .createKey({
          projectId: account.projectId,
          label: `k${hard}`,
          policy: 'ordinary_only',
          allowCrossBalance: false,
          models: null,
          routes: null,
          expiresAtMs: null,
        })
        .catch((thrown: unknown) => thrown as Error)
      if (made instanceof Error || made === null) continue
      const header = Buffer.from(`r ${hard.replaceAll(/[\r\n\u0000]/g, '')}`, 'utf8')
        .toString('latin1')
        .replaceAll(/[^\x20-\x7e\x80-\xff]/g, '')
      const told = await ask(
        forge,
        { ...account, key: made.secret },
        { model: 'm', headers: { 'x-tf-run': header.slice(0, 100), 'x-tf-step': header.slice(0, 100) } },
      )
      assert.equal(told.status, 200, told.text)
      assert.ok(told.receipt.api_key.label.isWellFormed() && !told.receipt.api_key.label.includes('\u0000'))
      const run = await fetch(`${forge.url}/api/v1/runs/${told.receipt.run?.id}`, {
        headers: { authorization: `Bearer ${made.secret}` },
      })
      assert.equal(run.status, 200)
      const { totals } = (await run.json()) as { totals: Record<string, { charged: string }> }
      assert.equal(totals['rmb']?.charged, told.receipt.charge?.total)
    }
  })

  await forge.settled()
  await forge.audit()
})

test('A3: without a limit of its own a request is bound by the model and by what the balance affords', async (t) => {
  const forge = await startForge(t, {
    config: testConfig({
      m: { ordinary: [''], maxOutput: 3_000 },
      endless: { ordinary: ['ignore-max'], maxOutput: 300 },
    }),
  })

  await t.test("the hold covers the model's limit, and n choices are held n times", async () => {
    const account = await forge.account()
    const one = await ask(forge, account, { model: 'm', body: { max_tokens: undefined } })
    const four = await ask(forge, account, { model: 'm', body: { max_tokens: undefined, n: 4 } })
    assert.equal(one.headers.get('x-tf-max-output-tokens'), null)
    const held = (told: typeof one): number => Math.round(Number(told.receipt.hold?.amount) * 1e5)
    assert.equal(held(one), 3_000 + Math.round((held(one) - 3_000) * 1))
    assert.ok(held(four) > 4 * 3_000 && held(four) < 4 * 3_000 + 300)
  })

  await t.test('a poor balance lowers the limit, tells it upstream and to the caller', async () => {
    const account = await forge.account({ grants: { rmb: '0.02' } })
    const told = await ask(forge, account, { model: 'm', body: { max_tokens: 2_500 }, sandbox: 'words=4000' })
    assert.equal(told.status, 200)
    const limit = Number(told.headers.get('x-tf-max-output-tokens'))
    assert.ok(limit >= 1_024 && limit < 2_000, `${limit}`)
    assert.equal(told.receipt.max_output_tokens, limit)
    assert.equal(told.receipt.max_output_tokens_lowered, true)
    const sent = forge.sandbox.requests.all().at(-1)?.body as { max_tokens: number }
    assert.equal(sent.max_tokens, limit)
    assert.equal(told.json[0]?.choices?.[0]?.finish_reason, 'length')
    assert.ok(told.after >= 0n)
    assertMoney(told)
  })

  await t.test('both names of the limit are lowered, so that no upstream reads the other one', async () => {
    const account = await forge.account({ grants: { rmb: '0.02' } })
    const told = await ask(forge, account, {
      model: 'm',
      body: { max_tokens: 2_500, max_completion_tokens: 2_600 },
    })
    assert.equal(told.status, 200)
    const sent = forge.sandbox.requests.all().at(-1)?.body as Record<string, number>
    assert.equal(sent['max_tokens'], sent['max_completion_tokens'])
    assert.equal(sent['max_tokens'], told.receipt.max_output_tokens)
  })

  await t.test("an endless stream without a limit stops at the model's", async () => {
    const account = await forge.account()
    const told = await ask(forge, account, {
      model: 'endless',
      body: { max_tokens: undefined, stream: true },
    })
    assert.equal(told.receipt.settlement, 'cut_at_limit')
    assert.equal(told.receipt.usage?.output, 300)
    assert.ok(contentOf(told.json).length < 300 * 4 * 2)
    assertMoney(told)
  })

  await t.test('what cannot even pay the smallest window is told what is missing', async () => {
    const account = await forge.account({ grants: { rmb: '0.005' } })
    const told = await ask(forge, account, { model: 'm', body: { max_tokens: 2_500 } })
    const error = errorOf(told)
    assert.deepEqual(
      [told.status, error.code, error.type, error.reason],
      [429, 'insufficient_quota', 'insufficient_quota', 'insufficient_balance'],
    )
    assert.equal(told.headers.get('x-should-retry'), 'false')
    assert.equal(error.ledger?.['bucket'], 'rmb')
    assert.equal(error.ledger?.['available'], '0.005')
    assert.ok(Number(error.ledger?.['missing']) > 0)
    assertMoney(told)
  })

  await t.test('a balance that is only held says by how many running requests', async () => {
    const account = await forge.account({ grants: { rmb: '0.02' } })
    const stop = new AbortController()
    const running = await forge.chat(
      account.key,
      {
        model: 'm',
        max_tokens: 1_800,
        stream: true,
        messages: [{ role: 'user', content: '[[sandbox: words=500, delay=20]]' }],
      },
      { signal: stop.signal },
    )
    const told = await ask(forge, account, { model: 'm', body: { max_tokens: 1_500 } })
    stop.abort()
    await running.text().catch(() => '')
    const error = errorOf(told)
    assert.deepEqual([told.status, error.code, error.reason], [429, 'insufficient_quota', 'balance_held'])
    assert.equal(error.ledger?.['running_requests'], 1)
    assert.equal((await customerReceipt(forge, account, error.request_id)).error?.code, 'balance_held')
  })

  await forge.settled()
  await forge.audit()
})
