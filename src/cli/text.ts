/** Plain text for terminals. */

// Names come from requests and other people: a control sequence in one could rewrite what the terminal shows.
const CONTROL = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u

export function printable(text: string): string {
  return text.replace(CONTROL, (char) => (char === '\n' ? '\n' : '\ufffd'))
}

/** Columns a terminal gives it. */
export function widthOf(text: string): number {
  let width = 0
  for (const char of text) width += WIDE.test(char) ? 2 : 1
  return width
}

export function padTo(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)))
}

/** Columns as wide as their widest cell, two spaces between them, the head in capitals. */
export function table(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const lines = [head.map((cell) => cell.toUpperCase()), ...rows]
  const widths = head.map((_, column) => Math.max(...lines.map((line) => widthOf(line[column] ?? ''))))
  return lines
    .map((line) =>
      line
        .map((cell, column) => padTo(cell, widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** Name and value a line, the names padded to one width. */
export function pairs(rows: ReadonlyArray<readonly [string, string]>, indent = ''): string {
  const width = Math.max(0, ...rows.map(([name]) => widthOf(name)))
  return rows.map(([name, value]) => `${indent}${padTo(name, width)}  ${value}`.trimEnd()).join('\n')
}

/** A table, or the sentence that there is nothing in it; and how to get the rest. */
export function listText(
  head: readonly string[],
  rows: ReadonlyArray<readonly string[]>,
  nextCursor: string | null,
): string {
  if (rows.length === 0) return 'There are none.'
  const more = nextCursor === null ? '' : `\n\nThere are more: --cursor ${nextCursor}`
  return `${table(head, rows)}${more}`
}
