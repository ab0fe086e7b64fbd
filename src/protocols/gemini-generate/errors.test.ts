import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fixture, json, object, samples } from '../../../test/fixtures/gemini-generate/read.ts'
import { isObject } from '../../kernel/index.ts'
import type { WireError } from '../protocol.ts'
import { eventData } from '../sse.ts'
import { errorAnswer, lengthEnding, readError, streamError } from './errors.ts'

const ERROR: WireError = {
  status: 402,
  code: 'insufficient_balance',
  message: 'The balance is used up.',
  param: null,
  extra: { request_id: 'req_1', next_step: 'Top up.', ledger: { held: '1.50' }, receipt: null },
}

test('a refusal is in Google’s envelope, with our own facts in its ErrorInfo', () => {
  const { status, body } = errorAnswer(ERROR)
  assert.equal(status, 402, 'agents of this protocol stop on it')
  assert.deepEqual(object(body), {
    error: {
      code: 402,
      message: 'The balance is used up.',
      status: 'FAILED_PRECONDITION',
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
          reason: 'INSUFFICIENT_BALANCE',
          domain: 'tokens-forge',
          metadata: {
            code: 'insufficient_balance',
            request_id: 'req_1',
            next_step: 'Top up.',
            ledger: '{"held":"1.50"}',
          },
        },
      ],
    },
  })
})

test('each status has its word', () => {
  const words = [400, 401, 402, 403, 404, 409, 429, 500, 502, 503, 504, 529, 418, 599].map((status) => {
    const { error } = object(errorAnswer({ ...ERROR, status }).body)
    return isObject(error) ? error['status'] : null
  })
  assert.deepEqual(words, [
    'INVALID_ARGUMENT',
    'UNAUTHENTICATED',
    'FAILED_PRECONDITION',
    'PERMISSION_DENIED',
    'NOT_FOUND',
    'ABORTED',
    'RESOURCE_EXHAUSTED',
    'INTERNAL',
    'UNAVAILABLE',
    'UNAVAILABLE',
    'DEADLINE_EXCEEDED',
    'UNAVAILABLE',
    'INVALID_ARGUMENT',
    'INTERNAL',
  ])
})

test('a faulty parameter is named as a field violation', () => {
  const { body } = errorAnswer({ ...ERROR, status: 400, code: 'invalid_parameter', param: 'contents' })
  assert.ok(body.includes('"fieldViolations":[{"field":"contents","description":"The balance is used up."}]'))
})

test('a stream fails with an event of its own, or with the last element of its array', () => {
  const event = streamError(ERROR)
  assert.match(event, /^data: \{.*\}\r\n\r\n$/)
  assert.deepEqual(json(event.slice(6)), object(errorAnswer(ERROR).body))
  assert.deepEqual(json(`[{}${streamError(ERROR, 'array')}`), [{}, object(errorAnswer(ERROR).body)])
})

test('a stream that is cut at a limit says so in the form that it had', () => {
  const stream = fixture('stream.sse')
  const event = Buffer.from(stream.slice(0, stream.indexOf('\r\n\r\n') + 4))
  const ending = lengthEnding(event)
  const expected = {
    candidates: [{ content: { parts: [{ text: '' }], role: 'model' }, finishReason: 'MAX_TOKENS', index: 0 }],
    modelVersion: 'gemini-2.5-flash',
    responseId: 'c3RyZWFtLTAwMDE',
  }
  assert.deepEqual(json(eventData(ending) ?? ''), expected)
  assert.ok(ending.toString().endsWith('\r\n\r\n'))
  const first = `[${event.toString().trim().slice(6)}`
  assert.deepEqual(json(`[{}${lengthEnding(Buffer.from(first)).toString()}`), [{}, expected])
  assert.deepEqual(json(`[{}${lengthEnding(event, 'array').toString()}`), [{}, expected])
  assert.ok(lengthEnding(null).toString().includes('MAX_TOKENS'))
})

test('an upstream’s error is read in each of its shapes, by its finest code', () => {
  const code = (text: string): string | null => readError(text).code
  assert.equal(code(fixture('error-404-model.json')), 'NOT_FOUND')
  assert.equal(
    code(fixture('error-400-key.json')),
    'API_KEY_INVALID',
    'a bad key of ours is a plain 400 but for this',
  )
  assert.equal(code(fixture('error-429-quota.json')), 'RESOURCE_EXHAUSTED')
  assert.equal(code(fixture('error-503-array.json')), 'UNAVAILABLE')
  assert.deepEqual(readError('{"error":"plain"}'), { message: 'plain', code: null })
  assert.deepEqual(readError('{"error":{"code":418}}'), { message: '{"code":418}', code: '418' })
  assert.deepEqual(readError('{"message":"bare"}'), { message: 'bare', code: null })
  assert.deepEqual(readError('<html>'), { message: '', code: null })
  const recorded = samples.find(({ name }) => name === 'gemini-404-model.json')
  if (recorded !== undefined) assert.equal(code(recorded.text), 'NOT_FOUND')
})
