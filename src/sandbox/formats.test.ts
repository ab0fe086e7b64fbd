import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { isObject, type Json, parseJson } from '../kernel/index.ts'
import { type Sandbox, startSandbox } from './index.ts'
import { STATUSES } from './switches.ts'

/** The switches of the transport and of usage, once for every format. */

let sandbox: Sandbox
before(async () => {
  sandbox = await startSandbox({ record: true })
})
after(() => sandbox.close())

interface Format {
  readonly path: string
  readonly body: object
  /** Of a stream: what parts two events, and what every event of an answer has ended with. Null for no stream. */
  readonly between: RegExp | null
  /** What a stream in good order has near its end. */
  readonly ends: RegExp
  readonly error: RegExp
  readonly envelope: RegExp
  /** A count of output, as `usage.PATH` names it, and where it stands in the answer. */
  readonly count: string
  readonly limited: object
}

const SAID = [{ role: 'user', content: 'Hi' }]
const CONTENTS = [{ role: 'user', parts: [{ text: 'Hi' }] }]
const MESSAGES = { model: 'claude-sonnet-4-5', max_tokens: 400, messages: SAID }
const RESPONSES = { model: 'gpt-4.1', input: 'Hi' }
const ANTHROPIC_ENVELOPE =
  /^\{"type":"error","error":\{"type":"[a-z_]+","message":"[^"]+"\},"request_id":"req_\w+"\}$/
const OPENAI_ENVELOPE =
  /^\{"error":\{"message":"[^"]+","type":"[^"]+","param":null,"code":(?:null|"[^"]+")\}\}$/
const GOOGLE_ENVELOPE = /^\{"error":\{"code":\d+,"message":"[^"]+","status":"[A-Z_]+"\}\}$/

const FORMATS: Readonly<Record<string, Format>> = {
  'Messages stream': {
    path: '/v1/messages',
    body: { ...MESSAGES, stream: true },
    between: /\r?\n\r?\n/,
    ends: /event: message_stop/,
    error: /event: error\r?\ndata: \{"type":"error"/,
    envelope: ANTHROPIC_ENVELOPE,
    count: 'output_tokens',
    limited: { max_tokens: 2 },
  },
  'Messages answer': {
    path: '/messages',
    body: MESSAGES,
    between: null,
    ends: /"stop_reason":"end_turn"/,
    error: /^\{"type":"error"/,
    envelope: ANTHROPIC_ENVELOPE,
    count: 'output_tokens',
    limited: { max_tokens: 2 },
  },
  'Responses stream': {
    path: '/v1/responses',
    body: { ...RESPONSES, stream: true },
    between: /\r?\n\r?\n/,
    ends: /event: response\.completed/,
    error: /event: error\r?\n.*\r?\n\r?\nevent: response\.failed/,
    envelope: OPENAI_ENVELOPE,
    count: 'output_tokens',
    limited: { max_output_tokens: 16 },
  },
  'Responses answer': {
    path: '/responses',
    body: RESPONSES,
    between: null,
    ends: /"status":"completed"/,
    error: /^\{"error":/,
    envelope: OPENAI_ENVELOPE,
    count: 'output_tokens',
    limited: { max_output_tokens: 16 },
  },
  'Gemini events': {
    path: '/v1beta/models/gemini-2.0-flash:streamGenerateContent?alt=sse',
    body: { contents: CONTENTS },
    between: /\r\n\r\n/,
    ends: /"finishReason": "STOP"/,
    error: /data: \{"error":\{"code":500/,
    envelope: GOOGLE_ENVELOPE,
    count: 'candidatesTokenCount',
    limited: { generationConfig: { maxOutputTokens: 2 } },
  },
  'Gemini array': {
    path: '/v1/models/gemini-2.0-flash:streamGenerateContent',
    body: { contents: CONTENTS },
    between: /,\r\n/,
    ends: /"finishReason": "STOP".*\]$/s,
    error: /\{"error":\{"code":500.*\]$/s,
    envelope: GOOGLE_ENVELOPE,
    count: 'candidatesTokenCount',
    limited: { generationConfig: { maxOutputTokens: 2 } },
  },
  'Gemini answer': {
    path: '/v1alpha/models/gemini-2.0-flash:generateContent',
    body: { contents: CONTENTS },
    between: null,
    ends: /"finishReason":"STOP"/,
    error: /^\{"error":/,
    envelope: GOOGLE_ENVELOPE,
    count: 'candidatesTokenCount',
    limited: { generationConfig: { maxOutputTokens: 2 } },
  },
  Embeddings: {
    path: '/v1/embeddings',
    body: { model: 'text-embedding-3-small', input: 'Hi', dimensions: 8 },
    between: null,
    ends: /"prompt_tokens":1/,
    error: /^\{"error":/,
    envelope: OPENAI_ENVELOPE,
    count: 'prompt_tokens',
    limited: {},
  },
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly broken: boolean
}

async function ask({ path, body }: Format, switches: string, more: object = {}): Promise<Answer> {
  const base = switches === '' ? sandbox.url : sandbox.with(switches)
  const answer = await fetch(base + path, {
    method: 'POST',
    body: JSON.stringify({ ...body, ...more }),
    headers: { 'anthropic-version': '2023-06-01' },
    redirect: 'manual',
  })
  let text = ''
  let broken = false
  const decoder = new TextDecoder()
  try {
    for await (const piece of answer.body ?? []) text += decoder.decode(piece, { stream: true })
  } catch {
    broken = true
  }
  return { status: answer.status, headers: answer.headers, text, broken }
}

function events(format: Format, text: string): number {
  return text.split(format.between ?? /$^/).filter((event) => /\S/.test(event)).length
}

function isJson(text: string): boolean {
  return parseJson(text).ok
}

/** Every JSON value of an answer, whatever its framing. */
function values(text: string): readonly Json[] {
  const whole = parseJson(text)
  if (whole.ok) return Array.isArray(whole.value) ? whole.value : [whole.value]
  return text.split(/\r?\n/).flatMap((line) => {
    const parsed = parseJson(line.replace(/^data: /, ''))
    return parsed.ok ? [parsed.value] : []
  })
}

function numbersNamed(value: Json, name: string): readonly Json[] {
  if (Array.isArray(value)) return value.flatMap((one: Json) => numbersNamed(one, name))
  if (!isObject(value)) return []
  return Object.entries(value).flatMap(([key, inner]) => (key === name ? [inner] : numbersNamed(inner, name)))
}

for (const [name, format] of Object.entries(FORMATS)) {
  test(`${name}: an answer comes whole, and the same with each switch that only moves bytes`, async () => {
    const plain = await ask(format, '')
    assert.equal(plain.status, 200)
    assert.match(plain.text, format.ends)
    const ids = /"(?:id|item_id|responseId)": ?"[^"]+"|"created_at":\d+/g
    const bare = (text: string): string =>
      text
        .replace(/^: keepalive\r?\n\r?\n/gm, '')
        .replace(/\r\n/g, '\n')
        .replace(ids, '')
    const last = name === 'Gemini array' ? 'delay=0' : 'comments'
    for (const switches of ['burst', 'split=11', 'delay=0', 'crlf', last, 'first-token=2,slow-headers=2']) {
      assert.equal(bare((await ask(format, switches)).text), bare(plain.text), switches)
    }
  })

  test(`${name}: every error status has the format's own envelope`, async () => {
    for (const status of STATUSES) {
      const answer = await ask(format, `status=${status}`)
      assert.equal(answer.status, status)
      assert.match(answer.text, format.envelope)
    }
    const told = await ask(format, 'status=429,retry-after=7,quota,secret=sk-live-42')
    assert.match(told.text, /sk-live-42/)
    assert.ok(told.headers.get('retry-after') === '7' || told.text.includes('"retryDelay":"7s"'))
  })

  test(`${name}: a cut breaks the connection, an early end does not`, async () => {
    const cut = await ask(format, 'cut=3')
    assert.equal(cut.broken, true)
    if (format.between === null) return
    assert.equal(events(format, cut.text), 3)
    const early = await ask(format, 'end-early=3')
    assert.equal(early.broken, false)
    assert.doesNotMatch(early.text, /"finishReason"|message_delta|response\.completed|"error": ?\{/)
  })

  test(`${name}: an error comes after the events asked for, or first`, async () => {
    assert.match((await ask(format, 'error-event=3,secret=sk-live-42')).text, format.error)
    assert.match((await ask(format, 'error-event=3,secret=sk-live-42')).text, /sk-live-42/)
    const first = await ask(format, 'error-first')
    assert.equal(first.status, 200)
    assert.match(first.text.trimStart(), format.error)
    assert.doesNotMatch(first.text, format.ends)
  })

  test(`${name}: usage can be absent, zero, null or whatever a test writes`, async () => {
    const member = /"usage(?:Metadata)?": ?\{/
    assert.match((await ask(format, '')).text, member)
    assert.doesNotMatch((await ask(format, 'no-usage')).text, member)
    const zero = values((await ask(format, 'zero-usage')).text).flatMap((one) =>
      numbersNamed(one, format.count),
    )
    assert.ok(zero.length > 0 && zero.at(-1) === 0)
    assert.match((await ask(format, 'usage=null')).text, /"usage(?:Metadata)?": ?null/)
    for (const value of ['90000000', '-5', '"12"', '1e400', '3.5']) {
      const { text } = await ask(format, `usage.${format.count}=${value}`)
      assert.match(text, new RegExp(`"${format.count}": ?${value}[,}]`), value)
    }
  })

  test(`${name}: the whole answer can be replaced`, async () => {
    assert.match((await ask(format, 'html')).headers.get('content-type') ?? '', /^text\/html/)
    const garbage = await ask(format, 'garbage')
    assert.match(garbage.headers.get('content-type') ?? '', /^application\/json/)
    assert.equal(isJson(garbage.text), false)
    const moved = await ask(format, 'redirect')
    assert.equal(moved.headers.get('location'), format.path)
    await assert.rejects(ask(format, 'drop-connection'))
    assert.match((await ask(format, 'model=other-1')).text, /"(?:model|modelVersion)": ?"other-1"/)
  })

  test(`${name}: an empty answer is well formed and costs nothing`, async () => {
    const { text, status } = await ask(format, 'empty')
    assert.equal(status, 200)
    const counts = values(text).flatMap((one) => numbersNamed(one, format.count))
    if (name !== 'Embeddings') assert.ok(counts.length === 0 || counts.at(-1) === 0)
  })

  if (name === 'Embeddings') continue

  test(`${name}: a limit cuts the text unless it is to be ignored`, async () => {
    const cut = (await ask(format, '', format.limited)).text
    assert.match(cut, /"max_tokens"|"max_output_tokens"\}|"MAX_TOKENS"/)
    const ignored = (await ask(format, 'ignore-max,words=80', format.limited)).text
    assert.match(ignored, format.ends)
    const huge = await ask(format, 'huge-line=100000')
    assert.ok(huge.text.split('\n').some((line) => line.length > 100_000))
  })

  if (format.between === null) continue

  test(`${name}: without its closing event a stream just ends`, async () => {
    const { text, broken } = await ask(format, 'no-done')
    assert.equal(broken, false)
    assert.doesNotMatch(text, /event: (?:message_stop|response\.completed)|\]$/)
    const open = await ask(format, 'no-final-blank')
    assert.doesNotMatch(open.text, /\n$/)
  })

  test(`${name}: a stream that ignores its limit goes on until the caller leaves`, async () => {
    const { path, body } = format
    const answer = await fetch(`${sandbox.with('ignore-max')}${path}`, {
      method: 'POST',
      body: JSON.stringify({ ...body, ...format.limited }),
      headers: { 'anthropic-version': '2023-06-01' },
    })
    let bytes = 0
    for await (const piece of answer.body ?? []) {
      bytes += piece.length
      if (bytes > 150_000) break
    }
    const left = (one: { readonly path: string; readonly closedEarly: boolean }): boolean =>
      one.path === `/with/ignore-max${path}` && one.closedEarly
    await (await sandbox.requests.waitFor(left)).finished
  })
}

test('Messages: usage that is sent twice grows', async () => {
  const format = FORMATS['Messages stream']
  assert.ok(format !== undefined)
  const { text } = await ask(format, 'duplicate-usage')
  const counts = values(text).flatMap((one) => numbersNamed(one, 'output_tokens'))
  assert.equal(counts.length, 3)
  assert.ok((counts[1] ?? 0) < (counts[2] ?? 0))
})
