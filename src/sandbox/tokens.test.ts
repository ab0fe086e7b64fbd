import assert from 'node:assert/strict'
import { test } from 'node:test'

import fc from 'fast-check'

import { countTokens, splitTokens } from './tokens.ts'
import { longText, wordsAsked } from './wording.ts'

test('four other characters are a token, and so is one CJK character', () => {
  assert.equal(countTokens(''), 0)
  assert.equal(countTokens('abcd'), 1)
  assert.equal(countTokens('abcde'), 2)
  assert.equal(countTokens('你好'), 2)
  assert.equal(countTokens('ab你cd'), 3)
})

test('pieces join to the text, are as many as the count, and tear no character', () => {
  const text = fc.string({
    unit: fc.constantFrom('a', ' ', '你', '。', '🚤', '한', '\n', 'é'),
    maxLength: 60,
  })
  fc.assert(
    fc.property(text, (sample) => {
      const pieces = splitTokens(sample)
      assert.equal(pieces.join(''), sample)
      assert.equal(pieces.length, countTokens(sample))
      for (const piece of pieces) assert.ok(piece.isWellFormed())
    }),
  )
})

test('a text has exactly the words or characters asked for', () => {
  for (const words of [1, 2, 9, 40, 333]) {
    assert.equal(longText('en', words, 7).split(/\s+/).length, words)
    assert.equal([...longText('zh', words, 7)].length, words)
  }
})

test('a wish for a number of words is found in both languages', () => {
  assert.equal(wordsAsked('Please write 200 words about boats'), 200)
  assert.equal(wordsAsked('Write me a story of exactly 50 words'), 50)
  assert.equal(wordsAsked('请写一篇300字的短文'), 300)
  assert.equal(wordsAsked('In 1999 I read two words'), null)
})
