import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PROTOCOLS, type ProtocolName } from '../../src/protocols/index.ts'
import { billOf, readingOf } from './bill.ts'
import { type Answering, chatStream, responsesStream } from './bodies.ts'
import { PRICE } from './cost-case.ts'

/** Streams that never say what they used are charged by our own count, and the receipt says so. */

const QUESTION = 'When is high water in Faro?'
const PIXEL =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=='

interface Unsaid {
  readonly name: string
  readonly format: ProtocolName
  readonly answer: Answering
  readonly image?: true
  /** Least and most tokens that an honest count of the output can have. */
  readonly output: readonly [number, number]
}

const CASES: readonly Unsaid[] = [
  { name: 'text', format: 'openai-chat', answer: chatStream(null), output: [8, 20] },
  { name: 'a tool call', format: 'openai-chat', answer: chatStream(null, true), output: [6, 25] },
  {
    name: 'text about an image',
    format: 'openai-chat',
    answer: chatStream(null),
    image: true,
    output: [8, 20],
  },
  {
    name: 'a response that a limit cut short',
    format: 'openai-responses',
    answer: responsesStream(null, 'incomplete'),
    output: [8, 20],
  },
  {
    name: 'a response whose last event is not of the published shape',
    format: 'openai-responses',
    answer: responsesStream(null, 'unvalidated'),
    output: [8, 20],
  },
]

function inputOf({ format, image }: Unsaid): number {
  const parts =
    image === true
      ? [
          { type: 'text', text: QUESTION },
          { type: 'image_url', image_url: { url: PIXEL } },
        ]
      : QUESTION
  const body =
    format === 'openai-chat'
      ? { model: 'm', messages: [{ role: 'user', content: parts }] }
      : { model: 'm', input: QUESTION }
  return PROTOCOLS[format].estimateInput(body)
}

describe('without usage our own count is charged', () => {
  for (const row of CASES)
    test(row.name, () => {
      const reading = readingOf(PROTOCOLS[row.format], row.answer('up-main').text)
      const bill = billOf({ reading, price: PRICE, inputTokensEstimated: () => inputOf(row) })
      assert.equal(bill.settlement, 'completed_estimated')
      assert.equal(bill.usage?.source, 'estimated')
      assert.deepEqual(bill.flags, ['usage_missing'])
      const { input = 0, output = 0 } = bill.usage?.counts ?? {}
      // Seven words and a mark; a picture of any size is some dozens at the least.
      assert.ok(row.image === true ? input >= 40 : input >= 7 && input <= 30, `input ${input}`)
      assert.ok(output >= row.output[0] && output <= row.output[1], `output ${output}`)
      assert.equal(bill.totalNano, BigInt(input) * 2_000n + BigInt(output) * 8_000n)
    })
})
