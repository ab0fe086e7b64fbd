import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'

import { type Json, parseJson } from '../../kernel/index.ts'
import { type Sandbox, startSandbox } from '../index.ts'

const FIXTURES = new URL('../../../test/fixtures/openai-chat/', import.meta.url)
const RECORDED = new URL('../../../../shared/wire-samples/', import.meta.url)

let sandbox: Sandbox
before(async () => {
  sandbox = await startSandbox()
})
after(() => sandbox.close())

function json(text: string): Json {
  const parsed = parseJson(text)
  assert.ok(parsed.ok, text)
  return parsed.value
}

/** Member names in order, each with the path to it; what an array holds counts once. */
function shape(value: Json, path = ''): readonly string[] {
  if (Array.isArray(value)) return [...new Set(value.flatMap((item: Json) => shape(item, `${path}[]`)))]
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, member]) => [
    `${path}.${name}`,
    ...shape(member, `${path}.${name}`),
  ])
}

function payloads(stream: string): readonly Json[] {
  const lines = stream.split('\n').map((line) => line.replace(/^data: /, '').trim())
  return lines.filter((line) => line.startsWith('{')).map(json)
}

/** The different shapes of a stream's events, in order of first appearance. */
function streamShapes(events: readonly Json[]): readonly string[] {
  return [...new Set(events.map((event) => shape(event).join(' ')))]
}

async function ask(body: object, switches = ''): Promise<string> {
  const base = switches === '' ? sandbox.url : sandbox.with(switches)
  const answer = await fetch(`${base}/v1/chat/completions`, { method: 'POST', body: JSON.stringify(body) })
  return await answer.text()
}

const SAY_HELLO = [{ role: 'user', content: 'Hello' }]
const LONG = [{ role: 'user', content: 'A long paragraph about harbours. '.repeat(300) }]
const TOOL = {
  type: 'function',
  function: {
    name: 'tide_table',
    parameters: { type: 'object', properties: { harbour: { type: 'string' } }, required: ['harbour'] },
  },
}
const STREAM = { stream: true, stream_options: { include_usage: true } }

interface Case {
  readonly file: string
  readonly from: readonly URL[]
  readonly body: object
  readonly switches?: string
  /** Files whose members were sorted, or are in another provider's order, are compared without order. */
  readonly sorted?: boolean
}

const BOTH = [FIXTURES, RECORDED]
const WHOLE: readonly Case[] = [
  { file: 'text.json', from: [FIXTURES], body: { model: 'gpt-4.1-nano', messages: SAY_HELLO } },
  { file: 'openai-chat-text.json', from: [RECORDED], body: { model: 'gpt-4.1-nano', messages: SAY_HELLO } },
  { file: 'cache-write.json', from: [FIXTURES], body: { model: 'gpt-5.6-sol', messages: LONG } },
  { file: 'cache-read.json', from: [FIXTURES], body: { model: 'gpt-5.6-sol', messages: LONG } },
  {
    file: 'openai-chat-cache-1.json',
    from: [RECORDED],
    body: { model: 'gpt-5.6-sol', messages: LONG },
    sorted: true,
  },
  {
    file: 'openai-chat-cache-2.json',
    from: [RECORDED],
    body: { model: 'gpt-5.6-sol', messages: LONG },
    sorted: true,
  },
  { file: 'deepseek-reasoning.json', from: BOTH, body: { model: 'deepseek-reasoner', messages: SAY_HELLO } },
  { file: 'qwen-text.json', from: BOTH, body: { model: 'qwen3-max', messages: SAY_HELLO }, sorted: true },
  { file: 'glm-text.json', from: [FIXTURES], body: { model: 'glm-4.7', messages: SAY_HELLO }, sorted: true },
  { file: 'glm-zai.json', from: [RECORDED], body: { model: 'glm-4.7', messages: SAY_HELLO }, sorted: true },
  { file: 'error-400-parameter.json', from: [FIXTURES], body: {}, switches: 'status=400' },
  { file: 'error-401-key.json', from: [FIXTURES], body: {}, switches: 'status=401' },
  { file: 'error-404-model.json', from: [FIXTURES], body: {}, switches: 'status=404' },
  { file: 'openai-404-model.json', from: [RECORDED], body: {}, switches: 'status=404', sorted: true },
  { file: 'error-429-rate.json', from: [FIXTURES], body: {}, switches: 'status=429' },
  { file: 'error-429-quota.json', from: [FIXTURES], body: {}, switches: 'status=429,quota' },
  { file: 'openai-429-insufficient-quota.json', from: [RECORDED], body: {}, switches: 'status=429,quota' },
  { file: 'error-500.json', from: [FIXTURES], body: {}, switches: 'status=500' },
]

const STREAMS: readonly Case[] = [
  {
    file: 'stream-usage.sse',
    from: [FIXTURES],
    body: { model: 'gpt-4.1-mini', messages: SAY_HELLO, ...STREAM },
  },
  {
    file: 'stream-tool-call.sse',
    from: [FIXTURES],
    body: { model: 'gpt-4o-mini', messages: SAY_HELLO, tools: [TOOL], ...STREAM },
  },
  {
    file: 'openai-chat-stream.sse',
    from: [RECORDED],
    body: { model: 'gpt-4o-mini', messages: SAY_HELLO, tools: [TOOL], ...STREAM },
  },
  {
    file: 'deepseek-stream.chunks.txt',
    from: [FIXTURES],
    body: { model: 'deepseek-reasoner', messages: SAY_HELLO, tools: [TOOL], ...STREAM },
  },
  {
    file: 'deepseek-tool-call.chunks.txt',
    from: [RECORDED],
    body: { model: 'deepseek-reasoner', messages: SAY_HELLO, tools: [TOOL], ...STREAM },
  },
  {
    file: 'kimi-stream.chunks.txt',
    from: [FIXTURES],
    body: { model: 'kimi-k3', messages: SAY_HELLO, stream: true },
  },
  {
    file: 'qwen-stream.chunks.txt',
    from: [FIXTURES],
    body: { model: 'qwen3-max', messages: SAY_HELLO, ...STREAM },
    sorted: true,
  },
]

for (const { file, from, body, switches = '', sorted = false } of WHOLE) {
  for (const folder of from) {
    const skip = existsSync(folder) ? false : 'the recorded samples are not beside this checkout'
    const name = folder === RECORDED ? `the recorded ${file}` : file
    test(`an answer has the members of ${name}${sorted ? '' : ' in its order'}`, { skip }, async () => {
      const theirs = shape(json(readFileSync(new URL(file, folder), 'utf8')))
      const ours = shape(json(await ask(body, switches)))
      if (sorted) assert.deepEqual(new Set(ours), new Set(theirs))
      else assert.deepEqual(ours, theirs)
    })
  }
}

for (const { file, from, body, sorted = false } of STREAMS) {
  for (const folder of from) {
    const skip = existsSync(folder) ? false : 'the recorded samples are not beside this checkout'
    const name = folder === RECORDED ? `the recorded ${file}` : file
    test(`a stream has the events of ${name}`, { skip }, async () => {
      const theirs = payloads(readFileSync(new URL(file, folder), 'utf8'))
      const ours = payloads(await ask(body))
      if (sorted)
        assert.deepEqual(
          new Set(ours.flatMap((event) => shape(event))),
          new Set(theirs.flatMap((event) => shape(event))),
        )
      else assert.deepEqual(streamShapes(ours), streamShapes(theirs))
    })
  }
}

test('the hand-made Kimi recording has no member that we lack', { skip: !existsSync(RECORDED) }, async () => {
  const theirs = payloads(readFileSync(new URL('kimi-stream.chunks.txt', RECORDED), 'utf8'))
  const ours = new Set(
    payloads(await ask({ model: 'kimi-k3', messages: SAY_HELLO, stream: true })).flatMap((event) =>
      shape(event),
    ),
  )
  for (const member of theirs.flatMap((event) => shape(event))) assert.ok(ours.has(member), member)
})

test('an error in mid-stream has the error and usage members of the OpenRouter fixture', async () => {
  const theirs =
    payloads(readFileSync(new URL('openrouter-stream-error.sse', FIXTURES), 'utf8')).at(-1) ?? null
  const ours =
    payloads(await ask({ model: 'x', messages: SAY_HELLO, ...STREAM }, 'error-event=3,error-usage')).at(-1) ??
    null
  const members = new Set(shape(ours))
  const wanted = [
    '.error.code',
    '.error.message',
    '.choices[].delta.content',
    '.usage.prompt_tokens',
    '.usage.total_tokens',
  ]
  for (const member of wanted) {
    assert.ok(shape(theirs).includes(member), `fixture: ${member}`)
    assert.ok(members.has(member), member)
  }
})

test('every fixture is whole JSON, event by event', () => {
  const readme = readFileSync(new URL('README.md', FIXTURES), 'utf8')
  const files = [...readme.matchAll(/`([\w.-]+\.(?:json|sse|chunks\.txt))`/g)].map((match) => match[1] ?? '')
  assert.ok(files.length >= 20)
  for (const file of files) {
    const text = readFileSync(new URL(file, FIXTURES), 'utf8')
    if (file.endsWith('.json')) json(text)
    else assert.ok(payloads(text).length > 1, file)
  }
})
