import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createKeyring, PURPOSES, type Purpose, SealBroken } from './index.ts'

const ring = createKeyring('a master key of the tests', randomBytes)

test('no two purposes share a label or a key', () => {
  const purposes = Object.keys(PURPOSES) as Purpose[]
  assert.equal(new Set(Object.values(PURPOSES)).size, purposes.length)
  assert.equal(new Set(purposes.map((purpose) => ring.keyOf(purpose).toString('hex'))).size, purposes.length)
})

test('keys are the same at every start, and others with another master key', () => {
  assert.deepEqual(
    createKeyring('a master key of the tests', randomBytes).keyOf('session'),
    ring.keyOf('session'),
  )
  assert.notDeepEqual(
    createKeyring('another master key', randomBytes).keyOf('session'),
    ring.keyOf('session'),
  )
})

test('a sealed value opens at its place only, and shows nothing of what it holds', () => {
  const sealed = ring.seal('webhook_secret', 'webhook:1', 'whsec_秘密')
  assert.equal(ring.open('webhook_secret', 'webhook:1', sealed), 'whsec_秘密')
  assert.ok(!sealed.includes('whsec'))
  assert.notDeepEqual(ring.seal('webhook_secret', 'webhook:1', 'whsec_秘密'), sealed)
  assert.throws(() => ring.open('webhook_secret', 'webhook:2', sealed), SealBroken)
  assert.throws(() => ring.open('session', 'webhook:1', sealed), /another master key/)
  const other = createKeyring('another master key', randomBytes)
  assert.throws(() => other.open('webhook_secret', 'webhook:1', sealed), /another master key/)
})

test('one changed byte, a cut tag and a foreign text are refused', () => {
  const sealed = ring.seal('webhook_secret', 'webhook:1', 'value')
  for (let at = 0; at < sealed.length; at++) {
    const broken = Buffer.from(sealed)
    broken[at] = (broken[at] ?? 0) ^ 1
    assert.throws(() => ring.open('webhook_secret', 'webhook:1', broken), SealBroken, `byte ${at}`)
  }
  for (let cut = 1; cut <= sealed.length; cut++)
    assert.throws(() => ring.open('webhook_secret', 'webhook:1', sealed.subarray(0, -cut)), SealBroken)
})
