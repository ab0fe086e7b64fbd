import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFailureWatch } from './failures.ts'

test('thirty failures at once, then one every two seconds, of each address on its own', () => {
  let ms = 0
  const watch = createFailureWatch({ clock: { nowMs: () => ms, monotonicMs: () => ms } })
  const failures = (address: string | null, times: number): number =>
    Array.from({ length: times }, () => watch.failed(address)).filter((fault) => fault === null).length
  assert.equal(failures('203.0.113.1', 100), 30)
  assert.equal(failures('203.0.113.2', 100), 30, 'another address')
  assert.equal(failures(null, 100), 30, 'what has no address has one place together')
  const refused = watch.failed('203.0.113.1')
  assert.equal(refused?.code, 'too_many_failures')
  assert.ok((refused.retryAfterMs ?? 0) > 0 && (refused.retryAfterMs ?? 0) <= 2_000)
  ms += 10_000
  assert.equal(failures('203.0.113.1', 100), 5, 'and what was refused has not made it longer')
  ms += 60_000
  assert.equal(failures('203.0.113.1', 100), 30)
})

test('an IPv6 address counts with its whole /64, in whatever spelling', () => {
  const watch = createFailureWatch({ clock: { nowMs: () => 0, monotonicMs: () => 0 }, perMinute: 4 })
  for (const address of ['2001:db8::1', '2001:db8:0:0:9::', '2001:0db8::ffff:1', '2001:db8:0:0:1:2:3:4'])
    assert.equal(watch.failed(address), null)
  assert.ok(watch.failed('2001:db8::77') !== null)
  assert.equal(watch.failed('2001:db8:0:1::1'), null, 'the next /64')
  assert.equal(watch.size, 2)
})

test('no number of addresses takes more memory than is allowed', () => {
  const watch = createFailureWatch({ clock: { nowMs: () => 0, monotonicMs: () => 0 }, addressesMax: 100 })
  for (let i = 0; i < 1_000; i++) watch.failed(`10.0.${i >> 8}.${i & 255}`)
  assert.equal(watch.size, 100)
})
