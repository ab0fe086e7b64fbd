import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralRequest } from '../neutral.ts'
import { decodeRequest } from './decode-request.ts'
import { encodeRequest } from './encode-request.ts'
import { readRequest } from './request.ts'

describe('a request of this format comes back as it was', () => {
  const messages = [
    {
      role: 'user',
      content: [
        { type: 'text', text: 'Look.', cache_control: { type: 'ephemeral' } },
        { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
      ],
    },
    {
      role: 'assistant',
      content: [
        { type: 'thinking', thinking: 'Hm.', signature: 'c2ln' },
        { type: 'redacted_thinking', data: 'cmVk' },
        { type: 'text', text: 'I look.' },
        { type: 'tool_use', id: 'toolu_1', name: 'tide', input: { harbour: 'Faro' } },
        { type: 'tool_use', id: 'toolu_2', name: 'tide', input: {} },
      ],
    },
    {
      role: 'user',
      content: [
        {
          type: 'tool_result',
          tool_use_id: 'toolu_1',
          content: [{ type: 'text', text: '06:12' }],
          cache_control: { type: 'ephemeral', ttl: '1h' },
        },
        { type: 'tool_result', tool_use_id: 'toolu_2', content: 'none', is_error: true },
        {
          type: 'document',
          source: { type: 'base64', media_type: 'application/pdf', data: 'BBBB' },
          title: 'n.pdf',
        },
        { type: 'text', text: 'And now?' },
      ],
    },
  ]
  const base = { max_tokens: 9000, messages, system: [{ type: 'text', text: 'You are a pilot.' }] }
  const schema = { type: 'object', properties: {}, additionalProperties: false }
  const tools = [
    {
      name: 'tide',
      description: 'Tides',
      input_schema: schema,
      strict: true,
      cache_control: { type: 'ephemeral' },
    },
  ]
  const bodies: ReadonlyArray<readonly [string, JsonObject]> = [
    ['plain', { ...base, model: 'claude-opus-4-5', tools }],
    [
      'everything of budgets',
      {
        ...base,
        model: 'claude-sonnet-4-5',
        tools,
        tool_choice: { type: 'auto', disable_parallel_tool_use: true },
        thinking: { type: 'enabled', budget_tokens: 4000, display: 'omitted' },
        stop_sequences: ['END'],
        metadata: { user_id: 'u' },
        service_tier: 'standard_only',
      },
    ],
    [
      'everything of efforts',
      {
        ...base,
        model: 'claude-opus-4-8',
        tools,
        thinking: { type: 'adaptive', display: 'summarized' },
        output_config: { effort: 'xhigh', format: { type: 'json_schema', schema } },
      },
    ],
    ['an effort alone', { ...base, model: 'claude-opus-4-8', tools, output_config: { effort: 'low' } }],
    ['no thinking', { ...base, model: 'claude-haiku-5-5', tools, thinking: { type: 'disabled' } }],
    [
      'a forced tool',
      {
        ...base,
        model: 'claude-opus-4-5',
        tools,
        tool_choice: { type: 'tool', name: 'tide' },
        temperature: 0.2,
        top_k: 4,
      },
    ],
  ]
  const neutral = (body: JsonObject): NeutralRequest => {
    const read = readRequest({ body, byteLength: 4000, path: null })
    assert.ok(read.ok)
    const decoded = decodeRequest(body, read.request)
    assert.ok(decoded.ok, decoded.ok ? '' : `${decoded.param} ${decoded.problem}`)
    return decoded.value
  }
  for (const [name, body] of bodies)
    test(name, () => {
      const first = neutral(body)
      const again = encodeRequest(first, {
        upstreamModel: String(body['model']),
        stream: false,
        maxOutputTokens: null,
        modelMaxOutputTokens: 1,
      })
      assert.ok(again.ok, again.ok ? '' : `${again.param} ${again.problem}`)
      assert.deepEqual(again.dropped, [])
      assert.deepEqual(neutral(again.body), first)
    })
})
