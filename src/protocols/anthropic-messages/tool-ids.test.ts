import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { toolId } from './tool-ids.ts'

test('ids that fit stay, all others differ and fit', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), (a, b) => {
      assert.match(toolId(a), /^[a-zA-Z0-9_-]{1,128}$/)
      assert.equal(toolId(a), toolId(a))
      if (a !== b) assert.notEqual(toolId(a), toolId(b))
    }),
  )
  assert.equal(toolId('toolu_01AbC-9'), 'toolu_01AbC-9')
})
