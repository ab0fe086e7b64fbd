import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createGoogle } from '@ai-sdk/google'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import {
  APICallError,
  generateText,
  jsonSchema,
  type LanguageModel,
  Output,
  RetryError,
  stepCountIs,
  streamText,
  tool,
} from 'ai'
import {
  type Access,
  type Client,
  proveClients,
  QUESTION,
  SCHEMA,
  TOOL,
  WEATHER,
  WEATHER_QUESTION,
} from './stand.ts'

/** `ai` with each of its providers, over every kind of channel. */

/** @param tried whether it says that it gave up after several tries */
function is(status: number, tried = false) {
  return (thrown: unknown): void => {
    assert.equal(RetryError.isInstance(thrown), tried, String(thrown))
    const error = RetryError.isInstance(thrown) ? thrown.lastError : thrown
    assert.ok(APICallError.isInstance(error), String(error))
    assert.equal(error.statusCode, status)
    assert.equal(error.responseHeaders?.['x-request-id']?.startsWith('req_'), true)
  }
}

async function streamed(model: LanguageModel): Promise<string> {
  const failures: unknown[] = []
  const result = streamText({ model, prompt: QUESTION, onError: ({ error }) => void failures.push(error) })
  let text = ''
  for await (const piece of result.textStream) text += piece
  if (failures.length > 0) throw failures[0]
  return text
}

async function toolTurn(model: LanguageModel) {
  let city: unknown
  const { text, steps } = await generateText({
    model,
    prompt: WEATHER_QUESTION,
    tools: {
      [TOOL.name]: tool({
        description: TOOL.description,
        inputSchema: jsonSchema<{ city: string }>({ ...TOOL.parameters, required: ['city'] }),
        execute(input) {
          city = input.city
          return Promise.resolve(WEATHER)
        },
      }),
    },
    stopWhen: stepCountIs(3),
  })
  assert.equal(steps.length, 2)
  return { city, text }
}

interface Provider extends Pick<Client, 'name' | 'endpoint' | 'native'> {
  readonly model: (access: Access) => LanguageModel
  readonly unpaid: number
}

const clientFor = ({ name, endpoint, native, model: modelOf, unpaid }: Provider): Client => ({
  name,
  endpoint,
  native,
  errors: { unknownModel: is(404), upstreamDown: is(502, true), unpaid: is(unpaid) },
  triesWhenDown: 2,
  open(access) {
    const model = modelOf(access)
    const down = access.model.startsWith('down-')
    return {
      // Its first wait is two seconds and the next four; one try more says as much as two.
      text: async () =>
        (await generateText({ model, prompt: QUESTION, ...(down ? { maxRetries: 1 } : {}) })).text,
      stream: () => streamed(model),
      tool: () => toolTurn(model),
      async structured() {
        const schema = jsonSchema<{ city: string; degrees: number }>({
          ...SCHEMA,
          required: ['city', 'degrees'],
        })
        return (await generateText({ model, prompt: QUESTION, output: Output.object({ schema }) })).output
      },
    }
  },
})

const PROVIDERS: readonly Provider[] = [
  {
    name: 'ai, @ai-sdk/openai responses',
    endpoint: 'openai.responses',
    native: 'openai-responses',
    model: ({ url, key, model }) => createOpenAI({ baseURL: `${url}/v1`, apiKey: key })(model),
    unpaid: 402,
  },
  {
    name: 'ai, @ai-sdk/openai chat',
    endpoint: 'openai.chat_completions',
    native: 'openai',
    model: ({ url, key, model }) => createOpenAI({ baseURL: `${url}/v1`, apiKey: key }).chat(model),
    unpaid: 402,
  },
  {
    name: 'ai, @ai-sdk/openai-compatible',
    endpoint: 'openai.chat_completions',
    native: 'openai',
    model: ({ url, key, model }) =>
      createOpenAICompatible({
        name: 'forge',
        baseURL: `${url}/v1`,
        apiKey: key,
        supportsStructuredOutputs: true,
      })(model),
    unpaid: 402,
  },
  {
    name: 'ai, @ai-sdk/anthropic',
    endpoint: 'anthropic.messages',
    native: 'anthropic',
    model: ({ url, key, model }) => createAnthropic({ baseURL: `${url}/v1`, apiKey: key })(model),
    unpaid: 402,
  },
  {
    name: 'ai, @ai-sdk/google',
    endpoint: 'gemini.generate_content',
    native: 'gemini',
    model: ({ url, key, model }) => createGoogle({ baseURL: `${url}/v1beta`, apiKey: key })(model),
    unpaid: 402,
  },
]

test('ai and its providers are served by every kind of channel', async (t) => {
  await proveClients(t, PROVIDERS.map(clientFor))
})
