import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HumanMessage, ToolMessage } from '@langchain/core/messages'
import { ChatOpenAI } from '@langchain/openai'
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

/** `@langchain/openai`, on both of OpenAI's interfaces, over every kind of channel. */

function is(status: number, code: string) {
  return (thrown: unknown): void => {
    assert.ok(thrown instanceof Error, String(thrown))
    const { status: gotStatus, code: gotCode } = thrown as Error & { status?: unknown; code?: unknown }
    assert.deepEqual([gotStatus, gotCode], [status, code], String(thrown))
  }
}

const modelOf = ({ url, key, model }: Access, useResponsesApi: boolean): ChatOpenAI =>
  new ChatOpenAI({
    model,
    apiKey: key,
    configuration: { baseURL: `${url}/v1` },
    useResponsesApi,
    // Its own default is six tries more, each after a longer wait; whether it tries at all shows as well with one.
    ...(model.startsWith('down-') ? { maxRetries: 1 } : {}),
  })

async function toolTurn(model: ChatOpenAI) {
  const { name, description, parameters } = TOOL
  const bound = model.bindTools([{ type: 'function', function: { name, description, parameters } }])
  const question = new HumanMessage(WEATHER_QUESTION)
  const asked = await bound.invoke([question])
  const call = asked.tool_calls?.[0]
  assert.ok(call?.id !== undefined && call.id !== '')
  const result = new ToolMessage({ content: WEATHER, tool_call_id: call.id })
  const told = await bound.invoke([question, asked, result])
  return { city: call.args['city'], text: told.text }
}

const langchain = (useResponsesApi: boolean): Client => ({
  name: `@langchain/openai ${useResponsesApi ? 'responses' : 'chat'}`,
  endpoint: useResponsesApi ? 'openai.responses' : 'openai.chat_completions',
  native: useResponsesApi ? 'openai-responses' : 'openai',
  errors: {
    unknownModel: is(404, 'model_not_found'),
    upstreamDown: is(502, 'upstream_error'),
    unpaid: is(429, 'insufficient_quota'),
  },
  triesWhenDown: 2,
  open(access) {
    const model = modelOf(access, useResponsesApi)
    return {
      text: async () => (await model.invoke(QUESTION)).text,
      async stream() {
        let text = ''
        for await (const chunk of await model.stream(QUESTION)) text += chunk.text
        return text
      },
      tool: () => toolTurn(model),
      structured: () =>
        model
          .withStructuredOutput({ ...SCHEMA, title: 'weather' }, { method: 'jsonSchema' })
          .invoke(QUESTION),
    }
  },
})

test('@langchain/openai is served by every kind of channel', async (t) => {
  await proveClients(t, [langchain(false), langchain(true)])
})
