import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralAnswer, NeutralChoice, NeutralPart } from '../neutral.ts'
import type { EncoderContext } from '../protocol.ts'
import { openaiChatProtocol as chat } from './index.ts'

const CONTEXT: EncoderContext = {
  requestId: 'req_1',
  requestedModel: 'pilot',
  createdSeconds: 5,
  wantsUsage: true,
  requestBody: {},
  annotate: () => ({ charge: '0.01' }),
}

function decode(body: JsonObject): NeutralAnswer {
  const result = chat.decodeAnswer(body)
  assert.ok(result.ok)
  return result.value
}

const saying = (message: JsonObject, finish = 'stop'): JsonObject => ({
  id: 'a',
  model: 'm',
  created: 1,
  choices: [{ index: 0, message: { role: 'assistant', ...message }, finish_reason: finish }],
})

const parts = (message: JsonObject): readonly NeutralPart[] => decode(saying(message)).choices[0]?.parts ?? []

const answering = (choice: NeutralChoice): NeutralAnswer => ({
  id: '',
  model: '',
  createdSeconds: null,
  choices: [choice],
  usage: null,
  serviceTier: null,
  dropped: [],
})

describe('whole answers out of the wire', () => {
  test('of sound the words are kept, and its loss is told', () => {
    const answer = decode(
      saying({ content: null, audio: { id: 'x', data: 'AA', transcript: 'Mind the gap.' } }),
    )
    assert.deepEqual(answer.choices[0]?.parts, [{ kind: 'text', text: 'Mind the gap.' }])
    assert.deepEqual(answer.dropped, ['choices[].message.audio'])
  })

  test('generated pictures are parts', () => {
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } }
    assert.deepEqual(parts({ content: 'Here.', images: [image] }), [
      { kind: 'text', text: 'Here.' },
      { kind: 'image', source: { kind: 'data', mediaType: 'image/png', base64: 'AA' } },
    ])
  })

  test('a call without an id gets one; a custom call is listed', () => {
    const answer = decode(
      saying({
        tool_calls: [
          { type: 'function', function: { name: 'f', arguments: { a: 1 } } },
          { id: 'c', type: 'custom', custom: { name: 'g', input: 'x' } },
        ],
      }),
    )
    assert.deepEqual(answer.choices[0]?.parts, [
      { kind: 'tool_call', id: 'call_a_0_0', name: 'f', arguments: '{"a":1}' },
    ])
    assert.deepEqual(answer.dropped, ['choices[].message.tool_calls[]'])
  })

  test('every provider’s reason to end is understood, and its own word kept', () => {
    const cases = {
      stop: 'stop',
      length: 'length',
      tool_calls: 'tool_calls',
      function_call: 'tool_calls',
      content_filter: 'content_filter',
      sensitive: 'content_filter',
      model_length: 'context_exceeded',
      insufficient_system_resource: 'error',
      something_new: 'stop',
    } as const
    for (const [raw, finish] of Object.entries(cases)) {
      const [choice] = decode(saying({ content: 'x' }, raw)).choices
      assert.deepEqual([choice?.finish, choice?.finishRaw], [finish, raw])
    }
  })

  test('usage that is none gives none', () => {
    assert.equal(decode({ ...saying({ content: 'x' }), usage: { prompt_tokens: -1 } }).usage, null)
    assert.equal(chat.decodeAnswer({ id: 'a' }).ok, false)
  })
})

describe('whole answers into the wire', () => {
  test('what the source does not say comes from the request', () => {
    const choice: NeutralChoice = { parts: [{ kind: 'text', text: 'Hi' }], finish: 'stop', finishRaw: 'x' }
    assert.deepEqual(chat.encodeAnswer(answering(choice), CONTEXT), {
      id: 'chatcmpl-req_1',
      object: 'chat.completion',
      created: 5,
      model: 'pilot',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hi', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
        },
      ],
    })
  })

  test('who asked with the legacy functions gets function_call', () => {
    const choice: NeutralChoice = {
      parts: [{ kind: 'tool_call', id: 'x', name: 'f', arguments: '' }],
      finish: 'tool_calls',
      finishRaw: 'tool_use',
    }
    const body = chat.encodeAnswer(answering(choice), { ...CONTEXT, requestBody: { functions: [] } })
    assert.deepEqual((body['choices'] as readonly JsonObject[])[0], {
      index: 0,
      message: {
        role: 'assistant',
        content: null,
        refusal: null,
        function_call: { name: 'f', arguments: '{}' },
      },
      logprobs: null,
      finish_reason: 'function_call',
    })
  })

  test('citations lie behind the text that they stand for; those of no page are left out', () => {
    const cited = (text: string, url: string | null): NeutralPart => ({
      kind: 'text',
      text,
      citations: [{ url, title: 'T', quote: null }],
    })
    const choice: NeutralChoice = {
      parts: [{ kind: 'text', text: 'abc' }, cited('de', 'https://a.example'), cited('f', null)],
      finish: 'stop',
      finishRaw: '',
    }
    const [written] = chat.encodeAnswer(answering(choice), CONTEXT)['choices'] as readonly JsonObject[]
    const message = written?.['message'] as JsonObject | undefined
    assert.deepEqual(message?.['annotations'], [
      {
        type: 'url_citation',
        url_citation: { start_index: 3, end_index: 5, url: 'https://a.example', title: 'T' },
      },
    ])
  })
})

const word = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
const call = (at: number): fc.Arbitrary<NeutralPart> =>
  fc
    .tuple(word, fc.json({ maxDepth: 1 }))
    .map(([name, text]) => ({ kind: 'tool_call', id: `call_${at}`, name, arguments: text }))
const logprob = fc
  .tuple(word, fc.integer({ min: -900, max: -1 }), fc.option(fc.array(fc.nat(255), { maxLength: 4 })))
  .map(([token, hundredths, bytes]) => ({ token, logprob: hundredths / 100, bytes }))

/** All that this format can hold, in the order in which it holds it. */
const choice: fc.Arbitrary<NeutralChoice> = fc
  .record({
    thought: fc.option(word),
    text: fc.option(word),
    url: fc.option(fc.webUrl()),
    refusal: fc.option(word),
    calls: fc.nat(3).chain((count) => fc.tuple(...Array.from({ length: count }, (_, at) => call(at)))),
    tokens: fc.array(
      logprob.chain((token) => fc.array(logprob, { maxLength: 2 }).map((top) => ({ ...token, top }))),
      { maxLength: 3 },
    ),
    finish: fc.constantFrom(
      'stop' as const,
      'length' as const,
      'tool_calls' as const,
      'content_filter' as const,
    ),
  })
  .map(({ thought, text, url, refusal, calls, tokens, finish }) => {
    const list: NeutralPart[] = []
    if (thought !== null) list.push({ kind: 'reasoning', text: thought, origin: 'openai-chat' })
    if (text !== null)
      list.push({
        kind: 'text',
        text,
        ...(url === null ? {} : { citations: [{ url, title: null, quote: 'q' }] }),
      })
    if (refusal !== null) list.push({ kind: 'refusal', text: refusal })
    const ended = refusal !== null && finish === 'stop' ? 'refusal' : finish
    return {
      parts: [...list, ...calls],
      finish: ended,
      finishRaw: finish,
      ...(tokens.length === 0 ? {} : { logprobs: tokens }),
    }
  })

const classCount = fc.nat(9_000)
const answer: fc.Arbitrary<NeutralAnswer> = fc
  .record({
    choices: fc.array(choice, { minLength: 1, maxLength: 3 }),
    counts: fc.record({
      input: classCount,
      cache_read: classCount,
      cache_write_5m: classCount,
      cache_write_1h: classCount,
      input_audio: classCount,
      input_image: classCount,
      output: classCount,
      output_audio: classCount,
    }),
    searches: fc.nat(3),
    tier: fc.option(fc.constantFrom('default', 'flex')),
  })
  .map(({ choices, counts, searches, tier }) => ({
    id: 'a',
    model: 'm',
    createdSeconds: 3,
    choices,
    usage: {
      counts: Object.fromEntries(Object.entries(counts).filter(([, tokens]) => tokens > 0)),
      reasoning: Math.floor(counts.output / 2),
      calls: searches === 0 ? {} : { web_search: searches },
      others: [],
      exact: true,
      flags: [],
    },
    serviceTier: tier,
    dropped: [],
  }))

describe('any answer', () => {
  test('all that the format can hold comes back the same, to the token', () => {
    fc.assert(
      fc.property(answer, (value) => {
        const text = JSON.stringify(chat.encodeAnswer(value, CONTEXT))
        const read = chat.readAnswer(text)
        assert.ok(read.ok)
        assert.deepEqual(decode(read.answer.body), value)
      }),
    )
  })
})
