import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Json, JsonObject } from '../../kernel/index.ts'
import { anthropicMessages } from './index.ts'
import { type MessagesFacts, passEdits, readRequest } from './request.ts'

const HELLO = { model: 'claude-opus-4-8', max_tokens: 64, messages: [{ role: 'user', content: 'Ahoy' }] }

const read = (body: JsonObject) =>
  readRequest({ body, byteLength: Buffer.byteLength(JSON.stringify(body)), path: null })

function facts(body: JsonObject): MessagesFacts {
  const result = read(body)
  assert.ok(result.ok, result.ok ? '' : `${result.param} ${result.problem}`)
  return result.request
}

function refused(body: JsonObject): string {
  const result = read(body)
  assert.ok(!result.ok)
  return result.param
}

describe('what decides money or memory is checked', () => {
  test('a request of the least members is read', () => {
    assert.deepEqual(facts(HELLO), {
      model: 'claude-opus-4-8',
      stream: false,
      wantsUsage: true,
      maxOutputTokens: 64,
      choices: 1,
      serviceTier: null,
      inputTokensMax: JSON.stringify(HELLO).length + 16,
      webSearchCallsMax: 0,
      thinking: null,
      fallbacks: [],
      otherModels: [],
    })
  })
  test('max_tokens is demanded, and a whole number from 1', () => {
    const { max_tokens, ...without } = HELLO
    assert.equal(refused(without), 'max_tokens')
    const bad: Json[] = [null, 0, -1, 1.5, '64', 2 ** 53, Number.POSITIVE_INFINITY, [64], true]
    for (const value of bad) assert.equal(refused({ ...HELLO, max_tokens: value }), 'max_tokens')
  })
  test('members of a wrong type are named', () => {
    const cases: ReadonlyArray<readonly [string, JsonObject]> = [
      ['model', { model: '' }],
      ['model', { model: 7 }],
      ['messages', { messages: [] }],
      ['messages', { messages: 'Ahoy' }],
      ['messages[0]', { messages: ['Ahoy'] }],
      ['stream', { stream: 'yes' }],
      ['system', { system: 7 }],
      ['tools', { tools: {} }],
      ['tools[0]', { tools: ['x'] }],
      ['tools[0].max_uses', { tools: [{ type: 'web_search_20250305', max_uses: -1 }] }],
      ['thinking', { thinking: 'much' }],
      ['thinking.budget_tokens', { thinking: { type: 'enabled', budget_tokens: Number.POSITIVE_INFINITY } }],
      ['service_tier', { service_tier: 1 }],
      ['fallbacks[0].max_tokens', { fallbacks: [{ model: 'claude-b', max_tokens: 65 }] }],
      ['fallbacks', { fallbacks: Array.from({ length: 9 }, () => ({ model: 'claude-b' })) }],
    ]
    for (const [param, members] of cases) assert.equal(refused({ ...HELLO, ...members }), param)
  })
  test('members of newer versions and unknown ones are let through', () => {
    assert.equal(
      facts({ ...HELLO, stream: true, thinking: { type: 'adaptive' }, speed: 'fast', novelty: [1] }).stream,
      true,
    )
  })
})

describe('the bound on the input is provable', () => {
  const bound = (members: JsonObject): number => facts({ ...HELLO, ...members }).inputTokensMax
  const image = (data: string): JsonObject => ({
    type: 'image',
    source: { type: 'base64', media_type: 'image/png', data },
  })
  const user = (...content: Json[]): JsonObject => ({ messages: [{ role: 'user', content }] })

  test('bytes of base64 images are no text, wherever images may stand', () => {
    const data = 'A'.repeat(500_000)
    assert.ok(bound(user(image(data))) < 38_000)
    assert.ok(bound(user({ type: 'tool_result', tool_use_id: 't', content: [image(data)] })) < 38_000)
    const document = { type: 'document', source: { type: 'content', content: [image(data)] } }
    assert.ok(bound(user(document)) < 38_000)
  })
  test('what only looks like an image is text', () => {
    const call = { type: 'tool_use', id: 't', name: 'n', input: { content: [image('A'.repeat(500_000))] } }
    assert.ok(bound(user(call)) > 500_000)
  })
  test('what is fetched or held elsewhere is bounded by the context alone', () => {
    const far = 2_000_000
    assert.ok(
      bound(user({ type: 'document', source: { type: 'url', url: 'https://a.example/b.pdf' } })) > far,
    )
    assert.ok(bound(user({ type: 'document', source: { type: 'file', file_id: 'file_1' } })) > far)
    assert.ok(bound({ tools: [{ type: 'web_search_20250305', name: 'web_search' }] }) > far)
    assert.ok(bound({ mcp_servers: [{ url: 'https://m.example' }] }) > far)
    assert.ok(bound({ container: 'c_1' }) > far)
    assert.ok(bound({ mcp_servers: [], container: null }) < 1000)
  })
  test('hidden prompts of tools and of structured output are in it', () => {
    const tool = { name: 't', input_schema: { type: 'object' } }
    assert.ok(bound({ tools: [tool] }) >= bound({}) + 1000)
    assert.ok(bound({ tools: [{ type: 'bash_20250124', name: 'bash' }] }) > 10_000)
    const output_config = { format: { type: 'json_schema', schema: { type: 'object' } } }
    assert.ok(bound({ output_config }) > bound({}) + 1000)
  })
  test('compaction and fallbacks read the context again', () => {
    const twice = bound({ context_management: { edits: [{ type: 'compact_20260112' }] } })
    assert.ok(twice > 2 * bound({}))
    assert.ok(bound({ fallbacks: [{ model: 'claude-b' }, { model: 'claude-c' }] }) > 3 * bound({}))
  })
  test('it is never below the bytes of text', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' }), { minLength: 1, maxLength: 8 }), (texts) => {
        const messages = texts.map((content) => ({ role: 'user', content }))
        assert.ok(bound({ messages }) >= texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0))
      }),
    )
  })
})

test('searches are bounded by max_uses, and without it by what the loop can do', () => {
  const search = { type: 'web_search_20260318', name: 'web_search' }
  assert.equal(facts({ ...HELLO, tools: [{ ...search, max_uses: 3 }] }).webSearchCallsMax, 3)
  assert.equal(facts({ ...HELLO, tools: [search] }).webSearchCallsMax, 50)
  assert.equal(facts({ ...HELLO, tools: [{ name: 'web_search', input_schema: {} }] }).webSearchCallsMax, 0)
})

describe('edits for a route of the same format', () => {
  const edits = (body: JsonObject, maxOutputTokens: number | null, upstreamModel = 'claude-opus-4-8') =>
    passEdits(facts(body), { upstreamModel, stream: false, maxOutputTokens })

  test('nothing is touched that need not be', () => {
    assert.deepEqual(edits(HELLO, null), [])
    assert.deepEqual(edits(HELLO, 64), [])
  })
  test('model and limit are set', () => {
    assert.deepEqual(edits(HELLO, 32, 'claude-up'), [
      { name: 'model', json: '"claude-up"' },
      { name: 'max_tokens', json: '32' },
    ])
  })
  test('a fallback stays within a lowered limit', () => {
    const fallbacks = [{ model: 'b', max_tokens: 8000 }, { model: 'c' }]
    const { json } = edits({ ...HELLO, max_tokens: 9000, fallbacks }, 5000).find(
      ({ name }) => name === 'fallbacks',
    ) ?? { json: '' }
    assert.equal(json, '[{"model":"b","max_tokens":5000},{"model":"c"}]')
    const names = edits({ ...HELLO, max_tokens: 9000, fallbacks }, 8500).map(({ name }) => name)
    assert.ok(!names.includes('fallbacks'))
  })

  test('a budget stays below a lowered limit, and thinking goes where none fits', () => {
    const body = {
      ...HELLO,
      max_tokens: 9000,
      thinking: { type: 'enabled', budget_tokens: 8000, display: 'omitted' },
    }
    assert.deepEqual(edits(body, 5000).at(-1), {
      name: 'thinking',
      json: '{"type":"enabled","budget_tokens":4999,"display":"omitted"}',
    })
    assert.deepEqual(edits(body, 1024).at(-1), { name: 'thinking', json: '{"type":"disabled"}' })
    assert.equal(edits(body, 8500).length, 1)
  })
})

test('headers and path are those of the provider; the version and betas of the caller pass', () => {
  assert.equal(anthropicMessages.callPath({ upstreamModel: 'm', stream: true }), '/v1/messages')
  assert.deepEqual(anthropicMessages.callHeaders('k'), {
    'x-api-key': 'k',
    'anthropic-version': '2023-06-01',
  })
  assert.deepEqual(anthropicMessages.forwardedHeaders, ['anthropic-version', 'anthropic-beta'])
})

test('our own count of the input grows with all that the model reads, and not with what it does not', () => {
  const count = anthropicMessages.estimateInput
  const base = count(HELLO)
  assert.ok(base >= 4 && base < 20)
  const more: JsonObject[] = [
    { system: 'You are the harbour master of Faro.' },
    { system: [{ type: 'text', text: 'You are the harbour master of Faro.' }] },
    { tools: [{ name: 't', description: 'd', input_schema: { type: 'object' } }] },
    { output_config: { format: { type: 'json_schema', schema: { type: 'object' } } } },
    {
      messages: [
        ...HELLO.messages,
        { role: 'assistant', content: [{ type: 'tool_use', id: 'x', name: 'n', input: { a: 'b' } }] },
      ],
    },
    { messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'url', url: 'u' } }] }] },
    {
      messages: [{ role: 'user', content: [{ type: 'document', source: { type: 'base64', data: 'AAAA' } }] }],
    },
  ]
  for (const members of more) assert.ok(count({ ...HELLO, ...members }) > base)
  const data = 'A'.repeat(1_000_000)
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data } }
  assert.ok(count({ ...HELLO, messages: [{ role: 'user', content: [image] }] }) < 2000)
})
