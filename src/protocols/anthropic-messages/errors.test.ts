import assert from 'node:assert/strict'
import { test } from 'node:test'
import { recordingsOf } from '../../../test/protocols/recordings.ts'
import type { Format } from '../../../test/protocols/registry.ts'
import { isObject, parseJson } from '../../kernel/index.ts'
import { errorAnswer, readError, streamError } from './errors.ts'
import { anthropicMessages } from './index.ts'

const OURS = {
  status: 404,
  code: 'model_not_found',
  message: 'No such model.',
  param: null,
  extra: { request_id: 'req_7', receipt: '/r/7', next_step: 'List the models.' },
}

test('the envelope is the format’s, with our facts inside the error and the id beside it', () => {
  const { status, body } = errorAnswer({ ...OURS, param: 'model' })
  assert.equal(status, 404)
  assert.deepEqual(parseJson(body), {
    ok: true,
    value: {
      type: 'error',
      error: {
        type: 'not_found_error',
        message: 'No such model.',
        code: 'model_not_found',
        param: 'model',
        request_id: 'req_7',
        receipt: '/r/7',
        next_step: 'List the models.',
      },
      request_id: 'req_7',
    },
  })
})

test('each fault has the status and type that agents of this format know', () => {
  const cases: ReadonlyArray<readonly [number, string, number, string]> = [
    [400, 'invalid_request', 400, 'invalid_request_error'],
    [401, 'invalid_api_key', 401, 'authentication_error'],
    [402, 'insufficient_balance', 402, 'billing_error'],
    [402, 'balance_held', 402, 'billing_error'],
    [429, 'budget_exceeded', 402, 'billing_error'],
    [403, 'model_not_allowed', 403, 'permission_error'],
    [404, 'model_not_found', 404, 'not_found_error'],
    [409, 'idempotency_conflict', 409, 'conflict_error'],
    [413, 'request_too_large', 413, 'request_too_large'],
    [422, 'invalid_request', 400, 'invalid_request_error'],
    [429, 'rate_limit_exceeded', 429, 'rate_limit_error'],
    [500, 'internal_error', 500, 'api_error'],
    [502, 'upstream_error', 502, 'api_error'],
    [503, 'overloaded', 529, 'overloaded_error'],
    [503, 'ledger_unavailable', 529, 'overloaded_error'],
    [504, 'upstream_timeout', 504, 'timeout_error'],
    [418, 'teapot', 418, 'invalid_request_error'],
  ]
  for (const [status, code, wanted, type] of cases) {
    const answer = errorAnswer({ ...OURS, status, code })
    const parsed = parseJson(answer.body)
    const error = parsed.ok && isObject(parsed.value) ? parsed.value['error'] : null
    assert.deepEqual([answer.status, isObject(error) ? error['type'] : null], [wanted, type], code)
  }
})

test('a failure in mid-stream is an event of its own name', () => {
  assert.match(streamError(OURS), /^event: error\ndata: \{"type":"error","error":\{.*\}\n\n$/)
})

test('message and code are read of every body an upstream may fail with', () => {
  const cases: ReadonlyArray<readonly [string, string, string | null]> = [
    ['{"type":"error","error":{"type":"rate_limit_error","message":"Slow."}}', 'Slow.', 'rate_limit_error'],
    [
      '{"error":{"type":"rate_limit_error","message":"Spent.","details":{"error_code":"ramp_limit_exceeded"}}}',
      'Spent.',
      'ramp_limit_exceeded',
    ],
    ['{"error":{"message":"OpenAI-like","code":429}}', 'OpenAI-like', '429'],
    ['{"error":"plain"}', 'plain', null],
    ['{"message":"outermost"}', 'outermost', null],
    ['<html>', '', null],
    ['[]', '', null],
    ['{"error":{}}', '', null],
  ]
  for (const [body, message, code] of cases) assert.deepEqual(readError(body), { message, code })
})

test('every recorded error is read', () => {
  for (const { text, label } of recordingsOf(anthropicMessages as Format).others) {
    const { message, code } = readError(text)
    assert.notEqual(message, '', label)
    assert.notEqual(code, null, label)
    assert.equal(anthropicMessages.readAnswer(text).ok, false)
  }
})
