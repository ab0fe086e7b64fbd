import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ErrorCode, fault } from '../contract/index.ts'
import { createOutages } from './outages.ts'
import type { Admitted } from './types.ts'

/** Only what an outage is told by. */
const ADMITTED = { inbound: { key: { id: 'k' } }, model: { name: 'm' }, run: null } as unknown as Admitted

function stand() {
  let nowMs = 1_000
  const outages = createOutages({ nowMs: () => nowMs, monotonicMs: () => nowMs })
  return {
    pass(ms: number) {
      nowMs += ms
    },
    hopeless: (code: ErrorCode = 'upstream_error', retryAfterMs?: number) =>
      outages.failed(ADMITTED, fault(code, 'x', retryAfterMs === undefined ? {} : { retryAfterMs }))
        .hopeless === true,
    served: () => outages.served(ADMITTED),
  }
}

test('three failures over five seconds are hopeless; fewer, or within less, are not', () => {
  const many = stand()
  for (let turn = 0; turn < 20; turn++) assert.equal(many.hopeless(), false, 'all at once')
  many.pass(4_999)
  assert.equal(many.hopeless(), false)
  many.pass(1)
  assert.equal(many.hopeless(), true)
  const few = stand()
  assert.equal(few.hopeless(), false)
  few.pass(30_000)
  assert.equal(few.hopeless(), false)
  few.pass(30_000)
  assert.equal(few.hopeless(), true)
})

test('an answer, or a minute of quiet, ends an outage', () => {
  const one = stand()
  for (let turn = 0; turn < 3; turn++) one.hopeless()
  one.pass(6_000)
  one.served()
  assert.equal(one.hopeless(), false)
  one.pass(6_000)
  one.hopeless()
  assert.equal(one.hopeless(), true)
  one.pass(60_000)
  assert.equal(one.hopeless(), false)
})

test('what says when to come back, or is the caller’s own doing, is never hopeless', () => {
  const one = stand()
  for (let turn = 0; turn < 5; turn++) {
    one.pass(6_000)
    one.hopeless('upstream_timeout')
    assert.equal(one.hopeless('upstream_rejected'), false)
    assert.equal(one.hopeless('overloaded', 1_000), false)
  }
  assert.equal(one.hopeless('overloaded'), true)
})
