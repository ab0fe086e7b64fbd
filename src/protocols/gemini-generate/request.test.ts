import assert from 'node:assert/strict'
import { test } from 'node:test'
import { object } from '../../../test/fixtures/gemini-generate/read.ts'
import type { JsonObject } from '../../kernel/index.ts'
import { objectSpans, spliceMembers } from '../json-span.ts'
import { estimateInput } from './bound.ts'
import { callHeaders, callPath, passEdits } from './edits.ts'
import { type GeminiFacts, readRequest } from './request.ts'

const CONTENTS = [{ role: 'user', parts: [{ text: 'When is high water?' }] }]
const PATH = { model: 'gemini-2.5-flash', stream: false, sse: false }

function read(body: JsonObject, path: Parameters<typeof readRequest>[0]['path'] = PATH) {
  return readRequest({ body, byteLength: JSON.stringify(body).length, path })
}

function facts(body: JsonObject, path = PATH): GeminiFacts {
  const result = read(body, path)
  assert.ok(result.ok, JSON.stringify(result))
  return result.request
}

function fault(body: JsonObject): string {
  const result = read(body)
  assert.ok(!result.ok)
  return result.param
}

const config = (generationConfig: JsonObject): JsonObject => ({ contents: CONTENTS, generationConfig })

test('model, method and framing come from the path', () => {
  const body = { contents: CONTENTS }
  assert.deepEqual(
    [
      { model: 'models/gemini-2.5-flash', stream: false, sse: false },
      { model: 'gemini-2.5-flash', stream: true, sse: true },
      { model: 'gemini-2.5-flash', stream: true, sse: false },
    ].map((path) => {
      const { model, stream, array } = facts(body, path)
      return { model, stream, array }
    }),
    [
      { model: 'gemini-2.5-flash', stream: false, array: false },
      { model: 'gemini-2.5-flash', stream: true, array: false },
      { model: 'gemini-2.5-flash', stream: true, array: true },
    ],
  )
  assert.equal(read(body, null).ok, false)
})

test('both spellings are read', () => {
  const camel = facts({
    contents: CONTENTS,
    generationConfig: { maxOutputTokens: 7, candidateCount: 2 },
    serviceTier: 'FLEX',
  })
  const snake = facts({
    contents: CONTENTS,
    generation_config: { max_output_tokens: 7, candidate_count: 2 },
    service_tier: 'flex',
  })
  for (const { maxOutputTokens, choices, serviceTier } of [camel, snake])
    assert.deepEqual(
      { maxOutputTokens, choices, serviceTier },
      { maxOutputTokens: 7, choices: 2, serviceTier: 'flex' },
    )
})

test('one object stands for a list of one, as in the examples of Google', () => {
  facts({ contents: { role: 'user', parts: { text: 'hello' } }, tools: { googleSearch: {} } })
})

test('what decides money or memory is checked', () => {
  const numbers: ReadonlyArray<readonly [string, readonly unknown[]]> = [
    ['maxOutputTokens', [0, -1, 1.5, '5', Number.POSITIVE_INFINITY, 2 ** 53]],
    ['candidateCount', [0, 9, '2']],
    ['logprobs', [-1, 21]],
    ['topK', [0]],
    ['seed', [2 ** 31]],
    ['temperature', ['0']],
    ['stopSequences', ['x', [1]]],
    ['responseLogprobs', [1]],
    ['thinkingConfig', [1, { thinkingBudget: -2 }, { thinking_budget: 0.5 }]],
  ]
  for (const [name, values] of numbers)
    for (const value of values)
      assert.match(fault(config({ [name]: value } as JsonObject)), new RegExp(`^generationConfig\\.${name}`))
  assert.equal(fault({}), 'contents')
  assert.equal(fault({ contents: [] }), 'contents')
  assert.equal(fault({ contents: ['x'] }), 'contents[0]')
  assert.equal(fault({ contents: CONTENTS, tools: 'x' }), 'tools')
  assert.equal(fault({ contents: CONTENTS, generationConfig: [] }), 'generationConfig')
  assert.equal(fault({ contents: CONTENTS, serviceTier: 1 }), 'serviceTier')
})

test('a member in two spellings is refused: which one counts would be a guess', () => {
  assert.equal(
    fault(config({ maxOutputTokens: 1, max_output_tokens: 9 })),
    'generationConfig.max_output_tokens',
  )
  assert.equal(fault({ ...config({}), generation_config: {} }), 'generation_config')
})

test('no request can have more input tokens than its bound', () => {
  const bytes = (body: JsonObject): number => JSON.stringify(body).length
  const part = (inner: JsonObject): JsonObject => ({ contents: [{ parts: [inner] }] })
  const bound = (body: JsonObject): number => facts(body).inputTokensMax
  const text = part({ text: 'hello' })
  assert.equal(bound(text), bytes(text) + 16)
  const data = 'A'.repeat(400_000)
  const image = part({ inlineData: { mimeType: 'image/png', data } })
  assert.equal(bound(image), bytes(image) - 400_000 + 37_000 + 16)
  const snake = part({ inline_data: { mime_type: 'image/png', data } })
  assert.equal(bound(snake), bytes(snake) - 400_000 + 37_000 + 16)
  const sound = part({ inlineData: { mimeType: 'audio/wav', data } })
  assert.equal(bound(sound), bytes(sound) + 16)
  const remote = [
    part({ fileData: { fileUri: 'https://files.example/a.pdf', mimeType: 'application/pdf' } }),
    part({ inlineData: { mimeType: 'video/mp4', data: 'AA' } }),
    part({ inlineData: { mimeType: 'application/pdf', data: 'AA' } }),
    { ...text, cachedContent: 'cachedContents/x' },
    { ...text, tools: [{ url_context: {} }] },
    part({ functionResponse: { name: 'f', parts: [{ fileData: { fileUri: 'https://files.example/b' } }] } }),
  ]
  for (const body of remote) assert.ok(bound(body) > 2_000_000, JSON.stringify(body))
})

test('searches can only be billed where a search tool is there', () => {
  assert.equal(facts({ contents: CONTENTS }).webSearchCallsMax, 0)
  assert.equal(facts({ contents: CONTENTS, tools: [{ codeExecution: {} }] }).webSearchCallsMax, 0)
  for (const tools of [[{ googleSearch: {} }], [{ google_search: {} }], { googleSearchRetrieval: {} }])
    assert.ok(facts({ contents: CONTENTS, tools }).webSearchCallsMax > 0)
})

test('our own count grows with the text and is never nothing', () => {
  const small = estimateInput({ contents: CONTENTS })
  const large = estimateInput({
    contents: CONTENTS,
    system_instruction: { parts: { text: 'Answer like a harbour master. '.repeat(50) } },
  })
  assert.ok(small >= 1 && large > small + 300)
  assert.equal(estimateInput({}), 1)
})

test('the limit is set in the caller’s own bytes, in the spelling that the caller used', () => {
  const edited = (text: string, limit: number | null): JsonObject => {
    const body = object(text)
    const edits = passEdits(facts(body), { upstreamModel: 'gemini-x', stream: false, maxOutputTokens: limit })
    const bytes = Buffer.from(text)
    const spans = objectSpans(bytes, { depthMax: 64, valuesMax: 1000 })
    assert.ok(spans.ok)
    return object(spliceMembers(bytes, spans.spans, edits).toString())
  }
  const contents = '"contents":[{"parts":[{"text":"x"}]}]'
  assert.deepEqual(edited(`{${contents}}`, 50)['generationConfig'], { maxOutputTokens: 50 })
  assert.deepEqual(
    edited(`{"generationConfig":{"temperature":0.5,"maxOutputTokens":900},${contents}}`, 50)[
      'generationConfig'
    ],
    { temperature: 0.5, maxOutputTokens: 50 },
  )
  assert.deepEqual(
    edited(`{"generation_config":{"max_output_tokens":900,"top_k":3},${contents}}`, 50)['generation_config'],
    { max_output_tokens: 50, top_k: 3 },
  )
  const untouched = `{ ${contents}, "safetySettings": [] }`
  assert.deepEqual(edited(untouched, null), object(untouched))
  assert.equal(edited(`{"model":"models/ours",${contents}}`, null)['model'], 'models/gemini-x')
})

test('the call is made where Google listens, with the model encoded', () => {
  const path = (upstreamModel: string, stream: boolean): string => callPath({ upstreamModel, stream })
  assert.equal(path('gemini-2.5-flash', false), '/models/gemini-2.5-flash:generateContent')
  assert.equal(path('gemini-2.5-flash', true), '/models/gemini-2.5-flash:streamGenerateContent?alt=sse')
  assert.equal(path('models/gemini-3-pro', false), '/models/gemini-3-pro:generateContent')
  assert.equal(path('tunedModels/mine', false), '/tunedModels/mine:generateContent')
  assert.equal(path('a b/c?d', false), '/models/a%20b%2Fc%3Fd:generateContent')
  assert.deepEqual(callHeaders('k'), { 'x-goog-api-key': 'k' })
})
