import assert from 'node:assert/strict'
import { test } from 'node:test'

import { exampleOf } from './schema-example.ts'

test('required properties are filled by type, enum, const, default and format; others are left out', () => {
  const example = exampleOf({
    type: 'object',
    properties: {
      city: { type: 'string' },
      unit: { type: 'string', enum: ['celsius', 'kelvin'] },
      days: { type: 'integer', minimum: 3, maximum: 9 },
      share: { type: 'number', exclusiveMinimum: 0, exclusiveMaximum: 1 },
      exact: { type: 'boolean' },
      when: { type: 'string', format: 'date-time' },
      kind: { const: 'daily' },
      mode: { type: 'string', default: 'slow' },
      tags: { type: 'array', minItems: 2, items: { type: 'string', maxLength: 5 } },
      note: { type: ['string', 'null'] },
      optional: { type: 'string' },
    },
    required: ['city', 'unit', 'days', 'share', 'exact', 'when', 'kind', 'mode', 'tags', 'note'],
  })
  assert.deepEqual(example, {
    city: 'Lisbon',
    unit: 'celsius',
    days: 3,
    share: 0.5,
    exact: true,
    when: '2030-01-15T09:30:00Z',
    kind: 'daily',
    mode: 'slow',
    tags: ['sandb', 'sandb'],
    note: 'sandbox note',
  })
})

test('$ref, allOf and anyOf are followed', () => {
  const example = exampleOf({
    $defs: { place: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] } },
    allOf: [{ properties: { at: { $ref: '#/$defs/place' } }, required: ['at'] }],
    properties: { count: { anyOf: [{ type: 'integer', minimum: 7 }, { type: 'null' }] } },
    required: ['count'],
  })
  assert.deepEqual(example, { count: 7, at: { city: 'Lisbon' } })
})

test('a schema that contains itself ends', () => {
  const node = {
    type: 'object',
    properties: {
      children: { type: 'array', items: { $ref: '#' } },
      next: { anyOf: [{ $ref: '#' }, { type: 'null' }] },
    },
    required: ['children', 'next'],
  }
  assert.ok(JSON.stringify(exampleOf(node)).length < 1_000_000)
})

test('a second example of one schema differs', () => {
  const schema = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
  assert.deepEqual(exampleOf(schema, 1), { city: 'Porto' })
})

test('what is no schema gives a value all the same', () => {
  assert.equal(typeof exampleOf(undefined), 'string')
  assert.deepEqual(exampleOf({ type: 'object' }), {})
})
