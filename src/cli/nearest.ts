/** Words that are farther apart than this were not meant for each other. */
const NEAR = 3

/** Insertions, deletions and replacements between two words (Wagner and Fischer), one row at a time. */
function changesBetween(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** @returns the known word that was probably meant, or null */
export function nearestWord(word: string, known: readonly string[]): string | null {
  let best: string | null = null
  let fewest = NEAR + 1
  for (const candidate of known) {
    if (Math.abs(candidate.length - word.length) >= fewest) continue
    const changes = changesBetween(word, candidate)
    if (changes < fewest) {
      best = candidate
      fewest = changes
    }
  }
  return best
}
