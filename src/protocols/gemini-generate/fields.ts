import { isArray, isObject, type Json, type JsonObject } from '../../kernel/index.ts'

/**
 * Reading of protocol-buffer JSON as Google's servers take it: every member in camelCase or in snake_case, and one
 * object where a list of them is meant (Google's own examples write both).
 */

const snakeNames = new Map<string, string>()

function snakeName(name: string): string {
  let snake = snakeNames.get(name)
  if (snake === undefined) {
    snake = name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
    snakeNames.set(name, snake)
  }
  return snake
}

export function camelName(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}

/** @param name in camelCase; only names of this folder's own code, never a stranger's */
export function field(object: JsonObject, name: string): Json | undefined {
  const value = object[name]
  // A null stands for nothing, also beside the other spelling that stands for something.
  return value === undefined || value === null ? (object[snakeName(name)] ?? value) : value
}

export function objectField(object: JsonObject, name: string): JsonObject | null {
  const value = field(object, name)
  return isObject(value) ? value : null
}

/** The text of a member; null when it is absent, empty or no text. */
export function textField(object: JsonObject, name: string): string | null {
  const value = field(object, name)
  return typeof value === 'string' && value !== '' ? value : null
}

export function listOf(value: Json | undefined): readonly Json[] {
  if (isArray(value)) return value
  return isObject(value) ? [value] : []
}

export function objectsOf(value: Json | undefined): readonly JsonObject[] {
  return listOf(value).filter(isObject)
}

/** A member that stands there in both spellings, in snake_case: which of them counts would be a guess. */
export function spelledTwice(object: JsonObject): string | null {
  const names = Object.keys(object)
  return (
    names.find((name) => name.includes('_') && camelName(name) !== name && names.includes(camelName(name))) ??
    null
  )
}
