import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { isObject, parseJson } from './kernel/index.ts'

/** Where the parts of an installation lie, and which version it is. */

const ROOT = join(import.meta.dirname, '..')

export const MIGRATIONS = join(ROOT, 'migrations')

export function packageVersion(): string {
  const parsed = parseJson(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const version = parsed.ok && isObject(parsed.value) ? parsed.value['version'] : undefined
  return typeof version === 'string' ? version : 'unknown'
}
