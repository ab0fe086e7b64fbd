import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'

import { parseJson } from '../kernel/index.ts'
import { type Sandbox, startSandbox } from './index.ts'
import {
  COUNT_SWITCHES,
  type CountSwitch,
  FLAG_SWITCHES,
  type FlagSwitch,
  STATUSES,
  TEXT_SWITCHES,
  type TextSwitch,
} from './switches.ts'

let sandbox: Sandbox
before(async () => {
  sandbox = await startSandbox({ record: true })
})
after(() => sandbox.close())

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The connection broke before the end. */
  readonly broken: boolean
  /** The pieces as they came. */
  readonly pieces: readonly Buffer[]
}

function body(more: object): string {
  return JSON.stringify({ model: 'gpt-4.1', messages: [{ role: 'user', content: 'Hi' }], ...more })
}

async function ask(switches: string, more: object = {}): Promise<Answer> {
  const answer = await fetch(`${sandbox.with(switches)}/v1/chat/completions`, {
    method: 'POST',
    body: body(more),
    redirect: 'manual',
  })
  const pieces: Buffer[] = []
  let broken = false
  try {
    for await (const piece of answer.body ?? []) pieces.push(Buffer.from(piece))
  } catch {
    broken = true
  }
  const text = Buffer.concat(pieces).toString()
  return { status: answer.status, headers: answer.headers, text, broken, pieces }
}

const STREAM = { stream: true, stream_options: { include_usage: true } }
const stream = (switches: string, more: object = {}): Promise<Answer> => ask(switches, { ...STREAM, ...more })
const events = (text: string): readonly string[] => text.split('\n\n').filter((event) => event !== '')
const usages = (text: string): readonly string[] =>
  events(text).filter((event) => event.includes('"usage":{') && event.includes('prompt_tokens'))

async function gone(switches: string): Promise<void> {
  await assert.rejects(
    fetch(`${sandbox.with(switches)}/v1/chat/completions`, { method: 'POST', body: body({}) }),
  )
}

async function takesMs(run: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now()
  await run()
  return performance.now() - startMs
}

/** Tested in format-faults.test.ts: they are faults of formats besides chat. */
const ELSEWHERE = [
  'overloaded',
  'strict',
  'refusal',
  'blocked',
  'double-start',
  'iterations',
  'split-lost',
  'redacted-thinking',
  'websearch',
  'fallback',
] as const

type Here = Exclude<FlagSwitch | CountSwitch | TextSwitch, (typeof ELSEWHERE)[number]>

const CASES: Readonly<Record<Here, () => Promise<void>>> = {
  async status() {
    for (const status of STATUSES) {
      for (const answer of [await ask(`status=${status}`), await stream(`status=${status}`)]) {
        assert.equal(answer.status, status)
        assert.match(
          answer.text,
          /^\{"error":\{"message":"[^"]+","type":"[^"]+","param":null,"code":(null|"[^"]+")\}\}$/,
        )
      }
    }
  },
  async 'retry-after'() {
    assert.equal((await ask('status=503,retry-after=7')).headers.get('retry-after'), '7')
  },
  async quota() {
    assert.match((await ask('status=429,quota')).text, /"code":"insufficient_quota"/)
  },
  async secret() {
    assert.match((await ask('status=401,secret=sk-live-42')).text, /sk-live-42/)
    assert.match((await stream('error-event=1,secret=sk-live-42')).text, /sk-live-42/)
  },
  async hang() {
    const leave = new AbortController()
    const path = `${sandbox.with('hang')}/v1/chat/completions`
    const asked = fetch(path, { method: 'POST', body: body({}), signal: leave.signal })
    const request = await sandbox.requests.waitFor(
      (one) => one.path.includes('/with/hang/') && one.body !== undefined,
    )
    assert.equal(request.status, 0)
    leave.abort()
    await assert.rejects(asked)
    await request.finished
    assert.equal(request.closedEarly, true)
  },
  async 'slow-headers'() {
    assert.ok((await takesMs(() => ask('slow-headers=60'))) >= 55)
  },
  async 'first-token'() {
    assert.ok((await takesMs(() => ask('first-token=60'))) >= 55)
    const startMs = performance.now()
    const answer = await fetch(`${sandbox.with('first-token=300')}/v1/chat/completions`, {
      method: 'POST',
      body: body(STREAM),
    })
    assert.ok(performance.now() - startMs < 290, 'the headers of a stream come before the wait')
    await answer.text()
    assert.ok(performance.now() - startMs >= 290)
  },
  async delay() {
    assert.ok((await takesMs(() => stream('delay=10,words=6'))) >= 80)
  },
  async cut() {
    const cut = await stream('cut=3')
    assert.equal(cut.broken, true)
    assert.equal(events(cut.text).length, 3)
    const whole = await ask('cut=0')
    assert.equal(whole.broken, true)
    assert.ok(whole.text.length > 0 && whole.text.startsWith('{"id"'))
  },
  async 'end-early'() {
    const answer = await stream('end-early=3')
    assert.equal(answer.broken, false)
    assert.equal(events(answer.text).length, 3)
    assert.doesNotMatch(answer.text, /DONE|"finish_reason":"/)
  },
  async 'no-done'() {
    const { text } = await stream('no-done')
    assert.equal(usages(text).length, 1)
    assert.doesNotMatch(text, /DONE/)
  },
  async 'no-usage'() {
    assert.doesNotMatch((await ask('no-usage')).text, /usage/)
    assert.doesNotMatch((await stream('no-usage')).text, /usage/)
  },
  async 'usage-in-finish'() {
    const { text } = await stream('usage-in-finish')
    assert.equal(usages(text).length, 1)
    assert.match(usages(text)[0] ?? '', /"finish_reason":"stop"/)
  },
  async 'usage-deepseek'() {
    assert.match(
      (await ask('usage-deepseek')).text,
      /"prompt_cache_hit_tokens":0,"prompt_cache_miss_tokens":8/,
    )
  },
  async 'zero-usage'() {
    assert.match((await ask('zero-usage')).text, /"prompt_tokens":0,"completion_tokens":0,"total_tokens":0/)
  },
  async 'duplicate-usage'() {
    const counts = usages((await stream('duplicate-usage')).text).map(
      (event) => /"completion_tokens":(\d+)/.exec(event)?.[1],
    )
    assert.equal(counts.length, 2)
    assert.ok(BigInt(counts[0] ?? '0') < BigInt(counts[1] ?? '0'))
  },
  async empty() {
    assert.match((await ask('empty')).text, /"content":"".*"completion_tokens":0/)
    assert.equal(events((await stream('empty')).text).length, 4)
  },
  async 'error-event'() {
    const list = events((await stream('error-event=2')).text)
    assert.equal(list.length, 4)
    assert.match(list[2] ?? '', /^data: \{"error":\{/)
    assert.match((await ask('error-event=2')).text, /^\{"error":\{/)
  },
  async 'error-first'() {
    const answer = await stream('error-first')
    assert.equal(answer.status, 200)
    assert.match(answer.text, /^data: \{"error":\{/)
  },
  async 'error-usage'() {
    const list = events((await stream('error-event=2,error-usage')).text)
    assert.match(list[2] ?? '', /^data: \{"id":.*"error":\{"code":502.*"usage":\{"prompt_tokens"/)
  },
  async html() {
    const answer = await ask('html')
    assert.equal(answer.status, 200)
    assert.match(answer.headers.get('content-type') ?? '', /^text\/html/)
  },
  async garbage() {
    const answer = await stream('garbage')
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('content-type'), 'application/json')
    assert.equal(parseJson(answer.text).ok, false)
  },
  async words() {
    assert.equal(/"content":"([^"]*)"/.exec((await ask('words=12')).text)?.[1]?.split(' ').length, 12)
  },
  async 'ignore-max'() {
    const bounded = await stream('ignore-max,words=40', { max_tokens: 2 })
    assert.ok(events(bounded.text).length > 40)
    assert.match((await ask('ignore-max', { max_tokens: 2 })).text, /"finish_reason":"stop"/)
    const answer = await fetch(`${sandbox.with('ignore-max')}/v1/chat/completions`, {
      method: 'POST',
      body: body({ ...STREAM, max_tokens: 2 }),
    })
    let bytes = 0
    for await (const piece of answer.body ?? []) {
      bytes += piece.length
      if (bytes > 300_000) break
    }
    const request = await sandbox.requests.waitFor(
      (one) => one.path.includes('/with/ignore-max/') && one.closedEarly,
    )
    await request.finished
  },
  async crlf() {
    const { text } = await stream('crlf')
    assert.match(text, /\r\n\r\n/)
    assert.doesNotMatch(text, /[^\r]\n/)
  },
  async comments() {
    const list = events((await stream('comments')).text)
    assert.equal(list.filter((event) => event === ': keepalive').length, list.length / 2)
  },
  async burst() {
    assert.equal((await rawChunks('burst')).length, 1)
    assert.ok((await rawChunks('delay=0')).length > 10)
  },
  async split() {
    const chunks = await rawChunks('split=7', { max_tokens: 2 })
    assert.ok(chunks.length > 20)
    assert.ok(chunks.every((bytes) => bytes <= 7))
  },
  async drip() {
    assert.ok((await takesMs(() => ask('drip,status=500'))) >= 500)
  },
  async 'huge-line'() {
    const lines = (await stream('huge-line=200000')).text.split('\n')
    assert.ok(lines.some((line) => line.length > 200_000))
    assert.ok((await ask('huge-line=200000')).text.length > 200_000)
  },
  async 'no-final-blank'() {
    const { text } = await stream('no-final-blank')
    assert.ok(text.endsWith('data: [DONE]'))
  },
  async 'tool-index-1'() {
    const tools = [{ type: 'function', function: { name: 'look', parameters: { type: 'object' } } }]
    const { text } = await stream('tool-index-1', { tools })
    assert.match(text, /"tool_calls":\[\{"index":1,/)
    assert.doesNotMatch(text, /"tool_calls":\[\{"index":0,/)
  },
  'drop-connection': () => gone('drop-connection'),
  async redirect() {
    const answer = await ask('redirect')
    assert.equal(answer.status, 307)
    assert.equal(answer.headers.get('location'), '/v1/chat/completions')
  },
  async model() {
    assert.match((await ask('model=other-1')).text, /"model":"other-1"/)
    assert.match((await stream('model=other-1')).text, /"model":"other-1"/)
  },
}

/** Sizes of the chunks of the transfer coding, which a client's reader would hide. */
async function rawChunks(switches: string, more: object = {}): Promise<readonly number[]> {
  const { port, host } = new URL(sandbox.url)
  const socket = connect(Number.parseInt(port, 10), '127.0.0.1')
  const text = body({ ...STREAM, ...more })
  const path = `/with/${encodeURIComponent(switches)}/v1/chat/completions`
  socket.write(
    `POST ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\ncontent-length: ${text.length}\r\n\r\n${text}`,
  )
  let received = ''
  socket.setEncoding('latin1')
  socket.on('data', (piece: string) => {
    received += piece
  })
  await once(socket, 'close')
  let rest = received.slice(received.indexOf('\r\n\r\n') + 4)
  const sizes: number[] = []
  for (;;) {
    const size = Number.parseInt(rest, 16)
    if (!(size > 0)) return sizes
    sizes.push(size)
    rest = rest.slice(rest.indexOf('\r\n') + 2 + size + 2)
  }
}

for (const [name, run] of Object.entries(CASES)) test(`the switch ${name} does what it says`, run)

test('every switch has a test', () => {
  const known = Object.keys({ ...FLAG_SWITCHES, ...COUNT_SWITCHES, ...TEXT_SWITCHES })
  assert.deepEqual(new Set([...Object.keys(CASES), ...ELSEWHERE]), new Set(known))
})

test('usage values are sent as they were written', async () => {
  const values = [
    ['completion_tokens', '90000000'],
    ['prompt_tokens', '-5'],
    ['completion_tokens', '"12"'],
    ['completion_tokens', '1e400'],
    ['completion_tokens', '3.5'],
    ['prompt_tokens_details.cached_tokens', '999999'],
  ]
  for (const [path = '', value = ''] of values) {
    const last = path.split('.').at(-1)
    for (const { text } of [await ask(`usage.${path}=${value}`), await stream(`usage.${path}=${value}`)]) {
      assert.ok(text.includes(`"${last}":${value}`), `${path}=${value}`)
    }
  }
  assert.match((await ask('usage=null')).text, /"usage":null/)
})

test('switches come by path, by header and by a marker in the last message of the user', async () => {
  const url = `${sandbox.url}/v1/chat/completions`
  const header = await fetch(url, { method: 'POST', body: body({}), headers: { 'x-sandbox': 'status=503' } })
  assert.equal(header.status, 503)
  const messages = [{ role: 'user', content: 'Hi [[sandbox: status=529]]' }]
  assert.equal((await fetch(url, { method: 'POST', body: body({ messages }) })).status, 529)
  const earlier = [...messages, { role: 'assistant', content: 'Oh' }, { role: 'user', content: 'Hi' }]
  assert.equal((await fetch(url, { method: 'POST', body: body({ messages: earlier }) })).status, 200)
})

test('an unknown switch is answered with 400 and the known ones', async () => {
  const answer = await ask('bogus')
  assert.equal(answer.status, 400)
  assert.match(answer.text, /\\"bogus\\" is unknown.*drop-connection/)
})
