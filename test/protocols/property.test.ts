import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { NeutralEvent } from '../../src/protocols/neutral.ts'
import { answer } from './arbitraries.ts'
import { essence, eventsOf, gather } from './essence.ts'
import { FORMATS } from './registry.ts'
import { hear, say, throughBody } from './speak.ts'

/** Any answer that a model could give, through each format and back. */

const RUNS = { numRuns: 150 }

for (const protocol of FORMATS)
  describe(`${protocol.name}, any answer`, () => {
    test('written whole and read again says the same', () => {
      fc.assert(
        fc.property(answer, (value) => {
          assert.deepEqual(essence(throughBody(protocol, value)), essence(value))
        }),
        RUNS,
      )
    })

    test('streamed in pieces of any size, torn anywhere, says the same', () => {
      fc.assert(
        fc.property(
          answer,
          fc.integer({ min: 1, max: 30 }),
          fc.array(fc.nat(3000), { maxLength: 12 }),
          (value, size, cuts) => {
            const bytes = say(protocol, eventsOf(value, size))
            const { events, state } = hear(protocol, bytes, cuts)
            assert.deepEqual(essence(gather(events)), essence(value))
            assert.equal(state.error, null)
          },
        ),
        RUNS,
      )
    })

    test('usage that grows while the stream runs counts once', () => {
      fc.assert(
        fc.property(answer, (value) => {
          assert.ok(value.usage)
          const { usage } = value
          const early: NeutralEvent = {
            kind: 'usage',
            usage: { ...usage, counts: { input: 1, output: 1 }, reasoning: 0 },
            serviceTier: null,
          }
          const [start, ...rest] = eventsOf(value)
          assert.ok(start)
          const { events } = hear(protocol, say(protocol, [start, early, ...rest]))
          assert.deepEqual(essence(gather(events)), essence(value))
        }),
        RUNS,
      )
    })

    test('a decoder takes any event without a throw', () => {
      fc.assert(
        fc.property(fc.array(fc.oneof(fc.json(), fc.string()), { maxLength: 4 }), (datas) => {
          const decoder = protocol.createStreamDecoder()
          for (const data of datas) decoder.feed({ name: null, data })
        }),
        RUNS,
      )
    })

    test('an answer body of any JSON is refused or read, without a throw', () => {
      fc.assert(
        fc.property(
          fc.dictionary(
            fc.constantFrom('choices', 'content', 'output', 'candidates', 'usage', 'id'),
            fc.jsonValue(),
          ),
          (body) => {
            const read = protocol.readAnswer(JSON.stringify(body))
            if (read.ok) protocol.decodeAnswer(read.answer.body)
          },
        ),
        RUNS,
      )
    })
  })
