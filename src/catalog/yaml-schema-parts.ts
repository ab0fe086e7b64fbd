import { z } from 'zod'
import { type ConfigFault, faultAt, nearestName, type Path, shorten } from './fault.ts'
import { NumberLiteral } from './yaml-tree.ts'

/** The building blocks of the file's schema, and how a fault that zod finds is worded. */

export const NAMES = {
  model: /^[a-z0-9._:/-]{1,128}$/,
  route: /^[a-z0-9][a-z0-9_-]{0,63}$/,
  channel: /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
  bucket: /^[a-z][a-z0-9_-]{0,31}$/,
  serviceTier: /^[a-z0-9][a-z0-9_-]{0,31}$/,
} as const

/** For every safeParse here, so that no sentence of the library (which may quote a value) reaches a fault. */
export const PARSE = { error: wording, reportInput: true } as const

const EXPECTED: Readonly<Record<string, string>> = {
  object: 'must be a map of settings',
  record: 'must be a map of names to settings',
  array: 'must be a list',
  string: 'must be text; put it in quotes',
  boolean: 'must be true or false',
}

function wording(issue: z.core.$ZodRawIssue): string {
  if (issue.input === undefined || issue.input === null) return 'is missing'
  if (issue.code === 'invalid_type') return EXPECTED[issue.expected] ?? 'has the wrong type'
  if (issue.code === 'invalid_value')
    return issue.values.length === 1
      ? `must be ${String(issue.values[0])}`
      : `must be one of ${issue.values.join(', ')}`
  if (issue.code === 'too_small')
    return issue.origin === 'array' ? 'must have at least one entry' : 'must not be empty'
  if (issue.code === 'too_big') return `is longer than ${issue.maximum}`
  return 'is not valid'
}

/**
 * A map whose names are all known. The names travel in the message of the library's one issue for unknown keys, since
 * that issue carries everything but the names that would have been right.
 */
export function closed<S extends z.ZodRawShape>(shape: S) {
  const known = Object.keys(shape).join('\n')
  return z.preprocess(
    plain,
    z.strictObject(shape, { error: (issue) => (issue.code === 'unrecognized_keys' ? known : undefined) }),
  )
}

/** A number is an object of ours, which a map must not be mistaken for. */
function plain(value: unknown): unknown {
  return value instanceof NumberLiteral ? value.value : value
}

/** A whole number in plain digits; in quotes too, since `${NAME}` makes text. */
export function integer(min: number, max: number) {
  return z.unknown().transform((value, context): number => {
    const text = value instanceof NumberLiteral ? value.source : value
    if (typeof text === 'string' && /^\d{1,15}$/.test(text)) {
      const count = Number.parseInt(text, 10)
      if (count >= min && count <= max) return count
    }
    const missing = text === undefined || text === null
    const most = max === Number.MAX_SAFE_INTEGER ? '' : ` and at most ${max}`
    context.addIssue({
      code: 'custom',
      message: missing ? 'is missing' : `must be a whole number, at least ${min}${most}`,
    })
    return z.NEVER
  })
}

/**
 * One value or a list of them, with the paths that the file has (no index where it has no list).
 * @param check what a list may not be, as [index, problem]
 */
export function oneOrList<S extends z.ZodType>(
  schema: S,
  check: (list: readonly z.output<S>[]) => readonly (readonly [number, string])[],
) {
  const list = z.array(schema).min(1)
  return z.unknown().transform((value, context): readonly z.output<S>[] => {
    const single = !Array.isArray(value)
    const read = single ? schema.safeParse(value, PARSE) : list.safeParse(value, PARSE)
    if (!read.success) {
      for (const issue of read.error.issues) context.addIssue({ ...issue } as never)
      return z.NEVER
    }
    const values = (single ? [read.data] : read.data) as readonly z.output<S>[]
    for (const [i, message] of check(values)) context.addIssue({ code: 'custom', path: [i], message })
    return values
  })
}

/** One fault for every name that is not known and every value that does not fit. */
export function faultsOf(error: z.ZodError, root: Path = []): ConfigFault[] {
  return error.issues.flatMap((issue): ConfigFault[] => {
    const path = [...root, ...issue.path.map((step) => (typeof step === 'number' ? step : String(step)))]
    if (issue.code === 'unrecognized_keys') {
      const known = issue.message.split('\n')
      return issue.keys.map((key) =>
        faultAt([...path, key], `there is no setting "${shorten(key)}" here`, nearestName(key, known)),
      )
    }
    if (issue.code === 'invalid_value' && typeof issue.input === 'string')
      return [faultAt(path, issue.message, nearestName(issue.input, issue.values.map(String)))]
    return [faultAt(path, issue.message)]
  })
}
