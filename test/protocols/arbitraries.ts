import fc from 'fast-check'
import type { NeutralAnswer, NeutralChoice, NeutralPart } from '../../src/protocols/neutral.ts'
import type { ReadUsage } from '../../src/protocols/usage.ts'

/** Answers that a model could give, as values of the neutral form. */

/** Text with the things that break framings: line ends, quotes, escapes, other scripts, half a JSON object. */
const TRAPS = [
  '\n\n',
  '\r',
  '"',
  '\\',
  'data: [DONE]',
  '{"error":',
  '"usage":null',
  '潮',
  '🚢',
  '\u2028',
  ' ',
]

export const words: fc.Arbitrary<string> = fc
  .array(fc.oneof(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }), fc.constantFrom(...TRAPS)), {
    minLength: 1,
    maxLength: 5,
  })
  .map((list) => list.join(''))

const toolArguments: fc.Arbitrary<string> = fc.oneof(
  fc.constant(''),
  fc
    .dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 })
    .map((value) => JSON.stringify(value)),
)

const toolCall = (place: number): fc.Arbitrary<NeutralPart> =>
  fc.record({
    kind: fc.constant('tool_call' as const),
    id: fc.constant(`call_${place}`),
    name: fc.constantFrom('tide_table', 'next_ferry', 'clock'),
    arguments: toolArguments,
  })

const textPart: fc.Arbitrary<NeutralPart> = words.map((text) => ({ kind: 'text', text }))

const thought: fc.Arbitrary<readonly NeutralPart[]> = fc.oneof(
  fc.constant([]),
  words.map((text) => [{ kind: 'reasoning' as const, text, origin: '' }]),
)

const plainChoice: fc.Arbitrary<NeutralChoice> = fc
  .tuple(thought, fc.array(textPart, { maxLength: 2 }), fc.constantFrom('stop' as const, 'length' as const))
  .map(([thinking, texts, finish]) => ({ parts: [...thinking, ...texts], finish, finishRaw: finish }))

const callingChoice: fc.Arbitrary<NeutralChoice> = fc
  .tuple(thought, fc.array(textPart, { maxLength: 1 }), fc.integer({ min: 1, max: 3 }))
  .chain(([thinking, texts, count]) =>
    fc.tuple(...Array.from({ length: count }, (_, place) => toolCall(place))).map((calls) => ({
      parts: [...thinking, ...texts, ...calls],
      finish: 'tool_calls' as const,
      finishRaw: 'tool_calls',
    })),
  )

const refusingChoice: fc.Arbitrary<NeutralChoice> = words.map((text) => ({
  parts: [{ kind: 'refusal', text }],
  finish: 'refusal',
  finishRaw: 'refusal',
}))

export const choice: fc.Arbitrary<NeutralChoice> = fc.oneof(plainChoice, callingChoice, refusingChoice)

const count = fc.oneof(fc.constant(0), fc.nat(200_000))

export const usage: fc.Arbitrary<ReadUsage> = fc
  .record({
    input: fc.integer({ min: 1, max: 200_000 }),
    cache_read: count,
    cache_write_5m: count,
    output: count,
  })
  .chain((counts) =>
    fc.nat(counts.output).map((reasoning) => ({
      counts: Object.fromEntries(Object.entries(counts).filter(([, tokens]) => tokens > 0)),
      reasoning,
      calls: {},
      others: [],
      exact: true,
      flags: [],
    })),
  )

/** With one choice: most formats have no more. */
export const answer: fc.Arbitrary<NeutralAnswer> = fc.record({
  id: fc.constant('answer_1'),
  model: fc.constant('pilot-model'),
  createdSeconds: fc.constant(1_790_000_000),
  choices: choice.map((one) => [one]),
  usage,
  serviceTier: fc.constant(null),
  dropped: fc.constant([]),
})
