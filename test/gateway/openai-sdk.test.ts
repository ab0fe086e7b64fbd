import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import type { ChatCompletionMessageParam, ChatCompletionTool } from 'openai/resources/chat/completions'
import { type Account, type Forge, startForge, testConfig } from '../forge.ts'
import { chargeNano, priceNano } from './ask.ts'

const MODELS = testConfig({
  m: { ordinary: [''], official: [''] },
  down: { ordinary: ['status=500'] },
  rejecting: { ordinary: ['status=400'] },
  broken: { ordinary: ['words=30, delay=0, cut=8'] },
})

const clientOf = (forge: Forge, account: Account, more: object = {}): OpenAI =>
  new OpenAI({ apiKey: account.key, baseURL: `${forge.url}/v1`, ...more })

const WEATHER: ChatCompletionTool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather of a city.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}
const TIME: ChatCompletionTool = {
  type: 'function',
  function: { name: 'get_time', parameters: { type: 'object', properties: { zone: { type: 'string' } } } },
}
const ask = (content: string): ChatCompletionMessageParam[] => [{ role: 'user', content }]

test('the openai package works by changing its base URL and key, on both routes', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  const client = clientOf(forge, account)

  for (const [route, bucket] of [
    ['official', 'credit'],
    ['ordinary', 'rmb'],
  ] as const) {
    const model = `m:${route}`

    await t.test(`an answer, with its receipt's id and charge (${route})`, async () => {
      const { data, response } = await client.chat.completions
        .create({ model, messages: ask('Hello there') })
        .withResponse()
      assert.ok((data.choices[0]?.message.content ?? '').length > 0)
      const receipt = await forge.receipt(response.headers.get('x-request-id'))
      assert.equal(receipt.charge?.bucket, bucket)
      assert.equal(receipt.charge?.total, response.headers.get('x-tf-charge'))
      assert.equal(
        chargeNano(receipt),
        priceNano(data.usage?.prompt_tokens ?? 0, data.usage?.completion_tokens ?? 0),
      )
    })

    await t.test(`a stream with usage: the last chunk tells the charge (${route})`, async () => {
      const stream = await client.chat.completions.create({
        model,
        messages: ask('Hello'),
        stream: true,
        stream_options: { include_usage: true },
      })
      let text = ''
      let usage:
        | (OpenAI.CompletionUsage & { tf?: { request_id: string; charge: string; bucket: string } })
        | null = null
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta.content ?? ''
        if (chunk.usage != null) usage = chunk.usage
      }
      assert.ok(text.length > 0 && usage !== null)
      const receipt = await forge.receipt(usage.tf?.request_id ?? null)
      assert.equal(receipt.charge?.total, usage.tf?.charge)
      assert.equal(usage.tf?.bucket, bucket)
    })

    await t.test(`a stream without usage: no chunk that the caller did not ask for (${route})`, async () => {
      const { data: stream, response } = await client.chat.completions
        .create({ model, messages: ask('Hello'), stream: true })
        .withResponse()
      let finish: string | null | undefined = null
      for await (const chunk of stream) {
        assert.equal(chunk.choices.length, 1)
        assert.ok(!('usage' in chunk))
        finish = chunk.choices[0]?.finish_reason ?? finish
      }
      assert.equal(finish, 'stop')
      assert.equal((await forge.receipt(response.headers.get('x-request-id'))).usage?.source, 'reported')
    })

    await t.test(`tools: one, several at once, and the turn after their results (${route})`, async () => {
      const single = await client.chat.completions.create({
        model,
        messages: ask('Weather in Paris?'),
        tools: [WEATHER],
      })
      assert.equal(single.choices[0]?.finish_reason, 'tool_calls')
      const call = single.choices[0]?.message.tool_calls?.[0]
      assert.ok(call?.type === 'function' && call.function.name === 'get_weather')
      const parallel = await client.chat.completions.create({
        model,
        messages: ask('Call both tools'),
        tools: [WEATHER, TIME],
      })
      assert.equal(parallel.choices[0]?.message.tool_calls?.length, 2)
      const streamed = client.chat.completions.stream({
        model,
        messages: ask('Call both tools'),
        tools: [WEATHER, TIME],
        stream_options: { include_usage: true },
      })
      const final = await streamed.finalChatCompletion()
      assert.equal(final.choices[0]?.message.tool_calls?.length, 2)
      assert.ok((final.usage?.completion_tokens ?? 0) > 0)
      const after = await client.chat.completions.create({
        model,
        messages: [
          ...ask('Weather in Paris?'),
          single.choices[0].message,
          { role: 'tool', tool_call_id: call.id, content: '{"celsius": 21}' },
        ],
        tools: [WEATHER],
      })
      assert.ok((after.choices[0]?.message.content ?? '').length > 0)
      const receipt = await forge.receipt(after._request_id ?? null)
      assert.equal(receipt.settlement, 'completed_reported')
    })

    await t.test(`structured output, images, several choices (${route})`, async () => {
      const schema = {
        name: 'city',
        strict: true,
        schema: {
          type: 'object',
          properties: { city: { type: 'string' }, people: { type: 'integer' } },
          required: ['city', 'people'],
          additionalProperties: false,
        },
      }
      const structured = await client.chat.completions.create({
        model,
        messages: ask('Name a city'),
        response_format: { type: 'json_schema', json_schema: schema },
      })
      const parsed = JSON.parse(structured.choices[0]?.message.content ?? '') as Record<string, unknown>
      assert.equal(typeof parsed['city'], 'string')
      const pixel =
        'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
      const seen = await client.chat.completions.create({
        model,
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: 'What is this?' },
              { type: 'image_url', image_url: { url: pixel } },
            ],
          },
        ],
      })
      assert.equal(
        chargeNano(await forge.receipt(seen._request_id ?? null)),
        priceNano(seen.usage?.prompt_tokens ?? 0, seen.usage?.completion_tokens ?? 0),
      )
      const several = await client.chat.completions.create({ model, messages: ask('Hello'), n: 3 })
      assert.equal(several.choices.length, 3)
      assert.equal(
        chargeNano(await forge.receipt(several._request_id ?? null)),
        priceNano(several.usage?.prompt_tokens ?? 0, several.usage?.completion_tokens ?? 0),
      )
    })
  }

  await t.test('models.list names what this key can call, and nothing else', async () => {
    const names = async (key: Account): Promise<string[]> => {
      const found: string[] = []
      for await (const model of clientOf(forge, key).models.list()) found.push(model.id)
      return found.sort((a, b) => a.localeCompare(b))
    }
    assert.deepEqual(await names(account), ['broken', 'down', 'm', 'rejecting'])
    assert.deepEqual(await names(await forge.account({ key: { models: ['m'] } })), ['m'])
    assert.deepEqual(await names(await forge.account({ key: { policy: 'official_only' } })), ['m'])
    await assert.rejects(
      clientOf(forge, { ...account, key: 'sk-tf-wrong' }).models.list(),
      OpenAI.AuthenticationError,
    )
  })

  await forge.settled()
  await forge.audit()
})

test('the openai package gets its own error classes, and stops where a retry cannot help', async (t) => {
  const forge = await startForge(t, { config: MODELS })
  const account = await forge.account()
  let calls = 0
  const counting = (owner: Account): OpenAI =>
    clientOf(forge, owner, {
      fetch: (url: string, init: RequestInit) => {
        calls++
        return fetch(url, init)
      },
    })

  async function failure(
    owner: Account,
    body: { model: string; max_tokens?: number; n?: number; stream?: boolean },
  ): Promise<InstanceType<typeof OpenAI.APIError>> {
    calls = 0
    try {
      await counting(owner).chat.completions.create({ messages: ask('Hello'), ...body })
    } catch (thrown) {
      assert.ok(thrown instanceof OpenAI.APIError, String(thrown))
      return thrown
    }
    throw new Error('no error')
  }
  const once = async (owner: Account, body: { model: string; max_tokens?: number; n?: number }) => {
    const error = await failure(owner, body)
    assert.equal(calls, 1, 'x-should-retry: false is obeyed')
    const receipt = await forge.receipt(error.requestID ?? null)
    assert.equal(receipt.charge, null)
    return { error, receipt }
  }

  await t.test('401', async () => {
    const error = await failure({ ...account, key: `sk-tf-${'0'.repeat(49)}` }, { model: 'm' })
    assert.ok(error instanceof OpenAI.AuthenticationError)
    assert.deepEqual([calls, error.code], [1, 'invalid_api_key'])
  })

  await t.test('404', async () => {
    const { error } = await once(account, { model: 'nothing' })
    assert.ok(error instanceof OpenAI.NotFoundError)
    assert.deepEqual([error.code, error.param], ['model_not_found', 'model'])
  })

  await t.test("400, ours and the provider's", async () => {
    const ours = await once(account, { model: 'm', n: 99 })
    assert.ok(ours.error instanceof OpenAI.BadRequestError)
    assert.equal(ours.error.param, 'n')
    const theirs = await once(account, { model: 'rejecting' })
    assert.ok(theirs.error instanceof OpenAI.BadRequestError)
    assert.equal(theirs.receipt.attempts[0]?.status, 400)
  })

  await t.test('403', async () => {
    const { error } = await once(await forge.account({ key: { models: ['down'] } }), { model: 'm' })
    assert.ok(error instanceof OpenAI.PermissionDeniedError)
    assert.equal(error.code, 'model_not_allowed')
  })

  await t.test('a balance that is spent: exactly one call', async () => {
    const { error, receipt } = await once(await forge.account({ grants: { rmb: '0.001' } }), { model: 'm' })
    assert.ok(error instanceof OpenAI.RateLimitError)
    assert.deepEqual(
      [error.status, error.code, error.type],
      [429, 'insufficient_quota', 'insufficient_quota'],
    )
    assert.match(error.message, /RMB wallet has CNY 0.001 available/)
    assert.equal(receipt.error?.code, 'insufficient_balance')
  })

  await t.test(
    'an upstream that fails: retried by the package, each try with a receipt and no charge',
    async () => {
      const before = await forge.balance(account.orgId, 'rmb')
      const seen = forge.sandbox.requests.count
      const error = await failure(account, { model: 'down' })
      assert.ok(error instanceof OpenAI.InternalServerError)
      assert.equal(error.status, 502)
      assert.equal(calls, 3)
      assert.equal(forge.sandbox.requests.count, seen + 3)
      assert.equal((await forge.receipt(error.requestID ?? null)).settlement, 'failed_before_output')
      await forge.settled()
      assert.deepEqual(await forge.balance(account.orgId, 'rmb'), before)
    },
  )

  await t.test('a stream that breaks is an error of the package, not a silent end', async () => {
    const stream = await counting(account).chat.completions.create({
      model: 'broken',
      messages: ask('Hello'),
      stream: true,
    })
    let text = ''
    await assert.rejects(
      async () => {
        for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? ''
      },
      (thrown) => thrown instanceof OpenAI.APIError && /broke off/.test(thrown.message),
    )
    assert.ok(text.length > 0)
  })

  await forge.settled()
  await forge.audit()
})
