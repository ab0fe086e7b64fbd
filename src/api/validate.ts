import { z } from 'zod'
import { nearestName } from '../catalog/index.ts'

export interface FieldError {
  readonly field: string
  readonly message: string
}

export type Validated =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly errors: readonly FieldError[] }

function fieldNames(schema: z.ZodType): readonly string[] {
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : []
}

function unknownField(name: string, known: readonly string[]): string {
  if (known.length === 0) return 'is not known; nothing is taken here'
  const nearest = nearestName(name, known)
  return nearest === undefined
    ? `is not known; known are ${known.join(', ')}`
    : `is not known; did you mean ${nearest}?`
}

function explain(schema: z.ZodType, issues: readonly z.core.$ZodIssue[]): readonly FieldError[] {
  return issues.flatMap((issue) => {
    const place = issue.path.map(String)
    if (issue.code !== 'unrecognized_keys') return [{ field: place.join('.'), message: issue.message }]
    const known = place.length === 0 ? fieldNames(schema) : []
    return issue.keys.map((key) => ({ field: [...place, key].join('.'), message: unknownField(key, known) }))
  })
}

export function validate(schema: z.ZodType, value: unknown): Validated {
  const result = schema.safeParse(value)
  return result.success
    ? { ok: true, value: result.data }
    : { ok: false, errors: explain(schema, result.error.issues) }
}
