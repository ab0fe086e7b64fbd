import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { isObject, type Json, parseJson } from '../../kernel/index.ts'
import { type Sandbox, startSandbox } from '../index.ts'

let nowMs = 1_800_000_000_000
let sandbox: Sandbox
before(async () => {
  sandbox = await startSandbox({ clock: { nowMs: () => nowMs, monotonicMs: () => performance.now() } })
})
after(() => sandbox.close())

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

const VERSION = { 'anthropic-version': '2023-06-01' }

async function post(body: object, headers: Record<string, string> = VERSION, switches = ''): Promise<Answer> {
  const base = switches === '' ? sandbox.url : sandbox.with(switches)
  const answer = await fetch(`${base}/v1/messages?beta=true`, {
    method: 'POST',
    body: JSON.stringify({ model: 'claude-opus-4-6', max_tokens: 2000, messages: said('Hi'), ...body }),
    headers,
  })
  return { status: answer.status, headers: answer.headers, text: await answer.text() }
}

function said(content: Json): Json {
  return [{ role: 'user', content }]
}

function member(text: string, ...path: readonly string[]): Json | undefined {
  const parsed = parseJson(text)
  assert.ok(parsed.ok, text)
  return path.reduce<Json | undefined>((at, name) => (isObject(at) ? at[name] : undefined), parsed.value)
}

async function refusal(body: object, headers: Record<string, string> = VERSION): Promise<string> {
  const { status, text } = await post(body, headers)
  assert.equal(status, 400, text)
  assert.equal(member(text, 'error', 'type'), 'invalid_request_error')
  return String(member(text, 'error', 'message'))
}

/** input, read, written for 5 minutes, written for an hour */
function counts(text: string): readonly (Json | undefined)[] {
  const at = (...path: readonly string[]) => member(text, 'usage', ...path)
  return [
    at('input_tokens'),
    at('cache_read_input_tokens'),
    at('cache_creation', 'ephemeral_5m_input_tokens'),
    at('cache_creation', 'ephemeral_1h_input_tokens'),
  ]
}

/** A block of 4 characters a token, with a mark at its end. */
function block(tokens: number, letter: string, ttl?: '5m' | '1h'): Json {
  const text = letter.repeat(tokens * 4)
  return ttl === undefined
    ? { type: 'text', text }
    : { type: 'text', text, cache_control: { type: 'ephemeral', ttl } }
}

test('a marked prefix is written once and read until its time is over', async () => {
  const body = { messages: said([block(2000, 'a', '5m'), block(10, 'b')]) }
  const fresh = [3 + 10, 0, 2004, 0]
  const again = [3 + 10, 2004, 0, 0]
  assert.deepEqual(counts((await post(body)).text), fresh)
  assert.deepEqual(counts((await post(body)).text), again)
  nowMs += 290_000
  assert.deepEqual(counts((await post(body)).text), again)
  nowMs += 299_000
  assert.deepEqual(counts((await post(body)).text), again, 'a use keeps it alive')
  nowMs += 301_000
  assert.deepEqual(counts((await post(body)).text), fresh)
})

test('five minutes and an hour are counted apart, and a longer prompt reads what a shorter one wrote', async () => {
  const system = [block(1500, 'c', '1h')]
  const first = await post({ system, messages: said([block(500, 'd', '5m')]) })
  assert.deepEqual(counts(first.text), [3, 0, 504, 1504])
  const more = [
    { role: 'user', content: [block(500, 'd')] },
    { role: 'assistant', content: 'eeee' },
    { role: 'user', content: [block(40, 'f', '5m')] },
  ]
  const second = await post({ system, messages: more })
  assert.deepEqual(counts(second.text), [3, 2008, 5 + 44, 0])
})

test('short prefixes and unmarked prompts are not cached, and the top level adds up', async () => {
  assert.deepEqual(counts((await post({ messages: said([block(900, 'g', '5m')]) })).text), [907, 0, 0, 0])
  assert.deepEqual(counts((await post({ messages: said([block(3000, 'h')]) })).text), [3007, 0, 0, 0])
  const automatic = { messages: said('i'.repeat(8000)), cache_control: { type: 'ephemeral' } }
  assert.deepEqual(counts((await post(automatic)).text), [3, 0, 2004, 0])
})

test('a stream ends with the counts of the answer without a stream', async () => {
  const body = { thinking: { type: 'adaptive' }, messages: said('Which model? write 30 words') }
  const whole = (await post({ ...body, model: 'claude-opus-5' }, VERSION, 'websearch=1')).text
  const { text } = await post({ ...body, model: 'claude-opus-5', stream: true }, VERSION, 'websearch=1')
  const delta = /"type":"message_delta".*"usage":(\{.*\}) *\}/.exec(text)?.[1] ?? ''
  for (const name of ['input_tokens', 'output_tokens', 'output_tokens_details', 'server_tool_use']) {
    assert.deepEqual(member(delta, name), member(whole, 'usage', name), name)
  }
  const start = /"type":"message_start".*"usage":\{"input_tokens":(\d+)/.exec(text)?.[1]
  assert.equal(member(whole, 'usage', 'input_tokens'), Number.parseInt(start ?? '', 10) + 100)
})

test('iterations add up to the top level without compaction and advisor', async () => {
  const { text } = await post({ messages: said([block(2000, 'j', '1h')]) }, VERSION, 'iterations')
  const list = member(text, 'usage', 'iterations')
  assert.ok(Array.isArray(list))
  const sum = (name: string): number =>
    list
      .filter((one: Json) => isObject(one) && one['type'] === 'message')
      .reduce((total: number, one: Json) => total + Number(isObject(one) ? one[name] : 0), 0)
  for (const name of ['input_tokens', 'output_tokens', 'cache_creation_input_tokens']) {
    assert.equal(sum(name), member(text, 'usage', name), name)
  }
})

test('a stop sequence is named, a limit is said, a call without arguments sends one empty piece', async () => {
  const stopped = await post({ stop_sequences: ['sandbox'] })
  assert.equal(member(stopped.text, 'stop_reason'), 'stop_sequence')
  assert.equal(member(stopped.text, 'stop_sequence'), 'sandbox')
  assert.equal(member((await post({ max_tokens: 2 })).text, 'stop_reason'), 'max_tokens')
  const tools = [{ name: 'now', input_schema: { type: 'object' } }]
  const { text } = await post({ tools, stream: true })
  assert.equal(text.match(/input_json_delta/g)?.length, 1)
  assert.match(text, /"partial_json":""/)
})

test('omitted thinking is empty but counted, and its signature is good for the next turn', async () => {
  const thinking = { type: 'adaptive', display: 'omitted' }
  const { text } = await post({ thinking, model: 'claude-opus-5' })
  const [first] = member(text, 'content') as readonly Json[]
  assert.ok(isObject(first) && first['thinking'] === '' && first['signature'] !== '')
  assert.ok(Number(member(text, 'usage', 'output_tokens_details', 'thinking_tokens')) > 0)
  const messages = [
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: member(text, 'content') ?? null },
    { role: 'user', content: 'And?' },
  ]
  assert.equal((await post({ thinking, messages })).status, 200)
})

test('what the real API refuses is refused in its envelope, with the id of the request in head and body', async () => {
  assert.match(await refusal({ model: '' }), /^model: Field required/)
  assert.match(await refusal({ max_tokens: 0 }), /max_tokens/)
  assert.match(await refusal({ messages: [] }), /at least one message/)
  assert.match(await refusal({ messages: said('') }), /non-empty content/)
  assert.match(await refusal({ messages: said([{ type: 'text', text: '' }]) }), /must be non-empty/)
  assert.match(await refusal({ temperature: 1.5 }), /range: 0\.\.1/)
  assert.match(await refusal({ stop_sequences: ['\n'] }), /non-whitespace/)
  assert.match(await refusal({ thinking: { type: 'enabled', budget_tokens: 100 } }), /budget_tokens/)
  assert.match(
    await refusal({ tools: [{ name: 'a b', input_schema: { type: 'object' } }] }),
    /tools\.0\.custom\.name/,
  )
  assert.match(await refusal({ tools: [{ name: 'a', parameters: {} }] }), /input_schema: Field required/)
  const lone = [{ type: 'tool_result', tool_use_id: 'toolu_1', content: 'x' }]
  assert.match(await refusal({ messages: said(lone) }), /unexpected `tool_use_id`/)
  const open = [
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: [{ type: 'tool_use', id: 'toolu_1', name: 'a', input: {} }] },
    { role: 'user', content: 'Well?' },
  ]
  assert.match(await refusal({ messages: open }), /without `tool_result` blocks/)
  const marks = Array.from({ length: 5 }, () => block(1, 'k', '5m'))
  assert.match(await refusal({ messages: said(marks) }), /maximum of 4 blocks/)
  assert.match(await refusal({}, {}), /anthropic-version/)
  assert.match(await refusal({ temperature: 0.5 }, { 'anthropic-version': '2026-10-21' }), /temperature/)
  const { text, headers } = await post({ messages: [] })
  assert.equal(member(text, 'request_id'), headers.get('request-id'))
})
