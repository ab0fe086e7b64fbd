import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseNano } from '../../src/kernel/index.ts'
import { startForge, testConfig } from '../forge.ts'

/** Every inbound format over every upstream format, whole and streamed: the answer, the usage and the bill. */

const UPSTREAMS = ['openai', 'openai-responses', 'anthropic', 'gemini'] as const
const QUESTION = 'Write 12 words about balances'

interface Caller {
  readonly name: string
  readonly path: (model: string, stream: boolean) => string
  readonly body: (model: string, stream: boolean) => object
  readonly headers: Record<string, string>
  /** The text of a whole answer. */
  readonly text: (answer: unknown) => string
  /** The text of a stream. */
  readonly streamText: (events: readonly Json[]) => string
  readonly usage: (answer: unknown) => { input: number; output: number }
  readonly tf: (events: readonly Json[]) => unknown
}

// biome-ignore lint/suspicious/noExplicitAny: answers of four formats are looked into member by member
type Json = any

const CALLERS: readonly Caller[] = [
  {
    name: 'chat',
    path: () => '/v1/chat/completions',
    body: (model, stream) => ({
      model,
      max_tokens: 200,
      messages: [{ role: 'user', content: QUESTION }],
      ...(stream ? { stream, stream_options: { include_usage: true } } : {}),
    }),
    headers: {},
    text: (answer) => (answer as Json).choices[0].message.content,
    streamText: (events) => events.map((event) => event.choices?.[0]?.delta?.content ?? '').join(''),
    usage: (answer) => ({
      input: (answer as Json).usage.prompt_tokens,
      output: (answer as Json).usage.completion_tokens,
    }),
    tf: (events) => events.findLast((event) => event.usage)?.usage.tf,
  },
  {
    name: 'responses',
    path: () => '/v1/responses',
    body: (model, stream) => ({
      model,
      max_output_tokens: 200,
      input: QUESTION,
      store: false,
      ...(stream ? { stream } : {}),
    }),
    headers: {},
    text: (answer) =>
      (answer as Json).output
        .filter((item: Json) => item.type === 'message')
        .flatMap((item: Json) => item.content.map((part: Json) => part.text))
        .join(''),
    streamText: (events) =>
      events.map((event) => (event.type === 'response.output_text.delta' ? event.delta : '')).join(''),
    usage: (answer) => ({
      input: (answer as Json).usage.input_tokens,
      output: (answer as Json).usage.output_tokens,
    }),
    tf: (events) => events.findLast((event) => event.type === 'response.completed')?.response.usage.tf,
  },
  {
    name: 'messages',
    path: () => '/v1/messages',
    body: (model, stream) => ({
      model,
      max_tokens: 200,
      messages: [{ role: 'user', content: QUESTION }],
      ...(stream ? { stream } : {}),
    }),
    headers: { 'anthropic-version': '2023-06-01' },
    text: (answer) => (answer as Json).content.map((part: Json) => part.text ?? '').join(''),
    streamText: (events) => events.map((event) => event.delta?.text ?? '').join(''),
    usage: (answer) => ({
      input: (answer as Json).usage.input_tokens,
      output: (answer as Json).usage.output_tokens,
    }),
    tf: (events) => events.findLast((event) => event.type === 'message_delta')?.usage.tf,
  },
  {
    name: 'gemini',
    path: (model, stream) =>
      `/v1beta/models/${model}:${stream ? 'streamGenerateContent?alt=sse' : 'generateContent'}`,
    body: () => ({
      contents: [{ role: 'user', parts: [{ text: QUESTION }] }],
      generationConfig: { maxOutputTokens: 200 },
    }),
    headers: {},
    text: (answer) =>
      (answer as Json).candidates[0].content.parts
        .map((part: Json) => (part.thought ? '' : (part.text ?? '')))
        .join(''),
    streamText: (events) =>
      events
        .map(
          (event) =>
            event.candidates?.[0]?.content?.parts
              ?.map((part: Json) => (part.thought ? '' : (part.text ?? '')))
              .join('') ?? '',
        )
        .join(''),
    usage: (answer) => ({
      input: (answer as Json).usageMetadata.promptTokenCount,
      output:
        ((answer as Json).usageMetadata.candidatesTokenCount ?? 0) +
        ((answer as Json).usageMetadata.thoughtsTokenCount ?? 0),
    }),
    tf: (events) => events.findLast((event) => event.usageMetadata)?.usageMetadata.tf,
  },
]

function eventsOf(text: string): Json[] {
  return text
    .split(/\r?\n\r?\n/)
    .flatMap((block) => block.split(/\r?\n/).filter((line) => line.startsWith('data:')))
    .map((line) => line.slice(5).trim())
    .filter((data) => data !== '[DONE]' && data !== '')
    .map((data) => JSON.parse(data) as Json)
}

test('every inbound format is served by every upstream format, and billed to the token', async (t) => {
  const models = Object.fromEntries(
    UPSTREAMS.map((protocol) => [`m-${protocol}`, { protocol, ordinary: ['words=12'] }]),
  )
  const forge = await startForge(t, { config: testConfig(models) })
  const account = await forge.account()

  for (const caller of CALLERS)
    for (const upstream of UPSTREAMS) {
      const model = `m-${upstream}`
      await t.test(`${caller.name} over ${upstream}, whole`, async () => {
        const response = await forge.post(
          caller.path(model, false),
          account.key,
          caller.body(model, false),
          caller.headers,
        )
        const body = await response.text()
        assert.equal(response.status, 200, body)
        const answer = JSON.parse(body) as Json
        assert.ok(caller.text(answer).length > 20, body)
        const receipt = await forge.receipt(response.headers.get('x-request-id'))
        assert.equal(receipt.settlement, 'completed_reported', JSON.stringify(receipt))
        const usage = caller.usage(answer)
        assert.equal(receipt.usage?.output, usage.output)
        assert.equal((receipt.usage?.input ?? 0) + (receipt.usage?.cache_read ?? 0), usage.input)
        assert.equal(response.headers.get('x-tf-charge'), receipt.charge?.total)
      })

      await t.test(`${caller.name} over ${upstream}, streamed`, async () => {
        const response = await forge.post(
          caller.path(model, true),
          account.key,
          caller.body(model, true),
          caller.headers,
        )
        const body = await response.text()
        assert.equal(response.status, 200, body)
        const events = eventsOf(body)
        assert.ok(caller.streamText(events).length > 20, body)
        const receipt = await forge.receipt(response.headers.get('x-request-id'))
        assert.equal(receipt.settlement, 'completed_reported', JSON.stringify(receipt))
        const tf = caller.tf(events) as Json
        assert.equal(tf?.charge, receipt.charge?.total, body)
        assert.equal(tf?.request_id, receipt.id)
        assert.ok((parseNano(receipt.charge?.total ?? '') ?? 0n) > 0n)
      })
    }

  await forge.settled()
  await forge.audit()
})

test('embeddings are served across formats and billed by their input', async (t) => {
  const forge = await startForge(t, {
    config: testConfig({
      'e-openai': { protocol: 'openai', ordinary: [''] },
      'e-gemini': { protocol: 'gemini', ordinary: [''] },
    }),
  })
  const account = await forge.account()
  for (const model of ['e-openai', 'e-gemini']) {
    const openai = await forge.post('/v1/embeddings', account.key, {
      model,
      input: ['one text', 'another'],
      encoding_format: 'base64',
    })
    const answer = (await openai.json()) as Json
    assert.equal(openai.status, 200, JSON.stringify(answer))
    assert.equal(answer.data.length, 2)
    assert.equal(typeof answer.data[0].embedding, 'string')
    const receipt = await forge.receipt(openai.headers.get('x-request-id'))
    assert.equal(receipt.status, 'completed', JSON.stringify(receipt))
    assert.equal(receipt.usage?.output, 0)
    assert.ok((receipt.usage?.input ?? 0) > 0)
    const gemini = await forge.post(`/v1beta/models/${model}:embedContent`, account.key, {
      content: { parts: [{ text: 'one text' }] },
    })
    const vector = (await gemini.json()) as Json
    assert.equal(gemini.status, 200, JSON.stringify(vector))
    assert.ok(vector.embedding.values.length > 4)
  }
  await forge.settled()
  await forge.audit()
})

test('a caller who leaves an Anthropic stream pays for what was delivered, not for the one token of its first event', async (t) => {
  const forge = await startForge(t, {
    config: testConfig({ m: { protocol: 'anthropic', ordinary: ['words=400, delay=5'] } }),
  })
  const account = await forge.account()
  const stop = new AbortController()
  const response = await fetch(`${forge.url}/v1/messages`, {
    method: 'POST',
    signal: stop.signal,
    headers: {
      'x-api-key': account.key,
      'anthropic-version': '2023-06-01',
      'content-type': 'application/json',
    },
    body: JSON.stringify({
      model: 'm',
      max_tokens: 1_000,
      stream: true,
      messages: [{ role: 'user', content: QUESTION }],
    }),
  })
  const reader = response.body?.getReader()
  for (let bytes = 0; bytes < 6_000; ) bytes += (await reader?.read())?.value?.length ?? 6_000
  stop.abort()
  const receipt = await forge.receipt(response.headers.get('x-request-id'))
  assert.equal(receipt.settlement, 'client_left')
  assert.ok(
    (receipt.usage?.output ?? 0) > 10 && (receipt.usage?.output ?? 0) < 400,
    JSON.stringify(receipt.usage),
  )
  assert.notEqual(receipt.usage?.source, 'reported')
  await forge.settled()
  await forge.audit()
})
