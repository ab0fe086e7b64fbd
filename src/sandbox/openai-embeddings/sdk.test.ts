import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import OpenAI from 'openai'

import { type Sandbox, startSandbox } from '../index.ts'

let sandbox: Sandbox
let client: OpenAI
before(async () => {
  sandbox = await startSandbox()
  client = new OpenAI({ baseURL: `${sandbox.url}/v1`, apiKey: 'any key will do', maxRetries: 0 })
})
after(() => sandbox.close())

const MODEL = 'text-embedding-3-small'

test('the same text has the same vector of length 1, as numbers and as base64', async () => {
  const input = ['ebb', 'flow', 'ebb']
  // Without a format the official client asks for base64 and decodes it.
  const decoded = await client.embeddings.create({ model: MODEL, input })
  const plain = await client.embeddings.create({ model: MODEL, input, encoding_format: 'float' })
  const [first, second, third] = plain.data.map(({ embedding }) => embedding)
  assert.equal(first?.length, 1536)
  assert.deepEqual(first, third)
  assert.notDeepEqual(first, second)
  assert.ok(Math.abs(Math.hypot(...(first ?? [])) - 1) < 1e-5)
  for (const [index, value] of (decoded.data[0]?.embedding ?? []).entries()) {
    assert.ok(Math.abs(value - (first?.[index] ?? 0)) < 1e-7)
  }
  assert.deepEqual(
    plain.data.map(({ index }) => index),
    [0, 1, 2],
  )
})

test('texts are counted by the rule, tokens one by one', async () => {
  const texts = await client.embeddings.create({ model: MODEL, input: ['12345678', '潮水'], dimensions: 4 })
  assert.deepEqual(texts.usage, { prompt_tokens: 4, total_tokens: 4 })
  assert.equal(texts.data[0]?.embedding.length, 4)
  const tokens = await client.embeddings.create({ model: MODEL, input: [[1, 2, 3], [4]] })
  assert.deepEqual(tokens.usage, { prompt_tokens: 4, total_tokens: 4 })
  assert.equal(tokens.data.length, 2)
})

test('an empty text is refused', async () => {
  await assert.rejects(client.embeddings.create({ model: MODEL, input: [''] }), OpenAI.BadRequestError)
})
