import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatNano, parseNano } from '../../src/kernel/index.ts'
import type { ProtocolName } from '../../src/protocols/index.ts'
import { startForge, type TestModel, testConfig } from '../forge.ts'
import { withUpstreams } from '../gateway/ask.ts'
import { startStub } from '../gateway/stub.ts'
import { requestOf } from './ask-for.ts'
import { CHAT_CASES } from './cases-chat.ts'
import { GEMINI_CASES } from './cases-gemini.ts'
import { MESSAGES_CASES } from './cases-messages.ts'
import { RATE_CASES } from './cases-rates.ts'
import { RESPONSES_CASES } from './cases-responses.ts'
import { type CostCase, PRICE } from './cost-case.ts'

/** A third of the cost cases through the whole gateway: the receipt says what the table says, and the money moved. */

const CHANNELS: Readonly<Record<ProtocolName, string>> = {
  'openai-chat': 'openai',
  'openai-responses': 'openai-responses',
  'anthropic-messages': 'anthropic',
  'gemini-generate': 'gemini',
}

const ROWS = [...CHAT_CASES, ...RATE_CASES, ...RESPONSES_CASES, ...MESSAGES_CASES, ...GEMINI_CASES]
  .filter(({ whole }) => whole === true)
  .map((row, place) => ({ row, model: `case-${place}` }))

const CLASSES = [
  'input',
  'cache_read',
  'cache_write_5m',
  'cache_write_1h',
  'input_audio',
  'input_image',
  'output',
  'output_audio',
] as const

function models(): Record<string, TestModel> {
  const own = ROWS.map(({ row, model }): [string, TestModel] => [
    model,
    { protocol: CHANNELS[row.format], ordinary: ['stub'], price: row.price ?? PRICE },
  ])
  const others = ROWS.flatMap(({ row }) => Object.entries(row.prices ?? {})).map(
    ([name, price]): [string, TestModel] => [name, { ordinary: [''], price }],
  )
  return Object.fromEntries([...own, ...others])
}

/** An upstream knows the model by the body, or in Gemini's manner by the path. */
function caseOf(url: string, body: string): (typeof ROWS)[number] {
  const place = /up-case-(\d+)/.exec(url)?.[1] ?? /"model":"up-case-(\d+)"/.exec(body)?.[1] ?? ''
  const found = ROWS[Number.parseInt(place, 10)]
  assert.ok(found !== undefined, 'the upstream model names a case')
  return found
}

function expectedFlags(row: CostCase): readonly string[] {
  return row.flags ?? []
}

test('the receipt of every shape of usage', async (t) => {
  const stub = await startStub(t, (req, res, body) => {
    const { row, model } = caseOf(req.url ?? '', body)
    const answer = row.answer(row.answeredBy ?? `up-${model}`)
    res.writeHead(200, { 'content-type': answer.contentType })
    res.end(answer.text)
  })
  const forge = await startForge(t, { config: withUpstreams(testConfig(models()), { stub: stub.url }) })
  const account = await forge.account({ grants: { rmb: '1000' } })
  for (const { row, model } of ROWS)
    await t.test(row.name, async () => {
      const before = (await forge.balance(account.orgId, 'rmb')).posted
      const { path, body } = requestOf(row, model, 6_000)
      const response = await forge.post(path, account.key, body, { 'anthropic-version': '2023-06-01' })
      const text = await response.text()
      assert.equal(response.status, 200, text)
      const receipt = await forge.receipt(response.headers.get('x-request-id'))
      assert.equal(receipt.settlement, row.settlement ?? 'completed_reported', text)
      for (const name of CLASSES) assert.equal(receipt.usage?.[name] ?? 0, row.counts[name] ?? 0, name)
      assert.equal(receipt.usage?.web_search ?? 0, row.searches ?? 0)
      assert.equal(receipt.usage?.source, row.source ?? 'reported')
      assert.ok(receipt.usage?.raw !== undefined, 'the usage as it was reported is kept')
      const lines = receipt.charge?.lines.map((line) => [line.meter, line.quantity, line.amount]) ?? []
      assert.deepEqual(
        lines,
        row.lines.map(([meter, quantity, nano]) => [meter, quantity, formatNano(nano)]),
      )
      assert.equal(parseNano(receipt.charge?.total ?? '0'), row.total)
      assert.deepEqual(receipt.flags, expectedFlags(row))
      await forge.settled()
      assert.equal(before - (await forge.balance(account.orgId, 'rmb')).posted, row.total)
    })
  await forge.audit()
})
