import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'

import { isObject, type Json, parseJson } from '../kernel/index.ts'
import { type Sandbox, startSandbox } from './index.ts'

/** Answers beside recorded ones: the same members, in the same order where the recording kept it. */

const RECORDED = new URL('../../../shared/wire-samples/', import.meta.url)
const skip = existsSync(RECORDED) ? false : 'the recorded samples are not beside this checkout'

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

/** Free-form values: their members are the caller's, or another text's, not the format's. */
const OPEN = /\.(?:input|args|parameters|schema|metadata)$/

/** Paths of the members in order; what an array holds counts once. */
function shape(value: Json, path = ''): readonly string[] {
  if (OPEN.test(path)) return []
  if (Array.isArray(value)) return [...new Set(value.flatMap((item: Json) => shape(item, `${path}[]`)))]
  if (!isObject(value)) return []
  return Object.entries(value).flatMap(([name, member]) => [
    `${path}.${name}`,
    ...shape(member, `${path}.${name}`),
  ])
}

function payloads(stream: string): readonly Json[] {
  return dataLines(stream).map(json)
}

/** A recording put together by hand may have lines that are no JSON. */
function recordedPayloads(stream: string): readonly Json[] {
  return dataLines(stream).flatMap((line) => {
    const parsed = parseJson(line)
    return parsed.ok ? [parsed.value] : []
  })
}

function dataLines(stream: string): readonly string[] {
  const lines = stream.split('\n').map((line) => line.replace(/^data: /, '').trim())
  return lines.filter((line) => line.startsWith('{'))
}

/** The different shapes of a stream's events, in order of first appearance. */
function streamShapes(events: readonly Json[]): readonly string[] {
  return [...new Set(events.map((event) => shape(event).join(' ')))]
}

interface Ask {
  readonly path: string
  readonly body: object
  readonly switches?: string
}

async function ask({ path, body, switches = '' }: Ask): Promise<string> {
  const base = switches === '' ? sandbox.url : sandbox.with(switches)
  const headers = { 'anthropic-version': '2023-06-01' }
  const answer = await fetch(base + path, { method: 'POST', body: JSON.stringify(body), headers })
  return await answer.text()
}

const SCHEMA = { type: 'object', properties: { harbour: { type: 'string' } }, required: ['harbour'] }
const HELLO = [{ role: 'user', content: 'Hello' }]

function messages(model: string, more: object = {}, switches = ''): Ask {
  return { path: '/v1/messages', body: { model, max_tokens: 4000, messages: HELLO, ...more }, switches }
}

function responses(model: string, more: object = {}, switches = ''): Ask {
  return { path: '/v1/responses', body: { model, input: 'Hello', ...more }, switches }
}

function gemini(call: string, more: object = {}, switches = ''): Ask {
  const body = { contents: [{ role: 'user', parts: [{ text: 'Hello' }] }], ...more }
  return { path: `/v1beta/models/${call}`, body, switches }
}

const THINKING = { thinking: { type: 'enabled', budget_tokens: 1024 } }
const TOOLS = [{ name: 'tides', input_schema: SCHEMA }]
const FUNCTIONS = [{ type: 'function', name: 'tides', parameters: SCHEMA }]
const DECLARED = { tools: [{ functionDeclarations: [{ name: 'tides', parameters: SCHEMA }] }] }
const EFFORT = { reasoning: { effort: 'low', summary: 'auto' }, include: ['reasoning.encrypted_content'] }

interface Case {
  readonly file: string
  readonly ask: Ask
  /** Compare members without their order. */
  readonly sorted?: true
  /** Members only we have: they came with later versions than the recording's. */
  readonly later?: RegExp
  /** The recording shows more than one answer of ours can: all of ours must be in it. */
  readonly part?: true
  /** The other way round: a hand-made recording that leaves members out. */
  readonly whole?: true
}

const WHOLE: readonly Case[] = [
  { file: 'anthropic-opus5-reasoning.json', ask: messages('claude-opus-5', THINKING) },
  { file: 'anthropic-cache-write.json', ask: messages('claude-sonnet-4-5'), sorted: true },
  {
    file: 'anthropic-advisor.json',
    ask: messages('claude-sonnet-4-6', {}, 'iterations'),
    sorted: true,
    later: /^\.context_management/,
  },
  {
    file: 'anthropic-compaction.json',
    ask: messages('claude-opus-4-6', {}, 'iterations'),
    sorted: true,
    whole: true,
  },
  {
    file: 'anthropic-fallback.json',
    ask: messages('claude-fable-5', {}, 'fallback=claude-opus-4-8'),
    whole: true,
  },
  {
    file: 'anthropic-web-search.json',
    ask: messages('claude-sonnet-4-0', {}, 'websearch=2'),
    sorted: true,
    later: /inference_geo/,
  },
  { file: 'anthropic-400-effort.json', ask: messages('', {}), sorted: true },
  { file: 'anthropic-404-count-tokens.json', ask: messages('x', {}, 'status=404'), sorted: true },
  {
    file: 'openai-responses-cache-e2e.json',
    ask: responses('gpt-5.6-sol', { reasoning: { effort: 'none' } }),
    sorted: true,
  },
  {
    file: 'openai-responses-reasoning-encrypted.json',
    ask: responses('gpt-5-mini', { ...EFFORT, tools: FUNCTIONS, tool_choice: 'none' }),
  },
  {
    file: 'openai-responses-count-tokens.json',
    ask: { ...responses('gpt-4.1-mini'), path: '/v1/responses/input_tokens' },
    sorted: true,
  },
  { file: 'openai-responses-400.json', ask: responses('gpt-4o', { temperature: -1 }), sorted: true },
  {
    file: 'openai-embedding.json',
    ask: { path: '/v1/embeddings', body: { model: 'text-embedding-3-small', input: ['a', 'b'] } },
  },
  { file: 'gemini-404-model.json', ask: gemini('gemini-x:generateContent', {}, 'status=404') },
  {
    file: 'gemini-max-tokens-empty.json',
    ask: gemini('gemini-2.5-pro:generateContent', { generationConfig: { maxOutputTokens: 2 } }),
    sorted: true,
  },
  {
    file: 'gemini-safety-settings.json',
    ask: gemini('gemini-1.5-flash:generateContent', {}, 'refusal'),
    sorted: true,
    later: /serviceTier/,
  },
]

const STREAMS: readonly Case[] = [
  { file: 'anthropic-text.chunks.txt', ask: messages('claude-sonnet-4-5', { stream: true }) },
  {
    file: 'anthropic-thinking-stream.sse',
    ask: messages('claude-sonnet-4-0', { stream: true, ...THINKING }),
  },
  { file: 'anthropic-refusal.chunks.txt', ask: messages('claude-fable-5', { stream: true }, 'refusal') },
  {
    file: 'anthropic-tool-no-args.chunks.txt',
    ask: messages('claude-sonnet-4-5', { stream: true, tools: TOOLS }),
    part: true,
    later: /inference_geo/,
  },
  {
    file: 'anthropic-duplicate-message-start.chunks.txt',
    ask: messages('claude-3-haiku', { stream: true }, 'double-start'),
    whole: true,
  },
  {
    file: 'openai-responses-stream-usage.sse',
    ask: responses('gpt-5', {
      ...EFFORT,
      reasoning: { effort: 'low' },
      stream: true,
      tools: FUNCTIONS,
      tool_choice: 'required',
    }),
    later: /\.(?:billing|prompt_cache_retention)/,
  },
  {
    file: 'openai-responses-parallel-tools.chunks.txt',
    ask: responses('gpt-4.1', { stream: true, tools: FUNCTIONS }),
    whole: true,
  },
  { file: 'gemini-stream-crlf.sse', ask: gemini('gemini-2.5-flash:streamGenerateContent?alt=sse') },
  {
    file: 'gemini-reasoning3.chunks.txt',
    ask: gemini('gemini-3-pro-preview:streamGenerateContent?alt=sse'),
    later: /serviceTier/,
  },
  {
    file: 'gemini-tool-call3.chunks.txt',
    ask: gemini('gemini-3-pro-preview:streamGenerateContent?alt=sse', DECLARED),
    later: /serviceTier/,
  },
]

function without(paths: readonly string[], later: RegExp | undefined): readonly string[] {
  return later === undefined ? paths : paths.filter((path) => !later.test(path))
}

for (const { file, ask: asked, sorted, later, whole } of WHOLE) {
  const how = whole ? 'every member' : sorted ? 'the members' : 'the members in order'
  test(`an answer has ${how} of the recorded ${file}`, { skip }, async () => {
    const theirs = shape(json(readFileSync(new URL(file, RECORDED), 'utf8')))
    const ours = without(shape(json(await ask(asked))), later)
    if (whole)
      assert.deepEqual(
        [...new Set(theirs)].filter((path) => !ours.includes(path)),
        [],
      )
    else if (sorted) assert.deepEqual(new Set(ours), new Set(theirs))
    else assert.deepEqual(ours, theirs)
  })
}

for (const { file, ask: asked, later, part, whole } of STREAMS) {
  test(`a stream has the events of the recorded ${file}`, { skip }, async () => {
    const theirs = recordedPayloads(readFileSync(new URL(file, RECORDED), 'utf8'))
    assert.ok(theirs.length > 0)
    const ours = payloads(await ask(asked))
    const shapes = streamShapes(ours).map((one) => without(one.split(' '), later).join(' '))
    if (part) for (const one of shapes) assert.ok(streamShapes(theirs).includes(one), one)
    else if (whole) {
      const members = new Set(ours.flatMap((event) => shape(event)))
      for (const member of theirs.flatMap((event) => shape(event))) assert.ok(members.has(member), member)
    } else assert.deepEqual(shapes, streamShapes(theirs))
  })
}

test('a whole stream of Messages frames its events as the recorded one does', { skip }, async () => {
  const theirs = readFileSync(new URL('anthropic-thinking-stream.sse', RECORDED), 'utf8')
  const ours = await ask(messages('claude-sonnet-4-0', { stream: true, ...THINKING }))
  const frame = /^event: [a-z_]+\ndata: \{.*\} *$/
  for (const text of [ours, theirs]) {
    for (const event of text.trim().split('\n\n')) assert.match(event, frame)
  }
})

test('a stream of Gemini ends its lines as the recorded one does', { skip }, async () => {
  const theirs = readFileSync(new URL('gemini-stream-crlf.sse', RECORDED), 'utf8')
  const ours = await ask(gemini('gemini-2.5-flash:streamGenerateContent?alt=sse'))
  for (const text of [ours, theirs]) assert.match(text, /^(?:data: \{"candidates": .*\}\r\n\r\n)+$/)
})
