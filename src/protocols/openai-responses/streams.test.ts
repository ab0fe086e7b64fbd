import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import OpenAI from 'openai'
import {
  all,
  context,
  events,
  fixture,
  json,
  RECORDED_STREAMS,
  STREAMS,
} from '../../../test/fixtures/openai-responses/samples.ts'
import type { JsonObject } from '../../kernel/index.ts'
import type { NeutralChoice, NeutralEvent, NeutralPart } from '../neutral.ts'
import type { EncoderContext } from '../protocol.ts'
import { decodeAnswer } from './decode-answer.ts'
import { createStreamDecoder } from './decode-stream.ts'
import { createStreamEncoder } from './encode-stream.ts'
import { streamError } from './errors.ts'
import { lengthEnding } from './length-ending.ts'

const REQUEST: JsonObject = {
  include: ['reasoning.encrypted_content'],
  tools: [{ type: 'custom', name: 'exec' }],
}

function decode(bytes: Buffer): NeutralEvent[] {
  const decoder = createStreamDecoder()
  return events(bytes).flatMap((event) => decoder.feed(event))
}

function encode(list: readonly NeutralEvent[], of: EncoderContext): Buffer {
  const encoder = createStreamEncoder(of)
  return Buffer.from(list.map((event) => encoder.push(event)).join('') + encoder.end())
}

/** The parts that a stream of events builds, as a whole answer would have them. */
function build(list: readonly NeutralEvent[]): Pick<NeutralChoice, 'parts' | 'finish' | 'finishRaw'> {
  const parts: NeutralPart[] = []
  let ending: Pick<NeutralChoice, 'finish' | 'finishRaw'> = { finish: 'stop', finishRaw: '' }
  const last = (): NeutralPart | undefined => parts.at(-1)
  for (const event of list) {
    const now = last()
    if (event.kind === 'text')
      if (now?.kind === 'text') parts[parts.length - 1] = { ...now, text: now.text + event.text }
      else parts.push({ kind: 'text', text: event.text })
    else if (event.kind === 'citation' && now?.kind === 'text')
      parts[parts.length - 1] = { ...now, citations: [...(now.citations ?? []), event.citation] }
    else if (event.kind === 'refusal')
      if (now?.kind === 'refusal') parts[parts.length - 1] = { ...now, text: now.text + event.text }
      else parts.push({ kind: 'refusal', text: event.text })
    else if (event.kind === 'reasoning')
      if (now?.kind === 'reasoning') parts[parts.length - 1] = { ...now, text: now.text + event.text }
      else parts.push({ kind: 'reasoning', text: event.text, origin: 'openai' })
    else if (event.kind === 'reasoning_seal') {
      const { kind: _, choice: __, ...seal } = event
      if (now?.kind === 'reasoning') parts[parts.length - 1] = { ...now, ...seal }
      else parts.push({ kind: 'reasoning', text: '', ...seal })
    } else if (event.kind === 'tool_begin') {
      const { id, name, signature } = event
      parts.push({
        kind: 'tool_call',
        id,
        name,
        arguments: '',
        ...(signature === undefined ? {} : { signature }),
      })
    } else if (event.kind === 'tool_arguments' && now?.kind === 'tool_call')
      parts[parts.length - 1] = { ...now, arguments: now.arguments + event.fragment }
    else if (event.kind === 'finish') ending = { finish: event.finish, finishRaw: event.finishRaw }
  }
  return { parts, ...ending }
}

function lastResponse(bytes: Buffer): JsonObject {
  const last = events(bytes)
    .filter((event) => event.data !== '[DONE]')
    .at(-1)
  return json(Buffer.from(last?.data ?? ''))['response'] as JsonObject
}

const usageOf = (list: readonly NeutralEvent[]) =>
  list.find((event): event is Extract<NeutralEvent, { kind: 'usage' }> => event.kind === 'usage')

const SAMPLES = all(STREAMS, RECORDED_STREAMS)

test('a stream tells what its last response says as a whole', () => {
  for (const [name, bytes] of SAMPLES) {
    const list = decode(bytes)
    const whole = decodeAnswer(lastResponse(bytes))
    assert.ok(whole.ok, name)
    const [choice] = whole.value.choices
    const built = build(list)
    // The last response seals once more than the item before it, in a recording.
    const sealless = (part: NeutralPart): NeutralPart =>
      part.kind === 'reasoning' && part.encrypted !== undefined ? { ...part, encrypted: '' } : part
    assert.deepEqual(built.parts.map(sealless), choice?.parts.map(sealless), name)
    assert.equal(built.finish, choice?.finish, name)
    assert.deepEqual(usageOf(list)?.usage, whole.value.usage, name)
    assert.equal(usageOf(list)?.serviceTier, whole.value.serviceTier, name)
    assert.equal(list.filter((event) => event.kind === 'start').length, 1, name)
  }
})

test('parts never overlap, and calls are counted from 0 in their order', () => {
  const list = decode(fixture('stream-parallel-tools.sse'))
  let current = -1
  for (const event of list) {
    if (event.kind === 'tool_begin') {
      assert.equal(event.index, current + 1)
      current = event.index
    }
    if (event.kind === 'tool_arguments') assert.equal(event.index, current)
  }
  assert.equal(current, 1)
})

test('what is decoded, encoded and decoded again is the same stream', () => {
  for (const [name, bytes] of SAMPLES) {
    const list = decode(bytes)
    const again = decode(encode(list, context(REQUEST)))
    const plain = (part: NeutralPart): NeutralPart =>
      // A stream must name an item before it knows the seal's own id.
      part.kind === 'reasoning' ? { ...part, id: 'any' } : part
    const { parts: once, ...ending } = build(list)
    const { parts: twice, ...endingAgain } = build(again)
    const filled = (part: NeutralPart): NeutralPart =>
      part.kind === 'tool_call' && part.arguments === '' ? { ...part, arguments: '{}' } : part
    assert.deepEqual(twice.map(plain), once.map(filled).map(plain), name)
    assert.deepEqual(endingAgain, ending, name)
    assert.deepEqual(usageOf(again)?.usage.counts, usageOf(list)?.usage.counts, name)
  }
})

test('every event has the next number, its own name, and the place of an item that was added', () => {
  for (const [name, bytes] of SAMPLES) {
    const written = events(encode(decode(bytes), context(REQUEST)))
    const open = new Map<number, string>()
    written.forEach((event, at) => {
      const body = json(Buffer.from(event.data))
      assert.equal(body['sequence_number'], at, name)
      assert.equal(body['type'], event.name, name)
      const { output_index: index, item, item_id: itemId } = body
      if (typeof index !== 'number') return
      const id = (item as JsonObject | undefined)?.['id']
      if (event.name === 'response.output_item.added') {
        assert.equal(index, open.size, name)
        open.set(index, String(id))
      }
      assert.equal(itemId ?? id, open.get(index), name)
    })
    assert.equal(written[0]?.name, 'response.created', name)
    assert.equal(written[1]?.name, 'response.in_progress', name)
  }
})

test('a text is told in OpenAI’s full order of events', () => {
  const names = events(encode(decode(fixture('stream-text.sse')), context())).map((event) => event.name)
  assert.deepEqual(
    names.filter((name, at) => name !== names[at - 1]),
    [
      'response.created',
      'response.in_progress',
      'response.output_item.added',
      'response.content_part.added',
      'response.output_text.delta',
      'response.output_text.done',
      'response.content_part.done',
      'response.output_item.done',
      'response.completed',
    ],
  )
})

/** What OpenAI's own client makes of a stream: it checks the order of events and the identity of every item. */
async function readBySdk(bytes: Buffer): Promise<JsonObject> {
  const client = new OpenAI({
    apiKey: 'none',
    maxRetries: 0,
    fetch: () =>
      Promise.resolve(
        new Response(new Uint8Array(bytes), { headers: { 'content-type': 'text/event-stream' } }),
      ),
  })
  const stream = client.responses.stream({ model: 'm', input: 'x' })
  return (await stream.finalResponse()) as unknown as JsonObject
}

test('OpenAI’s client reads every encoded stream, and gets the output of its last response', async () => {
  for (const [name, bytes] of SAMPLES) {
    const encoded = encode(decode(bytes), context(REQUEST))
    const read = await readBySdk(encoded)
    const wanted = lastResponse(encoded)['output'] as readonly JsonObject[]
    const got = read['output'] as readonly JsonObject[]
    assert.equal(got.length, wanted.length, name)
    got.forEach((item, at) => {
      for (const [member, value] of Object.entries(wanted[at] ?? {}))
        if (member !== 'content') assert.deepEqual(item[member], value, `${name} ${member}`)
    })
  }
})

test('free text of a custom tool is told as it is written', () => {
  const list = decode(fixture('stream-custom-tool.sse'))
  const written = events(encode(list, context(REQUEST)))
  const deltas = written.filter((event) => event.name === 'response.custom_tool_call_input.delta')
  assert.ok(deltas.length > 1)
  const text = deltas.map((event) => json(Buffer.from(event.data))['delta']).join('')
  assert.equal(text, 'text("día 🚢")\nexit()')
  const done = written.find((event) => event.name === 'response.custom_tool_call_input.done')
  assert.equal(json(Buffer.from(done?.data ?? ''))['input'], text)
})

test('the note is asked for once and stands in the last usage', () => {
  let asked = 0
  const of = { ...context(), annotate: () => ({ n: ++asked }) }
  const response = lastResponse(encode(decode(fixture('stream-text.sse')), of))
  assert.equal(asked, 1)
  assert.deepEqual((response['usage'] as JsonObject)['tf'], { n: 1 })
})

test('an upstream that fails ends the stream with an error and a failed response, without its words', async () => {
  const list = decode(fixture('stream-failed.sse'))
  assert.equal(list.at(-1)?.kind, 'error')
  const encoded = encode(list, context())
  const names = events(encoded).map((event) => event.name)
  assert.deepEqual(names.slice(-2), ['error', 'response.failed'])
  assert.doesNotMatch(encoded.toString('utf8'), /rope\.example/)
  await assert.rejects(readBySdk(encoded), /provider failed/)
})

test('our own failure in mid-stream is thrown by OpenAI’s client with our code', async () => {
  const started = events(fixture('stream-text.sse')).slice(0, 2)
  const head = started.map((event) => `event: ${event.name}\ndata: ${event.data}\n\n`).join('')
  const failure = streamError({
    status: 504,
    code: 'upstream_timeout',
    message: 'Too slow.',
    param: null,
    extra: { request_id: 'req_9', next_step: 'Wait.' },
  })
  await assert.rejects(readBySdk(Buffer.from(head + failure)), (thrown: unknown) => {
    assert.ok(thrown instanceof OpenAI.APIError)
    assert.equal(thrown.code, 'upstream_timeout')
    assert.match(thrown.message, /Too slow/)
    return true
  })
  const failed = json(Buffer.from(events(Buffer.from(failure)).at(-1)?.data ?? ''))['response'] as JsonObject
  assert.equal(failed['status'], 'failed')
  assert.deepEqual(failed['error'], { code: 'upstream_timeout', message: 'Too slow.' })
})

test('a stream that is cut says that its limit was reached, and keeps what was told', async () => {
  const bytes = fixture('stream-text.sse')
  const all8 = events(bytes)
  const firstEvent = Buffer.from(`event: ${all8[0]?.name}\ndata: ${all8[0]?.data}\n\n`)
  const cut = lengthEnding(firstEvent)
  const response = lastResponse(cut)
  assert.equal(response['status'], 'incomplete')
  assert.equal(response['id'], 'resp_c1')
  const told = all8.slice(0, 6).map((event) => `event: ${event.name}\ndata: ${event.data}\n\n`)
  const read = await readBySdk(Buffer.concat([Buffer.from(told.join('')), cut]))
  assert.match(JSON.stringify(read['output']), /Boats/)
  assert.deepEqual(build(decode(lengthEnding(null))).finish, 'length')
})

const word = fc.string({ minLength: 1, maxLength: 6 })
const someEvents = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('text' as const), choice: fc.constant(0), text: word }),
    fc.record({ kind: fc.constant('reasoning' as const), choice: fc.constant(0), text: word }),
    fc.record({ kind: fc.constant('refusal' as const), choice: fc.constant(0), text: word }),
    fc.record({
      kind: fc.constant('call' as const),
      name: fc.constantFrom('exec', 'ring'),
      value: fc.json(),
    }),
  ),
  { maxLength: 12 },
)

test('any order of parts is read back as it was told', () => {
  fc.assert(
    fc.property(someEvents, (list) => {
      const told: NeutralEvent[] = [{ kind: 'start', id: 'x', model: 'm', createdSeconds: 1 }]
      let index = 0
      for (const event of list) {
        if (event.kind !== 'call') {
          told.push(event)
          continue
        }
        const text = event.name === 'exec' ? JSON.stringify({ input: event.value }) : event.value
        told.push({ kind: 'tool_begin', choice: 0, index, id: `call_${index}`, name: event.name })
        told.push({ kind: 'tool_arguments', choice: 0, index, fragment: text.slice(0, 3) })
        told.push({ kind: 'tool_arguments', choice: 0, index, fragment: text.slice(3) })
        index++
      }
      const again = build(decode(encode(told, context(REQUEST)))).parts
      assert.deepEqual(again, build(told).parts)
    }),
  )
})
