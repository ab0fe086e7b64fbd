import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatNano, parseNano } from '../../src/kernel/index.ts'
import {
  type Attack,
  assertSound,
  assertTold,
  deltas,
  event,
  FORMATS,
  type Format,
  json,
  MESSAGE_END,
  MESSAGE_START,
  RESPONSE_END,
  RESPONSE_START,
  requestOf,
  sse,
  startAttack,
  tell,
} from './stand.ts'

/** Callers who go away at each stage, on routes of every format, and holds that change at the last moment. */

const HEADS: Record<Format, string> = {
  openai: '',
  'openai-responses': RESPONSE_START,
  anthropic: MESSAGE_START({ input_tokens: 9, output_tokens: 1 }),
  gemini: '',
}

/** All but what closes the stream: usage is told, the connection stays open. */
const ENDS: Record<Format, string> = {
  openai:
    event({ id: 'c', created: 1, model: 'up', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }) +
    event({
      id: 'c',
      created: 1,
      model: 'up',
      choices: [],
      usage: { prompt_tokens: 9, completion_tokens: 44, total_tokens: 53 },
    }),
  'openai-responses': RESPONSE_END({ input_tokens: 9, output_tokens: 44, total_tokens: 53 }),
  anthropic: MESSAGE_END({ output_tokens: 44 }).replace(/event: message_stop[\s\S]*$/, ''),
  gemini: event({
    candidates: [{ content: { role: 'model', parts: [{ text: 'end' }] }, finishReason: 'STOP', index: 0 }],
    usageMetadata: { promptTokenCount: 9, candidatesTokenCount: 44, totalTokenCount: 53 },
  }),
}

async function lastReceipt({ forge, account }: Attack): Promise<{ document: string; charge: bigint }> {
  await forge.settled()
  return forge.owner.one(
    'select document, charge from ledger.receipt where org_id = $1 order by id desc limit 1',
    [account.orgId],
  )
}

async function leaveAfter(
  attack: Attack,
  asked: readonly [string, object],
  word: string | null,
): Promise<void> {
  const stop = new AbortController()
  const answer = fetch(`${attack.forge.url}${asked[0]}`, {
    method: 'POST',
    signal: stop.signal,
    headers: { 'x-api-key': attack.account.key, 'content-type': 'application/json' },
    body: JSON.stringify(asked[1]),
  })
  if (word === null) {
    attack.stub.answer = () => stop.abort()
    await assert.rejects(answer)
    return
  }
  const reader = (await answer).body?.getReader()
  let text = ''
  while (reader !== undefined && !text.includes(word)) {
    const { value, done } = await reader.read()
    if (done) break
    text += Buffer.from(value).toString('utf8')
  }
  stop.abort()
}

test('who leaves before an answer begins pays nothing, on routes of every format', async (t) => {
  const attack = await startAttack(t)
  for (const upstream of FORMATS)
    for (const caller of FORMATS) {
      await leaveAfter(attack, requestOf(caller, `m-${upstream}`, true), null)
      const { charge, document } = await lastReceipt(attack)
      assert.equal(charge, 0n, `${caller} over ${upstream}`)
      assert.match(document, /client_left_before_output/)
    }
  await assertSound(attack)
})

test('who leaves in mid-stream pays what was delivered; after the usage, what was reported', async (t) => {
  const attack = await startAttack(t)
  for (const upstream of FORMATS)
    for (const caller of FORMATS)
      for (const end of [false, true]) {
        attack.stub.answer = (_req, res) => {
          res.writeHead(200, { 'content-type': 'text/event-stream' })
          res.write(HEADS[upstream] + deltas(upstream, 40) + (end ? ENDS[upstream] : ''))
        }
        await leaveAfter(attack, requestOf(caller, `m-${upstream}`, true), 'word39')
        const { charge, document } = await lastReceipt(attack)
        const what = `${caller} over ${upstream}, ${end ? 'after' : 'before'} the usage: ${document}`
        assert.match(document, /"client_left"/, what)
        if (end && document.includes('"source":"reported"')) assert.equal(charge, 449_000n, what)
        else assert.ok(charge >= 400_000n && charge < 1_500_000n, what)
      }
  await assertSound(attack)
})

test('who leaves a whole answer that is under way pays for the input at most, and the hold ends', async (t) => {
  const attack = await startAttack(t)
  for (const caller of FORMATS) {
    const stop = new AbortController()
    attack.stub.answer = (_req, res) => {
      res.writeHead(200, { 'content-type': 'application/json' })
      res.write('{"id":')
      setTimeout(() => stop.abort(), 20)
    }
    const [path, body] = requestOf(caller, 'm-openai', false)
    await assert.rejects(
      fetch(`${attack.forge.url}${path}`, {
        method: 'POST',
        signal: stop.signal,
        headers: { 'x-api-key': attack.account.key, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    )
    const { charge } = await lastReceipt(attack)
    assert.ok(charge < 60_000n, `${caller}: ${charge}`)
  }
  await assertSound(attack)
})

test('the hold on the receipt is the hold of the ledger, also when a stream ends while more is asked for', async (t) => {
  const attack = await startAttack(t, {
    window: { protocol: 'openai', ordinary: ['stub-openai'], holdWindow: 1_024 },
  })
  attack.stub.answer = (_req, res) =>
    sse(
      res,
      deltas('openai', 450) +
        event({
          id: 'c',
          created: 1,
          model: 'up',
          choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
        }) +
        event({
          id: 'c',
          created: 1,
          model: 'up',
          choices: [],
          usage: { prompt_tokens: 9, completion_tokens: 900, total_tokens: 909 },
        }) +
        event('[DONE]'),
    )
  for (let turn = 0; turn < 5; turn++) {
    const told = await tell(attack, requestOf('openai', 'window', true, { max_tokens: 8_000 }))
    assertTold(told)
    await attack.forge.settled()
    const row = await attack.forge.owner.one<{ held: bigint }>(
      `select held from ledger.transfer where org_id = $1 and kind = 'charge' order by id desc limit 1`,
      [attack.account.orgId],
    )
    assert.equal(told.receipt.hold?.amount, formatNano(row.held))
    assert.ok((parseNano(told.receipt.charge?.total ?? '') ?? 0n) === 9_009_000n)
  }
  await assertSound(attack)
})

test('a free call that fails inside breaks nothing else', async (t) => {
  const attack = await startAttack(t)
  const { forge, account } = attack
  await forge.owner.query('alter table gateway.response_pin rename to gone')
  const response = await fetch(`${forge.url}/v1/responses/resp_1`, { headers: { 'x-api-key': account.key } })
  assert.equal(response.status, 500)
  assert.ok(!(await response.text()).includes('response_pin'))
  attack.stub.answer = (_req, res) =>
    json(res, {
      id: 'c',
      choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
      usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
    })
  const told = await tell(attack, requestOf('openai', 'm-openai', false))
  assert.equal(told.status, 200, told.text)
  assertTold(told)
  await assertSound(attack)
})
