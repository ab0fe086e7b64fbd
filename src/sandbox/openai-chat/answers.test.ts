import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { isObject, type Json, parseJson } from '../../kernel/index.ts'
import { type Sandbox, startSandbox } from '../index.ts'
import { countTokens } from '../tokens.ts'

let sandbox: Sandbox
before(async () => {
  sandbox = await startSandbox()
})
after(() => sandbox.close())

/** Walks into parsed JSON; undefined where the way ends. */
function at(value: Json | undefined, ...path: readonly (string | number)[]): Json | undefined {
  let here = value
  for (const step of path) {
    if (Array.isArray(here) && typeof step === 'number') here = (here as readonly Json[]).at(step)
    else here = isObject(here) && typeof step === 'string' ? here[step] : undefined
  }
  return here
}

function parsed(text: string): Json {
  const result = parseJson(text)
  assert.ok(result.ok, text)
  return result.value
}

async function post(body: object | string): Promise<{ status: number; headers: Headers; text: string }> {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const answer = await fetch(`${sandbox.url}/v1/chat/completions`, { method: 'POST', body: text })
  return { status: answer.status, headers: answer.headers, text: await answer.text() }
}

async function ask(content: Json, more: object = {}): Promise<Json> {
  const { status, text } = await post({ model: 'gpt-4.1', messages: [{ role: 'user', content }], ...more })
  assert.equal(status, 200, text)
  return parsed(text)
}

async function stream(content: string, more: object = {}): Promise<readonly Json[]> {
  const messages = [{ role: 'user', content }]
  const { text } = await post({ model: 'gpt-4.1', messages, stream: true, ...more })
  assert.ok(text.endsWith('data: [DONE]\n\n'))
  return text
    .split('\n\n')
    .filter((event) => event.startsWith('data: {'))
    .map((event) => parsed(event.slice(6)))
}

function count(value: Json | undefined): number {
  assert.ok(typeof value === 'number')
  return value
}

const content = (answer: Json, choice = 0) => String(at(answer, 'choices', choice, 'message', 'content'))
const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}

test('an answer says that it is the sandbox and what was asked', async () => {
  assert.match(
    content(await ask('How deep is the harbour?')),
    /Tokens Forge sandbox.*How deep is the harbour\?/,
  )
})

test('a Chinese question has a Chinese answer', async () => {
  assert.match(content(await ask('港口有多深？')), /沙盒.*港口有多深？/)
})

test('the headers of the real API are there', async () => {
  const { headers } = await post({ model: 'gpt-4.1', messages: [{ role: 'user', content: 'Hi' }] })
  assert.match(headers.get('x-request-id') ?? '', /^req_[0-9a-f]{32}$/)
  assert.match(headers.get('openai-processing-ms') ?? '', /^\d+$/)
  assert.equal(headers.get('openai-version'), '2020-10-01')
})

test('completion_tokens are the tokens of the text, and total_tokens the sum', async () => {
  const answer = await ask('write 30 words')
  assert.equal(content(answer).split(' ').length, 30)
  assert.equal(at(answer, 'usage', 'completion_tokens'), countTokens(content(answer)))
  assert.equal(
    at(answer, 'usage', 'total_tokens'),
    count(at(answer, 'usage', 'prompt_tokens')) + count(at(answer, 'usage', 'completion_tokens')),
  )
})

test('a stream sends one token an event and adds up to the answer that is no stream', async () => {
  const events = await stream('write 30 words', { stream_options: { include_usage: true } })
  const pieces = events.map((event) => at(event, 'choices', 0, 'delta', 'content')).filter((piece) => piece)
  assert.equal(pieces.join(''), content(await ask('write 30 words')))
  assert.equal(at(events.at(-1), 'usage', 'completion_tokens'), pieces.length)
})

test('without include_usage no event of a stream has a usage member', async () => {
  for (const event of await stream('Hi')) assert.equal(at(event, 'usage'), undefined)
})

test('include_usage puts usage null everywhere and the numbers in a last event without choices', async () => {
  const events = await stream('Hi', { stream_options: { include_usage: true } })
  assert.deepEqual(at(events.at(-1), 'choices'), [])
  for (const event of events.slice(0, -1)) assert.equal(at(event, 'usage'), null)
})

test('obfuscation is there unless it is refused', async () => {
  const without = await stream('Hi', { stream_options: { include_obfuscation: false } })
  assert.ok((await stream('Hi')).every((event) => typeof at(event, 'obfuscation') === 'string'))
  assert.ok(without.every((event) => at(event, 'obfuscation') === undefined))
})

test('max_tokens and max_completion_tokens cut the answer and say length', async () => {
  for (const name of ['max_tokens', 'max_completion_tokens']) {
    const answer = await ask('write 100 words', { [name]: 7 })
    assert.equal(at(answer, 'usage', 'completion_tokens'), 7)
    assert.equal(at(answer, 'choices', 0, 'finish_reason'), 'length')
  }
  const events = await stream('write 100 words', { max_tokens: 7 })
  assert.equal(events.length, 1 + 7 + 1)
  assert.equal(at(events.at(-1), 'choices', 0, 'finish_reason'), 'length')
})

test('n choices differ in index and add up in usage', async () => {
  const answer = await ask('write 20 words', { n: 3 })
  const texts = [0, 1, 2].map((choice) => content(answer, choice))
  assert.equal(new Set(texts).size, 3)
  assert.equal(
    at(answer, 'usage', 'completion_tokens'),
    texts.reduce((sum, text) => sum + countTokens(text), 0),
  )
  const indexes = (await stream('write 20 words', { n: 3 })).map((event) => at(event, 'choices', 0, 'index'))
  assert.deepEqual(new Set(indexes), new Set([0, 1, 2]))
})

test('a stop text ends the answer before it', async () => {
  const answer = await ask('Hello', { stop: ['sandbox', 'nowhere'] })
  assert.equal(content(answer), 'Hello from the Tokens Forge ')
  assert.equal(at(answer, 'choices', 0, 'finish_reason'), 'stop')
})

test('the same seed and prompt give the same text, another seed another', async () => {
  const [one, same, other] = await Promise.all([1, 1, 2].map((seed) => ask('write 40 words', { seed })))
  assert.equal(content(one ?? null), content(same ?? null))
  assert.notEqual(content(one ?? null), content(other ?? null))
})

test('a tool is called with arguments that fit its schema', async () => {
  const answer = await ask('Weather?', { tools: [WEATHER] })
  assert.equal(at(answer, 'choices', 0, 'finish_reason'), 'tool_calls')
  assert.equal(at(answer, 'choices', 0, 'message', 'content'), null)
  const call = at(answer, 'choices', 0, 'message', 'tool_calls', 0)
  assert.match(String(at(call, 'id')), /^call_\w{24}$/)
  assert.deepEqual(parsed(String(at(call, 'function', 'arguments'))), { city: 'Lisbon' })
})

test('two calls come at once when two are asked for and allowed', async () => {
  const calls = (answer: Json) => at(answer, 'choices', 0, 'message', 'tool_calls') as readonly Json[]
  const question = 'Weather in two cities?'
  assert.equal(calls(await ask(question, { tools: [WEATHER] })).length, 2)
  assert.equal(calls(await ask(question, { tools: [WEATHER], parallel_tool_calls: false })).length, 1)
  const events = await stream(question, { tools: [WEATHER] })
  const parts = events
    .map((event) => at(event, 'choices', 0, 'delta', 'tool_calls', 0))
    .filter((part) => part)
  const joined = [0, 1].map((index) =>
    parts
      .filter((part) => at(part, 'index') === index)
      .map((part) => at(part, 'function', 'arguments'))
      .join(''),
  )
  assert.deepEqual(joined.map(parsed), [{ city: 'Lisbon' }, { city: 'Porto' }])
})

test('tool_choice is obeyed: none, a name, required', async () => {
  const other = { type: 'function', function: { name: 'other', parameters: { type: 'object' } } }
  const tools = [WEATHER, other]
  assert.match(content(await ask('Hi', { tools, tool_choice: 'none' })), /sandbox/)
  const named = await ask('Hi', { tools, tool_choice: { type: 'function', function: { name: 'other' } } })
  assert.equal(at(named, 'choices', 0, 'message', 'tool_calls', 0, 'function', 'name'), 'other')
  const many = Array.from({ length: 9 }, (_, i) => ({ type: 'function', function: { name: `tool_${i}` } }))
  const required = await ask('Hi', { tools: many, tool_choice: 'required' })
  assert.equal(at(required, 'choices', 0, 'finish_reason'), 'tool_calls')
})

test('an agent with many tools that only says hello has no tool called', async () => {
  const tools = Array.from({ length: 9 }, (_, i) => ({ type: 'function', function: { name: `tool_${i}` } }))
  assert.equal(at(await ask('Hello', { tools }), 'choices', 0, 'finish_reason'), 'stop')
  const named = await ask('Use tool_7', { tools })
  assert.equal(at(named, 'choices', 0, 'message', 'tool_calls', 0, 'function', 'name'), 'tool_7')
})

test('what an agent wraps around a person’s words is not what was asked', async () => {
  const tools = Array.from({ length: 9 }, (_, i) => ({ type: 'function', function: { name: `tool_${i}` } }))
  const note = '<system-reminder>\nYou may use tool_3.\n</system-reminder>'
  const hello = await ask(`${note}\nHello there`, { tools })
  assert.match(content(hello), /You asked: "Hello there"/)
  const called = { id: 'call_1', type: 'function', function: { name: 'tool_7', arguments: '{}' } }
  const messages = [
    { role: 'user', content: `${note}\nUse tool_7` },
    { role: 'user', content: note },
    { role: 'assistant', content: null, tool_calls: [called] },
    { role: 'tool', tool_call_id: 'call_1', content: 'overcast' },
    { role: 'user', content: note },
  ]
  const asked = parsed((await post({ model: 'gpt-4.1', messages: messages.slice(0, 2), tools })).text)
  assert.equal(at(asked, 'choices', 0, 'message', 'tool_calls', 0, 'function', 'name'), 'tool_7')
  assert.match(content(parsed((await post({ model: 'gpt-4.1', messages, tools })).text)), /overcast/)
})

test('after the result of a tool the answer is a text that uses it', async () => {
  const messages = [
    { role: 'user', content: 'Weather?' },
    {
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'call_1', type: 'function', function: { name: 'get_weather', arguments: '{}' } }],
    },
    { role: 'tool', tool_call_id: 'call_1', content: '{"sky":"overcast"}' },
  ]
  const { text } = await post({ model: 'gpt-4.1', messages, tools: [WEATHER] })
  assert.match(content(parsed(text)), /overcast/)
})

test('json_object and json_schema give JSON, the latter of the schema', async () => {
  parsed(content(await ask('Hi', { response_format: { type: 'json_object' } })))
  const schema = { type: 'object', properties: { depth: { type: 'integer' } }, required: ['depth'] }
  const format = { type: 'json_schema', json_schema: { name: 'd', strict: true, schema } }
  assert.deepEqual(parsed(content(await ask('Hi', { response_format: format }))), { depth: 2 })
})

test('reasoning is inside completion_tokens and follows the effort', async () => {
  const reasoning = async (model: string, effort?: string) => {
    const answer = await ask('Hi', { model, ...(effort === undefined ? {} : { reasoning_effort: effort }) })
    const inside = count(at(answer, 'usage', 'completion_tokens_details', 'reasoning_tokens'))
    assert.equal(at(answer, 'usage', 'completion_tokens'), inside + countTokens(content(answer)))
    return inside
  }
  for (const model of ['gpt-5', 'o3-mini', 'sandbox-reason']) assert.equal(await reasoning(model), 64, model)
  assert.equal(await reasoning('gpt-5', 'high'), 256)
  assert.equal(await reasoning('gpt-5', 'none'), 0)
  assert.equal(await reasoning('gpt-4o'), 0)
})

test('a limit below the reasoning leaves no text and says length', async () => {
  const answer = await ask('Hi', { model: 'gpt-5', max_completion_tokens: 10 })
  assert.equal(content(answer), '')
  assert.equal(at(answer, 'choices', 0, 'finish_reason'), 'length')
  assert.equal(at(answer, 'usage', 'completion_tokens'), 10)
})

test('images are counted and named', async () => {
  const image = (url: string) => ({ type: 'image_url', image_url: { url } })
  const text = { type: 'text', text: 'What is this?' }
  const plain = await ask([text])
  const seen = await ask([text, image('data:image/png;base64,AAAA'), image('data:image/webp;base64,AAAA')])
  assert.match(content(seen), /2 images \(image\/png, image\/webp\)/)
  const prompt = (answer: Json) => count(at(answer, 'usage', 'prompt_tokens'))
  assert.equal(prompt(seen) - prompt(plain), 170)
})

test('a long prefix seen before is cached, in steps of 128; a short or another one is not', async () => {
  const cached = async (text: string) =>
    count(at(await ask(text), 'usage', 'prompt_tokens_details', 'cached_tokens'))
  const long = 'The tide rose over the northern pier again. '.repeat(150)
  assert.equal(await cached(long), 0)
  const again = await cached(long)
  assert.ok(again >= 1024 && again % 128 === 0, String(again))
  assert.equal(await cached(`${long} And then?`), again)
  assert.equal(await cached(`Now: ${long}`), 0)
  await cached('short')
  assert.equal(await cached('short'), 0)
})

test('logprobs are given for each token when asked for', async () => {
  const answer = await ask('Hi', { logprobs: true, top_logprobs: 2, max_tokens: 3 })
  const tokens = at(answer, 'choices', 0, 'logprobs', 'content') as readonly Json[]
  assert.equal(tokens.length, 3)
  assert.equal((at(tokens[0], 'top_logprobs') as readonly Json[]).length, 2)
  const events = await stream('Hi', { logprobs: true, max_tokens: 3 })
  assert.equal(at(events[1], 'choices', 0, 'logprobs', 'content', 0, 'token'), 'Hell')
})

test('the tier that served is told apart from the one asked for', async () => {
  assert.equal(at(await ask('Hi', { service_tier: 'fast' }), 'service_tier'), 'priority')
  assert.equal(at(await ask('Hi', { service_tier: 'auto' }), 'service_tier'), 'default')
})

test('what the real API refuses is refused with its error shape', async () => {
  const messages = [{ role: 'user', content: 'Hi' }]
  const cases: readonly (readonly [object | string, string | null])[] = [
    ['', null],
    ['{"model":', null],
    ['[]', null],
    [{ messages }, 'model'],
    [{ model: 'm' }, 'messages'],
    [{ model: 'm', messages: [] }, 'messages'],
    [{ model: 'm', messages: [{ content: 'Hi' }] }, 'messages[0].role'],
    [{ model: 'm', messages: [{ role: 'tool', content: 'Hi' }] }, 'messages[0].tool_call_id'],
    [{ model: 'm', messages, max_tokens: 0 }, 'max_tokens'],
    [{ model: 'm', messages, n: 129 }, 'n'],
    [{ model: 'm', messages, stream_options: { include_usage: true } }, 'stream_options'],
  ]
  for (const [body, param] of cases) {
    const { status, text } = await post(body)
    assert.equal(status, 400, text)
    assert.equal(at(parsed(text), 'error', 'type'), 'invalid_request_error')
    assert.equal(at(parsed(text), 'error', 'param'), param)
  }
})

test('models and health are answered, an unknown path is a 404 in the error shape', async () => {
  const models = parsed(await (await fetch(`${sandbox.url}/v1/models`)).text())
  assert.equal(at(models, 'data', 0, 'object'), 'model')
  assert.equal((await fetch(`${sandbox.url}/healthz`)).status, 200)
  const missing = await fetch(`${sandbox.url}/v1/nothing`)
  assert.equal(missing.status, 404)
  assert.equal(typeof at(parsed(await missing.text()), 'error', 'message'), 'string')
})
