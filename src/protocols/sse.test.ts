import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { eventData, eventName, lastEventEnd, readEvents, splitEvents } from './sse.ts'

const line = fc.constantFrom(
  'data: a',
  'data:b',
  'data: {"x":"é😀"}',
  ': comment',
  'event: ping',
  'id: 1',
  'data',
  'data:',
)
const event = fc.array(line, { minLength: 1, maxLength: 3 })
const ending = fc.constantFrom('\n', '\r\n', '\r')

test('a stream is cut into the events it was made of, with every kind of line end', () => {
  fc.assert(
    fc.property(fc.array(event, { minLength: 1, maxLength: 6 }), ending, (events, end) => {
      const texts = events.map((lines) => `${lines.join(end)}${end}${end}`)
      const bytes = Buffer.from(texts.join(''))
      assert.deepEqual(splitEvents(bytes).map(String), texts)
      // A lone CR at the end may be half of a CRLF: then the last event is not yet known to be complete.
      const complete = end === '\r' ? Buffer.byteLength(texts.slice(0, -1).join('')) : bytes.length
      assert.equal(lastEventEnd(bytes), complete)
    }),
  )
})

test('no byte is lost or moved by the cuts, whatever the bytes', () => {
  const noise = fc.string({ unit: fc.constantFrom('\n', '\r', 'd', 'data: x', ':', ' ') })
  fc.assert(
    fc.property(noise, (text) => {
      const bytes = Buffer.from(text)
      assert.equal(Buffer.concat(splitEvents(bytes)).toString(), text)
      const end = lastEventEnd(bytes)
      assert.ok(end >= 0 && end <= bytes.length)
      if (end > 0) assert.match(bytes.toString('utf8', 0, end), /(?:\r\n|\n|\r)(?:\r\n|\n|\r)$/)
    }),
    { numRuns: 2_000 },
  )
})

test('what is complete stays complete when more bytes come', () => {
  const noise = fc.string({ unit: fc.constantFrom('\n', '\r', 'd', 'data: x', '\r\n\r\n', '\n\n') })
  fc.assert(
    fc.property(
      noise,
      noise,
      (first, more) => lastEventEnd(Buffer.from(first + more)) >= lastEventEnd(Buffer.from(first)),
    ),
  )
})

test('data lines are joined as the standard says; other fields and comments are none', () => {
  for (const [text, data] of [
    ['data: a\n\n', 'a'],
    ['data:a\n\n', 'a'],
    ['data:  a \n\n', ' a '],
    ['data: a\ndata: b\n\n', 'a\nb'],
    ['data: a\r\ndata: b\r\n\r\n', 'a\nb'],
    ['data: a\rdata: b\r\r', 'a\nb'],
    [': c\nevent: x\ndata: a\nid: 7\n\n', 'a'],
    [': data: no\n\n', null],
    ['event: ping\n\n', null],
    ['\n', null],
    ['data:\n\n', ''],
    ['data: [DONE]', '[DONE]'],
  ] as const)
    assert.equal(eventData(Buffer.from(text)), data, JSON.stringify(text))
})

test('read in one pass, events have the names and data they have when they are cut first', () => {
  const noise = fc.array(
    fc.constantFrom(
      '\n',
      '\r',
      '\r\n',
      '\n\n',
      'data: x',
      'data:é',
      'event: error',
      'event:a',
      ': c',
      ' ',
      'data',
    ),
    { maxLength: 30 },
  )
  fc.assert(
    fc.property(noise, (pieces) => {
      const bytes = Buffer.from(pieces.join(''))
      const cut = splitEvents(bytes).flatMap((event) => {
        const data = eventData(event)
        return data === null ? [] : [{ name: eventName(event), data }]
      })
      assert.deepEqual(readEvents(bytes), cut)
    }),
    { numRuns: 3_000 },
  )
})
