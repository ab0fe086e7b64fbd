import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { estimateJsonStringTokens, estimateTextTokens } from './estimate.ts'

/** No piece that is counted by itself need be longer than this. */
const RUN_MAX = 512

const anyText = fc.string({ unit: 'binary', maxLength: 3_000 })

function inJson(text: string): number {
  const bytes = Buffer.from(JSON.stringify(text))
  return estimateJsonStringTokens(bytes, 1, bytes.length - 1)
}

function pieces(text: string): string[] {
  const runs: string[] = []
  let run = ''
  for (const char of text) {
    if (run.length + char.length > RUN_MAX) {
      runs.push(run)
      run = ''
    }
    run += char
  }
  return [...runs, run]
}

test('a text counts as much as its runs of at most 512 characters do together, so that no run is dearer for its length', () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const runs = pieces(text)
      const sum = runs.reduce((total, run) => total + inJson(run), 0)
      assert.ok(Math.abs(sum - inJson(text)) < 1e-6)
      // Each run of plain text is rounded up by itself.
      const whole = runs.reduce((total, run) => total + estimateTextTokens(run), 0)
      const excess = whole - estimateTextTokens(text)
      assert.ok(excess >= 0 && excess <= runs.length, `${excess} for ${runs.length} runs`)
    }),
  )
})

test('more text never counts less', () => {
  fc.assert(
    fc.property(anyText, fc.string({ unit: 'binary', minLength: 1, maxLength: 100 }), (text, more) => {
      assert.ok(estimateTextTokens(text + more) >= estimateTextTokens(text))
      assert.ok(inJson(text + more) > inJson(text))
    }),
  )
})

test('a text counts the same plain, in JSON, and in JSON that escapes whatever is not ASCII', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
      const escaped = JSON.stringify(text).replace(
        /[\u0080-\uffff]/g,
        (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
      )
      const bytes = Buffer.from(escaped)
      const fromEscapes = estimateJsonStringTokens(bytes, 1, bytes.length - 1)
      assert.ok(Math.abs(fromEscapes - inJson(text)) < 1e-6)
      // Control characters are escaped in any JSON, and taken for something longer than they are.
      const controls = [...text].filter((char) => char < ' ').length
      assert.ok(Math.abs(inJson(text) - estimateTextTokens(text)) <= 1 + controls * 0.26)
    }),
  )
})

test('hostile texts of the largest size cost a fraction of what parsing them does', () => {
  for (const unit of ['a', ' ', '漢', '😀', '\u0301']) {
    const text = unit.repeat(Math.floor(8_000_000 / Buffer.byteLength(unit)))
    const json = JSON.stringify(text)
    const startedMs = performance.now()
    estimateTextTokens(text)
    const countedMs = performance.now()
    JSON.parse(json)
    const parsedMs = performance.now()
    const [own, parsing] = [countedMs - startedMs, parsedMs - countedMs]
    assert.ok(own < 250 + 5 * parsing, `${JSON.stringify(unit)}: ${own} ms, ${parsing} ms to parse`)
  }
})
