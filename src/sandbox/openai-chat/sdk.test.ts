import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import OpenAI from 'openai'

import { type Sandbox, startSandbox } from '../index.ts'

let sandbox: Sandbox
let client: OpenAI
before(async () => {
  sandbox = await startSandbox()
  client = clientFor(sandbox.url)
})
after(() => sandbox.close())

function clientFor(base: string): OpenAI {
  return new OpenAI({ baseURL: `${base}/v1`, apiKey: 'any key will do', maxRetries: 0 })
}

const tools: OpenAI.ChatCompletionTool[] = [
  {
    type: 'function',
    function: {
      name: 'get_weather',
      parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
    },
  },
]

test('the official client reads an answer', async () => {
  const answer = await client.chat.completions.create({
    model: 'gpt-4.1-mini',
    messages: [{ role: 'user', content: 'Hello' }],
  })
  assert.match(answer.choices[0]?.message.content ?? '', /sandbox/)
  assert.ok((answer.usage?.total_tokens ?? 0) > 0)
  assert.match(answer._request_id ?? '', /^req_/)
})

test('the official client reads a stream with usage', async () => {
  const stream = client.chat.completions.stream({
    model: 'gpt-4.1-mini',
    messages: [{ role: 'user', content: 'write 25 words' }],
    stream_options: { include_usage: true },
  })
  const final = await stream.finalChatCompletion()
  assert.equal(final.choices[0]?.message.content?.split(' ').length, 25)
  assert.ok((final.usage?.completion_tokens ?? 0) > 25)
})

test('the official client runs a tool to the end, with and without a stream', async () => {
  const first = await client.chat.completions.create({
    model: 'gpt-4.1',
    messages: [{ role: 'user', content: 'Weather?' }],
    tools,
  })
  const call = first.choices[0]?.message.tool_calls?.[0]
  assert.ok(call?.type === 'function')
  const streamed = await client.chat.completions
    .stream({ model: 'gpt-4.1', messages: [{ role: 'user', content: 'Weather?' }], tools })
    .finalChatCompletion()
  const same = streamed.choices[0]?.message.tool_calls?.[0]
  assert.ok(same?.type === 'function')
  assert.equal(same.function.arguments, call.function.arguments)
  const last = await client.chat.completions.create({
    model: 'gpt-4.1',
    messages: [
      { role: 'user', content: 'Weather?' },
      { role: 'assistant', tool_calls: [call] },
      { role: 'tool', tool_call_id: call.id, content: 'sleet' },
    ],
    tools,
  })
  assert.match(last.choices[0]?.message.content ?? '', /sleet/)
})

test('the official client parses an answer of a JSON schema', async () => {
  const schema = {
    type: 'object',
    properties: { harbour: { type: 'string' }, berths: { type: 'integer' } },
    required: ['harbour', 'berths'],
    additionalProperties: false,
  }
  const answer = await client.chat.completions.parse({
    model: 'gpt-4.1',
    messages: [{ role: 'user', content: 'Describe' }],
    response_format: { type: 'json_schema', json_schema: { name: 'harbour', strict: true, schema } },
  })
  assert.deepEqual(answer.choices[0]?.message.parsed, { harbour: 'sandbox harbour', berths: 2 })
})

test('the official client sends an image as a data URL', async () => {
  const answer = await client.chat.completions.create({
    model: 'gpt-4.1',
    messages: [
      {
        role: 'user',
        content: [
          { type: 'text', text: 'What is it?' },
          { type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } },
        ],
      },
    ],
  })
  assert.match(answer.choices[0]?.message.content ?? '', /1 image \(image\/png\)/)
})

test('the official client raises its own error class for each status', async () => {
  const error = await clientFor(sandbox.with('status=429,retry-after=1'))
    .chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'Hi' }] })
    .catch((thrown: unknown) => thrown)
  assert.ok(error instanceof OpenAI.RateLimitError)
  assert.equal(error.code, 'rate_limit_exceeded')
  assert.equal(error.headers.get('retry-after'), '1')
})

test('the official client raises an error that comes in mid-stream', async () => {
  const stream = await clientFor(sandbox.with('error-event=3')).chat.completions.create({
    model: 'm',
    messages: [{ role: 'user', content: 'Hi' }],
    stream: true,
  })
  let chunks = 0
  const read = async (): Promise<void> => {
    for await (const chunk of stream) chunks += chunk.choices.length
  }
  await assert.rejects(read, OpenAI.APIError)
  assert.equal(chunks, 3)
})
