import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import Anthropic from '@anthropic-ai/sdk'

import { type Sandbox, startSandbox } from '../index.ts'

let sandbox: Sandbox
let client: Anthropic
before(async () => {
  sandbox = await startSandbox({ record: true })
  client = clientFor(sandbox.url)
})
after(() => sandbox.close())

function clientFor(baseURL: string): Anthropic {
  return new Anthropic({ baseURL, apiKey: 'any key will do', maxRetries: 0 })
}

const MODEL = 'claude-opus-5-5'
const HELLO: Anthropic.MessageParam[] = [{ role: 'user', content: 'Hello' }]
const WEATHER: Anthropic.Tool = {
  name: 'get_weather',
  input_schema: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}

function textOf({ content }: Anthropic.Message): string {
  return content.map((block) => (block.type === 'text' ? block.text : '')).join('')
}

test('the official client reads an answer and the id of its request', async () => {
  const answer = await client.messages.create({ model: MODEL, max_tokens: 100, messages: HELLO })
  assert.match(textOf(answer), /sandbox/)
  assert.equal(answer.stop_reason, 'end_turn')
  assert.ok(answer.usage.input_tokens > 0 && answer.usage.output_tokens > 0)
  assert.match(answer._request_id ?? '', /^req_011/)
})

test('the official client puts a stream together to the same message as without one', async () => {
  const thinking = { type: 'enabled', budget_tokens: 1024 } as const
  const body = { model: MODEL, max_tokens: 3000, thinking, messages: HELLO }
  const whole = await client.messages.create(body)
  const streamed = await client.messages.stream(body).finalMessage()
  assert.deepEqual(streamed.content, whole.content)
  assert.deepEqual(streamed.usage.output_tokens, whole.usage.output_tokens)
  assert.equal(whole.content[0]?.type, 'thinking')
})

test('the official client runs two tools to the end, with and without a stream', async () => {
  const asked: Anthropic.MessageParam = { role: 'user', content: 'Weather in both cities?' }
  const body = { model: MODEL, max_tokens: 300, messages: [asked], tools: [WEATHER] }
  const first = await client.messages.create(body)
  const streamed = await client.messages.stream(body).finalMessage()
  const inputs = (message: Anthropic.Message) =>
    message.content.map((block) => (block.type === 'tool_use' ? block.input : null))
  assert.deepEqual(inputs(first), [{ city: 'Lisbon' }, { city: 'Porto' }])
  assert.deepEqual(inputs(streamed), inputs(first))
  assert.equal(first.stop_reason, 'tool_use')
  const results = first.content
    .filter((block) => block.type === 'tool_use')
    .map(({ id }) => ({ type: 'tool_result', tool_use_id: id, content: 'sleet' }) as const)
  const messages: Anthropic.MessageParam[] = [
    asked,
    { role: 'assistant', content: first.content },
    { role: 'user', content: results },
  ]
  assert.match(textOf(await client.messages.create({ ...body, messages })), /sleet/)
})

test('thinking goes back only as it came', async () => {
  const thinking = { type: 'enabled', budget_tokens: 1024 } as const
  const body = { model: MODEL, max_tokens: 3000, thinking, tools: [WEATHER] }
  const first = await client.messages.create({ ...body, messages: HELLO })
  const call = first.content.find((block) => block.type === 'tool_use')
  const next = (content: Anthropic.ContentBlock[]): Promise<Anthropic.Message> =>
    client.messages.create({
      ...body,
      messages: [
        ...HELLO,
        { role: 'assistant', content },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: call?.id ?? '', content: 'ok' }] },
      ],
    })
  assert.equal((await next(first.content)).stop_reason, 'end_turn')
  const changed = first.content.map((block) =>
    block.type === 'thinking' ? { ...block, thinking: `${block.thinking} Or not.` } : block,
  )
  await assert.rejects(next(changed), /Invalid `signature` in `thinking` block/)
})

test('the official client sends images and documents', async () => {
  const answer = await client.messages.create({
    model: MODEL,
    max_tokens: 300,
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is it?' },
          { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' } },
          { type: 'image', source: { type: 'url', url: 'https://example.com/a.png' } },
          {
            type: 'document',
            source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' },
          },
        ],
      },
    ],
  })
  assert.match(textOf(answer), /3 attachments \(image\/png, a link, application\/pdf\)/)
  assert.equal(answer.usage.input_tokens, 3 + 4 + 3 + 3 * 85)
})

test('the official client parses an answer of a JSON schema', async () => {
  const schema = {
    type: 'object',
    properties: { harbour: { type: 'string' }, berths: { type: 'integer' } },
    required: ['harbour', 'berths'],
    additionalProperties: false,
  }
  const answer = await client.messages.create({
    model: MODEL,
    max_tokens: 300,
    messages: HELLO,
    output_config: { format: { type: 'json_schema', schema } },
  })
  assert.equal(textOf(answer), '{"harbour":"sandbox harbour","berths":2}')
})

test('the official client counts tokens as the answer does', async () => {
  const body = { model: MODEL, messages: HELLO, tools: [WEATHER], system: 'Be kind.' }
  const { input_tokens } = await client.messages.countTokens(body)
  const answer = await client.messages.create({ ...body, max_tokens: 50 })
  assert.equal(answer.usage.input_tokens, input_tokens)
})

test('the official client pages through the models', async () => {
  const ids: string[] = []
  for await (const model of client.models.list({ limit: 3 })) ids.push(model.id)
  assert.ok(ids.length > 3 && ids.every((id) => id.startsWith('claude-')))
  assert.equal((await client.models.retrieve('claude-opus-5-5')).id, 'claude-opus-5-5')
  await assert.rejects(client.models.retrieve('none'), Anthropic.NotFoundError)
})

test('the official client raises its own error class for a status, and for an error in mid-stream', async () => {
  const body = { model: MODEL, max_tokens: 100, messages: HELLO }
  await assert.rejects(clientFor(sandbox.with('status=429')).messages.create(body), Anthropic.RateLimitError)
  await assert.rejects(
    clientFor(sandbox.with('error-event=4,overloaded')).messages.stream(body).finalMessage(),
    /overloaded_error/,
  )
})
