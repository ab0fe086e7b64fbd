import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'
import type { ChatCompletionMessageParam } from 'openai/resources/chat/completions'
import type { ResponseInput } from 'openai/resources/responses/responses'
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

/** The `openai` package, on both of its interfaces, over every kind of channel. */

const clientOf = ({ url, key }: Pick<Access, 'url' | 'key'>): OpenAI =>
  new OpenAI({ apiKey: key, baseURL: `${url}/v1` })

const ask = (content: string): ChatCompletionMessageParam => ({ role: 'user', content })

function is(type: new (...args: never[]) => Error, status: number, code: string) {
  return (thrown: unknown): void => {
    assert.ok(thrown instanceof type, String(thrown))
    const { status: gotStatus, code: gotCode } = thrown as InstanceType<typeof OpenAI.APIError>
    assert.deepEqual([gotStatus, gotCode], [status, code])
  }
}

const ERRORS: Client['errors'] = {
  unknownModel: is(OpenAI.NotFoundError, 404, 'model_not_found'),
  upstreamDown: is(OpenAI.InternalServerError, 502, 'upstream_error'),
  unpaid: is(OpenAI.RateLimitError, 429, 'insufficient_quota'),
}

async function chatTool({ chat }: OpenAI, model: string) {
  const tools = [{ type: 'function' as const, function: { ...TOOL, strict: true } }]
  const messages = [ask(WEATHER_QUESTION)]
  const stream = chat.completions.stream({ model, messages, tools })
  const asked = (await stream.finalChatCompletion()).choices[0]
  assert.equal(asked?.finish_reason, 'tool_calls')
  const call = asked.message.tool_calls?.[0]
  assert.ok(call?.type === 'function' && call.id !== '')
  const { content, tool_calls } = asked.message
  const calling = { role: 'assistant' as const, content, tool_calls: tool_calls ?? [] }
  const result = { role: 'tool' as const, tool_call_id: call.id, content: WEATHER }
  const told = await chat.completions.create({ model, messages: [...messages, calling, result], tools })
  const { city } = JSON.parse(call.function.arguments) as { city?: unknown }
  return { city, text: told.choices[0]?.message.content ?? '' }
}

const CHAT: Client = {
  name: 'openai chat',
  endpoint: 'openai.chat_completions',
  native: 'openai',
  errors: ERRORS,
  triesWhenDown: 3,
  open(access) {
    const { model } = access
    const client = clientOf(access)
    const messages = [ask(QUESTION)]
    return {
      text: async () =>
        (await client.chat.completions.create({ model, messages })).choices[0]?.message.content ?? '',
      async stream() {
        let text = ''
        for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }))
          text += chunk.choices[0]?.delta.content ?? ''
        return text
      },
      tool: () => chatTool(client, model),
      async structured() {
        const json_schema = { name: 'weather', schema: SCHEMA, strict: true }
        const parsed = await client.chat.completions.parse({
          model,
          messages,
          response_format: { type: 'json_schema', json_schema },
        })
        return JSON.parse(parsed.choices[0]?.message.content ?? '') as unknown
      },
    }
  },
}

async function responsesTool({ responses }: OpenAI, model: string) {
  const tools = [{ type: 'function' as const, ...TOOL, strict: true }]
  const input: ResponseInput = [{ role: 'user', content: WEATHER_QUESTION }]
  const options = { model, tools, store: false, include: ['reasoning.encrypted_content' as const] }
  const asked = await responses.stream({ ...options, input }).finalResponse()
  const call = asked.output.find((item) => item.type === 'function_call')
  assert.ok(call !== undefined && call.call_id !== '')
  const result = { type: 'function_call_output' as const, call_id: call.call_id, output: WEATHER }
  const told = await responses.create({
    ...options,
    input: [...input, ...(asked.output as ResponseInput), result],
  })
  const { city } = JSON.parse(call.arguments) as { city?: unknown }
  return { city, text: told.output_text }
}

const RESPONSES: Client = {
  name: 'openai responses',
  endpoint: 'openai.responses',
  native: 'openai-responses',
  errors: ERRORS,
  triesWhenDown: 3,
  open(access) {
    const { model } = access
    const client = clientOf(access)
    return {
      text: async () => (await client.responses.create({ model, input: QUESTION })).output_text,
      async stream() {
        let text = ''
        for await (const event of await client.responses.create({ model, input: QUESTION, stream: true }))
          if (event.type === 'response.output_text.delta') text += event.delta
        return text
      },
      tool: () => responsesTool(client, model),
      async structured() {
        const format = { type: 'json_schema' as const, name: 'weather', schema: SCHEMA, strict: true }
        const parsed = await client.responses.parse({ model, input: QUESTION, text: { format } })
        return JSON.parse(parsed.output_text) as unknown
      },
    }
  },
}

test('the openai package is served by every kind of channel', async (t) => {
  await proveClients(t, [CHAT, RESPONSES])
})

test('the openai package gets embeddings over both formats, billed by their input', async (t) => {
  const forge = await startForge(t, {
    config: testConfig({
      'e-openai': { protocol: 'openai', ordinary: [''] },
      'e-gemini': { protocol: 'gemini', ordinary: [''] },
    }),
  })
  for (const model of ['e-openai', 'e-gemini'])
    await t.test(model, async () => {
      const account = await forge.account()
      const { embeddings } = clientOf({ url: forge.url, key: account.key })
      const story = await storyOf(forge, account, () =>
        embeddings.create({ model, input: ['one', 'another'] }),
      )
      assert.deepEqual(
        story.result.data.map(({ index, embedding }) => [index, embedding.every(Number.isFinite)]),
        [
          [0, true],
          [1, true],
        ],
      )
      const [receipt] = story.receipts
      assert.ok(receipt !== undefined && story.receipts.length === 1)
      assert.deepEqual([receipt.endpoint, receipt.status], ['openai.embeddings', 'completed'])
      assert.equal(receipt.usage?.input, story.result.usage.prompt_tokens)
      assert.equal(chargeNano(receipt), priceNano(story.result.usage.prompt_tokens, 0))
    })
  await forge.settled()
  await forge.audit()
})
