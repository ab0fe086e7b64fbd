import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseNano } from '../../src/kernel/index.ts'
import { PRICE } from '../forge.ts'
import {
  type Any,
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
  SECRET,
  sse,
  startAttack,
  tell,
} from './stand.ts'

/** What an upstream may claim, and what of it a customer pays. */

const SEARCHED = { ...PRICE, web_search: { per: 1000, price: '10' } }
/** The most that 500 tokens of output and the bytes of these requests can cost. */
const MOST_NANO = 6_500_000n

test('searches that the request cannot have made are not paid for', async (t) => {
  const attack = await startAttack(t, {
    claude: { protocol: 'anthropic', ordinary: ['stub-anthropic'], price: SEARCHED },
    chat: { protocol: 'openai', ordinary: ['stub-openai'], price: SEARCHED },
  })
  attack.stub.answer = (req, res) =>
    req.url?.includes('messages')
      ? json(res, {
          id: 'msg_1',
          type: 'message',
          role: 'assistant',
          model: 'up-claude',
          content: [{ type: 'text', text: 'Hi' }],
          stop_reason: 'end_turn',
          usage: { input_tokens: 5, output_tokens: 2, server_tool_use: { web_search_requests: 100_000 } },
        })
      : json(res, {
          id: 'c',
          object: 'chat.completion',
          created: 1,
          model: 'up-chat',
          choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
          usage: {
            prompt_tokens: 5,
            completion_tokens: 2,
            total_tokens: 7,
            server_tool_use: { web_search_requests: 100_000 },
          },
        })
  for (const asked of [requestOf('anthropic', 'claude', false), requestOf('openai', 'chat', false)]) {
    const told = await tell(attack, asked)
    assertTold(told)
    assert.equal(told.status, 200, told.text)
    assert.ok(told.movedNano < MOST_NANO, `${told.movedNano}`)
    assert.ok(told.receipt.flags.includes('usage_impossible'))
  }
  await assertSound(attack)
})

test('tokens claimed for other models are bounded like those of the model that was asked for', async (t) => {
  const attack = await startAttack(t)
  const one = { input_tokens: 5, output_tokens: 2 }
  const huge = {
    type: 'advisor_message',
    model: 'claude-dear',
    input_tokens: 900_000,
    output_tokens: 900_000,
  }
  attack.stub.answer = (_req, res) =>
    json(res, {
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model: 'up-m-anthropic',
      content: [{ type: 'text', text: 'Hi' }],
      stop_reason: 'end_turn',
      usage: {
        ...one,
        iterations: [
          { type: 'message', model: 'up-m-anthropic', ...one },
          ...Array.from({ length: 20 }, (_, at) => ({ ...huge, model: `claude-dear-${at}` })),
        ],
      },
    })
  const told = await tell(attack, requestOf('anthropic', 'm-anthropic', false))
  assertTold(told)
  assert.ok(told.movedNano < 2n * MOST_NANO, `${told.movedNano}`)
  assert.ok(told.receipt.flags.includes('usage_impossible'))
  await assertSound(attack)
})

test('usage from before the answer is completed by what was delivered, also when the model said why it stopped', async (t) => {
  const attack = await startAttack(t)
  const streams: Record<Format, string> = {
    openai:
      deltas('openai', 1).replace(
        '"choices"',
        '"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10},"choices"',
      ) +
      deltas('openai', 200) +
      event({ id: 'c', created: 1, model: 'up', choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] }) +
      event('[DONE]'),
    'openai-responses':
      RESPONSE_START.replace(
        '"usage":null',
        '"usage":{"input_tokens":9,"output_tokens":1,"total_tokens":10}',
      ) +
      deltas('openai-responses', 200) +
      RESPONSE_END(null),
    anthropic:
      MESSAGE_START({ input_tokens: 9, output_tokens: 1 }) + deltas('anthropic', 200) + MESSAGE_END(null),
    gemini:
      event({
        candidates: [{ content: { role: 'model', parts: [{ text: 'a ' }] }, index: 0 }],
        usageMetadata: { promptTokenCount: 9, candidatesTokenCount: 1, totalTokenCount: 10 },
      }) +
      deltas('gemini', 200) +
      event({ candidates: [{ content: { role: 'model', parts: [] }, finishReason: 'STOP', index: 0 }] }),
  }
  attack.stub.answer = (req, res) => {
    const format: Format = req.url?.includes('chat')
      ? 'openai'
      : req.url?.includes('responses')
        ? 'openai-responses'
        : req.url?.includes('messages')
          ? 'anthropic'
          : 'gemini'
    sse(res, streams[format])
  }
  for (const upstream of FORMATS)
    for (const caller of FORMATS) {
      const told = await tell(attack, requestOf(caller, `m-${upstream}`, true))
      assertTold(told)
      assert.equal(told.receipt.status, 'completed', `${caller} over ${upstream}: ${told.text.slice(0, 300)}`)
      assert.ok(
        (told.receipt.usage?.output ?? 0) > 100,
        `${caller} over ${upstream}: ${JSON.stringify(told.receipt.usage)}`,
      )
      assert.notEqual(told.receipt.usage?.source, 'reported')
    }
  await assertSound(attack)
})

test('usage that cannot be is bounded, whatever the format and however it is told', async (t) => {
  const attack = await startAttack(t)
  const start = MESSAGE_START({ input_tokens: 9_000_000, output_tokens: 1 })
  const gemini = (usage: object, more: object = {}): string =>
    event({
      candidates: [{ content: { role: 'model', parts: [{ text: 'word ' }] }, index: 0, ...more }],
      usageMetadata: usage,
    })
  const chatUsage = (usage: object): string => event({ id: 'c', created: 1, model: 'up', choices: [], usage })
  const chatEnd = event({
    id: 'c',
    created: 1,
    model: 'up',
    choices: [{ index: 0, delta: {}, finish_reason: 'stop' }],
  })
  const lies: ReadonlyArray<readonly [Format, string, string]> = [
    [
      'anthropic',
      'a huge message_start',
      start + deltas('anthropic', 20) + MESSAGE_END({ output_tokens: 20 }),
    ],
    [
      'anthropic',
      'a negative message_delta',
      MESSAGE_START({ input_tokens: 9, output_tokens: 1 }) +
        deltas('anthropic', 20) +
        MESSAGE_END({ output_tokens: -500 }),
    ],
    [
      'anthropic',
      'no finite number',
      MESSAGE_START({ input_tokens: 9, output_tokens: 1 }) +
        deltas('anthropic', 20) +
        MESSAGE_END({ output_tokens: 20 }).replace('"output_tokens":20', '"output_tokens":1e400'),
    ],
    [
      'gemini',
      'decreasing usage',
      gemini({ promptTokenCount: 9, candidatesTokenCount: 400, totalTokenCount: 409 }) +
        deltas('gemini', 20) +
        gemini(
          { promptTokenCount: 9, candidatesTokenCount: 21, totalTokenCount: 30 },
          { finishReason: 'STOP' },
        ),
    ],
    [
      'gemini',
      'more thoughts than there are tokens',
      deltas('gemini', 20) +
        gemini(
          {
            promptTokenCount: 9,
            candidatesTokenCount: 21,
            thoughtsTokenCount: 8_000_000,
            totalTokenCount: 30,
          },
          { finishReason: 'STOP' },
        ),
    ],
    ['openai-responses', 'no usage', RESPONSE_START + deltas('openai-responses', 20) + RESPONSE_END(null)],
    [
      'openai-responses',
      'two ends',
      RESPONSE_START +
        deltas('openai-responses', 20) +
        RESPONSE_END({ input_tokens: 9, output_tokens: 20, total_tokens: 29 }) +
        RESPONSE_END({ input_tokens: 9, output_tokens: 25, total_tokens: 34 }),
    ],
    [
      'openai-responses',
      'more cached than there is input',
      RESPONSE_START +
        deltas('openai-responses', 20) +
        RESPONSE_END({
          input_tokens: 9,
          output_tokens: 20,
          total_tokens: 29,
          input_tokens_details: { cached_tokens: 9_000_000 },
        }),
    ],
    [
      'openai',
      'usage twice',
      deltas('openai', 20) +
        chatEnd +
        chatUsage({ prompt_tokens: 9, completion_tokens: 20, total_tokens: 29 }) +
        chatUsage({ prompt_tokens: 9_000_000, completion_tokens: 9_000_000, total_tokens: 18_000_000 }) +
        event('[DONE]'),
    ],
  ]
  for (const [upstream, name, stream] of lies)
    for (const caller of FORMATS) {
      attack.stub.answer = (_req, res) => sse(res, stream)
      const told = await tell(attack, requestOf(caller, `m-${upstream}`, true))
      const what = `${caller} over ${upstream}, ${name}`
      assertTold(told)
      assert.equal(told.receipt.status, 'completed', `${what}: ${told.text.slice(0, 500)}`)
      assert.ok(told.movedNano > 100_000n && told.movedNano <= MOST_NANO, `${what}: ${told.movedNano}`)
      const charge = [...told.text.matchAll(/"charge": ?"([\d.]+)"/g)].at(-1)?.[1]
      if (charge !== undefined)
        assert.equal(parseNano(charge), told.movedNano, `${what}: what the stream says is what was charged`)
    }
  await assertSound(attack)
})

test('an answer of the other kind than was asked for is no answer and costs nothing', async (t) => {
  const attack = await startAttack(t)
  const streams: Record<Format, string> = {
    openai: deltas('openai', 5) + event('[DONE]'),
    'openai-responses':
      RESPONSE_START + RESPONSE_END({ input_tokens: 9, output_tokens: 20, total_tokens: 29 }),
    anthropic: MESSAGE_START({ input_tokens: 9, output_tokens: 1 }) + MESSAGE_END({ output_tokens: 5 }),
    gemini: deltas('gemini', 5),
  }
  for (const upstream of FORMATS)
    for (const caller of FORMATS)
      for (const stream of [true, false]) {
        attack.stub.answer = (_req, res) =>
          stream ? json(res, { id: 'x', content: [], choices: [], usage: {} }) : sse(res, streams[upstream])
        const told = await tell(attack, requestOf(caller, `m-${upstream}`, stream))
        assertTold(told)
        assert.ok(told.status >= 500, `${caller} over ${upstream} ${stream}: ${told.status} ${told.text}`)
        assert.equal(told.movedNano, 0n)
      }
  await assertSound(attack)
})

test('an error in mid-stream is told in our words, in the caller’s format, and only what was delivered is paid', async (t) => {
  const attack = await startAttack(t)
  const message = `failed at http://10.1.2.3:80 with ${SECRET}`
  const errors: ReadonlyArray<readonly [string, string]> = [
    ['an error object', event({ error: { message, type: 'server_error', code: 500 } })],
    ['an error text', event({ error: message })],
    ['a named event', event({ type: 'error', error: { type: 'api_error', message } }, 'error')],
    ['a flat error', event({ type: 'error', code: 'server_error', message, param: null }, 'error')],
    ['a named event of plain text', event(message, 'error')],
    ['a named event without a type', event({ message }, 'error')],
    [
      'a failed response',
      event(
        {
          type: 'response.failed',
          response: { id: 'resp_1', status: 'failed', error: { code: 'x', message } },
        },
        'response.failed',
      ),
    ],
  ]
  const fits: Record<Format, readonly string[]> = {
    openai: ['an error object', 'an error text', 'a named event', 'a named event of plain text'],
    'openai-responses': [
      'an error object',
      'a flat error',
      'a named event',
      'a failed response',
      'a named event of plain text',
      'a named event without a type',
    ],
    anthropic: [
      'an error object',
      'a named event',
      'a named event of plain text',
      'a named event without a type',
    ],
    gemini: ['an error object', 'an error text', 'a named event of plain text'],
  }
  for (const upstream of FORMATS)
    for (const [name, error] of errors.filter(([each]) => fits[upstream].includes(each)))
      for (const caller of FORMATS) {
        const head =
          upstream === 'anthropic'
            ? MESSAGE_START({ input_tokens: 9, output_tokens: 1 })
            : upstream === 'openai-responses'
              ? RESPONSE_START
              : ''
        attack.stub.answer = (_req, res) => sse(res, head + deltas(upstream, 30) + error)
        const told = await tell(attack, requestOf(caller, `m-${upstream}`, true))
        const what = `${caller} over ${upstream}, ${name}`
        const all = `${told.text}${JSON.stringify([...told.headers])}${JSON.stringify(told.receipt)}`
        assert.ok(
          !all.includes('UPSTREAM-SECRET') && !all.includes('10.1.2.3'),
          `${what}: ${told.text.slice(-400)}`,
        )
        assert.equal(told.receipt.settlement, 'failed_after_output', what)
        assert.ok(told.text.toLowerCase().includes('upstream_error'), `${what}: ${told.text.slice(-300)}`)
        assertTold(told)
        const output = told.receipt.usage?.output ?? 0
        assert.ok(output >= 30 && output < 120, `${what}: ${output}`)
      }
  await assertSound(attack)
})

export type { Any }
