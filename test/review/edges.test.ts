import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertSound, assertTold, json, requestOf, startAttack, tell } from './stand.ts'

/** What was found between two rules: asked twice over, told in part, ended half. */

const ANSWER = (usage: unknown, content = 'Hi'): object => ({
  id: 'c',
  object: 'chat.completion',
  created: 1,
  model: 'up',
  choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason: 'stop' }],
  usage,
})

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
