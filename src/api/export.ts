import { Readable } from 'node:stream'

/** Long answers as JSON lines or CSV: a page of the database at a time, and no faster than it is read. */

export type ExportFormat = 'jsonl' | 'csv'

export type Columns<T> = ReadonlyArray<readonly [name: string, of: (row: T) => string]>

/** A spreadsheet runs what begins like a formula, and a label may have been chosen for that. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

async function* texts<T>(
  pages: AsyncIterable<readonly T[]>,
  columns: Columns<T>,
  format: ExportFormat,
): AsyncGenerator<string> {
  const line =
    format === 'jsonl'
      ? (row: T) => `${JSON.stringify(row)}\n`
      : (row: T) => `${columns.map(([, of]) => cell(of(row))).join(',')}\r\n`
  let head = format === 'csv' ? `${columns.map(([name]) => name).join(',')}\r\n` : ''
  for await (const page of pages) {
    yield head + page.map(line).join('')
    head = ''
  }
}

async function* resumed<T>(first: IteratorResult<T, unknown>, rest: AsyncGenerator<T>): AsyncGenerator<T> {
  if (first.done === true) return
  yield first.value
  yield* rest
}

/** The first page is read before anything is answered: a question that is too wide is refused as any other is. */
export async function exported<T>(
  pages: AsyncIterable<readonly T[]>,
  columns: Columns<T>,
  format: ExportFormat,
): Promise<Readable> {
  const all = texts(pages, columns, format)
  return Readable.from(resumed(await all.next(), all))
}
