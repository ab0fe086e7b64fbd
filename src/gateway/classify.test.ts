import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { failedAnswer, readRetryAfterMs, redact, transportCode } from './classify.ts'

test('what an upstream says is shown without keys, tokens and addresses', () => {
  const secrets = ['sk-UPSTREAM-0123456789', 'relay.internal.example', 'relay.internal.example:8443']
  for (const text of [
    'Incorrect API key provided: sk-UPSTREAM-0123456789.',
    'bearer abc.def.ghi was refused',
    'see https://relay.internal.example:8443/v1?key=abc',
    'upstream relay.internal.example is down',
    'connect ECONNREFUSED 10.0.12.7:8080',
    'key AIzaSyA1234567890abcdef is invalid',
    'gsk_1234567890 expired',
    'sk-ant-api03-abcdef and xai-abcdefgh',
  ]) {
    const shown = redact(text, secrets)
    assert.doesNotMatch(
      shown,
      /UPSTREAM|abc\.def|relay\.internal|10\.0\.12|AIzaSy|gsk_1|api03|xai-abc/,
      shown,
    )
  }
  assert.equal(
    redact("Invalid 'temperature': -2 is below 0."),
    "Invalid 'temperature': -2 is below 0.",
    'harmless text stays',
  )
})

/** Of several runs, so that what else the machine does is left out. */
function leastMs(run: () => void): number {
  let least = Number.POSITIVE_INFINITY
  for (let turn = 0; turn < 5; turn++) {
    const startedMs = performance.now()
    run()
    least = Math.min(least, performance.now() - startedMs)
  }
  return least
}

test('redacting any text takes time in proportion and leaves no secret', () => {
  const secret = 'sk-CANARY-0123456789'
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'binary' }),
      (a, b) => !redact(`${a}${secret}${b}`, [secret]).includes('CANARY'),
    ),
  )
  for (const text of [
    'a'.repeat(1e6),
    'https://'.repeat(1e5),
    '1.'.repeat(5e5),
    'sk-'.repeat(3e5),
    'bearer '.repeat(1e5),
  ]) {
    // Eight times the text takes eight times as long; with backtracking that grows with the square, 64 times.
    const [part, whole] = [text.slice(0, text.length / 8), text].map((piece) =>
      leastMs(() => redact(piece, [secret])),
    )
    assert.ok((whole ?? 0) < (part ?? 0) * 24 + 2, `${part} ms and ${whole} ms`)
  }
})

test('retry-after is read in its three forms, bounded, and nonsense is ignored', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')
  for (const [headers, ms] of [
    [{ 'retry-after': '3' }, 3_000],
    [{ 'retry-after-ms': '250', 'retry-after': '9' }, 250],
    [{ 'retry-after': 'Thu, 01 Jan 2026 00:00:05 GMT' }, 5_000],
    [{ 'retry-after': 'Wed, 31 Dec 2025 23:59:00 GMT' }, 0],
    [{ 'retry-after': '999999999' }, 60_000],
    [{ 'retry-after': ['7', '8'] }, 7_000],
    [{ 'retry-after': '-3' }, null],
    [{ 'retry-after': 'soon' }, null],
    [{ 'retry-after-ms': 'x' }, null],
    [{}, null],
  ] as const)
    assert.equal(
      readRetryAfterMs(headers as Record<string, string | string[]>, now),
      ms,
      JSON.stringify(headers),
    )
})

test("only what the caller did wrong ends the request; the operator's own trouble never does", () => {
  const judge = (status: number) =>
    failedAnswer({ upstreamCode: null, status, message: 'm', secrets: [], retryAfterMs: null })
  for (const status of [400, 413, 415, 422]) assert.ok(judge(status).final !== null, `${status}`)
  for (const status of [
    301, 307, 401, 402, 403, 404, 405, 408, 409, 418, 429, 500, 501, 502, 503, 504, 529, 599,
  ])
    assert.equal(judge(status).final, null, `${status}`)
  assert.deepEqual(
    [429, 503, 529, 500].map((status) => judge(status).overloaded),
    [true, true, true, false],
  )
  assert.deepEqual(
    [408, 504, 500].map((status) => judge(status).timeout),
    [true, true, false],
  )
})

test('faults of the transport have names that tell nothing of the upstream', () => {
  const error = (code: string, cause?: Error): Error =>
    Object.assign(new Error('connect 10.0.0.1:443', { cause }), { code })
  assert.equal(transportCode(error('ECONNREFUSED')), 'connection_refused')
  assert.equal(transportCode(error('EMFILE')), 'local_descriptors_used_up')
  assert.equal(transportCode(error('UND_ERR_CONNECT_TIMEOUT')), 'connect_timeout')
  assert.equal(transportCode(error('X', error('ENOTFOUND'))), 'dns_error')
  assert.equal(transportCode(error('CERT_HAS_EXPIRED')), 'tls_error')
  assert.equal(transportCode(error('HPE_INVALID_CONSTANT')), 'protocol_error')
  assert.equal(transportCode(new Error('whatever')), 'transport_error')
})
