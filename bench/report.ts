/** How figures are put together and printed. */

/** Above this, something else on the machine took part in the measurement. */
export const NOISY_CORES = 0.2

export interface Goal {
  readonly name: string
  /** Null when it could not be measured here. */
  readonly value: number | null
  readonly unit: '×' | 'ms' | 'µs' | '/s'
  readonly limit: number
  readonly sense: 'at most' | 'at least'
  readonly foreignCores: number
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

/** Enough digits to compare, no more. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return '-'
  if (value >= 1000) return Math.round(value).toLocaleString('en-US')
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

export function table(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)))
  const line = (cells: readonly string[]): string =>
    `| ${widths.map((width, i) => (i === 0 ? (cells[i] ?? '').padEnd(width) : (cells[i] ?? '').padStart(width))).join(' | ')} |`
  return [line(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...rows.map(line)].join(
    '\n',
  )
}

export function isMet(goal: Goal): boolean | null {
  if (goal.value === null || !Number.isFinite(goal.value)) return null
  return goal.sense === 'at most' ? goal.value <= goal.limit : goal.value >= goal.limit
}

export function goalTable(goals: readonly Goal[]): string {
  const rows = goals.map((goal) => {
    const met = isMet(goal)
    const verdict = met === null ? 'not measured' : met ? 'pass' : 'MISS'
    return [
      goal.name,
      goal.value === null ? '-' : `${figure(goal.value)} ${goal.unit}`,
      `${goal.sense === 'at most' ? '≤' : '≥'} ${figure(goal.limit)} ${goal.unit}`,
      verdict + (goal.foreignCores > NOISY_CORES ? ' (noisy)' : ''),
    ]
  })
  return table(['goal', 'measured', 'pass line', 'verdict'], rows)
}

export function foreign(cores: number): string {
  return cores.toFixed(2) + (cores > NOISY_CORES ? ' noisy' : '')
}
