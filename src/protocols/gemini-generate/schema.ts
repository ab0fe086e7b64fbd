import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'
import { camelName } from './fields.ts'

/**
 * Google's own schema dialect (a part of OpenAPI 3.0: types in capitals, `nullable`, counts as texts) as JSON schema.
 * What is JSON schema already stays as it is.
 */

const COUNTS = new Set(['minItems', 'maxItems', 'minLength', 'maxLength', 'minProperties', 'maxProperties'])
const TYPES = new Set(['STRING', 'NUMBER', 'INTEGER', 'BOOLEAN', 'ARRAY', 'OBJECT', 'NULL'])
/** Members of the dialect, whose snake_case spelling is known too; all others keep their names. */
const MEMBERS = new Set([...COUNTS, 'anyOf', 'propertyOrdering', 'additionalProperties'])

function countOf(value: Json): Json {
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number.parseInt(value, 10) : value
}

function schemaOf(value: Json): Json {
  return isObject(value) ? jsonSchema(value) : value
}

function schemaMap(value: Json, order: readonly Json[]): Json {
  if (!isObject(value)) return value
  const ordered = order.filter(
    (name): name is string => typeof name === 'string' && Object.hasOwn(value, name),
  )
  const names = [...new Set([...ordered, ...Object.keys(value)])]
  return Object.fromEntries(names.map((name) => [name, schemaOf(value[name] ?? null)]))
}

function converted(name: string, value: Json, order: readonly Json[]): Json {
  if (COUNTS.has(name)) return countOf(value)
  if (name === 'properties' || name === '$defs') return schemaMap(value, order)
  if (name === 'type' && typeof value === 'string') return TYPES.has(value) ? value.toLowerCase() : value
  if (name === 'anyOf' || name === 'prefixItems') return isArray(value) ? value.map(schemaOf) : value
  return name === 'items' || name === 'additionalProperties' ? schemaOf(value) : value
}

function withNull(schema: Record<string, Json>): JsonObject {
  const { type } = schema
  const options = schema['enum']
  if (typeof type === 'string') {
    const choices = isArray(options) && !options.includes(null) ? { enum: [...options, null] } : {}
    return { ...schema, type: [type, 'null'], ...choices }
  }
  const any = schema['anyOf']
  return isArray(any) ? { ...schema, anyOf: [...any, { type: 'null' }] } : schema
}

export function jsonSchema(schema: JsonObject): JsonObject {
  const members: Record<string, Json> = {}
  for (const [spelled, value] of Object.entries(schema)) {
    const name = MEMBERS.has(camelName(spelled)) ? camelName(spelled) : spelled
    members[name] = value
  }
  const { propertyOrdering, nullable, example, ...rest } = members
  const order = isArray(propertyOrdering) ? propertyOrdering : []
  const result: Record<string, Json> = {}
  for (const [name, value] of Object.entries(rest)) {
    const unspecified = name === 'type' && value === 'TYPE_UNSPECIFIED'
    const marker = name === 'format' && value === 'enum'
    if (!unspecified && !marker) result[name] = converted(name, value, order)
  }
  if (example !== undefined && result['examples'] === undefined) result['examples'] = [example]
  return nullable === true ? withNull(result) : result
}
