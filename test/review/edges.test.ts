import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Receipt } from '../../src/contract/index.ts'
import { formatNano } from '../../src/kernel/index.ts'
import { abandonHolds, eventually } from '../gateway/ask.ts'
import {
  type Any,
  assertSound,
  assertTold,
  deltas,
  event,
  FORMATS,
  type Format,
  json,
  MESSAGE_START,
  RESPONSE_START,
  requestOf,
  startAttack,
  tell,
} from './stand.ts'

/** What was found between two rules: asked twice over, told in part, ended half. */

const ANSWER = (usage: unknown, content = 'Hi'): object => ({
  id: 'c',
  object: 'chat.completion',
  created: 1,
  model: 'up',
  choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
  usage,
})

const HEADS: Record<Format, string> = {
  openai: '',
  'openai-responses': RESPONSE_START,
  anthropic: MESSAGE_START({ input_tokens: 9, output_tokens: 1 }),
  gemini: '',
}

test('a route in the model name and another in the header are refused, not chosen from', async (t) => {
  const attack = await startAttack(t, {
    two: { protocol: 'openai', ordinary: ['stub-openai'], official: ['stub-openai'] },
  })
  attack.stub.answer = (_req, res) =>
    json(res, ANSWER({ prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 }))
  const told = await tell(attack, requestOf('openai', 'two:ordinary', false), { 'x-tf-route': 'official' })
  assert.equal(told.status, 400, told.text)
  assert.match(told.text, /ordinary/)
  assert.equal(told.receipt.status, 'refused')
  assertTold(told)
  assert.equal(attack.stub.calls.length, 0)
  const agreed = await tell(attack, requestOf('openai', 'two:ordinary', false), { 'x-tf-route': 'ordinary' })
  assert.equal(agreed.status, 200, agreed.text)
  assertTold(agreed)
  await assertSound(attack)
})

test('output that a provider leaves out of its usage is counted here, and said to be', async (t) => {
  const attack = await startAttack(t)
  const long = 'Which balance pays is decided by the route. '.repeat(20)
  const gemini = (usageMetadata: object): object => ({
    candidates: [{ content: { role: 'model', parts: [{ text: long }] }, finishReason: 'STOP', index: 0 }],
    usageMetadata,
  })
  const cases = [
    ['openai', ANSWER({ prompt_tokens: 9 }, long)],
    ['openai', ANSWER({ prompt_tokens: 9, completion_tokens: null, total_tokens: 9 }, long)],
    ['gemini', gemini({ promptTokenCount: 9 })],
  ] as const
  for (const [format, answer] of cases) {
    attack.stub.answer = (_req, res) => json(res, answer)
    const told = await tell(attack, requestOf(format, `m-${format}`, false))
    assertTold(told)
    const what = JSON.stringify([answer, told.receipt.usage, told.receipt.flags])
    assert.ok((told.receipt.usage?.output ?? 0) > 150, what)
    assert.equal(told.receipt.usage?.input, 9, what)
    assert.equal(told.receipt.usage?.source, 'estimated', what)
    assert.equal(told.receipt.settlement, 'completed_estimated', what)
    assert.ok(told.receipt.flags.includes('output_not_reported'), what)
  }
  // A total says the rest; nothing is doubted where nothing was written.
  const sure = [
    ['openai', ANSWER({ prompt_tokens: 9, total_tokens: 209 }, long), 200, 'derived'],
    ['gemini', gemini({ promptTokenCount: 9, totalTokenCount: 209 }), 200, 'derived'],
  ] as const
  for (const [format, answer, output, source] of sure) {
    attack.stub.answer = (_req, res) => json(res, answer)
    const told = await tell(attack, requestOf(format, `m-${format}`, false))
    assertTold(told)
    assert.equal(told.receipt.usage?.output, output)
    assert.equal(told.receipt.usage?.source, source)
    assert.ok(!told.receipt.flags.includes('output_not_reported'))
  }
  attack.stub.answer = (_req, res) => json(res, ANSWER({ prompt_tokens: 9 }, ''))
  const empty = await tell(attack, requestOf('openai', 'm-openai', false))
  assert.equal(empty.receipt.settlement, 'empty_completion')
  assert.ok(!empty.receipt.flags.includes('output_not_reported'))
  await assertSound(attack)
})

const choiceChunk = (index: number, content: string, finish: string | null = null): string =>
  event({
    id: 'c',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'up',
    choices: [{ index, delta: { content }, finish_reason: finish }],
  })

const jsonEvents = (text: string): Any[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice(6)))

test('a stream that is cut ends every choice that goes on, and tells its usage and charge', async (t) => {
  const attack = await startAttack(t, {
    window: { protocol: 'openai', ordinary: ['stub-openai'], holdWindow: 64 },
  })
  const account = await attack.forge.account({ grants: { rmb: '0.004' } })
  attack.stub.answer = (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(choiceChunk(0, 'one') + choiceChunk(1, 'two', 'stop') + choiceChunk(2, 'three'))
    const timer = setInterval(() => res.write(choiceChunk(0, 'word '.repeat(20)).repeat(20)), 2)
    res.on('close', () => clearInterval(timer))
  }
  const told = await tell(
    attack,
    requestOf('openai', 'window', true, { n: 3, max_tokens: 8_000 }),
    {},
    account.key,
  )
  assert.equal(told.receipt.settlement, 'cut_at_limit', told.text.slice(-500))
  const chunks = jsonEvents(told.text)
  const ends = chunks.flatMap((chunk) =>
    chunk.choices.flatMap((choice: Any) =>
      choice.finish_reason === null ? [] : [[choice.index, choice.finish_reason]],
    ),
  )
  assert.deepEqual(ends, [
    [1, 'stop'],
    [0, 'length'],
    [2, 'length'],
  ])
  const usage = chunks.at(-1)?.usage
  assertCharge(usage?.tf, told.receipt)
  assert.equal(usage?.completion_tokens, told.receipt.usage?.output)
  assert.ok(told.text.endsWith('data: [DONE]\n\n'))
  await assertSound(attack)
})

/** Above the hold only the ledger can say in the end what is paid. */
function assertCharge(note: Any, { charge, flags }: Receipt): void {
  if (flags.includes('written_off')) assert.equal(note.charge, null)
  else assert.equal(note.charge, charge?.total)
}

test('a stream goes as far as the balance does, and says what it cost in every format', async (t) => {
  const windows = Object.fromEntries(
    FORMATS.map((format) => [
      `w-${format}`,
      { protocol: format, ordinary: [`stub-${format}`], holdWindow: 64 },
    ]),
  )
  const attack = await startAttack(t, windows)
  for (const upstream of FORMATS)
    for (const caller of FORMATS) {
      attack.stub.answer = (_req, res) => {
        res.writeHead(200, { 'content-type': 'text/event-stream' })
        res.write(HEADS[upstream])
        const timer = setInterval(() => res.write(deltas(upstream, 40)), 2)
        res.on('close', () => clearInterval(timer))
      }
      // The window of 64 and its double are payable, the next double is not.
      const account = await attack.forge.account({ grants: { rmb: '0.003' } })
      const limit =
        caller === 'openai' || caller === 'anthropic'
          ? { max_tokens: 9_000 }
          : caller === 'gemini'
            ? { generationConfig: { maxOutputTokens: 9_000 } }
            : { max_output_tokens: 9_000 }
      const told = await tell(attack, requestOf(caller, `w-${upstream}`, true, limit), {}, account.key)
      const what = `${caller} over ${upstream}: ${told.text.slice(-600)} ${JSON.stringify(told.receipt)}`
      assert.equal(told.receipt.settlement, 'cut_at_limit', what)
      assert.equal(told.receipt.hold?.amount, formatNano(3_000_000n), what)
      assert.ok((told.receipt.usage?.output ?? 0) > 200, what)
      const note = /"tf":(\{[^}]*\})/.exec(told.text)?.[1]
      assert.ok(note !== undefined, what)
      assertCharge(JSON.parse(note), told.receipt)
    }
  await assertSound(attack)
})

test('what a model has ended is waited for a moment after its caller left, and stored for a repeat', async (t) => {
  const attack = await startAttack(t)
  const { forge, account } = attack
  const usage = { prompt_tokens: 9, completion_tokens: 30, total_tokens: 39 }
  const lateMs = 150
  const leave = async (path: string, body: object, headers: object, heard: Promise<void>): Promise<void> => {
    const stop = new AbortController()
    const answer = fetch(`${forge.url}${path}`, {
      method: 'POST',
      signal: stop.signal,
      headers: { 'x-api-key': account.key, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    }).then((response) => response.text())
    answer.catch(() => undefined)
    await heard
    await new Promise((resolve) => setTimeout(resolve, 30))
    stop.abort()
    await assert.rejects(answer)
  }
  const last = () =>
    forge.owner.one<{ document: string; charge: bigint }>(
      'select document, charge from ledger.receipt where org_id = $1 order by id desc limit 1',
      [account.orgId],
    )
  // A stream whose model said "stop", and whose usage is still under way.
  let heard = Promise.withResolvers<void>()
  attack.stub.answer = (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(choiceChunk(0, 'Hi') + choiceChunk(0, '', 'stop'))
    heard.resolve()
    setTimeout(() => res.end(event({ id: 'c', created: 1, model: 'up', choices: [], usage })), lateMs)
  }
  await leave(...requestOf('openai', 'm-openai', true), {}, heard.promise)
  await forge.settled()
  const streamed = await last()
  assert.match(streamed.document, /"client_left"/)
  assert.match(streamed.document, /"source":"reported"/)
  assert.equal(streamed.charge, 309_000n)
  // A whole answer that is half here, in two formats; a repeat of the request gets it and pays nothing more.
  for (const caller of ['openai', 'anthropic'] as const) {
    heard = Promise.withResolvers<void>()
    attack.stub.answer = (_req, res) => {
      const text = JSON.stringify(ANSWER(usage, 'Here it is'))
      res.writeHead(200, { 'content-type': 'application/json' })
      res.write(text.slice(0, 40))
      heard.resolve()
      setTimeout(() => res.end(text.slice(40)), lateMs)
    }
    const [path, body] = requestOf(caller, 'm-openai', false)
    const headers = { 'idempotency-key': `left-${caller}` }
    await leave(path, body, headers, heard.promise)
    await forge.settled()
    const whole = await last()
    assert.match(whole.document, /"client_left"/, caller)
    assert.equal(whole.charge, 309_000n, caller)
    const calls = attack.stub.calls.length
    const repeated = await fetch(`${forge.url}${path}`, {
      method: 'POST',
      headers: { 'x-api-key': account.key, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    })
    const text = await repeated.text()
    assert.equal(repeated.headers.get('x-tf-replayed'), 'true', text)
    assert.ok(text.includes('Here it is'))
    assert.equal(attack.stub.calls.length, calls)
    if (caller === 'anthropic') assert.equal(JSON.parse(text).type, 'message')
  }
  // What goes on is cancelled at once.
  heard = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<number>()
  attack.stub.answer = (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(choiceChunk(0, 'Hi'))
    heard.resolve()
    const from = performance.now()
    res.on('close', () => closed.resolve(performance.now() - from))
  }
  await leave(...requestOf('openai', 'm-openai', true), {}, heard.promise)
  assert.ok((await closed.promise) < 700)
  await eventually('no hold is left', async () =>
    (await forge.balance(account.orgId, 'rmb')).held === 0n ? true : null,
  )
  await assertSound(attack)
})

test('what a dead process had delivered beyond its hold is paid up to the hold', async (t) => {
  const attack = await startAttack(t)
  const { forge, account } = attack
  attack.stub.answer = (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(choiceChunk(0, 'Hi'))
  }
  const stop = new AbortController()
  const [path, body] = requestOf('openai', 'm-openai', true)
  const response = await fetch(`${forge.url}${path}`, {
    method: 'POST',
    signal: stop.signal,
    headers: { 'x-api-key': account.key, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  await abandonHolds(forge, { input: 12, output: 900 })
  const swept = await forge.app.recovery.sweep()
  stop.abort()
  assert.equal(swept, 1)
  const receipt = await forge.receipt(response.headers.get('x-request-id'))
  assert.equal(receipt.settlement, 'recovered')
  assert.equal(receipt.charge?.total, receipt.hold?.amount, JSON.stringify(receipt))
  assert.ok(receipt.flags.includes('written_off'))
  await eventually('the late end', () => (forge.app.gateway.counters.active === 0 ? true : null))
  await assertSound(attack)
})
