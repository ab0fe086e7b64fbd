import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'

import { ApiError, type Content, type FunctionDeclaration, GoogleGenAI, Type } from '@google/genai'

import { type Sandbox, startSandbox } from '../index.ts'

let sandbox: Sandbox
let client: GoogleGenAI
before(async () => {
  sandbox = await startSandbox()
  client = clientFor(sandbox.url)
})
after(() => sandbox.close())

function clientFor(baseUrl: string): GoogleGenAI {
  return new GoogleGenAI({ apiKey: 'any key will do', httpOptions: { baseUrl } })
}

const FLASH = 'gemini-2.5-flash'
const PRO_3 = 'gemini-3-pro-preview'
const WEATHER: FunctionDeclaration = {
  name: 'get_weather',
  parameters: { type: Type.OBJECT, properties: { city: { type: Type.STRING } }, required: ['city'] },
}

test('the official client reads an answer whose usage adds up', async () => {
  const answer = await client.models.generateContent({ model: FLASH, contents: 'Hello' })
  assert.match(answer.text ?? '', /sandbox/)
  const {
    promptTokenCount = 0,
    candidatesTokenCount = 0,
    thoughtsTokenCount = 0,
    totalTokenCount,
  } = answer.usageMetadata ?? {}
  assert.equal(promptTokenCount + candidatesTokenCount + thoughtsTokenCount, totalTokenCount)
  assert.ok(thoughtsTokenCount > 0)
})

test('the official client reads a stream whose usage grows to that of the whole answer', async () => {
  const body = { model: FLASH, contents: 'write 20 words' }
  const whole = await client.models.generateContent(body)
  let text = ''
  let before = 0
  for await (const chunk of await client.models.generateContentStream(body)) {
    text += chunk.text ?? ''
    const now = chunk.usageMetadata?.candidatesTokenCount ?? 0
    assert.ok(now >= before)
    before = now
  }
  assert.equal(text, whole.text)
  assert.equal(before, whole.usageMetadata?.candidatesTokenCount)
})

test('the official client runs two functions to the end, and a signature that is missing is refused', async () => {
  const asked: Content = { role: 'user', parts: [{ text: 'Weather in both cities?' }] }
  const config = { tools: [{ functionDeclarations: [WEATHER] }] }
  const first = await client.models.generateContent({ model: PRO_3, contents: [asked], config })
  assert.deepEqual(
    first.functionCalls?.map(({ args }) => args),
    [{ city: 'Lisbon' }, { city: 'Porto' }],
  )
  const said = first.candidates?.[0]?.content
  assert.ok(said?.parts?.[0]?.thoughtSignature !== undefined)
  const results: Content = {
    role: 'user',
    parts: (first.functionCalls ?? []).map(() => ({
      functionResponse: { name: 'get_weather', response: { sky: 'sleet' } },
    })),
  }
  const ask = (model: string, content: Content) =>
    client.models.generateContent({ model, contents: [asked, content, results], config })
  assert.match((await ask(PRO_3, said)).text ?? '', /sleet/)
  const [call, ...rest] = said.parts ?? []
  const bare = { ...said, parts: [{ functionCall: call?.functionCall ?? {} }, ...rest] }
  await assert.rejects(ask(PRO_3, bare), /missing a thought_signature/)
  assert.match((await ask(FLASH, bare)).text ?? '', /sleet/, 'older models do not ask for it')
  const waived = {
    ...said,
    parts: [{ ...call, thoughtSignature: 'skip_thought_signature_validator' }, ...rest],
  }
  assert.match((await ask(PRO_3, waived)).text ?? '', /sleet/)
  const half = { ...said, parts: said.parts?.slice(0, 1) ?? [] }
  await assert.rejects(ask(PRO_3, half), /number of function response parts/)
})

test('thoughts are shown when asked for, and are counted beside the answer', async () => {
  const config = { thinkingConfig: { includeThoughts: true, thinkingBudget: 16 } }
  const answer = await client.models.generateContent({ model: FLASH, contents: 'Hello', config })
  const [thought, text] = answer.candidates?.[0]?.content?.parts ?? []
  assert.equal(thought?.thought, true)
  assert.match(thought?.text ?? '', /Hello/)
  assert.equal(text?.thought, undefined)
  assert.equal(answer.usageMetadata?.thoughtsTokenCount, 16)
})

test('the official client sends images, and an answer of a schema parses', async () => {
  const parts = [{ text: 'What is it?' }, { inlineData: { mimeType: 'image/png', data: 'iVBORw0KGgo=' } }]
  const seen = await client.models.generateContent({ model: FLASH, contents: [{ role: 'user', parts }] })
  assert.match(seen.text ?? '', /1 image \(image\/png\)/)
  assert.deepEqual(seen.usageMetadata?.promptTokensDetails, [
    { modality: 'TEXT', tokenCount: 10 },
    { modality: 'IMAGE', tokenCount: 85 },
  ])
  const responseSchema = {
    type: Type.OBJECT,
    properties: { harbour: { type: Type.STRING }, berths: { type: Type.INTEGER } },
    required: ['harbour', 'berths'],
  }
  const config = { responseMimeType: 'application/json', responseSchema }
  const answer = await client.models.generateContent({ model: FLASH, contents: 'Describe', config })
  assert.equal(answer.text, '{"harbour":"sandbox harbour","berths":2}')
})

test('the official client counts, embeds and lists', async () => {
  const { totalTokens } = await client.models.countTokens({ model: FLASH, contents: 'Hello' })
  const answer = await client.models.generateContent({ model: FLASH, contents: 'Hello' })
  assert.equal(totalTokens, answer.usageMetadata?.promptTokenCount)
  const embedded = await client.models.embedContent({
    model: 'gemini-embedding-001',
    contents: ['ebb', 'flow'],
  })
  assert.deepEqual(
    embedded.embeddings?.map(({ values }) => values?.length),
    [768, 768],
  )
  const names: string[] = []
  for await (const model of await client.models.list()) names.push(model.name ?? '')
  assert.ok(names.includes('models/gemini-2.5-flash'))
  assert.equal((await client.models.get({ model: FLASH })).name, 'models/gemini-2.5-flash')
})

test('a blocked prompt has no candidates and still counts', async () => {
  const answer = await clientFor(sandbox.with('blocked')).models.generateContent({
    model: FLASH,
    contents: 'Hello',
  })
  assert.equal(answer.promptFeedback?.blockReason, 'PROHIBITED_CONTENT')
  assert.equal(answer.candidates, undefined)
  assert.equal(answer.usageMetadata?.totalTokenCount, answer.usageMetadata?.promptTokenCount)
})

test('a long prompt is read from the cache the second time', async () => {
  const body = { model: 'gemini-2.0-flash', contents: 'A long paragraph about tides. '.repeat(300) }
  await client.models.generateContent(body)
  const { usageMetadata } = await client.models.generateContent(body)
  assert.ok((usageMetadata?.cachedContentTokenCount ?? 0) >= 1024)
  assert.ok((usageMetadata?.cachedContentTokenCount ?? 0) <= (usageMetadata?.promptTokenCount ?? 0))
})

test('the official client raises its error for a status, and for an error in mid-stream', async () => {
  const body = { model: FLASH, contents: 'Hello' }
  const error = await clientFor(sandbox.with('status=429,retry-after=3'))
    .models.generateContent(body)
    .catch((thrown: unknown) => thrown)
  assert.ok(error instanceof ApiError && error.status === 429)
  assert.match(error.message, /"retryDelay":"3s"/)
  const read = async (): Promise<void> => {
    const stream = await clientFor(sandbox.with('error-event=2')).models.generateContentStream(body)
    for await (const chunk of stream) assert.ok(chunk.candidates)
  }
  await assert.rejects(read, ApiError)
})
