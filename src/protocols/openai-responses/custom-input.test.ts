import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CustomInput, customInput } from './custom-input.ts'

test('however the arguments are cut, the pieces are the text', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      fc.array(fc.nat({ max: 7 })),
      fc.boolean(),
      (text, cuts, ascii) => {
        let json = JSON.stringify({ input: text })
        if (ascii)
          json = json.replaceAll(
            /[\u0080-\uffff]/g,
            (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
          )
        const input = new CustomInput()
        const pieces: string[] = []
        let at = 0
        for (const cut of cuts) {
          pieces.push(input.push(json.slice(at, at + cut)))
          at += cut
        }
        pieces.push(input.push(json.slice(at)), input.end())
        assert.equal(pieces.join(''), text)
        assert.equal(input.text, text)
        for (const piece of pieces)
          assert.equal(piece.isWellFormed(), text.isWellFormed() || piece.isWellFormed())
      },
    ),
  )
})

test('what a model writes wrong is taken at its word', () => {
  assert.equal(customInput('{"input": "a\nb"}'), 'a\nb')
  assert.equal(customInput('just text'), 'just text')
  assert.equal(customInput('{"other":1}'), '{"other":1}')
  assert.equal(customInput('{"note":1,"input":"x"}'), 'x')
  assert.equal(customInput('{"input":"cut off'), 'cut off')
  assert.equal(customInput(''), '')
})
