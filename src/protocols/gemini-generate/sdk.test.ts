import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { after, before, test } from 'node:test'
import { ApiError, GoogleGenAI } from '@google/genai'
import { fixture, object, streamText } from '../../../test/fixtures/gemini-generate/read.ts'
import type { JsonObject } from '../../kernel/index.ts'
import type { EncoderContext } from '../protocol.ts'
import { eventData, splitEvents } from '../sse.ts'
import { geminiGenerate } from './index.ts'

/** Google's own SDK reads what is written here, and what it writes is read. */

interface Reply {
  readonly status: number
  readonly type: string
  readonly body: string
}

let server: Server
let client: GoogleGenAI
let reply: Reply = { status: 500, type: 'text/plain', body: '' }
let asked: { readonly url: string; readonly body: JsonObject } | null = null

before(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      asked = { url: request.url ?? '', body: object(Buffer.concat(chunks).toString()) }
      response.writeHead(reply.status, { 'content-type': reply.type }).end(reply.body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  client = new GoogleGenAI({ apiKey: 'k', httpOptions: { baseUrl: `http://127.0.0.1:${address.port}` } })
})

after(() => {
  server.close()
  server.closeAllConnections()
})

const CONTEXT: EncoderContext = {
  requestId: 'req_1',
  requestedModel: 'gemini-ours',
  createdSeconds: 0,
  wantsUsage: true,
  requestBody: {},
  annotate: () => ({ charge: '0.5' }),
}

const answers = (body: JsonObject): Reply => ({
  status: 200,
  type: 'application/json; charset=UTF-8',
  body: JSON.stringify(body),
})

function encoded(name: string): JsonObject {
  const decoded = geminiGenerate.decodeAnswer(object(fixture(name)))
  assert.ok(decoded.ok)
  return geminiGenerate.encodeAnswer(decoded.value, CONTEXT)
}

function translated(name: string): string {
  const decoder = geminiGenerate.createStreamDecoder()
  const encoder = geminiGenerate.createStreamEncoder(CONTEXT)
  const text = streamText({ name, text: fixture(name) })
  const written = splitEvents(Buffer.from(text)).flatMap((event) =>
    decoder.feed({ name: null, data: eventData(event) ?? '' }).map((neutral) => encoder.push(neutral)),
  )
  return written.join('') + encoder.end()
}

test('a text turn', async () => {
  reply = answers(encoded('text.json'))
  const response = await client.models.generateContent({ model: 'gemini-2.5-flash', contents: 'hello' })
  assert.equal(response.text, 'A heron stood in the shallows and waited.')
  assert.equal(response.usageMetadata?.totalTokenCount, 63)
})

test('a streamed turn, passed and translated', async () => {
  const reader = geminiGenerate.createStreamReader({ wantsUsage: true, annotate: () => ({ charge: '0.5' }) })
  const passed = reader.feed(Buffer.from(`: keepalive\n\n${fixture('stream.sse')}`))
  assert.ok(passed.ok && passed.forward !== null)
  for (const body of [passed.forward.toString(), translated('stream.sse')]) {
    reply = { status: 200, type: 'text/event-stream', body }
    const stream = await client.models.generateContentStream({ model: 'gemini-2.5-flash', contents: 'hello' })
    let text = ''
    let tokens = 0
    for await (const chunk of stream) {
      text += chunk.text ?? ''
      tokens = chunk.usageMetadata?.totalTokenCount ?? tokens
    }
    assert.equal(text, 'The tide came in over the mudflats — 潮水 🌊 — and the boats rose.')
    assert.equal(tokens, 69)
    assert.ok(asked?.url.endsWith('/models/gemini-2.5-flash:streamGenerateContent?alt=sse'))
  }
})

test('a tool turn: the calls come whole with ids and signatures, and go back', async () => {
  reply = { status: 200, type: 'text/event-stream', body: translated('tool-call.chunks.txt') }
  const tools = [
    {
      functionDeclarations: [
        {
          name: 'tide_table',
          parametersJsonSchema: { type: 'object', properties: { harbour: { type: 'string' } } },
        },
        { name: 'moon_phase' },
      ],
    },
  ]
  const config = { tools, systemInstruction: 'You are a harbour master.', maxOutputTokens: 100 }
  const stream = await client.models.generateContentStream({
    model: 'gemini-3-pro',
    contents: 'tides?',
    config,
  })
  const parts = []
  for await (const chunk of stream)
    for (const part of chunk.candidates?.[0]?.content?.parts ?? []) if (part.functionCall) parts.push(part)
  assert.deepEqual(
    parts.map(({ functionCall }) => functionCall?.name),
    ['tide_table', 'tide_table', 'moon_phase'],
  )
  reply = answers(encoded('text.json'))
  const responses = parts.map(({ functionCall }) => ({
    functionResponse: {
      id: functionCall?.id ?? '',
      name: functionCall?.name ?? '',
      response: { output: 'high' },
    },
  }))
  await client.models.generateContent({
    model: 'gemini-3-pro',
    contents: [
      { role: 'user', parts: [{ text: 'tides?' }] },
      { role: 'model', parts },
      { role: 'user', parts: responses },
    ],
    config,
  })
  assert.ok(asked !== null)
  const { body } = asked
  const path = { model: 'gemini-3-pro', stream: false, sse: false }
  const read = geminiGenerate.readRequest({ body, byteLength: JSON.stringify(body).length, path })
  assert.ok(read.ok)
  assert.equal(read.request.maxOutputTokens, 100)
  const decoded = geminiGenerate.decodeRequest(body, read.request)
  assert.ok(decoded.ok, JSON.stringify(decoded))
  const { messages, tools: declared, system } = decoded.value
  assert.deepEqual(
    declared.map(({ name }) => name),
    ['tide_table', 'moon_phase'],
  )
  assert.deepEqual(system, [{ kind: 'text', text: 'You are a harbour master.' }])
  const [first] = messages[1]?.parts ?? []
  assert.ok(first?.kind === 'tool_call' && first.signature === 'c2lnbmF0dXJlLW9mLXRpZGVz')
  assert.deepEqual(
    messages[2]?.parts.map((part) => (part.kind === 'tool_result' ? part.id : null)),
    messages[1]?.parts.map((part) => (part.kind === 'tool_call' ? part.id : null)),
  )
})

test('an empty balance and a failure in mid-stream are errors of the SDK, with our words', async () => {
  const error = {
    status: 402,
    code: 'insufficient_balance',
    message: 'The balance is used up.',
    param: null,
    extra: { request_id: 'req_1' },
  }
  const { status, body } = geminiGenerate.errorAnswer(error)
  reply = { status, type: 'application/json', body }
  const turn = { model: 'gemini-2.5-flash', contents: 'hello' }
  await assert.rejects(
    client.models.generateContent(turn),
    (thrown: unknown) =>
      thrown instanceof ApiError && thrown.status === 402 && thrown.message.includes('INSUFFICIENT_BALANCE'),
  )
  const stream = fixture('stream.sse')
  const first = stream.slice(0, stream.indexOf('\r\n\r\n') + 4)
  const failure = geminiGenerate.streamError({ ...error, status: 502, code: 'upstream_error' })
  reply = { status: 200, type: 'text/event-stream', body: first + failure }
  await assert.rejects(async () => {
    for await (const chunk of await client.models.generateContentStream(turn)) assert.ok(chunk)
  }, ApiError)
})
