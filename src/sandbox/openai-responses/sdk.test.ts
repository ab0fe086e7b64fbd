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

const WEATHER: OpenAI.Responses.FunctionTool = {
  type: 'function',
  name: 'get_weather',
  strict: true,
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
}

test('the official client reads an answer', async () => {
  const answer = await client.responses.create({ model: 'gpt-4.1', input: 'Hello' })
  assert.match(answer.output_text, /sandbox/)
  assert.equal(answer.status, 'completed')
  assert.equal(
    answer.usage?.total_tokens,
    (answer.usage?.input_tokens ?? 0) + (answer.usage?.output_tokens ?? 0),
  )
})

test('the official client puts a stream together to the same response, its events numbered without a gap', async () => {
  const body = { model: 'gpt-5', input: 'write 20 words', reasoning: { summary: 'auto' } } as const
  const whole = await client.responses.create(body)
  const stream = client.responses.stream(body)
  const numbers: number[] = []
  for await (const event of stream) numbers.push(event.sequence_number)
  const final = await stream.finalResponse()
  assert.equal(final.output_text, whole.output_text)
  assert.deepEqual(final.usage, whole.usage)
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index),
  )
  assert.equal(final.output[0]?.type, 'reasoning')
})

test('the official client runs two function tools to the end, with and without a stream', async () => {
  const body = { model: 'gpt-4.1', input: 'Weather in both cities?', tools: [WEATHER] }
  const first = await client.responses.create(body)
  const streamed = await client.responses.stream(body).finalResponse()
  const given = (response: OpenAI.Responses.Response) =>
    response.output.map((item) => (item.type === 'function_call' ? item.arguments : null))
  assert.deepEqual(given(first), ['{"city":"Lisbon"}', '{"city":"Porto"}'])
  assert.deepEqual(given(streamed), given(first))
  const outputs = first.output.flatMap((item) =>
    item.type === 'function_call'
      ? [{ type: 'function_call_output', call_id: item.call_id, output: 'sleet' } as const]
      : [],
  )
  const last = await client.responses.create({
    model: 'gpt-4.1',
    previous_response_id: first.id,
    input: outputs,
    tools: [WEATHER],
  })
  assert.match(last.output_text, /sleet/)
  const half = client.responses.create({
    model: 'gpt-4.1',
    previous_response_id: first.id,
    input: outputs.slice(1),
  })
  await assert.rejects(half, /No tool output found for function call/)
})

test('a custom tool is called with plain text', async () => {
  const body = {
    model: 'gpt-4.1',
    input: 'Patch it',
    tools: [{ type: 'custom', name: 'apply_patch' } as const],
  }
  const [call] = (await client.responses.create(body)).output
  assert.ok(call?.type === 'custom_tool_call')
  assert.equal(call.input, 'sandbox input of apply_patch')
  const inputs: string[] = []
  for await (const event of await client.responses.create({ ...body, stream: true })) {
    if (event.type === 'response.custom_tool_call_input.delta') inputs.push(event.delta)
  }
  assert.equal(inputs.join(''), call.input)
})

test('encrypted reasoning goes back only as it came', async () => {
  const body = { model: 'gpt-5', store: false, include: ['reasoning.encrypted_content' as const] }
  const first = await client.responses.create({ ...body, input: 'Hello' })
  const [reasoning] = first.output
  assert.ok(reasoning?.type === 'reasoning' && reasoning.encrypted_content)
  const next = (item: OpenAI.Responses.ResponseReasoningItem) =>
    client.responses.create({ ...body, input: [item, { role: 'user', content: 'And?' }] })
  assert.equal((await next(reasoning)).status, 'completed')
  await assert.rejects(next({ ...reasoning, encrypted_content: 'gAAAAAB' }), /could not be verified/)
  const { encrypted_content: _, ...bare } = reasoning
  await assert.rejects(next(bare), OpenAI.NotFoundError)
})

test('the official client parses an answer of a JSON schema', async () => {
  const schema = {
    type: 'object',
    properties: { harbour: { type: 'string' }, berths: { type: 'integer' } },
    required: ['harbour', 'berths'],
    additionalProperties: false,
  }
  const answer = await client.responses.parse({
    model: 'gpt-4.1',
    input: 'Describe',
    text: { format: { type: 'json_schema', name: 'harbour', strict: true, schema } },
  })
  assert.deepEqual(answer.output_parsed, { harbour: 'sandbox harbour', berths: 2 })
})

test('images and files are seen', async () => {
  const answer = await client.responses.create({
    model: 'gpt-4.1',
    input: [
      {
        role: 'user',
        content: [
          { type: 'input_text', text: 'What is it?' },
          { type: 'input_image', image_url: 'data:image/png;base64,iVBORw0KGgo=', detail: 'auto' },
          { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,JVBERi0=' },
        ],
      },
    ],
  })
  assert.match(answer.output_text, /2 attachments \(image\/png, application\/pdf\)/)
  assert.equal(answer.usage?.input_tokens, 3 + 4 + 3 + 2 * 85)
})

test('a stored response can be fetched, listed and deleted; one that is not stored cannot', async () => {
  const made = await client.responses.create({ model: 'gpt-4.1', input: 'Hello' })
  const { output_text: _, ...kept } = await client.responses.retrieve(made.id)
  assert.deepEqual(kept.output, made.output)
  const items: string[] = []
  for await (const item of client.responses.inputItems.list(made.id)) items.push(item.type)
  assert.deepEqual(items, ['message'])
  await client.responses.delete(made.id)
  await assert.rejects(client.responses.retrieve(made.id), OpenAI.NotFoundError)
  const loose = await client.responses.create({ model: 'gpt-4.1', input: 'Hello', store: false })
  await assert.rejects(client.responses.retrieve(loose.id), OpenAI.NotFoundError)
  const lost = client.responses.create({ model: 'gpt-4.1', input: 'Hi', previous_response_id: loose.id })
  await assert.rejects(lost, /previous_response_not_found|not found/)
})

test('a response in the background is queued, then done or cancelled', async () => {
  const body = { model: 'gpt-4.1', input: 'Hello', background: true }
  const first = await client.responses.create(body)
  assert.equal(first.status, 'queued')
  assert.equal((await client.responses.retrieve(first.id)).status, 'completed')
  const second = await client.responses.create(body)
  assert.equal((await client.responses.cancel(second.id)).status, 'cancelled')
  assert.equal((await client.responses.retrieve(second.id)).status, 'cancelled')
  const front = await client.responses.create({ model: 'gpt-4.1', input: 'Hello' })
  await assert.rejects(client.responses.cancel(front.id), OpenAI.BadRequestError)
})

test('input tokens are counted as the answer does, and a compacted conversation goes on', async () => {
  const body = { model: 'gpt-4.1', input: 'Hello', instructions: 'Be kind.', tools: [WEATHER] }
  const counted = await client.responses.inputTokens.count(body)
  const answer = await client.responses.create(body)
  assert.equal(answer.usage?.input_tokens, counted.input_tokens)
  const compacted = await client.responses.compact({ model: 'gpt-4.1', input: 'Hello' })
  assert.equal(compacted.usage.output_tokens, 50)
  assert.deepEqual(
    compacted.output.map(({ type }) => type),
    ['message', 'compaction'],
  )
  const input = [
    ...(compacted.output as OpenAI.Responses.ResponseInputItem[]),
    { role: 'user' as const, content: 'And?' },
  ]
  assert.equal((await client.responses.create({ model: 'gpt-4.1', input })).status, 'completed')
})

test('a limit makes a response incomplete, in a stream too', async () => {
  const body = { model: 'gpt-4.1', input: 'write 100 words', max_output_tokens: 16 }
  const whole = await client.responses.create(body)
  assert.equal(whole.status, 'incomplete')
  assert.deepEqual(whole.incomplete_details, { reason: 'max_output_tokens' })
  const types: string[] = []
  for await (const event of await client.responses.create({ ...body, stream: true })) types.push(event.type)
  assert.equal(types.at(-1), 'response.incomplete')
  await assert.rejects(
    client.responses.create({ ...body, max_output_tokens: 2 }),
    /integer_below_min|minimum value/,
  )
})

test('bodies in the shape of the chat format are refused', async () => {
  const tools = [{ type: 'function', function: { name: 'a' } }] as unknown as OpenAI.Responses.Tool[]
  await assert.rejects(client.responses.create({ model: 'gpt-4.1', input: 'Hi', tools }), /tools\[0\]\.name/)
  const content = [{ type: 'text', text: 'Hi' }] as unknown as OpenAI.Responses.ResponseInputContent[]
  const input = [{ role: 'user' as const, content }]
  await assert.rejects(client.responses.create({ model: 'gpt-4.1', input }), /Invalid value: 'text'/)
})

test('the official client raises its own error class for a status, and for an error in mid-stream', async () => {
  const body = { model: 'gpt-4.1', input: 'Hello' }
  await assert.rejects(clientFor(sandbox.with('status=429')).responses.create(body), OpenAI.RateLimitError)
  const read = async (): Promise<void> => {
    const stream = await clientFor(sandbox.with('error-event=4')).responses.create({ ...body, stream: true })
    for await (const event of stream) assert.ok(event.type)
  }
  await assert.rejects(read, OpenAI.APIError)
})

test('a WebSocket is declined', async () => {
  const { status } = await fetch(`${sandbox.url}/v1/responses`)
  assert.equal(status, 404)
  const { request } = await import('node:http')
  const answered = await new Promise<number | undefined>((resolve, reject) => {
    const headers = { connection: 'Upgrade', upgrade: 'websocket' }
    const asked = request(`${sandbox.url}/v1/responses`, { headers }, (res) => {
      res.resume()
      resolve(res.statusCode)
    })
    asked.on('error', reject)
    asked.end()
  })
  assert.equal(answered, 426)
})
