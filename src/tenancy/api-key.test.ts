import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { hashApiKey, keyPrefix, looksLikeApiKey, makeApiKey } from './api-key.ts'

const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })

test('every key made has the form and its checksum fits', () => {
  fc.assert(
    fc.property(bytes32, (bytes) => {
      const key = makeApiKey(() => bytes)
      assert.match(key, /^sk-tf-[0-9A-Za-z]{49}$/)
      assert.ok(looksLikeApiKey(key))
      assert.equal(keyPrefix(key), key.slice(0, 10))
    }),
  )
})

test('different bytes make different keys, the extremes included', () => {
  fc.assert(
    fc.property(bytes32, bytes32, (a, b) => {
      const same = Buffer.compare(a, b) === 0
      assert.equal(makeApiKey(() => a) === makeApiKey(() => b), same)
    }),
  )
  for (const fill of [0, 255]) assert.ok(looksLikeApiKey(makeApiKey(() => new Uint8Array(32).fill(fill))))
})

test('a slip in one character is seen without asking anyone', () => {
  fc.assert(
    fc.property(bytes32, fc.nat(48), fc.nat(61), (bytes, place, step) => {
      const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
      const key = makeApiKey(() => bytes)
      const at = 6 + place
      const other = alphabet[step] ?? ''
      const slipped = key.slice(0, at) + other + key.slice(at + 1)
      assert.equal(looksLikeApiKey(slipped), slipped === key)
    }),
  )
})

test('what is no key is told so, whatever it is', () => {
  const key = makeApiKey(randomBytes)
  for (const text of [
    '',
    'sk-tf-',
    'sk-tf-nope',
    ` ${key}`,
    `${key} `,
    `${key}a`,
    key.slice(0, -1),
    key.replace('sk-tf-', 'sk-xx-'),
    key.toUpperCase(),
  ])
    assert.equal(looksLikeApiKey(text), false, text)
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !looksLikeApiKey(text)))
})

test('the hash of a key is a SHA-256 in base64', () => {
  assert.equal(hashApiKey('abc'), 'ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=')
})
