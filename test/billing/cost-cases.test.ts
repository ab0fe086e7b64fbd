import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { formatNano } from '../../src/kernel/index.ts'
import { PROTOCOLS } from '../../src/protocols/index.ts'
import { withoutZeros } from '../../src/protocols/usage.ts'
import { billOf, readingOf } from './bill.ts'
import { CHAT_CASES } from './cases-chat.ts'
import { GEMINI_CASES } from './cases-gemini.ts'
import { MESSAGES_CASES } from './cases-messages.ts'
import { RATE_CASES } from './cases-rates.ts'
import { RESPONSES_CASES } from './cases-responses.ts'
import { type CostCase, PRICE } from './cost-case.ts'

/**
 * What providers report → disjoint meters, line items and total, to the nano. The shapes are those of LiteLLM's public
 * list of cost cases (tests/e2e/cost_calculation/cases.json) and of the providers' own documentation; figures are ours.
 */

const CASES: readonly CostCase[] = [
  ...CHAT_CASES,
  ...RATE_CASES,
  ...RESPONSES_CASES,
  ...MESSAGES_CASES,
  ...GEMINI_CASES,
]

function check(row: CostCase): void {
  const protocol = PROTOCOLS[row.format]
  const reading = readingOf(protocol, row.answer(row.answeredBy ?? 'up-main').text)
  const bill = billOf({
    reading,
    price: row.price ?? PRICE,
    prices: row.prices ?? {},
    ...(row.at === undefined ? {} : { atMs: Date.parse(row.at) }),
  })
  assert.deepEqual(withoutZeros({ ...bill.usage?.counts }), row.counts)
  assert.equal(bill.usage?.source, row.source ?? 'reported')
  assert.equal(bill.usage?.reasoning ?? 0, row.reasoning ?? 0)
  assert.equal(bill.usage?.calls.web_search ?? 0, row.searches ?? 0)
  assert.equal(bill.settlement, row.settlement ?? 'completed_reported')
  assert.deepEqual(
    bill.flags,
    (row.flags ?? []).filter((flag) => flag !== 'model_mismatch'),
  )
  const lines = bill.charge?.lines.map(([meter, quantity, , , amount]) => [meter, quantity, amount]) ?? []
  assert.deepEqual(
    lines,
    row.lines.map(([meter, quantity, nano]) => [meter, quantity, formatNano(nano)]),
  )
  assert.equal(bill.totalNano, row.total)
  assert.equal(
    row.lines.reduce((sum, [, , nano]) => sum + nano, 0n),
    row.total,
    'the row adds up',
  )
}

describe('the price of every shape of usage', () => {
  for (const row of CASES) test(row.name, row.todo === undefined ? {} : { todo: row.todo }, () => check(row))
})

test('no two cases have one name, and a third goes through the whole gateway', () => {
  assert.equal(new Set(CASES.map(({ name }) => name)).size, CASES.length)
  assert.ok(CASES.filter(({ whole }) => whole === true).length * 3 >= CASES.length)
})
