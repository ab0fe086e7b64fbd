import { isArray, isObject, type Json, type JsonObject } from '../kernel/index.ts'
import type { Switches, UsageOverride } from './switches.ts'

export interface UsageStyle {
  /** What stands between a name and its value. */
  readonly colon?: string
  /** Of several places of usage in one stream, whether this one takes the override of that path. */
  takes?(path: readonly string[]): boolean
}

/**
 * The JSON text of a usage object after the usage switches; null when there is to be none. Text, since a switch may
 * put something there (1e400) that no JavaScript number prints as.
 */
export function usageText(tree: JsonObject, switches: Switches, style: UsageStyle = {}): string | null {
  if (switches.flags.has('no-usage')) return null
  const counted = switches.flags.has('zero-usage') ? zeroed(tree) : tree
  const { colon = ':', takes } = style
  const overrides = switches.usage.filter(({ path }) => takes === undefined || takes(path))
  if (overrides.length === 0 && colon === ':') return JSON.stringify(counted)
  return overridden(counted, overrides, colon)
}

function zeroed(value: Json): Json {
  if (typeof value === 'number') return 0
  if (isArray(value)) return value.map(zeroed)
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, zeroed(inner)]))
}

type Raw = string | Raw[] | Map<string, Raw>

function overridden(tree: Json, overrides: readonly UsageOverride[], colon: string): string {
  let raw = rawOf(tree)
  for (const { path, json } of overrides) {
    if (path.length === 0) raw = json
    else if (raw instanceof Map) place(raw, path, json)
  }
  return printed(raw, colon)
}

function rawOf(value: Json): Raw {
  if (isArray(value)) return value.map(rawOf)
  if (!isObject(value)) return JSON.stringify(value)
  return new Map(Object.entries(value).map(([name, inner]) => [name, rawOf(inner)]))
}

function place(tree: Map<string, Raw>, path: readonly string[], json: string): void {
  const [name = '', ...rest] = path
  if (rest.length === 0) {
    tree.set(name, json)
    return
  }
  const there = tree.get(name)
  const inner: Map<string, Raw> = there instanceof Map ? there : new Map()
  tree.set(name, inner)
  place(inner, rest, json)
}

function printed(raw: Raw, colon: string): string {
  if (typeof raw === 'string') return raw
  if (Array.isArray(raw)) return `[${raw.map((inner) => printed(inner, colon)).join(',')}]`
  const members = [...raw].map(([name, inner]) => `${JSON.stringify(name)}${colon}${printed(inner, colon)}`)
  return `{${members.join(',')}}`
}

/** JSON with a space after each colon, as Google prints its streams. */
export function spacedJson(value: Json): string {
  return printed(rawOf(value), ': ')
}
