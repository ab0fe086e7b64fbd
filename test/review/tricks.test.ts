import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PROTOCOLS, type ProtocolName } from '../../src/protocols/index.ts'
import { PRICE } from '../forge.ts'
import {
  assertSound,
  assertTold,
  deltas,
  GEMINI_ANSWER,
  json,
  MESSAGE_START,
  RESPONSE_ANSWER,
  requestOf,
  startAttack,
  tell,
} from './stand.ts'

/** More for less: words that one side reads otherwise than the other, and bytes that stand for more than they are. */

test('a dearer service is paid for however its name is spelt, and no other is bought by it', async (t) => {
  const price = { ...PRICE, service_tiers: { priority: { input: '6', output: '60' } } }
  const attack = await startAttack(t, {
    chat: { protocol: 'openai', ordinary: ['stub-openai'], price },
    responses: { protocol: 'openai-responses', ordinary: ['stub-openai-responses'], price },
    gemini: { protocol: 'gemini', ordinary: ['stub-gemini'], price },
  })
  const bought: string[] = []
  attack.stub.answer = (req, res, body) => {
    const asked =
      /"service_?tier":"(\w+)"/i.exec(body)?.[1]?.toLowerCase().replace('service_tier_', '') ?? 'default'
    bought.push(asked)
    if (req.url?.includes('chat'))
      json(res, {
        id: 'c',
        model: 'up-chat',
        service_tier: asked,
        choices: [{ index: 0, message: { role: 'assistant', content: 'Hi' }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
      })
    else if (req.url?.includes('responses'))
      json(res, { ...RESPONSE_ANSWER, model: 'up-responses', service_tier: asked })
    else
      json(res, {
        modelVersion: 'up-gemini',
        ...GEMINI_ANSWER,
        usageMetadata: { ...GEMINI_ANSWER.usageMetadata, serviceTier: asked },
      })
  }
  const cases = [
    ['openai', 'service_tier', 'PRIORITY'],
    ['openai', 'service_tier', 'Priority'],
    ['openai', 'service_tier', 'fast'],
    ['openai-responses', 'service_tier', 'PRIORITY'],
    ['anthropic', 'service_tier', 'Priority'],
    ['anthropic', 'speed', 'fast'],
    ['gemini', 'serviceTier', 'SERVICE_TIER_PRIORITY'],
  ] as const
  for (const model of ['chat', 'responses', 'gemini'])
    for (const [caller, member, tier] of cases) {
      const told = await tell(attack, requestOf(caller, model, false, { [member]: tier }))
      const what = `${caller} ${tier} over ${model}: bought ${bought.at(-1)}, ${told.text}`
      assert.equal(told.status, 200, what)
      assertTold(told)
      assert.equal(told.movedNano, bought.at(-1) === 'priority' ? 150_000n : 25_000n, what)
    }
  await assertSound(attack)
})

const boundOf = (name: ProtocolName, body: object): number => {
  const text = JSON.stringify(body)
  const read = PROTOCOLS[name].readRequest({
    body: JSON.parse(text),
    byteLength: Buffer.byteLength(text),
    path: { model: 'm', stream: false, sse: false },
  })
  assert.ok(read.ok, text)
  return read.request.inputTokensMax
}

test('what unfolds at the provider is bounded by the context, not by its bytes', () => {
  const data = 'A'.repeat(400)
  const chat = (part: object): number =>
    boundOf('openai-chat', { model: 'm', messages: [{ role: 'user', content: [part] }] })
  const messages = (block: object): number =>
    boundOf('anthropic-messages', {
      model: 'm',
      max_tokens: 9,
      messages: [{ role: 'user', content: [block] }],
    })
  const responses = (part: object): number =>
    boundOf('openai-responses', { model: 'm', input: [{ role: 'user', content: [part] }] })
  const gemini = (mimeType: string): number =>
    boundOf('gemini-generate', { contents: [{ parts: [{ inlineData: { mimeType, data } }] }] })
  const pdf = `data:application/pdf;base64,${data}`
  const source = { type: 'base64', media_type: 'application/pdf', data }
  const far = [
    chat({ type: 'file', file: { filename: 'a.pdf', file_data: pdf } }),
    chat({ type: 'video_url', video_url: { url: `data:video/mp4;base64,${data}` } }),
    chat({ type: 'video', video: ['https://a.example/1.png'] }),
    chat({ type: 'audio_url', audio_url: { url: 'https://a.example/1.flac' } }),
    chat({ type: 'input_audio', input_audio: { format: 'flac', data } }),
    chat({ type: 'input_audio', input_audio: { format: 'wav', data: 'https://a.example/long.wav' } }),
    boundOf('openai-chat', {
      model: 'm',
      messages: [
        { role: 'assistant', audio: { id: 'audio_1' } },
        { role: 'user', content: 'x' },
      ],
    }),
    messages({ type: 'document', source }),
    messages({ type: 'tool_result', tool_use_id: 't', content: [{ type: 'document', source }] }),
    messages({
      type: 'web_fetch_tool_result',
      tool_use_id: 't',
      content: { type: 'web_fetch_result', url: 'u', content: { type: 'document', source } },
    }),
    responses({ type: 'input_file', filename: 'a.pdf', file_data: pdf }),
    gemini('application/pdf'),
    gemini('audio/flac'),
    gemini('application/octet-stream'),
  ]
  for (const [at, bound] of far.entries()) assert.ok(bound > 1_000_000, `${at}: ${bound}`)
  const near = [
    chat({ type: 'file', file: { filename: 'a.txt', file_data: `data:text/plain;base64,${data}` } }),
    chat({ type: 'input_audio', input_audio: { format: 'mp3', data } }),
    messages({ type: 'document', source: { type: 'text', media_type: 'text/plain', data } }),
    responses({ type: 'input_file', filename: 'a.txt', file_data: `data:text/plain;base64,${data}` }),
    gemini('text/plain'),
    gemini('audio/wav'),
    gemini('audio/mpeg'),
    chat({ type: 'text', text: data }),
  ]
  for (const [at, bound] of near.entries()) assert.ok(bound < 2_000, `${at}: ${bound}`)
})

test('a further model that a request names is the key’s to use, has a price, and is held for', async (t) => {
  const dear = { input: '10', output: '1000' }
  const attack = await startAttack(t, {
    cheap: { protocol: 'anthropic', ordinary: ['stub-anthropic'] },
    dear: { protocol: 'anthropic', ordinary: ['stub-anthropic'], price: dear },
  })
  const one = { input_tokens: 5, output_tokens: 2 }
  attack.stub.answer = (_req, res) =>
    json(res, {
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model: 'up-cheap',
      content: [{ type: 'text', text: 'Hi' }],
      stop_reason: 'end_turn',
      usage: {
        ...one,
        iterations: [
          { type: 'message', model: 'up-cheap', ...one },
          { type: 'fallback_message', model: 'dear', input_tokens: 5, output_tokens: 400 },
        ],
      },
    })
  const ask = (more: object) => requestOf('anthropic', 'cheap', false, more)
  const bound = await attack.forge.account({ key: { models: ['cheap'] } })
  for (const [more, status] of [
    [{ fallbacks: [{ model: 'dear' }] }, 403],
    [{ tools: [{ type: 'advisor_20260301', name: 'advisor', model: 'dear' }] }, 403],
    [{ fallbacks: [{ model: 'not-in-the-catalog' }] }, 404],
  ] as const) {
    const told = await tell(attack, ask(more), {}, bound.key)
    assert.equal(told.status, status, told.text)
  }
  assert.equal(attack.stub.calls.length, 0)
  const told = await tell(attack, ask({ fallbacks: [{ model: 'dear', max_tokens: 500 }] }))
  assertTold(told)
  assert.equal(told.receipt.charge?.total, '0.400075', JSON.stringify(told.receipt))
  assert.ok(!told.receipt.flags.includes('written_off'))
  // A balance that could pay for the cheap one only is not enough to ask for the dear one.
  const poor = await attack.forge.account({ grants: { rmb: '0.02' } })
  const refused = await tell(attack, ask({ fallbacks: [{ model: 'dear' }] }), {}, poor.key)
  assert.equal(refused.receipt.status, 'refused', refused.text)
  assert.equal(attack.stub.calls.length, 1)
  const several = await tell(attack, requestOf('openai', 'm-openai', false, { models: ['m-openai', 'dear'] }))
  assert.equal(several.status, 400, several.text)
  await assertSound(attack)
})

test('a stream that is extended holds for the further models that it names as well', async (t) => {
  const attack = await startAttack(t, {
    cheap: { protocol: 'anthropic', ordinary: ['stub-anthropic'], holdWindow: 64 },
    dear: { protocol: 'anthropic', ordinary: ['stub-anthropic'], price: { input: '10', output: '1000' } },
  })
  attack.stub.answer = (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write(MESSAGE_START({ input_tokens: 5, output_tokens: 1 }))
    const timer = setInterval(() => res.write(deltas('anthropic', 40)), 2)
    res.on('close', () => clearInterval(timer))
  }
  // Pays for thousands of tokens of the cheap model, and for some two hundred of the dear one.
  const account = await attack.forge.account({ grants: { rmb: '0.3' } })
  const asked = requestOf('anthropic', 'cheap', true, { max_tokens: 9_000, fallbacks: [{ model: 'dear' }] })
  const told = await tell(attack, asked, {}, account.key)
  assert.equal(told.receipt.settlement, 'cut_at_limit', JSON.stringify(told.receipt))
  assert.equal(told.receipt.hold?.amount, '0.3')
  assert.ok((told.receipt.usage?.output ?? 0) < 1_000)
  await assertSound(attack)
})
