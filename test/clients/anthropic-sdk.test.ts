import assert from 'node:assert/strict'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import type { MessageParam } from '@anthropic-ai/sdk/resources/messages'
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

/** `@anthropic-ai/sdk`, over every kind of channel. */

const clientOf = ({ url, key }: Pick<Access, 'url' | 'key'>): Anthropic =>
  new Anthropic({ apiKey: key, baseURL: url })

const ask = (content: string): MessageParam => ({ role: 'user', content })

const textOf = ({ content }: Anthropic.Message): string =>
  content.map((block) => (block.type === 'text' ? block.text : '')).join('')

function is(type: new (...args: never[]) => Error, status: number, word: string) {
  return (thrown: unknown): void => {
    assert.ok(thrown instanceof type, String(thrown))
    const { status: gotStatus, error, requestID } = thrown as InstanceType<typeof Anthropic.APIError>
    assert.equal(gotStatus, status)
    assert.equal((error as { error?: { type?: unknown } }).error?.type, word)
    assert.match(requestID ?? '', /^req_/)
  }
}

async function toolTurn({ messages: api }: Anthropic, model: string, thinking: boolean) {
  const { name, description, parameters } = TOOL
  const tools = [
    {
      name,
      description,
      input_schema: { ...parameters, required: [...parameters.required] },
      cache_control: { type: 'ephemeral' as const },
    },
  ]
  const options = {
    model,
    max_tokens: 3_000,
    tools,
    ...(thinking ? { thinking: { type: 'adaptive' as const } } : {}),
  }
  const messages = [ask(WEATHER_QUESTION)]
  const asked = await api.stream({ ...options, messages }).finalMessage()
  assert.equal(asked.stop_reason, 'tool_use')
  const call = asked.content.find((block) => block.type === 'tool_use')
  assert.ok(call !== undefined && call.id !== '')
  const told = await api.create({
    ...options,
    messages: [
      ...messages,
      // As documented: the whole content goes back, thinking and its signature with it.
      { role: 'assistant', content: asked.content },
      { role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: WEATHER }] },
    ],
  })
  const { city } = call.input as { city?: unknown }
  return { city, text: textOf(told) }
}

const messagesClient = (thinking: boolean): Client => ({
  name: thinking ? '@anthropic-ai/sdk, thinking' : '@anthropic-ai/sdk',
  endpoint: 'anthropic.messages',
  native: 'anthropic',
  errors: {
    unknownModel: is(Anthropic.NotFoundError, 404, 'not_found_error'),
    upstreamDown: is(Anthropic.InternalServerError, 502, 'api_error'),
    unpaid: is(Anthropic.APIError, 402, 'billing_error'),
  },
  triesWhenDown: 3,
  open(access) {
    const { model } = access
    const client = clientOf(access)
    const request = {
      model,
      max_tokens: 3_000,
      messages: [ask(QUESTION)],
      ...(thinking ? { thinking: { type: 'adaptive' as const } } : {}),
    }
    return {
      text: async () => textOf(await client.messages.create(request)),
      async stream() {
        let text = ''
        for await (const event of await client.messages.create({ ...request, stream: true }))
          if (event.type === 'content_block_delta' && event.delta.type === 'text_delta')
            text += event.delta.text
        return text
      },
      tool: () => toolTurn(client, model, thinking),
      async structured() {
        const output_config = { format: { type: 'json_schema' as const, schema: { ...SCHEMA } } }
        const parsed = await client.messages.parse({ ...request, output_config })
        return JSON.parse(textOf(parsed)) as unknown
      },
    }
  },
})

test('@anthropic-ai/sdk is served by every kind of channel', async (t) => {
  await proveClients(t, [messagesClient(false), messagesClient(true)])
})
