import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { childUuid, createIdSource, formatId, isUuid, parentUuid, parseId } from './index.ts'

const uuid = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => {
  const hex = Buffer.from(bytes).toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
})

test('an id that is shown is read back as the same id, and only under its own prefix', () => {
  fc.assert(
    fc.property(uuid, (id) => {
      const shown = formatId('req', id)
      assert.match(shown, /^req_[0-7][0-9a-hjkmnp-tv-z]{25}$/)
      assert.equal(parseId('req', shown), id)
      assert.equal(parseId('run', shown), null)
    }),
  )
})

test('what is no id is null, whatever it is', () => {
  const good = formatId('req', '018f0000-0000-7000-8000-000000000000')
  for (const text of [
    '',
    'req_',
    good.toUpperCase(),
    `${good}0`,
    good.slice(0, -1),
    good.replace('_', '-'),
    `req_8${'0'.repeat(25)}`,
    `req_${'z'.repeat(26)}`,
    `req_${'i'.repeat(26)}`,
    `req_${'\u0000'.repeat(26)}`,
  ])
    assert.equal(parseId('req', text), null, JSON.stringify(text))
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      (text) => parseId('req', text) === null || formatId('req', parseId('req', text) ?? '') === text,
    ),
  )
})

test('shown ids sort as the ids do', () => {
  fc.assert(fc.property(uuid, uuid, (a, b) => a < b === formatId('run', a) < formatId('run', b) || a === b))
})

test('ids only grow, also when the clock stands still or goes back, and all are different', () => {
  const times = [1_700_000_000_000, 1_700_000_000_000, 1_699_999_999_000, 1_700_000_000_001]
  let at = 0
  const ids = createIdSource(
    () => times[Math.min(times.length - 1, Math.floor(at++ / 5_000))] ?? 0,
    randomBytes,
  )
  const made = Array.from({ length: 25_000 }, () => ids.uuid())
  assert.equal(new Set(made).size, made.length)
  for (let i = 1; i < made.length; i++)
    assert.ok((made[i - 1] ?? '') < (made[i] ?? ''), `${made[i - 1]} < ${made[i]}`)
  assert.ok(made.every((id) => isUuid(id) && id[14] === '7' && /[89ab]/.test(id[19] ?? '')))
})

test('a request has fifteen further ids, each of which names it', () => {
  const ids = createIdSource(() => 1_700_000_000_000, randomBytes)
  for (let turn = 0; turn < 100; turn++) {
    const request = ids.uuid()
    const family = Array.from({ length: 16 }, (_, n) => childUuid(request, n))
    assert.equal(family[0], request)
    assert.equal(new Set(family).size, 16)
    assert.ok(family.every((id) => isUuid(id) && parentUuid(id) === request))
    assert.deepEqual([...family].sort(), family)
  }
  for (const n of [-1, 16, 1.5, Number.NaN])
    assert.throws(() => childUuid('018f0000-0000-7000-8000-000000000000', n), RangeError)
})
