import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { withoutZeros } from '../../src/protocols/usage.ts'
import { HAS_SAMPLES, recordingsOf, streamBytes } from '../protocols/recordings.ts'
import { FORMATS, type Format } from '../protocols/registry.ts'
import { billOf, readingOf } from './bill.ts'
import { FILE_TABLES, type FileRow } from './file-tables.ts'

/** Meters and amount of every answer that we have as a file; a file without a row fails. */

const PRICE = {
  input: '1',
  cache_read: '0.1',
  cache_write_5m: '1.25',
  cache_write_1h: '2',
  output: '10',
  input_audio: '4',
  output_audio: '20',
  input_image: '2',
  web_search: { per: 1000, price: '10' },
}

function filesOf(format: Format, recorded: boolean) {
  const { answers, streams } = recordingsOf(format)
  return [...answers, ...streams].filter((one) => one.recorded === recorded)
}

function check(format: Format, row: FileRow, recorded: boolean): void {
  const recording = filesOf(format, recorded).find(({ file }) => file === row.file)
  assert.ok(recording !== undefined, `${row.file} is there`)
  const text = recording.kind === 'stream' ? streamBytes(recording).toString('utf8') : recording.text
  const bill = billOf({ reading: readingOf(format, text), price: PRICE })
  assert.deepEqual(withoutZeros({ ...bill.usage?.counts }), row.counts)
  assert.equal(bill.usage?.calls.web_search ?? 0, row.searches ?? 0)
  assert.deepEqual(
    bill.others.map(({ counts }) => counts),
    row.others === undefined ? [] : [row.others],
  )
  assert.equal(bill.settlement, row.settlement ?? 'completed_reported')
  assert.equal(bill.totalNano, row.nano)
}

for (const format of FORMATS)
  for (const recorded of [false, true]) {
    if (recorded && !HAS_SAMPLES) continue
    const rows = FILE_TABLES[format.name][recorded ? 'recorded' : 'fixtures']
    describe(`${recorded ? 'recorded answers' : 'fixtures'} of ${format.name} cost what they should`, () => {
      for (const row of rows) test(row.file, () => check(format, row, recorded))
      test('no file is left out', () => {
        const files = filesOf(format, recorded).map(({ file }) => file)
        assert.deepEqual(new Set(files), new Set(rows.map(({ file }) => file)))
      })
    })
  }
