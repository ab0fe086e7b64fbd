/** A column with its operator, and what it is compared with; null when nobody asked for it. */
export type Condition = readonly [sql: string, value: unknown]

/**
 * The conditions of a list that are asked for, and no others: one that may be null keeps its index from being used.
 * @returns `where …` or nothing, with the values from $1 on
 */
export function conditions(asked: readonly Condition[]): {
  readonly where: string
  readonly values: readonly unknown[]
} {
  const given = asked.filter(([, value]) => value !== null)
  const where = given.map(([sql], i) => `${sql} $${i + 1}`).join(' and ')
  return { where: where === '' ? '' : `where ${where}`, values: given.map(([, value]) => value) }
}

export const instant = (ms: number | null): Date | null => (ms === null ? null : new Date(ms))
