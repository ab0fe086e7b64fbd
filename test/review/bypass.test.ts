import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { parseNano } from '../../src/kernel/index.ts'
import { type Account, PRICE } from '../forge.ts'
import {
  type Any,
  type Attack,
  assertSound,
  assertTold,
  deltas,
  event,
  GEMINI_ANSWER,
  json,
  RESPONSE_ANSWER,
  requestOf,
  SECRET,
  sse,
  startAttack,
  tell,
} from './stand.ts'

/** Ways around the hold, the price, the key and the project; each is closed before an upstream is asked. */

const CHAT_ANSWER = {
  id: 'c',
  object: 'chat.completion',
  created: 1,
  model: 'up',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
  usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
}
const MESSAGE_ANSWER = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  model: 'up',
  content: [{ type: 'text', text: 'Hi' }],
  stop_reason: 'end_turn',
  usage: { input_tokens: 5, output_tokens: 2 },
}
function answerWhole({ stub }: Attack): void {
  stub.answer = (req, res) => {
    const url = req.url ?? ''
    if (url.includes('chat')) json(res, CHAT_ANSWER)
    else if (url.includes('messages')) json(res, MESSAGE_ANSWER)
    else if (url.includes('responses')) json(res, RESPONSE_ANSWER)
    else json(res, GEMINI_ANSWER)
  }
}

const holdOf = (told: { receipt: { hold: { amount: string } | null } }): bigint =>
  parseNano(told.receipt.hold?.amount ?? '0') ?? 0n

async function otherProject({ forge, account }: Attack): Promise<Account> {
  const project = await forge.app.tenancy.createProject({ orgId: account.orgId, name: 'other' })
  const made = await forge.app.tenancy.createKey({
    projectId: project?.id ?? account.projectId,
    label: 'other',
    policy: 'ordinary_then_official',
    allowCrossBalance: false,
    models: null,
    routes: null,
    expiresAtMs: null,
  })
  assert.ok(made !== null)
  return { ...account, keyId: made.key.id, key: made.secret }
}

test('a member that stands there twice is refused, whichever it is: two readers would disagree', async (t) => {
  const attack = await startAttack(t)
  answerWhole(attack)
  const twice: ReadonlyArray<readonly [Parameters<typeof requestOf>[0], string]> = [
    ['openai', '"tool_choice":"auto","tool_choice":"none"'],
    ['openai', '"max_tokens":5,"max_tokens":50000'],
    ['openai', '"max_tok\\u0065ns":5'],
    ['openai', '"web_search_options":{},"web_search_options":null'],
    ['openai-responses', '"background":true,"background":false'],
    ['openai-responses', '"max_tool_calls":900,"max_tool_calls":1'],
    ['openai-responses', '"conversation":"conv_1","conversation":null'],
    ['anthropic', '"speed":"fast","speed":"standard"'],
    ['anthropic', '"thinking":{"type":"enabled","budget_tokens":90000},"thinking":{"type":"disabled"}'],
    ['anthropic', '"fallbacks":[{"model":"claude-dear"}],"fallbacks":null'],
    ['gemini', '"generation_config":{"maxOutputTokens":5},"generation_config":{}'],
    ['gemini', '"generation_config":{"maxOutputTokens":50000}'],
    ['gemini', '"cachedContent":"cachedContents/x","cachedContent":null'],
  ]
  for (const [format, members] of twice) {
    const [path, body] = requestOf(format, `m-${format}`, false)
    const told = await tell(attack, [path, `${JSON.stringify(body).slice(0, -1)},${members}}`])
    assert.equal(told.status, 400, `${members}: ${told.text}`)
    assertTold(told)
  }
  assert.equal(attack.stub.calls.length, 0)
  await assertSound(attack)
})

test('numbers that are no limit are refused, and of two limits the larger is held for', async (t) => {
  const attack = await startAttack(t)
  answerWhole(attack)
  const bad: ReadonlyArray<readonly [Parameters<typeof requestOf>[0], string]> = [
    ...['-1', '0', '1e400', '1.5', '"5"', '9007199254740993', '-1e400'].flatMap((value) => [
      ['openai', `"max_completion_tokens":${value}`] as const,
      ['anthropic', `"thinking":{"type":"enabled","budget_tokens":${value}}`] as const,
      ['openai-responses', `"max_tool_calls":${value}`] as const,
    ]),
    ['openai', '"n":9'],
    ['openai', '"n":-1'],
    ['openai', '"stream":"true"'],
    ['openai-responses', '"background":true'],
  ]
  for (const [format, members] of bad) {
    const [path, body] = requestOf(format, `m-${format}`, false)
    const told = await tell(attack, [path, `${JSON.stringify(body).slice(0, -1)},${members}}`])
    assert.equal(told.status, 400, `${format} ${members}: ${told.text}`)
  }
  for (const config of [
    '"candidateCount":100',
    '"candidate_count":9',
    '"maxOutputTokens":-5',
    '"max_output_tokens":1e400',
    '"maxOutputTokens":5,"max_output_tokens":50000',
  ]) {
    const [path] = requestOf('gemini', 'm-gemini', false)
    const told = await tell(attack, [
      path,
      `{"contents":[{"parts":[{"text":"a"}]}],"generationConfig":{${config}}}`,
    ])
    assert.equal(told.status, 400, `${config}: ${told.text}`)
  }
  assert.equal(attack.stub.calls.length, 0)
  const both = await tell(
    attack,
    requestOf('openai', 'm-openai', false, { max_tokens: 1, max_completion_tokens: 4_000 }),
  )
  assert.ok(holdOf(both) >= 40_000_000n)
  // A limit of another format's spelling is none: the model's own is held for.
  const foreign = await tell(
    attack,
    requestOf('openai', 'm-openai', false, { max_tokens: undefined, max_output_tokens: 1 }),
  )
  assert.ok(holdOf(foreign) >= 160_000_000n)
  const choices = await tell(attack, requestOf('openai', 'm-openai', false, { n: 8 }))
  assert.ok(holdOf(choices) >= 8n * 5_000_000n)
  await assertSound(attack)
})

test('a search that is asked for in a second spelling is held for', async (t) => {
  const price = { ...PRICE, web_search: { per: 1000, price: '10' } }
  const attack = await startAttack(t, {
    g: { protocol: 'gemini', ordinary: ['stub-gemini'], price },
  })
  answerWhole(attack)
  for (const tools of [
    [{ googleSearch: {} }],
    [{ google_search: {} }],
    [{ googleSearch: null, google_search: {} }],
    { googleSearchRetrieval: {} },
  ]) {
    const told = await tell(attack, requestOf('gemini', 'g', false, { tools }))
    assert.ok(holdOf(told) >= 320_000_000n, `${JSON.stringify(tools)}: ${told.receipt.hold?.amount}`)
  }
  await assertSound(attack)
})

test('a faster service is paid at its own price, however it is asked for', async (t) => {
  const price = { ...PRICE, service_tiers: { fast: { input: '6', output: '60' } } }
  const attack = await startAttack(t, {
    fast: { protocol: 'anthropic', ordinary: ['stub-anthropic'], price },
  })
  attack.stub.answer = (_req, res, body) =>
    json(res, {
      ...MESSAGE_ANSWER,
      usage: {
        ...MESSAGE_ANSWER.usage,
        service_tier: 'standard',
        speed: body.includes('"speed":"fast"') ? 'fast' : 'standard',
      },
    })
  const slow = await tell(attack, requestOf('anthropic', 'fast', false))
  assert.equal(slow.movedNano, 25_000n)
  const fast = await tell(attack, requestOf('anthropic', 'fast', false, { speed: 'fast' }))
  assertTold(fast)
  assert.equal(fast.movedNano, 150_000n)
  assert.ok(holdOf(fast) >= 30_000_000n)
  await assertSound(attack)
})

test('what another project stored is not there: not to continue, count, look at, cancel or delete', async (t) => {
  const attack = await startAttack(t)
  answerWhole(attack)
  const { forge, account, stub } = attack
  const stranger = await otherProject(attack)
  const first = await tell(attack, requestOf('openai-responses', 'm-openai-responses', false))
  assert.equal(first.status, 200)
  await forge.settled()
  const calls = stub.calls.length
  const more = { previous_response_id: 'resp_1' }
  const asked = requestOf('openai-responses', 'm-openai-responses', false, more)
  const foreign = await tell(attack, asked, {}, stranger.key)
  assert.equal(foreign.status, 400)
  const count = await forge.post('/v1/responses/input_tokens', stranger.key, asked[1])
  assert.notEqual(count.status, 500)
  await count.text()
  for (const [method, path] of [
    ['GET', '/v1/responses/resp_1'],
    ['GET', '/v1/responses/resp_1/input_items'],
    ['DELETE', '/v1/responses/resp_1'],
    ['POST', '/v1/responses/resp_1/cancel'],
  ] as const) {
    const response = await fetch(`${forge.url}${path}`, { method, headers: { 'x-api-key': stranger.key } })
    assert.equal(response.status, 404, path)
    await response.text()
    const nobody = await fetch(`${forge.url}${path}`, { method })
    assert.equal(nobody.status, 401, path)
    await nobody.text()
  }
  assert.equal(stub.calls.length, calls, 'no upstream heard of it')
  const own = await tell(attack, asked)
  assert.equal(own.status, 200, own.text)
  const odd = await tell(
    attack,
    requestOf('openai-responses', 'm-openai-responses', false, { previous_response_id: 'a\u0000b' }),
  )
  assert.equal(odd.status, 400, odd.text)
  for (const status of [400, 404, 409, 429]) {
    stub.answer = (_req, res) =>
      json(res, { error: { message: `no such thing at http://10.1.2.3:80/ for ${SECRET}` } }, status)
    const response = await fetch(`${forge.url}/v1/responses/resp_1`, {
      headers: { 'x-api-key': account.key },
    })
    const text = await response.text()
    assert.ok(!text.includes('UPSTREAM-SECRET') && !text.includes('10.1.2.3'), text)
    assert.ok(response.status >= 400, 'a failure stays one')
  }
  await assertSound(attack)
})

test('a key is not told in part where a long message is cut', async (t) => {
  const attack = await startAttack(t)
  for (let padding = 1_965; padding < 2_000; padding++) {
    attack.stub.answer = (_req, res) =>
      json(res, { error: { message: `${'a'.repeat(padding)} ${SECRET.replace('sk-', '')} ${SECRET}` } }, 400)
    if (padding % 5 !== 0) continue
    const told = await tell(attack, requestOf('openai', 'm-openai', false))
    assert.ok(!told.text.includes('sk-UP'), told.text.slice(-200))
    assert.ok(!JSON.stringify(told.receipt).includes('sk-UP'))
  }
  await assertSound(attack)
})

test('an embedding buys the model that was asked for, whatever its body names', async (t) => {
  const attack = await startAttack(t, { e: { protocol: 'gemini', ordinary: ['stub-gemini'] } })
  attack.stub.answer = (_req, res) =>
    json(res, { embeddings: [{ values: [1, 2] }], embedding: { values: [1, 2] } })
  const content = { parts: [{ text: 'one text' }] }
  const bodies: ReadonlyArray<readonly [string, object]> = [
    ['batchEmbedContents', { requests: [{ model: 'models/dear', content }, { content }] }],
    ['embedContent', { model: 'models/dear', content }],
  ]
  for (const [method, body] of bodies) {
    const told = await tell(attack, [`/v1beta/models/e:${method}`, body])
    assert.equal(told.status, 200, told.text)
    assertTold(told)
  }
  for (const call of attack.stub.calls) assert.ok(!call.includes('dear'), call)
  await assertSound(attack)
})

test('token ids are bounded by their bytes, and a claim beyond that is capped', async (t) => {
  const attack = await startAttack(t, { e: { protocol: 'openai', ordinary: ['stub-openai'] } })
  const input = Array.from({ length: 3_000 }, (_, at) => at % 10)
  attack.stub.answer = (_req, res) =>
    json(res, {
      object: 'list',
      model: 'up-e',
      data: [{ object: 'embedding', index: 0, embedding: [1] }],
      usage: { prompt_tokens: 90_000_000, total_tokens: 90_000_000 },
    })
  for (const ids of [input, [input, input]]) {
    const told = await tell(attack, ['/v1/embeddings', { model: 'e', input: ids }])
    assertTold(told)
    const tokens = ids.flat().length
    assert.ok((told.receipt.usage?.input ?? 0) >= tokens && (told.receipt.usage?.input ?? 0) < 30 * tokens)
    assert.equal(told.receipt.settlement, 'completed_bounded')
  }
  await assertSound(attack)
})

test('one idempotency key is one request: not of another endpoint, format, framing or body', async (t) => {
  const attack = await startAttack(t)
  answerWhole(attack)
  const headers = { 'idempotency-key': 'k1' }
  const first = await tell(attack, requestOf('openai', 'm-anthropic', false), headers)
  assert.equal(first.status, 200, first.text)
  const calls = attack.stub.calls.length
  for (const asked of [
    requestOf('anthropic', 'm-anthropic', false),
    requestOf('openai', 'm-anthropic', true),
    requestOf('gemini', 'm-anthropic', false),
    requestOf('openai-responses', 'm-anthropic', false),
    ['/anthropic/v1/messages', requestOf('openai', 'm-anthropic', false)[1]] as const,
  ]) {
    const told = await tell(attack, asked, headers)
    assert.ok([409, 422, 400].includes(told.status), `${asked[0]}: ${told.status} ${told.text}`)
    assert.equal(told.movedNano, 0n)
  }
  const again = await attack.forge.post(
    ...([requestOf('openai', 'm-anthropic', false)[0], attack.account.key] as const),
    requestOf('openai', 'm-anthropic', false)[1],
    headers,
  )
  assert.equal(again.headers.get('x-tf-replayed'), 'true')
  assert.equal(await again.text(), first.text)
  assert.equal(attack.stub.calls.length, calls)

  attack.stub.answer = (_req, res) =>
    sse(
      res,
      deltas('openai', 20) +
        event({
          id: 'c',
          created: 1,
          model: 'up',
          choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
        }) +
        event('[DONE]'),
    )
  for (const caller of ['anthropic', 'gemini', 'openai-responses', 'openai'] as const) {
    const once = { 'idempotency-key': `s-${caller}` }
    const asked = requestOf(caller, 'm-openai', true)
    const streamed = await tell(attack, asked, once)
    assert.ok(streamed.movedNano > 0n)
    const replayed = await attack.forge.post(asked[0], attack.account.key, asked[1], once)
    assert.equal(replayed.headers.get('content-type'), streamed.headers.get('content-type'))
    assert.equal(await replayed.text(), streamed.text)
  }
  await assertSound(attack)
})

test('a route that is not the one asked for is never paid, and a run belongs to its project', async (t) => {
  const attack = await startAttack(t, {
    two: { ordinary: ['stub-openai'], official: ['stub-openai'] },
  })
  answerWhole(attack)
  const { forge, account } = attack
  for (const name of [
    'two:official:official',
    'two:',
    ':official',
    'two:Official',
    'two:rmb',
    'two%3Aofficial',
  ]) {
    const told = await tell(attack, requestOf('openai', name, false))
    assert.ok([400, 404].includes(told.status), `${name}: ${told.status}`)
    assert.equal(told.movedNano, 0n)
  }
  for (const [name, header, bucket] of [
    ['two:official', 'official', 'credit'],
    ['two:ordinary', 'ordinary', 'rmb'],
    ['two', 'official', 'credit'],
  ] as const) {
    const told = await tell(attack, requestOf('openai', name, false), { 'x-tf-route': header })
    assert.equal(told.receipt.charge?.bucket, bucket)
  }
  const gemini = await tell(attack, requestOf('gemini', 'two:official', false))
  assert.equal(gemini.receipt.charge?.bucket, 'credit', gemini.text)

  const named = await tell(attack, requestOf('openai', 'two', false), { 'x-tf-run': 'mine' })
  const runId = named.receipt.run?.id ?? ''
  const stranger = await otherProject(attack)
  const foreign = await tell(attack, requestOf('openai', 'two', false), { 'x-tf-run': runId }, stranger.key)
  assert.equal(foreign.status, 400, foreign.text)
  const alike = await tell(attack, requestOf('openai', 'two', false), { 'x-tf-run': 'mine' }, stranger.key)
  assert.notEqual(alike.receipt.run?.id, runId)
  const rows = await forge.owner.query<{ project_id: string; n: number }>(
    `select project_id, count(*)::int as n from ledger.receipt where org_id = $1 and run_id is not null group by 1`,
    [account.orgId],
  )
  assert.equal(rows.length, 2)
  await assertSound(attack)
})

test('paths, methods, compression and missing keys give nothing away and break nothing', async (t) => {
  const attack = await startAttack(t)
  answerWhole(attack)
  const { forge, account, stub } = attack
  for (const path of ['/v1/models/%zz', '/v1/models/%E0%A4%A', '/v1beta/models/%zz:generateContent']) {
    const method = path.includes(':') ? 'POST' : 'GET'
    const response = await fetch(`${forge.url}${path}`, {
      method,
      headers: { 'x-api-key': account.key },
      ...(method === 'POST' ? { body: '{}' } : {}),
    })
    assert.ok([400, 404].includes(response.status), `${path}: ${response.status}`)
    await response.text()
  }
  for (const path of [
    '/v1/chat/completions',
    '/v1/messages',
    '/v1/responses',
    '/v1beta/models/m-gemini:generateContent',
  ])
    for (const method of ['HEAD', 'OPTIONS', 'GET', 'PUT', 'DELETE']) {
      const response = await fetch(`${forge.url}${path}`, { method, headers: { 'x-api-key': account.key } })
      assert.ok([405, 404].includes(response.status), `${method} ${path}: ${response.status}`)
      await response.text()
    }
  for (const path of [
    '/v1/messages/count_tokens',
    '/v1/responses/input_tokens',
    '/v1beta/models/m-gemini:countTokens',
    '/v1/embeddings',
    `/v1/messages?key=${account.key}`,
  ])
    for (const key of ['', 'sk-tf-nonsense', 'sk-tf-a\u00e9']) {
      const response = await forge.post(path, key, requestOf('anthropic', 'm-anthropic', false)[1])
      assert.equal(response.status, path.includes('key=') ? 400 : 401, `${path} ${key}`)
      await response.text()
    }
  for (const path of ['/v1/models', '/v1beta/models', '/v1/models/m-openai']) {
    const response = await fetch(`${forge.url}${path}`)
    assert.equal(response.status, 401, path)
    await response.text()
  }
  const listed = await (
    await fetch(`${forge.url}/v1/models`, { headers: { 'x-api-key': account.key } })
  ).text()
  assert.ok(!listed.includes('up-') && !listed.includes('stub') && !listed.includes('127.0.0.1'), listed)
  assert.equal(stub.calls.length, 0)

  const [path, body] = requestOf('openai', 'm-openai', false)
  const send = (bytes: Buffer, encoding: string): Promise<Response> =>
    fetch(`${forge.url}${path}`, {
      method: 'POST',
      headers: { 'x-api-key': account.key, 'content-type': 'application/json', 'content-encoding': encoding },
      body: new Uint8Array(bytes),
    })
  const zipped = await send(gzipSync(JSON.stringify(body)), 'gzip')
  assert.equal(zipped.status, 200)
  await zipped.text()
  assert.deepEqual(JSON.parse(stub.calls.at(-1) ?? ''), { ...body, model: 'up-m-openai' })
  for (const [bytes, encoding] of [
    [gzipSync(Buffer.alloc(60 * 1024 * 1024, 0x20)), 'gzip'],
    [gzipSync(gzipSync(JSON.stringify(body))), 'gzip, gzip'],
    [Buffer.from(JSON.stringify(body)), 'gzip'],
  ] as const) {
    const response = await send(bytes, encoding)
    assert.ok([400, 413, 415].includes(response.status), `${encoding}: ${response.status}`)
    await response.text()
  }
  assert.equal(stub.calls.length, 1)
  await assertSound(attack)
})

export type { Any }
