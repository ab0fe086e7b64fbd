import { isArray, isObject, type Json, type JsonObject } from '../kernel/index.ts'

/** Deeper than this an optional or recursive part is left out, so that a schema that contains itself still ends. */
const DEPTH_MAX = 12

/** Several values, so that two calls of one tool ask for different things. */
const BY_NAME: Readonly<Record<string, string | readonly string[]>> = {
  city: ['Lisbon', 'Porto', 'Faro'],
  location: ['Lisbon, Portugal', 'Porto, Portugal', 'Faro, Portugal'],
  country: ['Portugal', 'Kenya', 'Peru'],
  name: 'Ada Example',
  title: 'A sandbox title',
  email: 'ada@example.com',
  url: 'https://example.com/',
  path: 'notes.txt',
  file_path: 'notes.txt',
  filename: 'notes.txt',
  query: 'tokens forge sandbox',
  command: 'echo sandbox',
  cmd: 'echo sandbox',
  code: 'print("sandbox")',
  language: 'en',
  currency: 'USD',
  timezone: 'UTC',
  date: '2030-01-15',
  unit: 'celsius',
}

const BY_FORMAT: Readonly<Record<string, string>> = {
  'date-time': '2030-01-15T09:30:00Z',
  date: '2030-01-15',
  time: '09:30:00Z',
  duration: 'P1D',
  email: 'ada@example.com',
  hostname: 'example.com',
  ipv4: '192.0.2.1',
  ipv6: '2001:db8::1',
  uri: 'https://example.com/',
  uuid: '3f2b8c1e-5d4a-4c6b-9e7f-0a1b2c3d4e5f',
}

interface Place {
  readonly root: JsonObject
  readonly name: string
  readonly depth: number
  /** Which of several fitting values to take, so that two calls of one tool differ. */
  readonly variant: number
}

/**
 * A value that fits a JSON Schema: required properties only, chosen by const, default, examples, enum, format, type
 * and the property's name. `pattern` is not honoured.
 */
export function exampleOf(schema: Json | undefined, variant = 0): Json {
  const root = isObject(schema) ? schema : {}
  return fit(root, { root, name: '', depth: 0, variant })
}

function fit(given: Json | undefined, place: Place): Json {
  if (!isObject(given)) return `sandbox ${place.name}`.trim()
  const schema = merged(given, place)
  const fixed = fixedValue(schema, place.variant)
  if (fixed !== undefined) return fixed
  switch (typeOf(schema)) {
    case 'object':
      return fitObject(schema, place)
    case 'array':
      return fitArray(schema, place)
    case 'integer':
    case 'number':
      return fitNumber(schema, place.variant)
    case 'boolean':
      return place.variant % 2 === 0
    case 'null':
      return null
    default:
      return fitString(schema, place)
  }
}

/** Follows $ref, lays allOf over each other and takes the first branch of anyOf and oneOf that ends. */
function merged(schema: JsonObject, place: Place): JsonObject {
  let out = schema
  const ref = out['$ref']
  if (typeof ref === 'string') out = { ...resolve(place.root, ref), ...without(out, '$ref') }
  const all = out['allOf']
  if (isArray(all)) for (const part of all) if (isObject(part)) out = overlay(out, merged(part, place))
  const branches = out['anyOf'] ?? out['oneOf']
  if (!isArray(branches)) return out
  const objects = branches.filter(isObject)
  const ending = objects.find((branch) => branch['type'] === 'null')
  const chosen = place.depth > DEPTH_MAX ? (ending ?? objects[0]) : objects[0]
  const rest = without(without(out, 'anyOf'), 'oneOf')
  return chosen === undefined ? rest : merged(overlay(rest, chosen), { ...place, depth: place.depth + 1 })
}

function resolve(root: JsonObject, ref: string): JsonObject {
  let at: Json | undefined = root
  for (const step of ref.replace(/^#\/?/, '').split('/')) {
    if (step === '') continue
    at = isObject(at) ? at[decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~')] : undefined
  }
  return isObject(at) ? at : {}
}

function overlay(below: JsonObject, above: JsonObject): JsonObject {
  const properties = { ...objectAt(below, 'properties'), ...objectAt(above, 'properties') }
  const required = [...arrayAt(below, 'required'), ...arrayAt(above, 'required')]
  return {
    ...below,
    ...above,
    ...(Object.keys(properties).length > 0 ? { properties } : {}),
    ...(required.length > 0 ? { required } : {}),
  }
}

function fixedValue(schema: JsonObject, variant: number): Json | undefined {
  if (schema['const'] !== undefined) return schema['const']
  const choices = schema['enum']
  if (isArray(choices) && choices.length > 0) return choices[variant % choices.length]
  const examples = schema['examples']
  if (isArray(examples) && examples.length > 0) return examples[variant % examples.length]
  return schema['default']
}

function typeOf(schema: JsonObject): string {
  const type = schema['type']
  if (typeof type === 'string') return type
  if (isArray(type)) {
    const first = type.find((one) => typeof one === 'string' && one !== 'null') ?? type[0]
    if (typeof first === 'string') return first
  }
  if (schema['properties'] !== undefined) return 'object'
  return schema['items'] === undefined ? 'string' : 'array'
}

function fitObject(schema: JsonObject, place: Place): Json {
  const properties = objectAt(schema, 'properties')
  const out: Record<string, Json> = {}
  if (place.depth > DEPTH_MAX * 2) return out
  for (const name of arrayAt(schema, 'required')) {
    if (typeof name !== 'string') continue
    out[name] = fit(properties[name] ?? {}, { ...place, name, depth: place.depth + 1 })
  }
  return out
}

function fitArray(schema: JsonObject, place: Place): Json {
  const prefix = arrayAt(schema, 'prefixItems')
  const least = wholeAt(schema, 'minItems')
  // One item makes a pleasant example; none is what ends a schema that contains itself.
  const wanted = place.depth > DEPTH_MAX ? (least ?? 0) : Math.max(least ?? 1, prefix.length)
  const length = Math.min(wanted, wholeAt(schema, 'maxItems') ?? wanted)
  return Array.from({ length }, (_, index) => {
    const item = prefix[index] ?? schema['items'] ?? {}
    return fit(item, { ...place, depth: place.depth + 1, variant: place.variant + index })
  })
}

function fitNumber(schema: JsonObject, variant: number): Json {
  const step = numberAt(schema, 'multipleOf') ?? 1
  const over = numberAt(schema, 'exclusiveMinimum')
  const under = numberAt(schema, 'exclusiveMaximum')
  const least = over === undefined ? numberAt(schema, 'minimum') : (Math.floor(over / step) + 1) * step
  const most = under === undefined ? numberAt(schema, 'maximum') : (Math.ceil(under / step) - 1) * step
  let value = Math.ceil((least ?? 0) / step) * step
  if (least === undefined) value = step * (2 + variant)
  if (most === undefined || value <= most) return value
  const below = Math.floor(most / step) * step
  // Between two bounds no step fits (0 < x < 1): the middle does, for a number that is no integer.
  return least !== undefined && below < least ? ((over ?? least) + (under ?? most)) / 2 : below
}

function fitString(schema: JsonObject, { name, variant }: Place): Json {
  const format = schema['format']
  const text = (typeof format === 'string' ? BY_FORMAT[format] : undefined) ?? namedText(name, variant)
  const least = wholeAt(schema, 'minLength') ?? 0
  const most = wholeAt(schema, 'maxLength') ?? Math.max(least, text.length)
  return text.padEnd(least, '.').slice(0, most)
}

function namedText(name: string, variant: number): string {
  const known = BY_NAME[name.toLowerCase()] ?? `sandbox ${name.replaceAll('_', ' ')}`.trim()
  if (typeof known !== 'string') return known[variant % known.length] ?? ''
  return variant > 0 ? `${known} ${variant + 1}` : known
}

function objectAt(schema: JsonObject, key: string): JsonObject {
  const value = schema[key]
  return isObject(value) ? value : {}
}

function arrayAt(schema: JsonObject, key: string): readonly Json[] {
  const value = schema[key]
  return isArray(value) ? value : []
}

function numberAt(schema: JsonObject, key: string): number | undefined {
  const value = schema[key]
  return typeof value === 'number' ? value : undefined
}

function wholeAt(schema: JsonObject, key: string): number | undefined {
  const value = numberAt(schema, key)
  return value === undefined ? undefined : Math.max(0, Math.floor(value))
}

function without(schema: JsonObject, key: string): JsonObject {
  return Object.fromEntries(Object.entries(schema).filter(([name]) => name !== key))
}
