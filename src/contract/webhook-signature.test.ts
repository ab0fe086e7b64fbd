import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { Webhook } from 'standardwebhooks'
import { signWebhook, verifyWebhook } from './index.ts'

const secretOf = (): string => `whsec_${randomBytes(32).toString('base64')}`
const NOW = 1_790_000_000_000
const MINUTE = 60_000

test('a signature is the one that the library of Standard Webhooks makes and takes, for any id and body', () => {
  fc.assert(
    fc.property(
      fc.stringMatching(/^[A-Za-z0-9_-]{1,40}$/),
      fc.string({ unit: 'grapheme' }),
      fc.nat(2 ** 31),
      (id, body, seconds) => {
        const secret = secretOf()
        const atMs = seconds * 1000
        const signed = signWebhook([secret], { id, atMs, body })
        assert.equal(signed['webhook-signature'], new Webhook(secret).sign(id, new Date(atMs), body))
        assert.ok(verifyWebhook(secret, { ...signed }, body, atMs).ok)
      },
    ),
  )
  const secret = secretOf()
  const body = '{"type":"webhook.test"}'
  const now = signWebhook([secret], { id: 'evt_1', atMs: Date.now(), body })
  assert.deepEqual(new Webhook(secret).verify(body, { ...now }), { type: 'webhook.test' })
})

test('the vector of the specification', () => {
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
  const body = '{"test": 2432232314}'
  const signed = signWebhook([secret], { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', atMs: 1_614_265_330_000, body })
  assert.equal(signed['webhook-signature'], 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=')
})

test('clocks that are four minutes apart agree, ten minutes are refused', () => {
  const secret = secretOf()
  const signed = { ...signWebhook([secret], { id: 'evt_1', atMs: NOW, body: 'b' }) }
  const at = (nowMs: number) => verifyWebhook(secret, signed, 'b', nowMs)
  assert.deepEqual(at(NOW), { ok: true, id: 'evt_1', timestampMs: NOW })
  for (const minutes of [-4, 4]) assert.ok(at(NOW + minutes * MINUTE).ok, `${minutes}`)
  assert.deepEqual(at(NOW + 10 * MINUTE), { ok: false, reason: 'timestamp_too_old' })
  assert.deepEqual(at(NOW - 10 * MINUTE), { ok: false, reason: 'timestamp_in_future' })
})

test('what was changed, signed with another secret, or has no signature is refused', () => {
  const secret = secretOf()
  const signed = { ...signWebhook([secret], { id: 'evt_1', atMs: NOW, body: '{"a":1}' }) }
  const look = (headers: object, body: string | Buffer = '{"a":1}', with_ = secret) =>
    verifyWebhook(with_, { ...signed, ...headers }, body, NOW)
  assert.ok(look({}).ok)
  assert.ok(look({}, Buffer.from('{"a":1}')).ok)
  const mismatch = { ok: false, reason: 'signature_mismatch' }
  assert.deepEqual(look({}, '{"a":2}'), mismatch)
  assert.deepEqual(look({}, '{"a":1} '), mismatch)
  assert.deepEqual(look({}, undefined, secretOf()), mismatch)
  assert.deepEqual(look({ 'webhook-id': 'evt_2' }), mismatch)
  assert.deepEqual(look({ 'webhook-timestamp': String(NOW / 1000 + 1) }), mismatch)
  assert.deepEqual(look({ 'webhook-signature': 'v1,' }), mismatch)
  assert.deepEqual(look({ 'webhook-signature': signed['webhook-signature'].replace('v1,', 'v2,') }), mismatch)
  for (const name of Object.keys(signed))
    assert.deepEqual(look({ [name]: undefined }), { ok: false, reason: 'headers_missing' }, name)
  assert.deepEqual(look({ 'webhook-timestamp': '1e9' }), { ok: false, reason: 'timestamp_invalid' })
})

test('while secrets are exchanged, each side may know the old one, the new one, or both', () => {
  const [before, after] = [secretOf(), secretOf()]
  const signed = { ...signWebhook([after, before], { id: 'evt_1', atMs: NOW, body: 'b' }) }
  for (const known of [before, after, [after, before], [secretOf(), before]])
    assert.ok(verifyWebhook(known, signed, 'b', NOW).ok)
  const late = { ...signWebhook([after], { id: 'evt_1', atMs: NOW, body: 'b' }) }
  assert.ok(!verifyWebhook(before, late, 'b', NOW).ok)
  assert.ok(verifyWebhook([before, after], new Headers(late), 'b', NOW).ok)
})

test('an empty or foreign secret is an error, never a signature', () => {
  const signed = { ...signWebhook([secretOf()], { id: 'evt_1', atMs: NOW, body: 'b' }) }
  for (const secret of ['', 'whsec_', 'whsec_YQ==', 'secret'])
    assert.throws(() => verifyWebhook(secret, signed, 'b', NOW), TypeError)
  assert.throws(() => verifyWebhook([], signed, 'b', NOW), TypeError)
  assert.throws(() => signWebhook([''], { id: 'evt_1', atMs: NOW, body: 'b' }), TypeError)
})
