import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  ANSWERS,
  all,
  context,
  fixture,
  json,
  RECORDED_ANSWERS,
} from '../../../test/fixtures/openai-responses/samples.ts'
import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralAnswer, NeutralPart } from '../neutral.ts'
import { readAnswer } from './answer.ts'
import { decodeAnswer } from './decode-answer.ts'
import { encodeAnswer } from './encode-answer.ts'

/** Asks for sealed reasoning and declares the tools of the samples in their kinds. */
const REQUEST: JsonObject = {
  model: 'asked-model',
  instructions: 'Be brief.',
  include: ['reasoning.encrypted_content'],
  metadata: { trip: '7' },
  temperature: 0.5,
  tools: [
    { type: 'custom', name: 'exec' },
    {
      type: 'namespace',
      name: 'harbour',
      tools: [{ type: 'function', name: 'list_boats', parameters: {} }],
    },
    { type: 'local_shell' },
  ],
}

function decoded(body: JsonObject): NeutralAnswer {
  const result = decodeAnswer(body)
  assert.ok(result.ok)
  return result.value
}

const first = (answer: NeutralAnswer): readonly NeutralPart[] => answer.choices[0]?.parts ?? []

test('what is decoded, encoded and decoded again is the same', () => {
  for (const [name, bytes] of all(ANSWERS, RECORDED_ANSWERS)) {
    const once = decoded(json(bytes))
    const twice = decoded(encodeAnswer(once, context(REQUEST)))
    // Steps of hosted tools cannot be told again.
    const { dropped: _, usage, choices, ...head } = once
    const { dropped: __, usage: usageAgain, choices: choicesAgain, ...headAgain } = twice
    assert.deepEqual(headAgain, head, name)
    assert.deepEqual(usageAgain?.counts, usage?.counts, name)
    assert.equal(usageAgain?.reasoning, usage?.reasoning, name)
    assert.deepEqual(usageAgain?.calls, usage?.calls, name)
    assert.deepEqual(choicesAgain, choices, name)
  }
})

test('text, refusals, reasoning and calls of every kind come out', () => {
  const of = (name: string): readonly NeutralPart[] => first(decoded(json(fixture(name))))
  assert.deepEqual(of('reasoning-encrypted.json'), [
    {
      kind: 'reasoning',
      text: '**Counting crates**\n\nSix crates of four make twenty-four.',
      encrypted: 'gAAAAABqSealedByNobody0123456789==',
      id: 'rs_a4',
      origin: 'openai',
    },
    { kind: 'text', text: 'There are 24.' },
    { kind: 'tool_call', id: 'call_a4', name: 'store_count', arguments: '{"count":24}' },
  ])
  assert.deepEqual(of('custom-tool.json'), [
    {
      kind: 'tool_call',
      id: 'call_b3',
      name: 'exec',
      arguments: '{"input":"say(\\"héllo \\\\\\"harbour\\\\\\"\\")\\n"}',
    },
    { kind: 'tool_call', id: 'call_b4', name: 'harbour__list_boats', arguments: '{"pier":3}' },
  ])
  assert.deepEqual(of('local-shell.json'), [
    {
      kind: 'tool_call',
      id: 'call_b5',
      name: 'local_shell',
      arguments: '{"command":["ls","-a"],"env":{},"working_directory":"/harbour"}',
    },
  ])
  assert.deepEqual(of('refusal.json'), [{ kind: 'refusal', text: 'I will not help to pick that lock.' }])
  assert.deepEqual(of('web-search.json'), [
    {
      kind: 'text',
      text: 'High water is at six.',
      citations: [{ url: 'https://tides.example/today', title: 'Tides today', quote: null }],
    },
  ])
  const image = of('image-generation.json')
  assert.deepEqual(image, [
    { kind: 'image', source: { kind: 'data', mediaType: 'image/webp', base64: 'UklGRiQAAABXRUJQVlA4' } },
  ])
})

test('an ending keeps its reason', () => {
  const finish = (name: string) => decoded(json(fixture(name))).choices[0]
  assert.equal(finish('text.json')?.finish, 'stop')
  assert.equal(finish('refusal.json')?.finish, 'refusal')
  assert.equal(finish('custom-tool.json')?.finish, 'tool_calls')
  assert.equal(finish('incomplete.json')?.finish, 'length')
  assert.equal(finish('incomplete.json')?.finishRaw, 'max_output_tokens')
  assert.deepEqual(decoded(json(fixture('web-search.json'))).dropped, ['output[].web_search_call'])
})

test('calls go back in the kind and namespace that their tools were declared in', () => {
  const body = encodeAnswer(decoded(json(fixture('custom-tool.json'))), context(REQUEST))
  const [custom, spaced] = body['output'] as readonly JsonObject[]
  assert.equal(custom?.['type'], 'custom_tool_call')
  assert.equal(custom?.['input'], 'say("héllo \\"harbour\\"")\n')
  assert.equal(custom?.['call_id'], 'call_b3')
  assert.equal(spaced?.['type'], 'function_call')
  assert.equal(spaced?.['name'], 'list_boats')
  assert.equal(spaced?.['namespace'], 'harbour')
  const shell = encodeAnswer(decoded(json(fixture('local-shell.json'))), context(REQUEST))
  const [call] = shell['output'] as readonly JsonObject[]
  assert.equal(call?.['type'], 'local_shell_call')
  assert.deepEqual(call?.['action'], {
    type: 'exec',
    command: ['ls', '-a'],
    env: {},
    working_directory: '/harbour',
  })
  const plain = encodeAnswer(decoded(json(fixture('custom-tool.json'))), context())
  assert.equal((plain['output'] as readonly JsonObject[])[0]?.['type'], 'function_call')
})

test('the answer repeats the request, says that nothing is kept, and has the note in its usage', () => {
  const note = { charge: '0.2', currency: 'USD' }
  const body = encodeAnswer(decoded(json(fixture('text.json'))), {
    ...context({ ...REQUEST, store: true }),
    annotate: () => note,
  })
  assert.equal(body['object'], 'response')
  assert.equal(body['status'], 'completed')
  assert.equal(body['instructions'], 'Be brief.')
  assert.deepEqual(body['metadata'], { trip: '7' })
  assert.deepEqual(body['tools'], REQUEST['tools'])
  assert.equal(body['temperature'], 0.5)
  assert.equal(body['top_p'], 1)
  assert.equal(body['store'], false)
  assert.deepEqual(body['text'], { format: { type: 'text' }, verbosity: 'medium' })
  assert.deepEqual(body['usage'], {
    input_tokens: 23,
    input_tokens_details: { cached_tokens: 0, cache_write_tokens: 0 },
    output_tokens: 9,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 32,
    tf: note,
  })
})

test('an answer of another format gets ids, a model and a time of its own', () => {
  const body = encodeAnswer(
    {
      id: 'chatcmpl-9.x',
      model: '',
      createdSeconds: null,
      choices: [
        {
          parts: [{ kind: 'tool_call', id: '', name: 'ring', arguments: '' }],
          finish: 'tool_calls',
          finishRaw: '',
        },
      ],
      usage: null,
      serviceTier: 'standard',
      dropped: [],
    },
    context(),
  )
  assert.equal(body['id'], 'resp_chatcmpl_9_x')
  assert.equal(body['model'], 'asked-model')
  assert.equal(body['created_at'], 1_790_000_123)
  assert.equal(body['service_tier'], 'default')
  assert.equal(body['usage'], null)
  assert.deepEqual(body['output'], [
    {
      id: 'fc_tf_chatcmpl_9_x_0',
      type: 'function_call',
      status: 'completed',
      arguments: '{}',
      call_id: 'call_chatcmpl_9_x_0',
      name: 'ring',
    },
  ])
})

test('what another provider sealed travels in a wrapper, and only to who asks for it', () => {
  const parts: readonly NeutralPart[] = [
    { kind: 'reasoning', text: 'Hm.', signature: 'sig==', origin: 'anthropic' },
    { kind: 'reasoning', text: '', redacted: 'opaque', origin: 'anthropic' },
    { kind: 'tool_call', id: 'call_1', name: 'ring', arguments: '{}', signature: 'thought' },
  ]
  const answer: NeutralAnswer = {
    id: 'x',
    model: 'm',
    createdSeconds: 1,
    choices: [{ parts, finish: 'tool_calls', finishRaw: 'tool_use' }],
    usage: null,
    serviceTier: null,
    dropped: [],
  }
  assert.deepEqual(first(decoded(encodeAnswer(answer, context(REQUEST)))), parts)
  assert.deepEqual(first(decoded(encodeAnswer(answer, context()))), [
    { kind: 'reasoning', text: 'Hm.', origin: 'openai' },
    { kind: 'tool_call', id: 'call_1', name: 'ring', arguments: '{}' },
  ])
})

test('endings that this format has no word for become the nearest', () => {
  const status = (finish: NeutralAnswer['choices'][number]['finish']) =>
    encodeAnswer(
      {
        id: 'x',
        model: 'm',
        createdSeconds: 1,
        choices: [{ parts: [{ kind: 'text', text: 'a' }], finish, finishRaw: finish }],
        usage: null,
        serviceTier: null,
        dropped: [],
      },
      context(),
    )
  for (const finish of ['stop', 'stop_sequence', 'tool_calls', 'pause'] as const)
    assert.equal(status(finish)['status'], 'completed', finish)
  for (const finish of ['length', 'context_exceeded'] as const)
    assert.deepEqual(status(finish)['incomplete_details'], { reason: 'max_output_tokens' }, finish)
  for (const finish of ['content_filter', 'refusal'] as const)
    assert.deepEqual(status(finish)['incomplete_details'], { reason: 'content_filter' }, finish)
  assert.equal(status('error')['status'], 'failed')
  assert.notEqual(status('error')['error'], null)
})

test('a whole answer is read for metering; a failed one and what is no answer are refused', () => {
  for (const [name, bytes] of all(ANSWERS, RECORDED_ANSWERS)) {
    const read = readAnswer(bytes.toString('utf8'))
    assert.ok(read.ok, name)
    assert.equal(read.answer.hasOutput, true, name)
    assert.notEqual(read.answer.servedModel, null, name)
  }
  const read = readAnswer(fixture('reasoning-encrypted.json').toString('utf8'))
  assert.ok(read.ok)
  assert.equal(read.answer.serviceTier, 'priority')
  assert.ok(read.answer.tokensEstimated > 10 && read.answer.tokensEstimated < 60)
  const failed = readAnswer(fixture('failed.json').toString('utf8'))
  assert.deepEqual(failed, { ok: false, message: 'The pier fell into the sea.' })
  assert.equal(decodeAnswer(json(fixture('failed.json'))).ok, false)
  for (const text of ['<html>', '{}', '[]', '{"error":"no"}', '{"output":[],"status":"cancelled"}'])
    assert.equal(readAnswer(text).ok, false, text)
})
