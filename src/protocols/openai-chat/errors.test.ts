import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseJson } from '../../kernel/index.ts'
import { openaiChatProtocol as chat } from './index.ts'

const told = (status: number, code: string) => {
  const { status: sent, body } = chat.errorAnswer({
    status,
    code,
    message: 'No.',
    param: 'model',
    extra: { reason: code },
  })
  const parsed = parseJson(body)
  return { sent, error: parsed.ok ? (parsed.value as { readonly error: unknown }).error : null }
}

describe('errors', () => {
  test('what cannot be paid answers 429 insufficient_quota, with our own code beside it', () => {
    for (const code of ['insufficient_balance', 'balance_held', 'budget_exceeded'])
      assert.deepEqual(told(402, code), {
        sent: 429,
        error: {
          message: 'No.',
          type: 'insufficient_quota',
          param: 'model',
          code: 'insufficient_quota',
          reason: code,
        },
      })
  })

  test('each status has the type that the SDKs know', () => {
    const types = { 400: 'invalid_request_error', 401: 'authentication_error', 403: 'permission_error' }
    const more = { 404: 'invalid_request_error', 413: 'invalid_request_error', 429: 'rate_limit_error' }
    for (const [status, type] of Object.entries({ ...types, ...more, 500: 'api_error', 503: 'api_error' })) {
      const { sent, error } = told(Number(status), 'some_code')
      assert.equal(sent, Number(status))
      assert.equal((error as { readonly type: string }).type, type)
    }
  })

  test('an error in mid-stream has no end mark behind it', () => {
    const text = chat.streamError({
      status: 502,
      code: 'upstream_error',
      message: 'Gone.',
      param: null,
      extra: {},
    })
    assert.ok(text.startsWith('data: {"error":{') && text.endsWith('}}\n\n'))
    assert.equal(text.includes('[DONE]'), false)
  })

  test('every envelope of an upstream is read', () => {
    const cases: ReadonlyArray<readonly [string, string, string | null]> = [
      ['{"error":{"message":"a","type":"t","code":"c"}}', 'a', 'c'],
      ['{"error":{"message":"a","code":429}}', 'a', '429'],
      ['{"error":"a"}', 'a', null],
      ['{"object":"error","message":"a","type":"t","code":null}', 'a', 't'],
      ['{"detail":"a"}', 'a', null],
      ['<html>', '', null],
      ['[]', '', null],
    ]
    for (const [body, message, code] of cases) assert.deepEqual(chat.readError(body), { message, code })
  })
})
