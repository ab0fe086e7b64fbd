import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fixture, json, recording } from '../../../test/fixtures/openai-responses/samples.ts'
import type { JsonObject } from '../../kernel/index.ts'
import { errorAnswer, readError } from './errors.ts'

const error = (status: number, code: string) =>
  errorAnswer({ status, code, message: 'No.', param: null, extra: { request_id: 'req_1' } })

test('what cannot be paid is 429 insufficient_quota, on which clients stop', () => {
  for (const code of ['insufficient_balance', 'balance_held', 'budget_exceeded']) {
    const { status, body } = error(402, code)
    assert.equal(status, 429)
    const sent = json(Buffer.from(body))['error'] as JsonObject
    assert.deepEqual(sent, {
      message: 'No.',
      type: 'insufficient_quota',
      param: null,
      code: 'insufficient_quota',
      request_id: 'req_1',
    })
  }
})

test('an upstream that is down for long is answered with the word on which Codex stops; ours stands beside it', () => {
  const { status, body } = errorAnswer({
    status: 502,
    code: 'upstream_error',
    message: 'No.',
    param: null,
    hopeless: true,
    extra: { reason: 'upstream_error' },
  })
  const { code, reason, message } = json(Buffer.from(body))['error'] as JsonObject
  assert.deepEqual([status, code, reason, message], [503, 'server_is_overloaded', 'upstream_error', 'No.'])
})

test('every other fault keeps its status and code, with OpenAI’s word for its kind', () => {
  const type = (status: number) => (json(Buffer.from(error(status, 'x').body))['error'] as JsonObject)['type']
  assert.equal(error(404, 'model_not_found').status, 404)
  assert.deepEqual([400, 401, 403, 404, 413, 422, 429, 500, 502, 503].map(type), [
    'invalid_request_error',
    'authentication_error',
    'permission_error',
    'invalid_request_error',
    'invalid_request_error',
    'invalid_request_error',
    'rate_limit_error',
    'api_error',
    'api_error',
    'api_error',
  ])
})

test('an upstream’s error is read whatever its shape', () => {
  assert.deepEqual(readError(fixture('error-400-parameter.json').toString('utf8')), {
    message: "'depth' must be at least 0.",
    code: 'integer_below_min_value',
  })
  assert.equal(readError(fixture('error-429-quota.json').toString('utf8')).code, 'insufficient_quota')
  assert.deepEqual(readError('{"detail":"no"}'), { message: 'no', code: null })
  assert.deepEqual(readError('{"error":"no"}'), { message: 'no', code: null })
  assert.deepEqual(readError('{"message":"no","code":7}'), { message: 'no', code: '7' })
  assert.deepEqual(readError('{"type":"error","code":null,"message":"no"}'), { message: 'no', code: null })
  assert.deepEqual(readError('<html>'), { message: '', code: null })
  for (const name of [
    'openai-responses-400.json',
    'deepseek-responses-400.json',
    'openai-429-insufficient-quota.json',
  ]) {
    const bytes = recording(name)
    if (bytes === null) continue
    const { message, code } = readError(bytes.toString('utf8'))
    assert.notEqual(message, '', name)
    assert.notEqual(code, null, name)
  }
})
