import { isArray, isObject, type Json, type JsonObject } from '../kernel/index.ts'

/** Members of a request body, with a harmless value where the caller sent nothing or something else. */

export function textAt(object: JsonObject, key: string): string {
  const value = object[key]
  return typeof value === 'string' ? value : ''
}

export function wholeAt(object: JsonObject, key: string): number | null {
  const value = object[key]
  return typeof value === 'number' && Number.isInteger(value) ? value : null
}

export function objectAt(object: JsonObject, key: string): JsonObject {
  const value = object[key]
  return isObject(value) ? value : {}
}

export function arrayAt(object: JsonObject, key: string): readonly Json[] {
  const value = object[key]
  return isArray(value) ? value : []
}

/** A member that may be one text or a list of texts; empty ones are left out. */
export function textsAt(object: JsonObject, key: string): readonly string[] {
  const value = object[key]
  const list = typeof value === 'string' ? [value] : isArray(value) ? value : []
  return list.filter((one) => typeof one === 'string').filter((one) => one !== '')
}
