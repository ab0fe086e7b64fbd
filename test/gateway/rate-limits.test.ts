import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEventView, RateLimitView } from '../../src/contract/index.ts'
import { formatId } from '../../src/kernel/index.ts'
import { type Account, type Forge, startForge, testConfig } from '../forge.ts'
import { ask, assertMoney, bodyOf, errorOf, eventually, withUpstreams } from './ask.ts'
import { limitRate, manage, ofKey, ofRoute } from './rate-stand.ts'
import { answerBody, startStub } from './stub.ts'

const MODELS = testConfig({
  m: { ordinary: [''], official: [''] },
  slow: { ordinary: ['words=400, delay=5'] },
  broken: { ordinary: ['status=500'] },
})

/** A request that each format's clients send, and where the refusal says what. */
const FORMATS = {
  chat: { path: '/v1/chat/completions', body: bodyOf({ model: 'm' }) },
  responses: { path: '/v1/responses', body: { model: 'm', input: 'Which balance?', max_output_tokens: 100 } },
  messages: {
    path: '/v1/messages',
    body: { model: 'm', max_tokens: 100, messages: [{ role: 'user', content: 'Which balance?' }] },
  },
  gemini: {
    path: '/v1beta/models/m:generateContent',
    body: {
      contents: [{ role: 'user', parts: [{ text: 'Which balance?' }] }],
      generationConfig: { maxOutputTokens: 100 },
    },
  },
} as const
type Format = keyof typeof FORMATS

interface Refusal {
  readonly error: {
    readonly type?: string
    readonly code?: string | number
    readonly status?: string
    readonly message: string
    readonly reason?: string
    readonly limit?: Record<string, string>
    readonly details?: ReadonlyArray<Record<string, unknown>>
  }
}

async function send(forge: Forge, account: Account, format: Format): Promise<Response> {
  const { path, body } = FORMATS[format]
  const response = await forge.post(path, account.key, body)
  return response
}

test('every format refuses in its own words, with its own headers, a receipt and nothing charged', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  for (const format of Object.keys(FORMATS) as Format[])
    await t.test(format, async () => {
      const account = await forge.account()
      const limit = await limitRate(
        forge,
        ofKey(account, { requests_per_minute: 2, tokens_per_minute: 100_000 }),
      )
      const [requests, tokens] =
        format === 'messages'
          ? (['anthropic-ratelimit-requests-', 'anthropic-ratelimit-tokens-'] as const)
          : (['x-ratelimit-*-requests', 'x-ratelimit-*-tokens'] as const)
      const read = (response: Response, form: string, what: string): string | null =>
        response.headers.get(form.includes('*') ? form.replace('*', what) : `${form}${what}`)
      const served = await send(forge, account, format)
      assert.equal(served.status, 200, await served.clone().text())
      await served.text()
      assert.deepEqual([read(served, requests, 'limit'), read(served, requests, 'remaining')], ['2', '1'])
      assert.equal(read(served, tokens, 'limit'), '100000')
      assert.ok(Number(read(served, tokens, 'remaining')) < 100_000)
      const reset = read(served, requests, 'reset') ?? ''
      if (format === 'messages') {
        assert.match(reset, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
        assert.ok(Math.abs(Date.parse(reset) - Date.now() - 60_000) < 4_000, reset)
      } else assert.match(reset, /^(?:1m[01]s|5\ds)$/)
      await (await send(forge, account, format)).text()
      const refused = await send(forge, account, format)
      assert.equal(refused.status, 429)
      assert.equal(read(refused, requests, 'remaining'), '0')
      const seconds = Number(refused.headers.get('retry-after'))
      assert.ok(seconds > 50 && seconds <= 61, `${seconds}`)
      assert.ok(Number(refused.headers.get('retry-after-ms')) > 50_000)
      assert.equal(refused.headers.get('x-should-retry'), 'true')
      const { error } = (await refused.json()) as Refusal
      assert.match(
        error.message,
        /rate limit of this API key is 2 requests a minute: 2 used, and this request needs 1/,
      )
      if (format === 'gemini') {
        assert.deepEqual([error.code, error.status], [429, 'RESOURCE_EXHAUSTED'])
        const retry = error.details?.find((detail) => String(detail['@type']).endsWith('RetryInfo'))
        assert.match(String(retry?.['retryDelay']), /^\d+s$/)
      } else {
        assert.equal(error.type, 'rate_limit_error')
        assert.equal(error.reason ?? error.code, 'rate_limit_exceeded')
        assert.equal(error.limit?.['rate_limit'], limit.id)
      }
      const receipt = await forge.receipt(refused.headers.get('x-request-id'))
      assert.deepEqual(
        [receipt.status, receipt.charge, receipt.error?.code],
        ['refused', null, 'rate_limit_exceeded'],
      )
      assert.ok(receipt.limit !== null && 'rate_limit' in receipt.limit)
      assert.deepEqual(
        [receipt.limit.rate_limit, receipt.limit.measure, receipt.limit.amount, receipt.limit.used],
        [limit.id, 'requests_per_minute', '2', '2'],
      )
      assert.match(receipt.explanation.en, /allows 2 requests a minute/)
      assert.equal(receipt.decision?.candidates[0]?.reason, 'a rate limit was reached')
    })
  await forge.settled()
  await forge.audit()
})

test('an upstream’s own limits are never shown as ours', async (t) => {
  const headers = {
    'content-type': 'application/json',
    'x-ratelimit-limit-requests': '99999',
    'x-ratelimit-remaining-requests': '77777',
    'anthropic-ratelimit-tokens-limit': '55555',
    'retry-after': '33',
  }
  const stub = await startStub(t, (_req, res, body) => {
    if (body.includes('fail')) res.writeHead(429, headers).end('{"error":{"message":"slow down"}}')
    else res.writeHead(200, headers).end(answerBody('hello', { prompt_tokens: 5, completion_tokens: 1 }))
  })
  const forge = await startForge(t, {
    config: withUpstreams(testConfig({ m: { ordinary: ['stub'] } }), { stub: stub.url }),
  })
  const [free, limited] = [await forge.account(), await forge.account()]
  await limitRate(forge, ofKey(limited, { requests_per_minute: 10 }))
  for (const text of ['hello', 'fail']) {
    const plain = await ask(forge, free, { model: 'm', text })
    assert.deepEqual(
      [...plain.headers.keys()].filter((name) => name.includes('ratelimit')),
      [],
    )
    const told = await ask(forge, limited, { model: 'm', text })
    assert.equal(told.headers.get('x-ratelimit-limit-requests'), '10')
    assert.equal(told.headers.get('anthropic-ratelimit-tokens-limit'), null)
  }
})

test('each scope limits its own requests and no others; without a limit no header is sent', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const scopes: ReadonlyArray<
    readonly [scope: 'organization' | 'project' | 'key' | 'route', of: (account: Account) => string]
  > = [
    ['organization', (account) => formatId('org', account.orgId)],
    ['project', (account) => formatId('prj', account.projectId)],
    ['key', (account) => formatId('key', account.keyId)],
    ['route', () => 'ordinary'],
    ['route', () => 'm:ordinary'],
  ]
  for (const [scope, of] of scopes)
    await t.test(scope, async () => {
      const [account, other] = [
        await forge.account({ key: { policy: 'ordinary_only' } }),
        await forge.account(),
      ]
      const limit = await limitRate(forge, {
        scope,
        scope_id: of(account),
        requests_per_minute: 1,
        ...(scope === 'route' ? { organization: formatId('org', account.orgId) } : {}),
      })
      assert.equal((await ask(forge, account, { model: 'm' })).status, 200)
      const refused = await ask(forge, account, { model: 'm' })
      assert.equal(refused.status, 429)
      assertMoney(refused)
      assert.equal(errorOf(refused).reason, 'rate_limit_exceeded')
      const free = await ask(forge, other, { model: 'm' })
      assert.equal(free.status, 200)
      assert.deepEqual(
        [...free.headers.keys()].filter((name) => name.includes('ratelimit')),
        [],
      )
      // In force at once, both ways, and written down.
      assert.equal(
        (await manage(forge, 'PATCH', `rate-limits/${limit.id}`, { requests_per_minute: 2 })).status,
        200,
      )
      assert.equal((await ask(forge, account, { model: 'm' })).status, 200)
      assert.equal((await ask(forge, account, { model: 'm' })).status, 429)
      assert.equal((await manage(forge, 'DELETE', `rate-limits/${limit.id}`)).status, 200)
      assert.equal((await ask(forge, account, { model: 'm' })).status, 200)
      const events = (await (await manage(forge, 'GET', `audit?object=${limit.id}`)).json()) as {
        data: AuditEventView[]
      }
      assert.deepEqual(
        events.data.map(({ action }) => action),
        ['rate_limit.end', 'rate_limit.change', 'rate_limit.create'],
      )
    })
})

test('a limited route is left for another of the plan, never for another balance without permission', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  await limitRate(forge, ofRoute(account, 'm:ordinary', { requests_per_minute: 1 }))
  assert.equal((await ask(forge, account, { model: 'm' })).receipt.decision?.route, 'ordinary')
  const refused = await ask(forge, account, { model: 'm' })
  assert.equal(refused.status, 429, 'the only other route is paid from another balance')
  const crossed = await ask(forge, account, {
    model: 'm',
    bucket: 'credit',
    headers: { 'x-tf-allow-cross-balance': 'true' },
  })
  assert.equal(crossed.status, 200)
  assertMoney(crossed)
  assert.equal(crossed.receipt.decision?.route, 'official')
  assert.match(crossed.receipt.decision?.reason ?? '', /rate limit/)
  assert.equal(crossed.receipt.crossed_balance, true)
})

test('tokens are reserved, and corrected with what was really used, whatever the ending', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const remaining = (headers: Headers): number => Number(headers.get('x-ratelimit-remaining-tokens'))
  const account = await forge.account()
  await limitRate(forge, ofKey(account, { tokens_per_minute: 10_000, concurrency: 2 }))
  const first = await ask(forge, account, { model: 'm', body: { max_tokens: 2_000 } })
  const used = (first.receipt.usage?.input ?? 0) + (first.receipt.usage?.output ?? 0)
  assert.ok(used > 0)
  const reserved = 10_000 - remaining(first.headers)
  assert.ok(
    reserved > 1_024 && reserved < 1_200,
    `input and no more than 1,024 tokens are expected: ${reserved}`,
  )
  const second = await ask(forge, account, { model: 'm', body: { max_tokens: 2_000 } })
  assert.equal(remaining(second.headers), 10_000 - used - reserved, 'the first is corrected')
  const failed = await ask(forge, account, { model: 'broken' })
  assert.equal(failed.status, 502)
  const third = await ask(forge, account, { model: 'm', body: { max_tokens: 2_000 } })
  assert.equal(remaining(third.headers), 10_000 - 2 * used - reserved, 'a failure has used nothing')
  const large = await ask(forge, account, { model: 'm', text: 'word '.repeat(12_000) })
  assert.equal(large.status, 429)
  assert.equal(large.headers.get('x-should-retry'), 'false', 'it can never fit')
  assert.match(errorOf(large).message, /this request alone needs/)
  await forge.settled()
  await forge.audit()
})

test('concurrency is given back by every ending: answers, failures, callers who leave, refusals for money', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  const poor = await forge.account({ grants: {} })
  await limitRate(forge, ofKey(account, { concurrency: 2 }))
  await limitRate(forge, ofKey(poor, { concurrency: 1 }))
  const controllers = [new AbortController(), new AbortController()]
  const streams = await Promise.all(
    controllers.map(({ signal }) => forge.chat(account.key, { model: 'slow', stream: true }, { signal })),
  )
  assert.deepEqual(
    streams.map(({ status }) => status),
    [200, 200],
  )
  const third = await ask(forge, account, { model: 'm' })
  assert.equal(third.status, 429)
  assert.match(errorOf(third).message, /2 requests at one time: 2 used/)
  assert.equal(third.headers.get('retry-after'), '1')
  for (const controller of controllers) controller.abort()
  await eventually('room after the callers left', async () =>
    (await ask(forge, account, { model: 'm' })).status === 200 ? true : null,
  )
  for (let turn = 0; turn < 5; turn++) {
    assert.equal((await ask(forge, account, { model: 'broken' })).status, 502)
    assert.equal((await ask(forge, poor, { model: 'm' })).status, 429)
    assert.equal(errorOf(await ask(forge, poor, { model: 'm' })).reason, 'insufficient_balance')
  }
  const both = await Promise.all([1, 2].map(() => ask(forge, account, { model: 'm' })))
  assert.deepEqual(
    both.map(({ status }) => status),
    [200, 200],
  )
  await forge.settled()
  await forge.audit()
})

test('requests at once cannot pass a limit together, and a refused Idempotency-Key is free again', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  const limit = await limitRate(forge, ofKey(account, { requests_per_minute: 10 }))
  const answers = await Promise.all(Array.from({ length: 40 }, () => forge.chat(account.key, { model: 'm' })))
  const statuses = answers.map(({ status }) => status)
  assert.equal(statuses.filter((status) => status === 200).length, 10)
  assert.equal(statuses.filter((status) => status === 429).length, 30)
  const headers = { 'idempotency-key': 'again-1' }
  assert.equal((await ask(forge, account, { model: 'm', headers })).status, 429)
  await manage(forge, 'PATCH', `rate-limits/${limit.id}`, { requests_per_minute: 11 })
  const served = await ask(forge, account, { model: 'm', headers })
  assert.equal(served.status, 200)
  const repeat = await forge.chat(account.key, bodyOf({ model: 'm' }), { headers })
  assert.deepEqual([repeat.status, repeat.headers.get('x-tf-replayed')], [200, 'true'])
  assert.equal(repeat.headers.get('x-ratelimit-remaining-requests'), null, 'a repeat is not counted')
  await forge.settled()
  await forge.audit()
})

test('keys read the limits they fall under, and change none', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const [account, other] = [await forge.account(), await forge.account()]
  const own = await limitRate(forge, ofKey(account, { concurrency: 5 }))
  const foreign = await limitRate(forge, ofKey(other, { concurrency: 5 }))
  const asKey = (path: string, init: RequestInit = {}) =>
    fetch(`${forge.url}/api/v1/${path}`, {
      ...init,
      headers: { authorization: `Bearer ${account.key}`, 'content-type': 'application/json' },
    })
  const listed = (await (await asKey('rate-limits')).json()) as { data: RateLimitView[] }
  assert.deepEqual(
    listed.data.map(({ id }) => id),
    [own.id],
  )
  assert.equal((await asKey(`rate-limits/${own.id}`)).status, 200)
  assert.equal((await asKey(`rate-limits/${foreign.id}`)).status, 404)
  for (const [method, path] of [
    ['PATCH', `rate-limits/${own.id}`],
    ['DELETE', `rate-limits/${own.id}`],
    ['POST', 'rate-limits'],
  ] as const)
    assert.equal(
      (await asKey(path, { method, body: JSON.stringify(ofKey(account, { concurrency: 9 })) })).status,
      403,
    )
  const twice = await manage(forge, 'POST', 'rate-limits', ofKey(account, { concurrency: 1 }))
  assert.equal(twice.status, 409)
  const nothing = await manage(forge, 'PATCH', `rate-limits/${own.id}`, { concurrency: null })
  assert.equal(nothing.status, 400)
})
