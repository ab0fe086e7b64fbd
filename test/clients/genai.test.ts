import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ApiError, type Content, type GenerateContentResponse, GoogleGenAI } from '@google/genai'
import { startForge, testConfig } from '../forge.ts'
import { chargeNano, priceNano } from '../gateway/ask.ts'
import {
  type Access,
  type Client,
  proveClients,
  QUESTION,
  SCHEMA,
  storyOf,
  TOOL,
  WEATHER,
  WEATHER_QUESTION,
} from './stand.ts'

/** `@google/genai`, over every kind of channel. */

const clientOf = ({ url, key }: Pick<Access, 'url' | 'key'>): GoogleGenAI =>
  new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url } })

function is(status: number, word: string) {
  return (thrown: unknown): void => {
    assert.ok(thrown instanceof ApiError, String(thrown))
    assert.equal(thrown.status, status)
    const told = JSON.parse(thrown.message) as { error: { code: number; status: string } }
    assert.deepEqual([told.error.code, told.error.status], [status, word])
  }
}

async function toolTurn({ models }: GoogleGenAI, model: string) {
  const { name, description, parameters } = TOOL
  const config = {
    tools: [{ functionDeclarations: [{ name, description, parametersJsonSchema: parameters }] }],
  }
  const contents: Content[] = [{ role: 'user', parts: [{ text: WEATHER_QUESTION }] }]
  const asked = await models.generateContent({ model, contents, config })
  const call = asked.functionCalls?.[0]
  const said = asked.candidates?.[0]?.content
  assert.ok(call?.name === name && said !== undefined)
  const response = { name, response: { result: WEATHER }, ...(call.id === undefined ? {} : { id: call.id }) }
  const told = await models.generateContent({
    model,
    contents: [...contents, said, { role: 'user', parts: [{ functionResponse: response }] }],
    config,
  })
  return { city: call.args?.['city'], text: told.text ?? '' }
}

const GENAI: Client = {
  name: '@google/genai',
  endpoint: 'gemini.generate_content',
  native: 'gemini',
  errors: {
    unknownModel: is(404, 'NOT_FOUND'),
    upstreamDown: is(502, 'UNAVAILABLE'),
    unpaid: is(402, 'FAILED_PRECONDITION'),
  },
  triesWhenDown: 1,
  open(access) {
    const { model } = access
    const { models } = clientOf(access)
    const question = { model, contents: QUESTION }
    return {
      text: async () => (await models.generateContent(question)).text ?? '',
      async stream() {
        let text = ''
        let last: GenerateContentResponse | null = null
        for await (const chunk of await models.generateContentStream(question)) {
          text += chunk.text ?? ''
          last = chunk
        }
        assert.ok((last?.usageMetadata?.totalTokenCount ?? 0) > 0)
        return text
      },
      tool: () => toolTurn(clientOf(access), model),
      async structured() {
        const config = { responseMimeType: 'application/json', responseJsonSchema: SCHEMA }
        const { text } = await models.generateContent({ ...question, config })
        return JSON.parse(text ?? '') as unknown
      },
    }
  },
}

test('@google/genai is served by every kind of channel', async (t) => {
  await proveClients(t, [GENAI])
})

test('@google/genai counts tokens, lists models and gets embeddings', async (t) => {
  const forge = await startForge(t, {
    config: testConfig({
      g: { protocol: 'gemini', ordinary: [''] },
      c: { protocol: 'openai', ordinary: [''] },
    }),
  })
  const account = await forge.account()
  const { models } = clientOf({ url: forge.url, key: account.key })

  await t.test('its list of models holds what the key can call', async () => {
    const names: string[] = []
    for await (const { name } of await models.list()) names.push(name ?? '')
    assert.ok(names.includes('models/g') && names.includes('models/c'), names.join())
  })
  for (const model of ['g', 'c'])
    await t.test(`over ${model}`, async () => {
      const counted = await models.countTokens({ model, contents: QUESTION })
      assert.ok((counted.totalTokens ?? 0) > 3)
      const story = await storyOf(forge, account, () =>
        models.embedContent({ model, contents: ['one', 'two'] }),
      )
      assert.equal(story.result.embeddings?.length, 2)
      const [receipt] = story.receipts
      assert.ok(receipt !== undefined && story.receipts.length === 1)
      assert.deepEqual([receipt.endpoint, receipt.status], ['gemini.embed_content', 'completed'])
      assert.equal(chargeNano(receipt), priceNano(receipt.usage?.input ?? 0, 0))
      assert.ok(story.paidNano > 0n)
    })
  await forge.settled()
  await forge.audit()
})
