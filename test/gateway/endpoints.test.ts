import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import { type Account, type Forge, startForge, testConfig } from '../forge.ts'
import { RESPONSE_ANSWER } from '../review/stand.ts'
import { withUpstreams } from './ask.ts'
import { startStub } from './stub.ts'

/** What callers of each format reach besides the calls that generate: paths, credentials, stored responses. */

const CONFIG = testConfig({
  g: { protocol: 'gemini', ordinary: [''] },
  r: { protocol: 'openai-responses', ordinary: [''] },
  a: { protocol: 'anthropic', ordinary: [''] },
})
const TEXT = {
  contents: [{ role: 'user', parts: [{ text: 'tide?' }] }],
  generationConfig: { maxOutputTokens: 50 },
}

test('a client that probes before it speaks is answered without a key', async (t) => {
  const forge = await startForge(t, { config: CONFIG })
  const probe = await fetch(`${forge.url}/api/hello`, { method: 'HEAD' })
  assert.deepEqual([probe.status, await probe.text()], [200, ''])
  assert.equal((await fetch(`${forge.url}/api/hello`)).status, 200)
})

async function askGemini(forge: Forge, path: string, headers: Record<string, string>): Promise<Response> {
  return fetch(forge.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(TEXT),
  })
}

test('Gemini is spoken at every version of its paths, with the key wherever its clients put it', async (t) => {
  const forge = await startForge(t, { config: CONFIG })
  const { key } = await forge.account()
  const credentials: ReadonlyArray<readonly [query: string, headers: Record<string, string>]> = [
    ['', { 'x-goog-api-key': key }],
    [`?key=${key}`, {}],
    ['', { authorization: `Bearer ${key}` }],
  ]
  for (const version of ['v1', 'v1beta', 'v1alpha'])
    for (const [query, headers] of credentials) {
      const response = await askGemini(forge, `/${version}/models/g:generateContent${query}`, headers)
      const body = (await response.json()) as { candidates?: unknown[]; usageMetadata?: object }
      assert.equal(response.status, 200, JSON.stringify(body))
      assert.equal(body.candidates?.length, 1)
      const receipt = await forge.receipt(response.headers.get('x-request-id'))
      assert.deepEqual(
        [receipt.endpoint, receipt.settlement],
        ['gemini.generate_content', 'completed_reported'],
      )
    }
  assert.equal((await askGemini(forge, '/v1beta/models/g:generateContent', {})).status, 401)
})

test('a Gemini stream is server-sent events with alt=sse and one JSON array without', async (t) => {
  const forge = await startForge(t, { config: CONFIG })
  const { key } = await forge.account()
  const headers = { 'x-goog-api-key': key }
  for (const model of ['g', 'a']) {
    const path = `/v1beta/models/${model}:streamGenerateContent`
    const sse = await askGemini(forge, `${path}?alt=sse`, headers)
    assert.match(sse.headers.get('content-type') ?? '', /^text\/event-stream/)
    const events = (await sse.text()).split(/\r?\n\r?\n/).filter((event) => event !== '')
    assert.ok(events.length > 0 && events.every((event) => event.startsWith('data: {')))
    const array = await askGemini(forge, path, headers)
    assert.match(array.headers.get('content-type') ?? '', /^application\/json/)
    const chunks = (await array.json()) as Array<{ usageMetadata?: object }>
    assert.ok(Array.isArray(chunks) && chunks.at(-1)?.usageMetadata !== undefined)
  }
  await forge.settled()
  await forge.audit()
})

test('Gemini embeds one text and many, and counts tokens for nothing', async (t) => {
  const forge = await startForge(t, { config: CONFIG })
  const { key, orgId } = await forge.account()
  const content = { parts: [{ text: 'high water' }] }
  const call = (method: string, body: object) => forge.post(`/v1beta/models/g:${method}`, key, body)
  const one = (await (await call('embedContent', { content })).json()) as { embedding: { values: number[] } }
  assert.ok(one.embedding.values.length > 0)
  const many = await call('batchEmbedContents', {
    requests: [
      { model: 'models/g', content },
      { model: 'models/g', content },
    ],
  })
  const batch = (await many.json()) as { embeddings: Array<{ values: number[] }> }
  assert.equal(batch.embeddings.length, 2)
  const receipt = await forge.receipt(many.headers.get('x-request-id'))
  assert.equal(receipt.endpoint, 'gemini.embed_content')
  await forge.settled()
  const before = await forge.balance(orgId, 'rmb')
  const counted = (await (await call('countTokens', TEXT)).json()) as { totalTokens: number }
  assert.ok(counted.totalTokens > 0)
  assert.deepEqual(await forge.balance(orgId, 'rmb'), before)
  await forge.audit()
})

const clientOf = (forge: Forge, { key }: Account): OpenAI =>
  new OpenAI({ apiKey: key, baseURL: `${forge.url}/v1`, maxRetries: 0 })

test('a stored response is read, listed and deleted where it was made, by its own project only', async (t) => {
  const forge = await startForge(t, { config: CONFIG })
  const [owner, stranger] = [await forge.account(), await forge.account()]
  const mine = clientOf(forge, owner)
  const made = await mine.responses.create({ model: 'r', input: 'tide?' })
  assert.equal((await mine.responses.retrieve(made.id)).output_text, made.output_text)
  assert.ok((await mine.responses.inputItems.list(made.id)).data.length > 0)
  const next = await mine.responses.create({ model: 'r', input: 'and then?', previous_response_id: made.id })
  assert.notEqual(next.id, made.id)
  const theirs = clientOf(forge, stranger)
  for (const attempt of [
    () => theirs.responses.retrieve(made.id),
    () => theirs.responses.delete(made.id),
    () => theirs.responses.cancel(made.id),
  ])
    await assert.rejects(attempt, OpenAI.NotFoundError)
  const before = await forge.balance(owner.orgId, 'rmb')
  await mine.responses.delete(made.id)
  await assert.rejects(mine.responses.retrieve(made.id), OpenAI.NotFoundError)
  assert.deepEqual(await forge.balance(owner.orgId, 'rmb'), before, 'what is stored is read for nothing')
  await forge.settled()
  await forge.audit()
})

test('a response is cancelled at the channel that made it', async (t) => {
  const seen: string[] = []
  const stub = await startStub(t, (req, res) => {
    seen.push(`${req.method} ${req.url}`)
    res.writeHead(200, { 'content-type': 'application/json' })
    res.end(
      JSON.stringify({
        ...RESPONSE_ANSWER,
        id: 'resp_abc',
        status: req.url?.endsWith('/cancel') ? 'cancelled' : 'completed',
      }),
    )
  })
  const config = testConfig({ r: { protocol: 'openai-responses', ordinary: ['stub'] } })
  const forge = await startForge(t, { config: withUpstreams(config, { stub: stub.url }) })
  const client = clientOf(forge, await forge.account())
  const made = await client.responses.create({ model: 'r', input: 'tide?' })
  assert.equal((await client.responses.cancel(made.id)).status, 'cancelled')
  assert.deepEqual(seen, ['POST /v1/responses', 'POST /v1/responses/resp_abc/cancel'])
})

test('models are listed in the manner of who asks, and only those that its key may call', async (t) => {
  const forge = await startForge(t, { config: CONFIG })
  const { key } = await forge.account({ key: { models: ['g', 'a'] } })
  const list = async (path: string, headers: Record<string, string>): Promise<string[]> => {
    const response = await fetch(forge.url + path, { headers })
    const body = (await response.json()) as {
      data?: Array<{ id: string }>
      models?: Array<{ name: string }>
    }
    return [
      ...(body.data ?? []).map(({ id }) => id),
      ...(body.models ?? []).map(({ name }) => name),
    ].toSorted((a, b) => a.localeCompare(b))
  }
  assert.deepEqual(await list('/v1/models', { authorization: `Bearer ${key}` }), ['a', 'g'])
  assert.deepEqual(await list('/v1/models', { 'x-api-key': key, 'anthropic-version': '2023-06-01' }), [
    'a',
    'g',
  ])
  assert.deepEqual(await list('/v1beta/models', { 'x-goog-api-key': key }), ['models/a', 'models/g'])
})
