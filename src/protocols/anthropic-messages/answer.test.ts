import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CONTEXT } from '../../../test/protocols/speak.ts'
import type { Json, JsonObject } from '../../kernel/index.ts'
import type { NeutralAnswer, NeutralPart } from '../neutral.ts'
import { readAnswer } from './answer.ts'
import { decodeAnswer } from './decode-answer.ts'
import { encodeAnswer } from './encode-answer.ts'

const USAGE = { input_tokens: 3, output_tokens: 2 }

const read = (...content: Json[]) => {
  const result = readAnswer(JSON.stringify({ type: 'message', model: 'm', content, usage: USAGE }))
  assert.ok(result.ok)
  return result.answer
}

test('what is no answer is refused with the upstream’s words', () => {
  const cases: ReadonlyArray<readonly [string, string]> = [
    ['<html>', 'the answer is not JSON'],
    ['[]', 'the answer is not JSON'],
    ['{"type":"error","error":{"message":"Overloaded"}}', 'Overloaded'],
    ['{"error":{}}', 'an error in a 200 answer'],
    ['{"type":"message"}', 'the answer has no content'],
  ]
  for (const [text, message] of cases) assert.deepEqual(readAnswer(text), { ok: false, message })
})

test('output is what the model wrote, in whatever block; what tools brought in is none', () => {
  const written: JsonObject[] = [
    { type: 'text', text: 'A' },
    { type: 'thinking', thinking: 'A', signature: '' },
    { type: 'thinking', thinking: '', signature: 's' },
    { type: 'redacted_thinking', data: 'x' },
    { type: 'tool_use', id: 'x', name: 'n', input: {} },
    { type: 'server_tool_use', id: 'x', name: 'web_search', input: {} },
    { type: 'compaction', content: 'So far.' },
  ]
  for (const block of written) assert.equal(read(block).hasOutput, true, String(block['type']))
  const none: Json[] = [
    { type: 'text', text: '' },
    { type: 'thinking', thinking: '', signature: '' },
    { type: 'web_search_tool_result', content: [{ title: 'T' }] },
    { type: 'compaction', content: null },
    { type: 'fallback' },
    'text',
  ]
  for (const block of none) assert.equal(read(block).hasOutput, false)
  assert.equal(read().hasOutput, false)
})

test('our own count of the output is of what the model wrote', () => {
  assert.equal(read().tokensEstimated, 0)
  assert.ok(read({ type: 'text', text: 'Seven words are not many words here.' }).tokensEstimated >= 8)
  const call = read({ type: 'tool_use', id: 'x', name: 'n', input: { harbour: 'Faro, in the south' } })
  assert.ok(call.tokensEstimated > 5)
})

test('blocks of server tools are listed; citations keep what others have', () => {
  const citations = [
    {
      type: 'web_search_result_location',
      url: 'https://a.example',
      title: 'A',
      cited_text: 'q',
      encrypted_index: 'e',
    },
    { type: 'search_result_location', source: 'https://b.example', title: null, cited_text: '' },
    { type: 'page_location', document_title: 'Doc', cited_text: 'p', start_page_number: 2 },
  ]
  const answer = decodeAnswer({
    id: 'msg_1',
    model: 'm',
    content: [{ type: 'server_tool_use' }, { type: 'text', text: 'A', citations }],
    stop_reason: 'stop_sequence',
    stop_sequence: 'END',
    stop_details: { type: 'refusal', category: 'bio', explanation: null },
    usage: USAGE,
  })
  assert.ok(answer.ok)
  assert.deepEqual(answer.value.choices[0]?.parts, [
    {
      kind: 'text',
      text: 'A',
      citations: [
        { url: 'https://a.example', title: 'A', quote: 'q' },
        { url: 'https://b.example', title: null, quote: null },
        { url: null, title: 'Doc', quote: 'p' },
      ],
    },
  ])
  assert.deepEqual(answer.value.dropped, [
    'content[]',
    'content[].citations.location',
    'stop_details.category',
    'stop_sequence',
  ])
})

function written(parts: readonly NeutralPart[], members: Partial<NeutralAnswer> = {}): JsonObject {
  const choice = { parts, finish: 'stop' as const, finishRaw: 'stop' }
  const answer = {
    id: 'x',
    model: '',
    createdSeconds: null,
    choices: [choice],
    usage: null,
    serviceTier: null,
    dropped: [],
  }
  return encodeAnswer({ ...answer, ...members }, { ...CONTEXT, annotate: () => ({ charge: '1' }) })
}

test('an answer of another format has all that clients of this one read', () => {
  const body = written([
    { kind: 'reasoning', text: 'Hm.', encrypted: 'e', origin: 'openai' },
    { kind: 'reasoning', text: '', encrypted: 'e', origin: 'openai' },
    { kind: 'text', text: 'A', citations: [{ url: null, title: 'Doc', quote: 'q' }] },
    { kind: 'tool_call', id: 'call.1', name: 'n', arguments: 'not JSON' },
  ])
  const { content, usage, ...rest } = body
  assert.deepEqual(rest, {
    id: 'msg_x',
    type: 'message',
    role: 'assistant',
    model: CONTEXT.requestedModel,
    stop_reason: 'tool_use',
    stop_details: null,
    stop_sequence: null,
  })
  const blocks = content as readonly JsonObject[]
  assert.deepEqual(blocks[0], { type: 'thinking', thinking: 'Hm.', signature: '' })
  assert.deepEqual(
    blocks.map((block) => block['type']),
    ['thinking', 'text', 'tool_use'],
  )
  assert.deepEqual(blocks[2]?.['input'], { raw_arguments: 'not JSON' })
  assert.deepEqual((usage as JsonObject)['tf'], { charge: '1' })
  assert.deepEqual([(usage as JsonObject)['input_tokens'], (usage as JsonObject)['output_tokens']], [0, 0])
})

test('an answer without choices or id is still one', () => {
  const body = written([], { choices: [], id: '' })
  assert.deepEqual(
    [body['id'], body['content'], body['stop_reason']],
    ['msg_req_conformance', [], 'end_turn'],
  )
})
